# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tables of points, read a batch of rows at a time."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pc_csv
import pyarrow.parquet as pq
import pyogrio
import shapely
import torch
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError
from pyproj import CRS
from pyproj.exceptions import CRSError

from .points import (
    WGS84,
    describe_bad_point,
    find_coordinate_columns,
    is_lonlat,
    lonlat_from_crs,
    valid_points,
    wrap_longitude,
)

__all__ = ('PointBatch', 'PointTable', 'open_table')

COMPRESSIONS = ('.gz', '.bz2', '.lz4', '.zst')
CSV_SUFFIXES = ('.csv', '.tsv', '.txt')
PARQUET_SUFFIXES = ('.parquet', '.geoparquet', '.pq')
VECTOR_SUFFIXES = ('.gpkg', '.geojson', '.json', '.geojsonl', '.shp', '.fgb', '.gml')

type Floats = NDArray[np.float64]
type Problems = dict[int, str]


@dataclass(frozen=True)
class PointBatch:
    """Consecutive rows of a table.

    Attributes:
        first_row: Number of the first row in the table, counted from 0.
        rows: All columns of the rows.
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees,
            NaN where a row has no point.
        problems: Why a row has no point, by its number in the batch.
    """

    first_row: int
    rows: pa.RecordBatch
    points: Floats
    problems: Problems = field(default_factory=dict)


@dataclass(frozen=True)
class ColumnCoordinates:
    """Coordinates in two columns of numbers, or of text that reads as numbers."""

    x: str
    y: str

    def __call__(self, rows: pa.RecordBatch) -> tuple[Floats, Floats, Problems]:
        problems: Problems = {}
        x, y = (
            _numbers(rows.column(name), name, problems) for name in (self.x, self.y)
        )
        return x, y, problems


@dataclass(frozen=True)
class GeometryCoordinates:
    """Coordinates in a column of point geometries, as WKB or as pairs."""

    column: str

    def __call__(self, rows: pa.RecordBatch) -> tuple[Floats, Floats, Problems]:
        column = rows.column(self.column)
        if pa.types.is_struct(column.type):
            pair = ColumnCoordinates('x', 'y')
            return pair(pa.RecordBatch.from_struct_array(column))
        wkb = column.to_numpy(zero_copy_only=False)
        geometries = shapely.from_wkb(wkb, on_invalid='ignore')
        missing = shapely.is_missing(geometries) | shapely.is_empty(geometries)
        points = ~missing & (
            shapely.get_type_id(geometries) == shapely.GeometryType.POINT
        )
        problems = {
            int(row): 'geometry is missing'
            if missing[row]
            else f'geometry is a {geometries[row].geom_type}, no point'
            for row in np.flatnonzero(~points)
        }
        xy = np.full((len(geometries), 2), np.nan)
        xy[points] = shapely.get_coordinates(geometries[points])
        return xy[:, 0], xy[:, 1], problems


