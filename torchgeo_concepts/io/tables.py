# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tables of points, read a batch of rows at a time."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
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
from pyproj.exceptions import ProjError

from ..geo.points import (
    WGS84,
    describe_bad_point,
    find_coordinate_columns,
    is_lonlat,
    lonlat_from_crs,
    one_crs,
    parse_crs,
    valid_points,
    wrap_longitude,
)

COMPRESSIONS = ('.gz', '.bz2', '.lz4', '.zst')
CSV_SUFFIXES = ('.csv', '.tsv', '.txt')
PARQUET_SUFFIXES = ('.parquet', '.geoparquet', '.pq')
VECTOR_SUFFIXES = ('.gpkg', '.geojson', '.json', '.geojsonl', '.shp', '.fgb', '.gml')

READ_ERRORS = (
    pa.ArrowInvalid,
    DataSourceError,
    DataLayerError,
    ProjError,
    UnicodeError,
    OSError,
)

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

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return [self.x, self.y]

    def __call__(self, rows: pa.RecordBatch) -> tuple[Floats, Floats, Problems]:
        """Read x, y and the problems of a batch of rows."""
        problems: Problems = {}
        x, y = (
            _numbers(rows.column(name), name, problems) for name in (self.x, self.y)
        )
        return x, y, problems


@dataclass(frozen=True)
class GeometryCoordinates:
    """Coordinates in a column of point geometries, as WKB or as pairs."""

    column: str

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return [self.column]

    def __call__(self, rows: pa.RecordBatch) -> tuple[Floats, Floats, Problems]:
        """Read x, y and the problems of a batch of rows."""
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
            else f'geometry is a {geometries[row].geom_type}, no point; take its '
            'representative_point() first'
            for row in np.flatnonzero(~points)
        }
        xy = np.full((len(geometries), 2), np.nan)
        xy[points] = shapely.get_coordinates(geometries[points])
        return xy[:, 0], xy[:, 1], problems


@dataclass(frozen=True)
class OpenedTable:
    """Table of points that is read anew, batch by batch, at each iteration.

    Attributes:
        path: The file.
        schema: Columns of the rows and their types.
        coordinates: Where a row has its coordinates.
        crs: Coordinate reference system of the coordinates.
        read: Function that reads some columns of all rows, however many rows at a time.
        batch_rows: Most rows in a batch.
        geometries: GeoParquet metadata of the geometry columns of the file.
    """

    path: Path
    schema: pa.Schema
    coordinates: ColumnCoordinates | GeometryCoordinates
    crs: CRS
    read: Callable[[Sequence[str]], Iterator[pa.RecordBatch]]
    batch_rows: int
    geometries: dict[str, Any] = field(default_factory=dict)

    def __iter__(self) -> Iterator[PointBatch]:
        """Read the table.

        Yields:
            Batches of rows, in the order of the file.

        Raises:
            ValueError: If the file cannot be read.
        """
        return self.batches(self.schema.names)

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[PointBatch]:
        """Read some columns of the table.

        Args:
            columns: Names of the columns, those of the coordinates among them. By
                default, those of the coordinates alone.

        Yields:
            Batches of rows, in the order of the file.

        Raises:
            ValueError: If the file cannot be read.
        """
        first_row = 0
        try:
            for rows in self.read(columns or self.coordinates.columns):
                for start in range(0, rows.num_rows, self.batch_rows):
                    batch = rows.slice(start, self.batch_rows)
                    yield self._batch(first_row, batch)
                    first_row += batch.num_rows
        except READ_ERRORS as error:
            raise _unreadable(self.path, error) from error

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
            if rows.schema.field(index).type != self.schema.field(name).type:
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
) -> OpenedTable:
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
    given_crs = None if crs is None else parse_crs(crs)
    try:
        if suffix in CSV_SUFFIXES:
            return _open_csv(path, lon, lat, given_crs, batch_rows)
        if suffix in PARQUET_SUFFIXES:
            return _open_parquet(path, lon, lat, given_crs, batch_rows)
        if suffix in VECTOR_SUFFIXES:
            return _open_vector(path, lon, lat, given_crs, layer, batch_rows)
    except READ_ERRORS as error:
        raise _unreadable(path, error) from error
    known = ', '.join(CSV_SUFFIXES + PARQUET_SUFFIXES + VECTOR_SUFFIXES)
    raise ValueError(f'{path.name} has no known ending; known are {known}.')


