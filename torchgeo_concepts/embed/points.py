# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Bulk embedding of points in memory, and of files of any size."""

import csv
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import torch
import torchgeo
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from ..geo.points import SWAPPED_HINT, PointsLike, as_points, is_lonlat, look_swapped
from ..io.geoparquet import EmbeddingWriter
from ..io.tables import GeometryCoordinates, OpenedTable, open_table
from ..models.features import FeatureKind
from ..models.features import features as compute_features
from ..models.loading import DEFAULT_MODEL, DEFAULT_WEIGHTS, find_encoder, load_encoder
from ..models.protocols import GroundedEncoder, check_encoder
from ..utils.devices import Device, find_device
from ..utils.files import atomic_path, check_writable
from ..utils.modes import evaluating
from ..utils.names import check_choice
from ..utils.version import VERSION

Precision = Literal['float32', 'bfloat16']
StoredType = Literal['float32', 'float16']
OnError = Literal['raise', 'skip']

# Maximum number of bad rows that an error lists. The file of skipped rows lists all.
MAX_LISTED = 20
SKIP_HINT = "Use on_error='skip' to skip them and list all of them in a file."


def embed_points(
    encoder: nn.Module,
    points: PointsLike,
    *,
    features: FeatureKind = 'x',
    device: Device = 'auto',
    precision: Precision = 'float32',
    batch_size: int = 8192,
    progress: bool | None = None,
) -> Tensor:
    """Embed points in batches, without gradients.

    Args:
        encoder: A location encoder; it is moved to the device.
        points: Points in any form that :func:`~torchgeo_concepts.geo.points.as_points`
            takes.
        features: ``'x'`` for the embedding, ``'z'`` for the concept scores, ``'xz'``
            for both side by side.
        device: Device to compute on; ``'auto'`` selects a GPU if there is one.
        precision: ``'bfloat16'`` computes matrix products in half precision, which is
            faster and keeps about three digits.
        batch_size: Number of points to embed at a time.
        progress: Show a progress bar. By default, on a terminal only.

    Returns:
        Features of shape ``(N, d)`` in float32, on the CPU.
    """
    if batch_size < 1:
        raise ValueError(f'batch_size must be at least 1, not {batch_size}.')
    tensor, place = as_points(points), find_device(device)
    encoder.to(place)
    parts = []
    with (
        # Models cannot be trained on tensors of inference mode.
        torch.no_grad(),
        evaluating(encoder),
        torch.autocast(place.type, torch.bfloat16, enabled=precision == 'bfloat16'),
        _progress_bar(len(tensor), progress) as bar,
    ):
        for batch in torch.split(tensor, batch_size):
            part = compute_features(encoder, batch.to(place), features)
            parts.append(part.float().cpu())
            bar.update(len(batch))
    return torch.cat(parts)


def count_features(encoder: nn.Module, name: str, **options: Any) -> int:
    """Count the features of a point.

    Args:
        encoder: A location encoder.
        name: Its name, for the error.
        **options: Options of :func:`embed_points`.

    Returns:
        The number.

    Raises:
        ValueError: If the model cannot embed a point.
    """
    try:
        return embed_points(encoder, torch.zeros(1, 2), **options).shape[1]
    except (IndexError, RuntimeError, TypeError, AttributeError) as error:
        raise ValueError(
            f'{name} is not a location encoder: it cannot embed a point ({error}).'
        ) from error