@dataclass(frozen=True)
class PointTable:
    """Table of points that is read anew, batch by batch, at each iteration.

    Attributes:
        path: The file.
        schema: Columns of the rows and their types.
        coordinates: Where a row has its coordinates.
        crs: Coordinate reference system of the coordinates.
        read: Function that reads the rows, however many at a time.
        batch_rows: Most rows in a batch.
    """

    path: Path
    schema: pa.Schema
    coordinates: ColumnCoordinates | GeometryCoordinates
    crs: CRS
    read: Callable[[], Iterator[pa.RecordBatch]]
    batch_rows: int

    def __iter__(self) -> Iterator[PointBatch]:
        """Read the table.

        Yields:
            Batches of rows, in the order of the file.

        Raises:
            ValueError: If the file cannot be read.
        """
        first_row = 0
        try:
            for rows in self.read():
                for start in range(0, rows.num_rows, self.batch_rows):
                    batch = rows.slice(start, self.batch_rows)
                    yield self._batch(first_row, batch)
                    first_row += batch.num_rows
        except (pa.ArrowInvalid, DataSourceError, UnicodeError) as error:
            raise ValueError(f'Cannot read {self.path}: {error}') from error

    def _batch(self, first_row: int, rows: pa.RecordBatch) -> PointBatch:
        x, y, problems = self.coordinates(rows)
        lon, lat = x, y
        if not is_lonlat(self.crs):
            lon, lat = lonlat_from_crs(self.crs, x, y)
        points = torch.from_numpy(np.column_stack((lon, lat)))
        for row in torch.nonzero(~valid_points(points)).flatten().tolist():
            reason = describe_bad_point(lon[row], lat[row])
            if np.isfinite([x[row], y[row]]).all() and not np.isfinite(lon[row]):
                reason = f'({x[row]:g}, {y[row]:g}) lies outside {self.crs.name}'
            problems.setdefault(row, reason)
        points[:, 0] = wrap_longitude(points[:, 0])
        points[list(problems)] = torch.nan
        return PointBatch(first_row, self._typed(rows, x, y), points.numpy(), problems)

    def _typed(self, rows: pa.RecordBatch, x: Floats, y: Floats) -> pa.RecordBatch:
        """Give coordinates that were read as text the type that the schema states."""
        if isinstance(self.coordinates, GeometryCoordinates):
            return rows
        for name, values in ((self.coordinates.x, x), (self.coordinates.y, y)):
            index = rows.schema.get_field_index(name)
            if rows.schema.field(index).type != self.schema.field(index).type:
                rows = rows.set_column(index, name, pa.array(values))
        return rows


def open_table(
    path: Path,
    *,
    lon: str | None = None,
    lat: str | None = None,
    crs: str | None = None,
    layer: str | None = None,
    batch_rows: int = 16_384,
) -> PointTable:
    """Open a table of points.

    Args:
        path: A CSV (also compressed), Parquet, GeoParquet, GeoPackage, GeoJSON,
            Shapefile or FlatGeobuf file.
        lon: Name of the column of longitudes, or of eastings in *crs*. Found by its
            usual names if not given.
        lat: Name of the column of latitudes, or of northings in *crs*.
        crs: Coordinate reference system of the coordinates, if the file does not say.
            Columns are taken for degrees of longitude and latitude in WGS84.
        layer: Layer of a file that has several.
        batch_rows: Most rows to read at a time.

    Returns:
        The table, of which nothing but its schema was read yet; of a CSV file, all
        rows were read once to find the types of its columns.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is empty, is of no known format, or does not say
            clearly where its points are.
    """
    if not path.exists():
        raise FileNotFoundError(f'No file {path}.')
    if path.is_file() and path.stat().st_size == 0:
        raise ValueError(f'{path} is empty.')
    suffixes = [s.lower() for s in path.suffixes if s.lower() not in COMPRESSIONS]
    suffix = suffixes[-1] if suffixes else ''
    given_crs = _parse_crs(crs)
    try:
        if suffix in CSV_SUFFIXES:
            return _open_csv(path, lon, lat, given_crs, batch_rows)
        if suffix in PARQUET_SUFFIXES:
            return _open_parquet(path, lon, lat, given_crs, batch_rows)
        if suffix in VECTOR_SUFFIXES:
            return _open_vector(path, lon, lat, given_crs, layer, batch_rows)
    except (
        pa.ArrowInvalid,
        DataSourceError,
        DataLayerError,
        CRSError,
        UnicodeError,
    ) as error:
        raise ValueError(f'Cannot read {path}: {error}') from error
    known = ', '.join(CSV_SUFFIXES + PARQUET_SUFFIXES + VECTOR_SUFFIXES)
    raise ValueError(f'{path.name} has no known ending; known are {known}.')


def _parse_crs(crs: str | None) -> CRS | None:
    try:
        return None if crs is None else CRS.from_user_input(crs)
    except CRSError as error:
        raise ValueError(
            f"{crs!r} is no coordinate reference system; 'EPSG:4326' is one."
        ) from error


def _one_crs(path: Path, own: CRS | None, given: CRS | None) -> CRS:
    crs = own if own is not None else given
    if crs is None:
        raise ValueError(
            f'{path} does not say which CRS its geometries are in. Pass '
            "crs='EPSG:4326' if they are degrees of longitude and latitude."
        )
    if own is not None and given is not None and not own.equals(given, True):
        raise ValueError(
            f'{path} is in {own.name}, not in {given.name}. Leave crs out.'
        )
    return crs


