# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""GeoParquet files of embeddings and predictions."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
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


@dataclass(frozen=True)
class EmbeddingWriter:
    """Writer of the rows of a table and their embeddings; :meth:`open` creates it.

    Attributes:
        writer: Writer of batches.
        adds_geometry: True if the points become a geometry column.
    """

    writer: pq.ParquetWriter
    adds_geometry: bool

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
        """Open a file to write. The file appears when the block ends without an error.

        Args:
            path: The file.
            table: The table; its rows are written.
            column: Name of the column of embeddings.
            dtype: Type of the embeddings.
            info: Metadata: the origin of the embeddings, and their ``dim``.

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
                # Embeddings do not compress, and trying takes time.
                use_dictionary=others,
                write_statistics=others,
                compression={
                    **dict.fromkeys(others, 'zstd'),
                    f'{column}.list.element': 'none',
                },
            ) as writer,
        ):
            yield cls(writer, adds_geometry)

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
        if self.adds_geometry:
            columns.append(point_geometry(points))
        schema = self.writer.schema
        kind = schema.types[-1]
        numbers = embeddings.numpy().astype(kind.value_type.to_pandas_dtype())
        columns.append(
            pa.FixedSizeListArray.from_arrays(pa.array(numbers.ravel()), kind.list_size)
        )
        self.writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))


def point_geometry(points: NDArray[np.floating[Any]]) -> pa.Array:
    """Convert points to a column of geometries.

    Args:
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.

    Returns:
        The points as well-known binary.
    """
    return pa.array(shapely.to_wkb(shapely.points(points)), pa.binary())


def point_metadata(others: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
    """Return metadata of GeoParquet 1.1 for a column ``geometry`` of points.

    Args:
        others: Metadata of other columns of geometries, by name.

    Returns:
        The metadata.
    """
    return _metadata(others, 'geometry', WGS84, ['Point'])


def _geo_metadata(table: OpenedTable) -> dict[str, Any]:
    if isinstance(table.coordinates, ColumnCoordinates):
        return point_metadata(table.geometries)
    # An empty list of types allows points with and without heights.
    return _metadata(table.geometries, table.coordinates.column, table.crs, [])


def _metadata(
    others: Mapping[str, Any], primary: str, crs: CRS, types: Sequence[str]
) -> dict[str, Any]:
    default = {'encoding': 'WKB', 'geometry_types': types}
    column = {**others.get(primary, default), 'crs': crs.to_json_dict()}
    columns = {**others, primary: column}
    return {'version': '1.1.0', 'primary_column': primary, 'columns': columns}