def embed_file(
    input: Path,
    output: Path,
    model: str = DEFAULT_MODEL,
    weights: str | None = DEFAULT_WEIGHTS,
    features: FeatureKind = 'x',
    truncate_dim: int | None = None,
    lon: str | None = None,
    lat: str | None = None,
    crs: str | None = None,
    layer: str | None = None,
    column: str = 'embedding',
    dtype: StoredType = 'float32',
    precision: Precision = 'float32',
    device: Device = 'auto',
    batch_size: int = 8192,
    on_error: OnError = 'raise',
    download: bool = False,
    progress: bool | None = None,
) -> 'EmbedReport':
    """Embed the points of a file of any size.

    Writes a GeoParquet file with the columns of the input and one column of
    embeddings. Rows are streamed, so memory does not grow with the file. The output
    appears only when it is complete.

    Args:
        input: CSV (also compressed), Parquet, GeoParquet, GeoPackage, GeoJSON,
            Shapefile or FlatGeobuf file with a point in every row.
        output: GeoParquet file to write, ending in .parquet or .geoparquet.
        model: Name of a location encoder in TorchGeo's registry.
        weights: Name of its weights, a safetensors file of this package, or None for
            random weights.
        features: x for the embedding, z for the concept scores, xz for both.
        truncate_dim: Number of principal components of the embedding to write.
        lon: Column of longitudes, or of eastings if crs is given. By default, found by
            its name.
        lat: Column of latitudes, or of northings if crs is given. By default, found by
            its name.
        crs: Coordinate reference system of the points, such as EPSG:3857, if the file
            does not have one.
        layer: Name of the layer, if the file has several.
        column: Name of the column of embeddings.
        dtype: Data type of the stored embeddings. float16 takes half the space.
        precision: Type of the matrix products. bfloat16 is faster and less exact.
        device: Device to compute on. By default, a GPU if there is one.
        batch_size: Number of points to embed at a time.
        on_error: Treatment of rows without a valid point: stop before any work is done,
            or skip them and list them in a file next to the output.
        download: Download the weights if they are not on this machine.
        progress: Show a progress bar. By default, on a terminal only.

    Returns:
        A report.

    Raises:
        OSError: If the input does not exist or the output cannot be written.
        ValueError: If the input cannot be read, if a row has no valid point, or if a
            model, weights or column cannot be found.
    """
    start = time.perf_counter()
    input, output = Path(input), Path(output)
    skipped = None
    if on_error == 'skip':
        skipped = output.with_name(f'{output.stem}.skipped.csv')
    check_choice('features', features, FeatureKind)
    check_choice('dtype', dtype, StoredType)
    check_choice('precision', precision, Precision)
    check_choice('device', device, Device)
    check_choice('on_error', on_error, OnError)
    _check_outputs(input, output, skipped)
    size = max(16_384, batch_size)
    table = open_table(input, lon=lon, lat=lat, crs=crs, layer=layer, batch_rows=size)
    _check_columns(table, column)
    name = find_encoder(model, weights)
    encoder = load_encoder(name, truncate_dim=truncate_dim, download=download)
    options: dict[str, Any] = {
        'features': features,
        'device': device,
        'precision': precision,
        'batch_size': batch_size,
        'progress': False,
    }
    info = {
        'model': name.model,
        'weights': name.weights_name,
        'features': features,
        'precision': precision,
        'torchgeo_concepts': VERSION,
        'torchgeo': torchgeo.__version__,
        'column': column,
        'dim': count_features(encoder, model, **options),
    }
    if features != 'x':
        info['concepts'] = check_encoder(encoder, GroundedEncoder).bank.ids
    num_rows, num_bad = _check_rows(table, on_error)
    with (
        _progress_bar(num_rows - num_bad, progress) as bar,
        _skipped_rows(skipped) as listed,
        EmbeddingWriter.open(output, table, column, dtype, info) as writer,
    ):
        for rows, points in _valid_rows(table, listed):
            writer.write(rows, points, embed_points(encoder, points, **options))
            bar.update(len(points))
    return EmbedReport(
        input=input,
        output=output,
        model=name.model,
        weights=name.weights_name,
        num_points=num_rows - num_bad,
        num_skipped=num_bad,
        dim=info['dim'],
        dtype=dtype,
        seconds=time.perf_counter() - start,
        skipped=skipped,
    )


@dataclass(frozen=True)
class EmbedReport:
    """Report of :func:`embed_file`.

    Attributes:
        input: The file that was read.
        output: The file that was written.
        model: Name of the encoder.
        weights: Name of its weights.
        num_points: Number of rows written.
        num_skipped: Number of skipped rows.
        dim: Number of features of an embedding.
        dtype: Data type of the stored embeddings.
        seconds: Total wall-clock time.
        skipped: The file that lists the skipped rows, with ``on_error='skip'``.
    """

    input: Path
    output: Path
    model: str
    weights: str
    num_points: int
    num_skipped: int
    dim: int
    dtype: str
    seconds: float
    skipped: Path | None

    def __str__(self) -> str:
        """Return the report in a few lines."""
        size = self.output.stat().st_size / 1e6
        rate = self.num_points / self.seconds
        made_by = f'{self.model} ({self.weights})'
        lines = [
            f'{_count(self.num_points, "point")} embedded by {made_by}',
            f'{self.dim} numbers each in {self.dtype}, {size:,.2f} MB: {self.output}',
            f'{self.seconds:.1f} s, {rate:,.0f} points/s with reading and writing',
        ]
        if self.skipped is not None:
            lines.append(f'{_count(self.num_skipped, "row")} skipped: {self.skipped}')
        return '\n'.join(lines)


