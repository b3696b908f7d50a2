# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tables of points in files and data frames, read in batches of rows."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import shapely
import torch
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError
from pyproj import CRS
from pyproj.exceptions import ProjError

from ..geo.points import (
    WGS84,
    CoordinateColumnsError,
    describe_bad_point,
    find_coordinate_columns,
    is_lonlat,
    lonlat_from_crs,
    one_crs,
    parse_crs,
    valid_points,
    wrap_longitude,
)
from .csv_files import MAX_RECORD, CSVFile, LongRecordError, check_unique
from .table_files import TableFile, open_frame, open_parquet, open_vector

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

# Names of the columns of coordinates, their CRS, and the number of rows in a batch.
type Options = tuple[str | None, str | None, CRS | None, int]


@dataclass(frozen=True)
class PointBatch:
    """Consecutive rows of a table.

    Attributes:
        first_row: Number of the first row in the table, counted from 0.
        rows: All columns of the rows.
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees,
            NaN in rows without a valid point.
        problems: Reason why a row has no valid point, by row number in the batch.
    """

    first_row: int
    rows: pa.RecordBatch
    points: Floats
    problems: Problems = field(default_factory=dict)


@dataclass(frozen=True)
class ColumnCoordinates:
    """Coordinates in two columns of numbers, or of text that parses as numbers."""

    x: str
    y: str

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return [self.x, self.y]

    def __call__(self, rows: pa.RecordBatch) -> tuple[Floats, Floats, Problems]:
        """Read x, y and the problems of a batch of rows."""
        problems: Problems = {}
        x, y = (_numbers(rows.column(n), n, problems) for n in self.columns)
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
            else f'geometry is a {geometries[row].geom_type}, not a point; take its '
            'representative_point() first'
            for row in np.flatnonzero(~points)
        }
        xy = np.full((len(geometries), 2), np.nan)
        xy[points] = shapely.get_coordinates(geometries[points])
        return xy[:, 0], xy[:, 1], problems


@dataclass(frozen=True)
class OpenedTable:
    """Table of points that is read again, batch by batch, at each iteration.

    Attributes:
        path: The file.
        schema: Names and types of the columns.
        coordinates: Columns that hold the coordinates.
        crs: Coordinate reference system of the coordinates.
        read: Function that reads columns of all rows, in batches of any size.
        batch_rows: Maximum number of rows in a batch.
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
        """Read all columns of the table.

        Yields:
            Batches of rows, in the order of the file.

        Raises:
            ValueError: If the file cannot be read.
        """
        return self.batches(self.schema.names)

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[PointBatch]:
        """Read some columns of the table.

        Args:
            columns: Names of the columns, including those of the coordinates. By
                default, only those of the coordinates.

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
        for name in self.coordinates.columns:
            # Coordinates of a CSV file are text.
            if rows.column(name).type != self.schema.field(name).type:
                index = rows.schema.get_field_index(name)
                numbers = pa.array(_numbers(rows.column(name), name, {}))
                rows = rows.set_column(index, name, numbers)
        return PointBatch(first_row, rows, points.numpy(), problems)


