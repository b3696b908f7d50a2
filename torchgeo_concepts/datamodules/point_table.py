# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Data module of points and what is to be predicted at them."""

from collections.abc import Sequence
from typing import Literal, cast, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchgeo.datamodules import NonGeoDataModule
from torchgeo.datasets.utils import Sample

from ..datasets.point_table import PointTable
from ..geo.splits import (
    Fractions,
    Rows,
    Split,
    block_folds,
    block_split,
    check_fractions,
    column_split,
    fold_splits,
    random_folds,
    random_split,
    with_buffer,
)
from ..layers.region_split import region_split
from ._epochs import ResumingDataModule

SplitMethod = Literal['random', 'blocks', 'region', 'column']


class PointTableDataModule(ResumingDataModule, NonGeoDataModule):
    """Points of a table, split into those to train, to validate and to test on.

    Targets are standardised by the rows to train on alone.
    """

    def __init__(
        self,
        dataset: PointTable,
        predict: PointTable | None = None,
        *,
        split: SplitMethod = 'blocks',
        fractions: Fractions = (0.8, 0.1, 0.1),
        block_degrees: float = 10,
        block_km: float | None = None,
        region: str | Sequence[str] | None = None,
        folds: int | None = None,
        fold: int = 0,
        buffer_km: float = 0,
        batch_size: int = 512,
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        """Initialize a new PointTableDataModule instance.

        Args:
            dataset: The points and their labels.
            predict: Points to predict at. By default, those to test on.
            split: ``'random'`` splits rows, which tells how well gaps are filled;
                ``'blocks'`` splits blocks of longitude and latitude; ``'region'`` tests
                on *region*; ``'column'`` does what the *split_column* of the dataset
                says.
            fractions: Shares to train on, to validate on and to test on. Where a
                region, a column or a fold says what to test on, the first two share
                the rest.
            block_degrees: Side of a block in degrees.
            block_km: Side of a block in kilometres, instead; all have the same area.
            region: Names of continents, names or two-letter codes of countries,
                polygons in longitude and latitude as WKT, or paths of vector files of
                polygons, such as GeoPackage or GeoJSON; one or several together.
            folds: Number of folds for cross-validation, at random or by blocks.
            fold: The fold to test on, from 0.
            buffer_km: Training points nearer to a test point are left out.
            batch_size: Most points in a batch of each process. A table with fewer is
                one batch.
            num_workers: Number of processes that load points.
            seed: Seed of the split and of the order of training.

        Raises:
            ValueError: If there is no such way to split, or something that it needs is
                missing.
        """
        super().__init__(PointTable, batch_size, num_workers)
        if split not in get_args(SplitMethod):
            raise ValueError(
                f'split must be one of {get_args(SplitMethod)}, not {split!r}.'
            )
        check_fractions(fractions)
        if not dataset.target_names:
            raise ValueError('The dataset has no targets to learn.')
        if (split == 'region') != (region is not None):
            raise ValueError("split='region' needs a region, and no other split does.")
        if split == 'column' and dataset.split_names is None:
            raise ValueError(
                "split='column' needs a dataset that was made with a split_column."
            )
        if folds is not None:
            _check_folds(split, folds, fold)
        self.source, self.predict_source = dataset, predict
        self.dataset = dataset
        self.split_method = split
        self.fractions = fractions
        self.block_degrees, self.block_km = block_degrees, block_km
        self.region = region
        self.folds, self.fold = folds, fold
        self.buffer_km = buffer_km
        self.seed = seed
        # Points have no images to augment.
        self.aug = nn.Identity()

    def setup(self, stage: str) -> None:
        """Set up datasets.

        Args:
            stage: Either 'fit', 'validate', 'test', or 'predict'.

        Raises:
            ValueError: If the split leaves nothing for the stage, or fewer points to
                train on than there are processes.
        """
        self.first_epoch = self._resumed_epoch
        self.split = self._split()
        self.dataset = self.source.fit(self.split.train)
        self.train_dataset = self.dataset.select(self.split.train)
        self.val_dataset = self._part(self.split.val)
        self.test_dataset = self._part(self.split.test)
        self.predict_dataset = self.predict_source or self.test_dataset
        if stage == 'fit':
            self._check_train()
        elif getattr(self, f'{stage.replace("validate", "val")}_dataset') is None:
            raise ValueError(
                f'The split leaves no points to {stage} on. Give them a share in '
                'fractions.'
            )

    def _split(self) -> Split:
        points, seed, buffer_km = self.source.points, self.seed, self.buffer_km
        degrees, km = self.block_degrees, self.block_km
        share = self.fractions[1] / (self.fractions[0] + self.fractions[1])
        if self.folds is not None:
            folds = (
                random_folds(len(points), self.folds, seed)
                if self.split_method == 'random'
                else block_folds(points, self.folds, seed, degrees, km)
            )
            return fold_splits(points, folds, share, seed, buffer_km)[self.fold]
        if self.split_method == 'random':
            split = random_split(len(points), self.fractions, seed)
            return with_buffer(points, split, buffer_km)
        if self.split_method == 'blocks':
            return block_split(points, self.fractions, seed, degrees, km, buffer_km)
        if self.split_method == 'region' and self.region is not None:
            return region_split(points, self.region, share, seed, buffer_km)
        names = cast(NDArray[np.object_], self.source.split_names)
        return column_split(names, points, share, seed, buffer_km)

    def _part(self, rows: Rows) -> PointTable | None:
        return self.dataset.select(rows) if len(rows) else None

    def _check_train(self) -> None:
        processes = self.trainer.world_size if self.trainer else 1
        if len(self.train_dataset) < processes:
            raise ValueError(
                f'{len(self.train_dataset)} points cannot be shared by {processes} '
                'processes.'
            )

    def inverse_transform(self, labels: Tensor) -> Tensor:
        """Turn labels, or what a model predicts in their place, into values.

        Args:
            labels: Labels of shape ``(..., t)``.

        Returns:
            Values of the same shape, in the units of the targets.
        """
        return self.dataset.inverse_transform(labels)

    def _dataloader_factory(self, split: str) -> DataLoader[Sample]:
        dataset = getattr(self, f'{split}_dataset')
        if dataset is None:
            return []  # type: ignore[return-value]
        train = split == 'train'
        sampler = self._order(dataset, self.seed) if train else None
        rows = len(dataset) if sampler is None else len(sampler)
        return DataLoader(
            dataset,
            # A table that is smaller than a batch would be dropped as its remainder.
            batch_size=min(cast(int, self.batch_size), rows),
            sampler=sampler,
            num_workers=self.num_workers,
            drop_last=train,
            # Workers begin each epoch alike, also when training resumes with it.
            persistent_workers=False,
            pin_memory=torch.cuda.is_available(),
        )


def _check_folds(split: str, folds: int, fold: int) -> None:
    if split not in ('random', 'blocks'):
        raise ValueError(f"folds need split='random' or 'blocks', not {split!r}.")
    if folds < 2 or not 0 <= fold < folds:
        raise ValueError(
            f'There are at least 2 folds, counted from 0; no fold {fold} of {folds}.'
        )