def _unique_names(path: Path, names: Sequence[str]) -> None:
    repeated = {name for name in names if list(names).count(name) > 1}
    if repeated:
        raise ValueError(f'{path} has several columns named {sorted(repeated)}.')


def _numbers(column: pa.Array, name: str, problems: Problems) -> Floats:
    """Read a column as numbers, and note the rows where that fails."""
    if column.null_count:
        for row in np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False)):
            problems.setdefault(int(row), f'{name} is missing')
    try:
        floats: Floats = pc.cast(column, pa.float64()).to_numpy(zero_copy_only=False)
        return floats
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return np.array(
            [
                _number(value, row, name, problems)
                for row, value in enumerate(column.to_pylist())
            ],
            dtype=np.float64,
        )


def _number(value: Any, row: int, name: str, problems: Problems) -> float:
    try:
        return float('nan') if value is None else float(value)
    except (TypeError, ValueError):
        problems.setdefault(row, f'{name} is {value!r}, no number')
        return float('nan')


# CSV ---------------------------------------------------------------------------------

# The first of these that all values of a column can be read as is its type.
CSV_TYPES = (
    pa.int64(),
    pa.float64(),
    pa.bool_(),
    pa.date32(),
    pa.timestamp('us'),
    pa.string(),
)


def _open_csv(
    path: Path, lon: str | None, lat: str | None, crs: CRS | None, batch_rows: int
) -> PointTable:
    with pa.input_stream(path) as stream:
        header = stream.read(65_536).split(b'\n', 1)[0]
    delimiter = max(',;\t|', key=lambda sign: header.count(sign.encode()))
    # About a hundred bytes a row, and never less than the header.
    block_size = max(100 * batch_rows, 2 * len(header), 4096)
    names = _csv_names(path, delimiter, block_size)
    coordinates = ColumnCoordinates(*find_coordinate_columns(names, lon, lat))
    text = partial(_read_csv, path, delimiter, block_size, {})
    types = _csv_types(text(), names, (coordinates.x, coordinates.y))
    return PointTable(
        path,
        pa.schema(
            {
                name: pa.float64() if name in (coordinates.x, coordinates.y) else kind
                for name, kind in types.items()
            }
        ),
        coordinates,
        crs or WGS84,
        partial(_read_csv, path, delimiter, block_size, types),
        batch_rows,
    )


def _csv_names(path: Path, delimiter: str, block_size: int) -> list[str]:
    with _csv_stream(path, delimiter, block_size) as stream:
        names: list[str] = stream.schema.names
    _unique_names(path, names)
    return names


def _csv_stream(
    path: Path, delimiter: str, block_size: int, text: Sequence[str] = ()
) -> pc_csv.CSVStreamingReader:
    return pc_csv.open_csv(
        pa.input_stream(path),
        pc_csv.ReadOptions(block_size=block_size),
        pc_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        pc_csv.ConvertOptions(
            column_types=dict.fromkeys(text, pa.string()),
            null_values=[''],
            strings_can_be_null=True,
        ),
    )


def _read_csv(
    path: Path, delimiter: str, block_size: int, types: dict[str, pa.DataType]
) -> Iterator[pa.RecordBatch]:
    names = _csv_names(path, delimiter, block_size)
    # Everything is text first: pyarrow alone would settle types by the first block.
    with _csv_stream(path, delimiter, block_size, names) as stream:
        for text in stream:
            yield pa.RecordBatch.from_arrays(
                [pc.cast(text[name], types.get(name, pa.string())) for name in names],
                names=names,
            )


def _csv_types(
    batches: Iterator[pa.RecordBatch], names: list[str], text: tuple[str, str]
) -> dict[str, pa.DataType]:
    candidates = {
        name: [pa.string()] if name in text else list(CSV_TYPES) for name in names
    }
    num_rows = 0
    for batch in batches:
        num_rows += batch.num_rows
        for name, kinds in candidates.items():
            candidates[name] = [k for k in kinds if _reads_as(batch[name], k)]
    return {
        name: kinds[0] if num_rows else pa.string()
        for name, kinds in candidates.items()
    }


