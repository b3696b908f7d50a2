# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Callback that writes predictions to a file."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter
from torch import Tensor
from torchgeo.datasets.utils import Sample

from ..io.geoparquet import METADATA_KEY, point_geometry, point_metadata
from ..utils.files import atomic_path, check_writable
from ..utils.version import VERSION

# Maximum number of rows in memory when files are merged.
MERGE_ROWS = 1_048_576

# Columns that are always written.
OWN_COLUMNS = ('row', 'geometry')


class PredictionWriter(BasePredictionWriter):
    """Callback that writes predictions of ``torchgeo predict`` to a GeoParquet file.

    .. code-block:: yaml

       trainer:
         callbacks:
           - class_path: torchgeo_concepts.tasks.PredictionWriter
             init_args: {output: predictions.parquet}

    Each process writes its own file. At the end, these are merged into the output, with
    each row once and in the order of the table. The output appears when it is complete.
    Pass ``--return_predictions=false`` to keep many predictions out of memory.

    Columns are the ``row`` of the point in its table, the predictions, and the
    ``geometry``. Predictions of shape ``(N, t)`` are named after the task's targets,
    with ``_lower`` and ``_upper`` for the bounds of intervals. If a target already
    has such a name, another ``_`` is added.
    """

    def __init__(self, output: str = 'predictions.parquet') -> None:
        """Initialize a new PredictionWriter instance.

        Args:
            output: The file, ending in .parquet or .geoparquet. An existing file is
                replaced. All processes must share the folder.

        Raises:
            ValueError: If the file has another ending.
        """
        super().__init__('batch')
        self.output = Path(output)
        if self.output.suffix.lower() not in ('.parquet', '.geoparquet'):
            raise ValueError(
                f'{output} must end in .parquet or .geoparquet, since predictions are '
                'written as GeoParquet.'
            )
        self._writer: pq.ParquetWriter | None = None

    @property
    def _folder(self) -> Path:
        output = self.output.resolve()
        return output.with_name(f'.{output.name}.shards')

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check that the output can be written, before any work is done.

        Args:
            trainer: The trainer.
            pl_module: The task.
            stage: Either 'fit', 'validate', 'test', or 'predict'.

        Raises:
            OSError: If the folder does not exist or is not writable.
        """
        super().setup(trainer, pl_module, stage)
        if stage == 'predict':
            check_writable(self.output)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Create the folder for the files of all processes.

        Args:
            trainer: The trainer.
            pl_module: The task.
        """
        if trainer.is_global_zero:
            # Remove the files of an earlier run that was killed.
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder.mkdir()
        trainer.strategy.barrier()

    def write_on_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        prediction: Any,
        batch_indices: Sequence[int] | None,
        batch: Sample,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Write the predictions of a batch.

        Args:
            trainer: The trainer.
            pl_module: The task.
            prediction: Tensors and lists by name, or a tensor.
            batch_indices: Indices of the samples in their dataset.
            batch: The batch, with its ``'point'``, and its ``'row'`` if there is one.
            batch_idx: Index of the batch.
            dataloader_idx: Index of the loader.

        Raises:
            ValueError: If there are several loaders, or points or rows are missing.
        """
        if dataloader_idx:
            raise ValueError('PredictionWriter needs a single prediction loader.')
        is_named = isinstance(prediction, Mapping)
        found = prediction if is_named else {'prediction': prediction}
        rows = batch.get('row', batch_indices)
        points = found.get('point', batch.get('point'))
        if rows is None or points is None:
            missing = "'point'" if points is None else "'row'"
            raise ValueError(f'Batches lack {missing}, which PredictionWriter needs.')
        names = tuple(getattr(pl_module, 'target_names', ()))
        columns = {
            'row': pa.array(torch.as_tensor(rows).cpu().numpy(), pa.int64()),
            **_columns(found, names),
            'geometry': point_geometry(points.detach().cpu().double().numpy()),
        }
        table = pa.table(columns)
        if self._writer is None:
            info = {'task': type(pl_module).__name__, 'torchgeo_concepts': VERSION}
            schema = table.schema.with_metadata(
                {b'geo': json.dumps(point_metadata()), METADATA_KEY: json.dumps(info)}
            )
            path = self._folder / f'{trainer.global_rank:05}.parquet'
            self._writer = pq.ParquetWriter(path, schema, compression='zstd')
        self._writer.write_table(table.cast(self._writer.schema))

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Merge the files of all processes.

        Args:
            trainer: The trainer.
            pl_module: The task.
        """
        self._close()
        trainer.strategy.barrier()
        if trainer.is_global_zero:
            _merge(sorted(self._folder.glob('*.parquet')), self.output)
            shutil.rmtree(self._folder)
        trainer.strategy.barrier()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Remove all temporary files.

        Args:
            trainer: The trainer.
            pl_module: The task.
            exception: The exception that ended the run.
        """
        self._close()
        if trainer.predicting and trainer.is_global_zero:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _columns(found: Mapping[str, Any], names: Sequence[str]) -> dict[str, pa.Array]:
    """Create one column for each value that is predicted at a point."""
    columns: dict[str, pa.Array] = {}

    def add(name: str, values: Any) -> None:
        while name in columns or name in OWN_COLUMNS:
            name += '_'
        columns[name] = pa.array(values)

    for key, value in found.items():
        if key in ('row', 'point'):
            continue
        if not isinstance(value, Tensor):
            add(key, value)
            continue
        array = value.detach().cpu()
        numbers = (array.float() if array.is_floating_point() else array).numpy()
        if numbers.ndim == 1:
            add(key, numbers)
            continue
        for place, column in enumerate(numbers.reshape(len(numbers), -1).T):
            add(_column_name(key, place, numbers.shape[1], names), column)
    return columns


def _column_name(key: str, place: int, number: int, names: Sequence[str]) -> str:
    if len(names) != number:
        return f'{key}_{place}'
    name = names[place]
    if key == 'prediction' and name not in OWN_COLUMNS:
        return name
    name = f'{name}_{key}'
    # Other targets keep their own names.
    while name in names:
        name += '_'
    return name


def _merge(shards: Sequence[Path], output: Path) -> None:
    """Write the rows of all files in order, each row once."""
    source = ds.dataset(list(shards))
    rows = np.unique(source.to_table(columns=['row'])['row'].to_numpy())
    with (
        atomic_path(output) as temporary,
        pq.ParquetWriter(temporary, source.schema, compression='zstd') as writer,
    ):
        for start in range(0, len(rows), MERGE_ROWS):
            block = rows[start : start + MERGE_ROWS]
            row = ds.field('row')
            within = (row >= int(block[0])) & (row <= int(block[-1]))
            table = source.to_table(filter=within)
            # Distributed samplers repeat rows, so that all processes have the same number.
            first = np.unique(table['row'].to_numpy(), return_index=True)[1]
            writer.write_table(table.take(first))