def _count(number: int, what: str) -> str:
    return f'{number:,} {what}' + ('' if number == 1 else 's')


def _progress_bar(total: int, progress: bool | None) -> 'tqdm[Any]':
    # disable=None shows the bar on terminals only.
    disable = None if progress is None else not progress
    return tqdm(total=total, unit='point', unit_scale=True, disable=disable)


def _check_outputs(input: Path, output: Path, skipped: Path | None) -> None:
    if output.suffix.lower() not in ('.parquet', '.geoparquet'):
        raise ValueError(
            f'The output is a GeoParquet file: {output} must end in .parquet or .geoparquet.'
        )
    for target in (output, skipped):
        if target is not None:
            check_writable(target)
            if target.exists() and input.exists() and target.samefile(input):
                raise ValueError(f'{target} is the input. Write to another file.')


def _check_columns(table: OpenedTable, column: str) -> None:
    adds_geometry = not isinstance(table.coordinates, GeometryCoordinates)
    if column in table.schema.names or (adds_geometry and column == 'geometry'):
        raise ValueError(
            f'The output already has a column {column!r}. Give the embeddings another name '
            'with column=.'
        )
    if adds_geometry and 'geometry' in table.schema.names:
        raise ValueError(
            f"{table.path} has coordinates and a column 'geometry', but the output needs "
            'that name for its points. Rename the column.'
        )


def _check_rows(table: OpenedTable, on_error: OnError) -> tuple[int, int]:
    """Read all coordinates once, to find bad rows before any work is done."""
    num_rows = num_bad = 0
    first: list[str] = []
    swapped = False
    for batch in table.batches():
        num_rows += len(batch.points)
        num_bad += len(batch.problems)
        for row in sorted(batch.problems)[: MAX_LISTED - len(first)]:
            first.append(f'row {batch.first_row + row}: {batch.problems[row]}')
        if batch.problems and not swapped:
            x, y, _ = table.coordinates(batch.rows)
            swapped = is_lonlat(table.crs) and look_swapped(x, y)
    if num_bad and (on_error == 'raise' or num_bad == num_rows):
        more = f'\n  and {num_bad - len(first):,} more' if num_bad > len(first) else ''
        raise ValueError(
            f'{num_bad:,} of {num_rows:,} rows of {table.path} have no valid point '
            '(rows are counted from 0):\n  '
            + '\n  '.join(first)
            + more
            + (f'\n{SWAPPED_HINT}' if swapped else '')
            + (f'\n{SKIP_HINT}' if num_bad < num_rows else '')
        )
    if swapped:
        warnings.warn(f'{table.path}: {SWAPPED_HINT}', stacklevel=3)
    return num_rows, num_bad


def _valid_rows(
    table: OpenedTable, listed: Any
) -> Iterator[tuple[pa.RecordBatch, NDArray[np.float64]]]:
    """Yield rows with their points, and list rows without a valid point."""
    for batch in table:
        for row, reason in sorted(batch.problems.items()):
            if listed is None:
                raise ValueError(
                    f'{table.path} changed while it was read. Run the command again.'
                )
            listed.writerow((batch.first_row + row, reason))
        good = ~np.isnan(batch.points[:, 0])
        yield batch.rows.filter(pa.array(good)), batch.points[good]


@contextmanager
def _skipped_rows(path: Path | None) -> Iterator[Any]:
    """Yield a writer of the file of skipped rows, None if there is no such file."""
    if path is None:
        yield None
        return
    with (
        atomic_path(path) as temporary,
        temporary.open('w', encoding='utf-8', newline='') as stream,
    ):
        writer = csv.writer(stream)
        writer.writerow(('row', 'reason'))
        yield writer