def open_frame(
    frame: pd.DataFrame,
    *,
    lon: str | None = None,
    lat: str | None = None,
    crs: str | None = None,
    batch_rows: int = 16_384,
) -> OpenedTable:
    """Open a data frame as a table of points.

    Args:
        frame: A data frame with columns of coordinates, or geopandas points.
        lon: Name of the column of longitudes, or of eastings in *crs*. Found by its
            usual names if not given; of geopandas points, the geometry is read instead.
        lat: Name of the column of latitudes, or of northings in *crs*.
        crs: Coordinate reference system of the coordinates. Columns are taken for
            degrees of longitude and latitude in WGS84.
        batch_rows: Most rows to read at a time.

    Returns:
        The table.

    Raises:
        ValueError: If a column holds values of several kinds, or the frame does not
            say clearly where its points are.
    """
    given_crs = None if crs is None else parse_crs(crs)
    path, coordinates = Path('The table'), None
    if isinstance(frame, gpd.GeoDataFrame):
        if lon is None and lat is None:
            given_crs = one_crs('The points', frame.crs, given_crs)
            coordinates = GeometryCoordinates(str(frame.geometry.name))
        frame = frame.to_wkb()
    try:
        rows = pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ValueError(f'{path}: {error}') from error
    projected = given_crs is not None and given_crs.is_projected

    def read(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        yield from rows.select(list(columns)).to_batches()

    return OpenedTable(
        path,
        rows.schema.remove_metadata(),
        coordinates
        or ColumnCoordinates(
            *find_coordinate_columns(rows.schema.names, lon, lat, projected=projected)
        ),
        given_crs or WGS84,
        read,
        batch_rows,
    )


def _unreadable(path: Path, error: Exception) -> ValueError:
    if 'UTF8' in str(error):
        return ValueError(f'{path} is not UTF-8 ({error}). Save it as UTF-8.')
    return ValueError(f'Cannot read {path}: {error}')


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
        if isinstance(value, str) and '_' in value:
            raise ValueError('Python reads 1_0 as 10, and nobody else does.')
        return float('nan') if value is None else float(value)
    except (TypeError, ValueError):
        problems.setdefault(row, f'{name} is {value!r}, no number')
        return float('nan')


# CSV ---------------------------------------------------------------------------------

# Longest record of a CSV file in bytes.
MAX_CSV_BLOCK = 2**30

# The first of these that all values of a column can be read as is its type.
CSV_TYPES = (
    pa.int64(),
    pa.uint64(),
    pa.float64(),
    pa.bool_(),
    pa.date32(),
    pa.timestamp('us'),
    pa.string(),
)


@dataclass(frozen=True)
class CSVFile:
    """How a CSV file is read."""

    path: Path
    delimiter: str
    block_size: int

    @classmethod
    def sniff(cls, path: Path, batch_rows: int) -> 'CSVFile':
        """Find the delimiter, and a block size that holds the longest record."""
        with pa.input_stream(path) as stream:
            header = stream.read(65_536).split(b'\n', 1)[0]
        delimiter = max(',;\t|', key=lambda sign: header.count(sign.encode()))
        return cls(path, delimiter, max(100 * batch_rows, 2 * len(header), 4096))

    def names(self) -> list[str]:
        """Read the names of the columns."""
        with self._open([], []) as stream:
            names: list[str] = stream.schema.names
        _unique_names(self.path, names)
        return names

    def read(
        self, types: dict[str, pa.DataType], columns: Sequence[str]
    ) -> Iterator[pa.RecordBatch]:
        """Read columns as the types that they have, or as text."""
        # Everything is text first: pyarrow alone would settle types by the first block.
        with self._open(columns, columns) as stream:
            for text in stream:
                yield pa.RecordBatch.from_arrays(
                    [pc.cast(text[c], types.get(c, pa.string())) for c in columns],
                    names=list(columns),
                )

    def _open(
        self, text: Sequence[str], columns: Sequence[str]
    ) -> pc_csv.CSVStreamingReader:
        return pc_csv.open_csv(
            pa.input_stream(self.path),
            pc_csv.ReadOptions(block_size=self.block_size),
            pc_csv.ParseOptions(delimiter=self.delimiter, newlines_in_values=True),
            pc_csv.ConvertOptions(
                column_types=dict.fromkeys(text, pa.string()),
                include_columns=list(columns),
                null_values=[''],
                strings_can_be_null=True,
            ),
        )


def _open_csv(
    path: Path, lon: str | None, lat: str | None, crs: CRS | None, batch_rows: int
) -> OpenedTable:
    file = CSVFile.sniff(path, batch_rows)
    while True:
        try:
            names = file.names()
            projected = crs is not None and crs.is_projected
            coordinates = ColumnCoordinates(
                *find_coordinate_columns(names, lon, lat, projected=projected)
            )
            types = _csv_types(file.read({}, names), names, coordinates.columns)
            break
        except pa.ArrowInvalid as error:
            # A record longer than a block, such as one with a large polygon.
            if 'straddl' not in str(error) or file.block_size >= MAX_CSV_BLOCK:
                raise
            file = replace(file, block_size=4 * file.block_size)
    schema = {
        name: pa.float64() if name in coordinates.columns else kind
        for name, kind in types.items()
    }
    return OpenedTable(
        path,
        pa.schema(schema),
        coordinates,
        crs or WGS84,
        partial(file.read, types),
        batch_rows,
    )


def _csv_types(
    batches: Iterator[pa.RecordBatch], names: Sequence[str], text: Sequence[str]
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


# Postal and census codes, which would lose their zeros, and hexadecimal numbers.
CODES = r'^[+-]?0[\dxX]'


def _has_long_integers(column: pa.Array) -> bool:
    """Tell whether there are integers that a float would round, such as cell ids."""
    return bool(pc.any(pc.match_substring_regex(column, r'^[+-]?\d{16,}$')).as_py())


def _reads_as(column: pa.Array, kind: pa.DataType) -> bool:
    if pa.types.is_string(kind):
        return True
    if pc.any(pc.match_substring_regex(column, CODES)).as_py():
        return False
    if pa.types.is_floating(kind) and _has_long_integers(column):
        return False
    try:
        pc.cast(column, kind)
    except pa.ArrowInvalid:
        return False
    return True


# Parquet -----------------------------------------------------------------------------


def _open_parquet(
    path: Path, lon: str | None, lat: str | None, crs: CRS | None, batch_rows: int
) -> OpenedTable:
    schema = pq.read_schema(path)
    geometries, primary = _geo_metadata(path, schema)
    schema = schema.remove_metadata()
    _unique_names(path, schema.names)
    coordinates: ColumnCoordinates | GeometryCoordinates
    if primary is None or lon is not None or lat is not None:
        projected = crs is not None and crs.is_projected
        coordinates = ColumnCoordinates(
            *find_coordinate_columns(schema.names, lon, lat, projected=projected)
        )
        crs = crs or WGS84
        if primary is not None:
            # The points in the columns take the place of the geometry.
            schema = schema.remove(schema.get_field_index(primary))
            geometries.pop(primary)
    else:
        encoding = geometries[primary].get('encoding')
        if encoding not in ('WKB', 'point'):
            raise ValueError(f'{path} has {encoding} geometries; points are needed.')
        # GeoParquet means longitude and latitude where it does not say, and an
        # unknown CRS where it says null.
        own = geometries[primary].get('crs', WGS84)
        crs = one_crs(f'{path}: the geometries', own and parse_crs(own), crs)
        coordinates = GeometryCoordinates(primary)
    read = partial(_read_parquet, path, batch_rows)
    return OpenedTable(path, schema, coordinates, crs, read, batch_rows, geometries)


def _geo_metadata(path: Path, schema: pa.Schema) -> tuple[dict[str, Any], str | None]:
    """Read GeoParquet's metadata of geometry columns, and which of them is primary."""
    text = (schema.metadata or {}).get(b'geo')
    if text is None:
        return {}, None
    try:
        geo = json.loads(text)
        geometries, primary = dict(geo['columns']), str(geo['primary_column'])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f'{path} has broken GeoParquet metadata: {error!r}') from error
    if primary not in geometries or primary not in schema.names:
        raise ValueError(f'{path} has no column {primary!r}, its primary geometry.')
    # Rows may be left out, so what describes all of them is not carried over.
    for column in geometries.values():
        column.pop('bbox', None)
        column.pop('covering', None)
    return geometries, primary


def _read_parquet(
    path: Path, batch_rows: int, columns: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_rows, columns=list(columns)):
            yield batch.select(list(columns)).replace_schema_metadata(None)


# Vector files that GDAL reads --------------------------------------------------------


def _open_vector(
    path: Path,
    lon: str | None,
    lat: str | None,
    crs: CRS | None,
    layer: str | None,
    batch_rows: int,
) -> OpenedTable:
    layers = [str(name) for name, _ in pyogrio.list_layers(path)]
    if layer is None and len(layers) > 1:
        raise ValueError(f'{path} has the layers {layers}. Name one with layer=.')
    if layer is not None and layer not in layers:
        raise ValueError(f'{path} has no layer {layer!r}; it has {layers}.')
    with pyogrio.open_arrow(path, layer=layer, use_pyarrow=True) as (meta, reader):
        geometry = meta['geometry_name'] or 'wkb_geometry'
        schema = _plain_schema(reader.schema, geometry)
    _unique_names(path, schema.names)
    coordinates: ColumnCoordinates | GeometryCoordinates
    if lon is not None or lat is not None or 'geometry' not in schema.names:
        if 'geometry' in schema.names:
            # The points in the columns take the place of the geometry.
            schema = schema.remove(schema.get_field_index('geometry'))
        projected = crs is not None and crs.is_projected
        coordinates = ColumnCoordinates(
            *find_coordinate_columns(schema.names, lon, lat, projected=projected)
        )
        crs = crs or WGS84
    else:
        coordinates = GeometryCoordinates('geometry')
        own = parse_crs(meta['crs']) if meta['crs'] else None
        crs = one_crs(f'{path}: the geometries', own, crs)
    read = partial(_read_vector, path, layer, batch_rows)
    return OpenedTable(path, schema, coordinates, crs, read, batch_rows)


def _plain_schema(schema: pa.Schema, geometry: str) -> pa.Schema:
    """Drop GDAL's notes, and call the geometry what geopandas calls it."""
    return pa.schema(
        [pa.field('geometry' if c.name == geometry else c.name, c.type) for c in schema]
    )


def _read_vector(
    path: Path, layer: str | None, batch_rows: int, columns: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    with pyogrio.open_arrow(
        path,
        layer=layer,
        columns=[name for name in columns if name != 'geometry'],
        read_geometry='geometry' in columns,
        batch_size=batch_rows,
        use_pyarrow=True,
    ) as (meta, reader):
        geometry = meta['geometry_name'] or 'wkb_geometry'
        schema = _plain_schema(reader.schema, geometry)
        for batch in reader:
            named = pa.RecordBatch.from_arrays(batch.columns, schema=schema)
            yield named.select(list(columns))
