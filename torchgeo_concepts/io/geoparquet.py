# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""GeoParquet files of embeddings and predictions."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray
from pyproj import CRS
from torch import Tensor

from ..geo.points import WGS84
from ..utils.files import atomic_path
from .tables import ColumnCoordinates, OpenedTable

METADATA_KEY = b'torchgeo_concepts'


class EmbeddingWriter:
    """Writes the rows of a table, with a column of embeddings beside them."""

    def __init__(
        self, writer: pq.ParquetWriter, schema: pa.Schema, adds_geometry: bool
    ) -> None:
        """Initialize a new EmbeddingWriter instance; :meth:`open` does it for you.

        Args:
            writer: Writes the batches.
            schema: Columns of the output, the embeddings last.
            adds_geometry: Whether the points become a geometry column.
        """
        self._writer = writer
        self._schema = schema
        self._adds_geometry = adds_geometry

    @classmethod
    @contextmanager
    def open(
        cls,
        path: Path,
        table: OpenedTable,
        column: str,
        dtype: str,
        info: dict[str, Any],
    ) -> Iterator['EmbeddingWriter']:
        """Open a file that appears when the block ends, and not if it fails.

        Args:
            path: The file.
            table: The table whose rows are written.
            column: Name of the column of embeddings.
            dtype: Their type.
            info: What made them, ``dim`` among it; kept in the metadata.

        Yields:
            The writer.
        """
        adds_geometry = isinstance(table.coordinates, ColumnCoordinates)
        fields = list(table.schema)
        if adds_geometry:
            fields.append(pa.field('geometry', pa.binary()))
        others = [field.name for field in fields]
        kind = pa.list_(pa.from_numpy_dtype(dtype), info['dim'])
        schema = pa.schema([*fields, pa.field(column, kind)]).with_metadata(
            {b'geo': json.dumps(_geo_metadata(table)), METADATA_KEY: json.dumps(info)}
        )
        with (
            atomic_path(path) as temporary,
            pq.ParquetWriter(
                temporary,
                schema,
                # Embeddings neither repeat nor compress: trying costs time alone.
                use_dictionary=others,
                write_statistics=others,
                compression={
                    **dict.fromkeys(others, 'zstd'),
                    f'{column}.list.element': 'none',
                },
            ) as writer,
        ):
            yield cls(writer, schema, adds_geometry)

    def write(
        self, rows: pa.RecordBatch, points: NDArray[np.float64], embeddings: Tensor
    ) -> None:
        """Write rows.

        Args:
            rows: All columns of the table.
            points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
            embeddings: Embeddings of shape ``(N, d)``.
        """
        columns = list(rows.columns)
        if self._adds_geometry:
            columns.append(point_geometry(points))
        kind = self._schema.types[-1]
        numbers = embeddings.numpy().astype(kind.value_type.to_pandas_dtype())
        columns.append(
            pa.FixedSizeListArray.from_arrays(pa.array(numbers.ravel()), kind.list_size)
        )
        batch = pa.RecordBatch.from_arrays(columns, schema=self._schema)
        self._writer.write_batch(batch)


def point_geometry(points: NDArray[np.floating[Any]]) -> pa.Array:
    """Make a column of geometries.

    Args:
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.

    Returns:
        The points as well-known binary.
    """
    return pa.array(shapely.to_wkb(shapely.points(points)), pa.binary())


def point_metadata(column: str = 'geometry') -> dict[str, Any]:
    """Return metadata of the GeoParquet 1.1 specification for a column of points.

    Args:
        column: Name of the column.

    Returns:
        The metadata.
    """
    return _metadata({}, column, WGS84, ['Point'])


def _geo_metadata(table: OpenedTable) -> dict[str, Any]:
    if isinstance(table.coordinates, ColumnCoordinates):
        return _metadata(table.geometries, 'geometry', WGS84, ['Point'])
    # No types mean unknown ones: points may be flat or have heights.
    return _metadata(table.geometries, table.coordinates.column, table.crs, [])


def _metadata(
    others: Mapping[str, Any], primary: str, crs: CRS, types: Sequence[str]
) -> dict[str, Any]:
    default = {'encoding': 'WKB', 'geometry_types': types}
    column = {**others.get(primary, default), 'crs': crs.to_json_dict()}
    columns = {**others, primary: column}
    return {'version': '1.1.0', 'primary_column': primary, 'columns': columns}