def _reads_as(column: pa.Array, kind: pa.DataType) -> bool:
    if pa.types.is_string(kind):
        return True
    if pc.any(pc.match_substring_regex(column, r'^[+-]?0\d')).as_py():
        # Postal and census codes would lose their zeros.
        return False
    try:
        pc.cast(column, kind)
    except pa.ArrowInvalid:
        return False
    return True


# Parquet -----------------------------------------------------------------------------


def _open_parquet(
    path: Path, lon: str | None, lat: str | None, crs: CRS | None, batch_rows: int
) -> PointTable:
    schema = pq.read_schema(path)
    geo = json.loads((schema.metadata or {}).get(b'geo', b'null'))
    schema = schema.remove_metadata()
    _unique_names(path, schema.names)
    coordinates: ColumnCoordinates | GeometryCoordinates
    if geo is None or lon is not None or lat is not None:
        coordinates = ColumnCoordinates(
            *find_coordinate_columns(schema.names, lon, lat)
        )
        crs = crs or WGS84
    else:
        name = geo['primary_column']
        column = geo['columns'][name]
        if column['encoding'] not in ('WKB', 'point'):
            raise ValueError(
                f'{path} has {column["encoding"]} geometries; points are needed.'
            )
        # GeoParquet means longitude and latitude where it does not say, and an
        # unknown CRS where it says null.
        own = column.get('crs', WGS84)
        crs = _one_crs(path, None if own is None else CRS.from_user_input(own), crs)
        coordinates = GeometryCoordinates(name)
    return PointTable(
        path,
        schema,
        coordinates,
        crs,
        partial(_read_parquet, path, batch_rows),
        batch_rows,
    )


def _read_parquet(path: Path, batch_rows: int) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_rows):
            yield batch.replace_schema_metadata(None)


# Vector files that GDAL reads --------------------------------------------------------


def _open_vector(
    path: Path,
    lon: str | None,
    lat: str | None,
    crs: CRS | None,
    layer: str | None,
    batch_rows: int,
) -> PointTable:
    layers = [str(name) for name, _ in pyogrio.list_layers(path)]
    if layer is None and len(layers) > 1:
        raise ValueError(f'{path} has the layers {layers}. Name one with layer=.')
    if layer is not None and layer not in layers:
        raise ValueError(f'{path} has no layer {layer!r}; it has {layers}.')
    read = partial(_read_vector, path, layer, batch_rows)
    with pyogrio.open_arrow(path, layer=layer, use_pyarrow=True) as (meta, reader):
        schema = _plain_schema(reader.schema, meta['geometry_name'])
    coordinates: ColumnCoordinates | GeometryCoordinates
    if lon is not None or lat is not None or 'geometry' not in schema.names:
        coordinates = ColumnCoordinates(
            *find_coordinate_columns(schema.names, lon, lat)
        )
        crs = crs or WGS84
    else:
        coordinates = GeometryCoordinates('geometry')
        own = CRS.from_user_input(meta['crs']) if meta['crs'] else None
        crs = _one_crs(path, own, crs)
    return PointTable(path, schema, coordinates, crs, read, batch_rows)


def _plain_schema(schema: pa.Schema, geometry: str) -> pa.Schema:
    """Drop GDAL's notes, and call the geometry what geopandas calls it."""
    geometry = geometry or 'wkb_geometry'
    return pa.schema(
        [
            pa.field(
                'geometry' if column.name == geometry else column.name, column.type
            )
            for column in schema
        ]
    )


def _read_vector(
    path: Path, layer: str | None, batch_rows: int
) -> Iterator[pa.RecordBatch]:
    with pyogrio.open_arrow(
        path, layer=layer, batch_size=batch_rows, use_pyarrow=True
    ) as (meta, reader):
        schema = _plain_schema(reader.schema, meta['geometry_name'])
        for batch in reader:
            yield pa.RecordBatch.from_arrays(batch.columns, schema=schema)