def open_table(
    table: Path | pd.DataFrame,
    *,
    lon: str | None = None,
    lat: str | None = None,
    crs: str | None = None,
    layer: str | None = None,
    batch_rows: int = 16_384,
    infer_types: bool = True,
) -> OpenedTable:
    """Open a table of points.

    Args:
        table: A CSV (also compressed), Parquet, GeoParquet, GeoPackage, GeoJSON,
            Shapefile or FlatGeobuf file; or a data frame with columns of coordinates or
            with geopandas points.
        lon: Name of the column of longitudes, or of eastings in *crs*. By default, the
            geometry is read if there is one, otherwise the columns with usual names.
        lat: Name of the column of latitudes, or of northings in *crs*.
        crs: Coordinate reference system of the coordinates, if the table does not state
            it. By default, columns are degrees of longitude and latitude in WGS84.
        layer: Layer of a file that has several.
        batch_rows: Maximum number of rows to read at a time.
        infer_types: Read a CSV file once to find the types of its columns; otherwise,
            they are text.

    Returns:
        The table. Its rows are read at each iteration.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is empty, its format is unknown, its coordinates are not
            found, or a column of a data frame holds values of several types.
    """
    options = lon, lat, None if crs is None else parse_crs(crs), batch_rows
    if isinstance(table, pd.DataFrame):
        return _find_points(open_frame(table), options)
    if not table.exists():
        raise FileNotFoundError(f'No file {table}.')
    if table.is_file() and table.stat().st_size == 0:
        raise ValueError(f'{table} is empty.')
    suffixes = [s.lower() for s in table.suffixes if s.lower() not in COMPRESSIONS]
    suffix = suffixes[-1] if suffixes else ''
    try:
        if suffix in CSV_SUFFIXES:
            return _open_csv(CSVFile.sniff(table, batch_rows), infer_types, options)
        if suffix in PARQUET_SUFFIXES:
            file = open_parquet(table, batch_rows)
        elif suffix in VECTOR_SUFFIXES:
            file = open_vector(table, layer, batch_rows)
        else:
            known = ', '.join(CSV_SUFFIXES + PARQUET_SUFFIXES + VECTOR_SUFFIXES)
            raise ValueError(f'{table} has no known suffix. Use one of {known}.')
    except READ_ERRORS as error:
        raise ValueError(f'Cannot read {table}: {error}') from error
    check_unique(table, file.schema.names)
    return _find_points(file, options)


def _open_csv(file: CSVFile, infer_types: bool, options: Options) -> OpenedTable:
    try:
        schema = pa.schema(dict.fromkeys(file.names(), pa.string()))
        text = TableFile(file.path, schema, partial(file.read, {}))
        opened = _find_points(text, options)
        if not infer_types:
            return opened
        types = file.infer_types(opened.coordinates.columns)
    except LongRecordError:
        if file.block_size >= MAX_RECORD:
            raise
        return _open_csv(file.with_longer_blocks(), infer_types, options)
    # Coordinates are read as text, so that each row reports what cannot be parsed.
    floats = dict.fromkeys(opened.coordinates.columns, pa.float64())
    schema = pa.schema(types | floats)
    return replace(opened, schema=schema, read=partial(file.read, types))


def _find_points(file: TableFile, options: Options) -> OpenedTable:
    """Find the columns of coordinates, and their coordinate reference system."""
    lon, lat, crs, batch_rows = options
    coordinates: ColumnCoordinates | GeometryCoordinates
    if lon is not None or lat is not None:
        file = file.without_geometry()
    if file.geometry is None:
        projected = crs is not None and crs.is_projected
        names = file.schema.names
        try:
            pair = find_coordinate_columns(names, lon, lat, projected=projected)
        except CoordinateColumnsError as error:
            raise CoordinateColumnsError(f'{file.path}: {error.reason}') from error
        coordinates = ColumnCoordinates(*pair)
        crs = crs or WGS84
    else:
        coordinates = GeometryCoordinates(file.geometry)
        encoding = file.geometries.get(file.geometry, {}).get('encoding', 'WKB')
        if encoding not in ('WKB', 'point'):
            raise ValueError(
                f'{file.path} has {encoding} geometries; points are needed.'
            )
        own_crs = parse_crs(file.crs) if file.crs else None
        crs = one_crs(f'{file.path}: the geometries', own_crs, crs)
    return OpenedTable(
        file.path, file.schema, coordinates, crs, file.read, batch_rows, file.geometries
    )


def _numbers(column: pa.Array, name: str, problems: Problems) -> Floats:
    """Read a column as numbers, and record the problems of rows."""
    for missing in np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False)):
        problems.setdefault(int(missing), f'{name} is missing')
    try:
        floats: Floats = pc.cast(column, pa.float64()).to_numpy(zero_copy_only=False)
        return floats
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        numbers = np.full(len(column), np.nan)
        for row, value in enumerate(column.to_pylist()):
            number = parse_number(value)
            if number is None:
                problems.setdefault(row, f'{name} is {value!r}, not a number')
            else:
                numbers[row] = number
        return numbers


def parse_number(value: Any) -> float | None:
    """Return a value as a number, None if it is not one."""
    try:
        # Python reads 1_0 as 10; other programs do not.
        return None if isinstance(value, str) and '_' in value else float(value)
    except (TypeError, ValueError):
        return None
