# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Features of the rows of a dataset, computed once by a frozen encoder."""

from collections.abc import Callable, Iterator, Sequence, Sized
from dataclasses import dataclass
from typing import Any, Self, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset
from torchgeo.datasets.utils import Sample
from tqdm import tqdm

from ..datasets.point_table import PointTable

# Number of rows in a batch, if the data module does not set it.
BATCH_ROWS = 1024


@dataclass(frozen=True)
class FeatureTable:
    """Inputs of a head for rows of a dataset, in memory.

    Attributes:
        points: Points of shape ``(N, 2)``.
        inputs: Inputs of shape ``(N, d)``, before they are standardised.
        labels: Labels of shape ``(N, t)`` or ``(N,)``.
        rows: Indices of the rows of shape ``(N,)`` in ascending order, if known.
    """

    points: Tensor
    inputs: Tensor
    labels: Tensor
    rows: Tensor | None

    @classmethod
    def compute(
        cls,
        dataset: Dataset[Sample],
        inputs: Callable[[Sample], Tensor],
        limit: int | None = None,
        datamodule: Any = None,
    ) -> Self:
        """Compute the inputs of a dataset.

        Args:
            dataset: The dataset.
            inputs: Function that computes the inputs of a batch.
            limit: Maximum number of rows, sampled at random. None for all rows.
            datamodule: Sets the batch size and the number of workers for datasets that
                are not in memory.

        Returns:
            The table.
        """
        parts: list[dict[str, Tensor]] = []
        number = len(cast(Sized, dataset))
        total = number if limit is None else min(limit, number)
        # disable=None shows the bar on terminals only.
        with tqdm(
            total=total, desc='Features', unit='row', disable=None, leave=False
        ) as bar:
            for batch in _batches(dataset, limit, datamodule):
                part = {name: batch[name] for name in ('label', 'row') if name in batch}
                part |= {'point': batch['point'].float(), 'inputs': inputs(batch).cpu()}
                parts.append(part)
                bar.update(len(batch['point']))
        columns = concatenate(parts)
        if 'row' in columns:
            order = columns['row'].argsort()
            columns = {name: values[order] for name, values in columns.items()}
        return cls(
            columns['point'], columns['inputs'], columns['label'], columns.get('row')
        )

    def lookup(self, rows: Tensor) -> Tensor:
        """Return the inputs of the given rows.

        Args:
            rows: Indices of the rows; all must be in the table.

        Returns:
            Inputs of shape ``(len(rows), d)``.
        """
        return self.inputs[torch.searchsorted(cast(Tensor, self.rows), rows.cpu())]


def concatenate(parts: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Concatenate the rows of batches with the same tensors."""
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def whole_dataset(dataset: Any) -> Any:
    """Return the dataset behind subsets, which has the names of the targets."""
    while isinstance(dataset, Subset):
        dataset = dataset.dataset
    return dataset


def _batches(
    dataset: Dataset[Sample], limit: int | None, datamodule: Any
) -> Iterator[Sample]:
    number = len(cast(Sized, dataset))
    if limit is not None and limit < number:
        chosen = torch.randperm(number, generator=torch.Generator().manual_seed(0))
        rows = chosen[:limit].sort().values
        if isinstance(dataset, PointTable):
            dataset = dataset.select(rows)
        else:
            dataset = Subset(dataset, rows.tolist())
    if not isinstance(dataset, PointTable):
        yield from DataLoader(
            dataset,
            batch_size=getattr(datamodule, 'batch_size', None) or BATCH_ROWS,
            num_workers=getattr(datamodule, 'num_workers', None) or 0,
        )
        return
    # Slice tensors, since loading sample by sample takes seconds.
    columns = {'point': dataset.points, 'label': dataset.labels, 'row': dataset.rows}
    if dataset.extra_names:
        columns['extra'] = dataset.extra
    for start in range(0, len(dataset), BATCH_ROWS):
        yield {
            name: values[start : start + BATCH_ROWS] for name, values in columns.items()
        }
