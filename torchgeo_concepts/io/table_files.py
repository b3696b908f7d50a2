# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Columns of Parquet files, of vector files that GDAL reads, and of data frames."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio

from ..geo.points import WGS84


@dataclass(frozen=True)
class TableFile:
    """Columns of a file or a data frame.

    Attributes:
        path: The file.
        schema: Names and types of the columns.
        read: Function that reads columns of all rows, in batches of any size.
        geometry: Name of the column of point geometries, if there is one.
        crs: Coordinate reference system that the file states, in any form of pyproj.
        geometries: GeoParquet metadata of all columns of geometries.
    """

    path: Path
    schema: pa.Schema
    read: Callable[[Sequence[str]], Iterator[pa.RecordBatch]]
    geometry: str | None = None
    crs: Any = None
    geometries: dict[str, Any] = field(default_factory=dict)

    def without_geometry(self) -> 'TableFile':
        """Return the file without its column of point geometries."""
        schema = pa.schema([f for f in self.schema if f.name != self.geometry])
        others = {k: v for k, v in self.geometries.items() if k != self.geometry}
        return TableFile(self.path, schema, self.read, geometries=others)


def open_parquet(path: Path, batch_rows: int) -> TableFile:
    """Open a Parquet or GeoParquet file.

    Args:
        path: The file.
        batch_rows: Number of rows to read at a time.

    Raises:
        ValueError: If its GeoParquet metadata is invalid.
    """
    schema = pq.read_schema(path)
    read = partial(_read_parquet, path, batch_rows)
    text = (schema.metadata or {}).get(b'geo')
    schema = schema.remove_metadata()
    if text is None:
        return TableFile(path, schema, read)
    try:
        geo = json.loads(text)
        geometries, primary = dict(geo['columns']), str(geo['primary_column'])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f'{path} has broken GeoParquet metadata: {error!r}') from error
    if primary not in geometries or primary not in schema.names:
        raise ValueError(f'{path} has no column {primary!r}, its primary geometry.')
    # These entries describe all rows, but a copy may have fewer rows.
    for column in geometries.values():
        column.pop('bbox', None)
        column.pop('covering', None)
    # GeoParquet has longitude and latitude by default; null is an unknown CRS.
    crs = geometries[primary].get('crs', WGS84)
    return TableFile(path, schema, read, primary, crs, geometries)


def _read_parquet(
    path: Path, batch_rows: int, columns: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_rows, columns=list(columns)):
            yield batch.select(list(columns)).replace_schema_metadata(None)


def open_vector(path: Path, layer: str | None, batch_rows: int) -> TableFile:
    """Open a layer of a vector file.

    Args:
        path: The file.
        layer: Name of the layer, optional if the file has only one.
        batch_rows: Number of rows to read at a time.

    Raises:
        ValueError: If the layer does not exist, or *layer* is None and several exist.
    """
    layers = [str(name) for name, _ in pyogrio.list_layers(path)]
    if layer is None and len(layers) > 1:
        raise ValueError(f'{path} has the layers {layers}. Name one with layer=.')
    if layer is not None and layer not in layers:
        raise ValueError(f'{path} has no layer {layer!r}; it has {layers}.')
    with pyogrio.open_arrow(path, layer=layer, use_pyarrow=True) as (meta, reader):
        schema, crs = _plain_schema(meta, reader.schema), meta['crs']
    geometry = 'geometry' if 'geometry' in schema.names else None
    read = partial(_read_vector, path, layer, batch_rows)
    return TableFile(path, schema, read, geometry, crs)


def _plain_schema(meta: dict[str, Any], schema: pa.Schema) -> pa.Schema:
    """Remove GDAL's metadata, and rename the geometry as geopandas does."""
    geometry = meta['geometry_name'] or 'wkb_geometry'
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
        schema = _plain_schema(meta, reader.schema)
        for batch in reader:
            named = pa.RecordBatch.from_arrays(batch.columns, schema=schema)
            yield named.select(list(columns))


def open_frame(frame: pd.DataFrame) -> TableFile:
    """Open a data frame.

    Args:
        frame: A data frame with columns of coordinates, or geopandas points.

    Raises:
        ValueError: If a column holds values of several types.
    """
    path = Path(frame.attrs.get('source', 'The table'))
    geometry = crs = None
    if isinstance(frame, gpd.GeoDataFrame):
        geometry, crs = str(frame.geometry.name), frame.crs
        frame = frame.to_wkb()
    try:
        rows = pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ValueError(f'{path}: {error}') from error

    def read(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        yield from rows.select(list(columns)).to_batches()

    return TableFile(path, rows.schema.remove_metadata(), read, geometry, crs)
