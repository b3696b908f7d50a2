# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Data module of tables of points and targets."""

from collections.abc import Sequence
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray
from torch import nn

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
from ..layers.regions import region_split
from ..utils.names import check_choice
from ._epochs import ResumingDataModule

# Name of the dataset of each stage.
STAGES = {'fit': 'train', 'validate': 'val', 'test': 'test', 'predict': 'predict'}

SplitMethod = Literal['random', 'blocks', 'region', 'column']


class PointTableDataModule(ResumingDataModule):
    """Data module of a table of points, with several ways to split it.

    A transform that standardises targets uses statistics of the training rows only.
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
            dataset: Points and labels.
            predict: Points to predict at. By default, the test points.
            split: ``'random'`` splits rows, to measure interpolation; ``'blocks'``
                splits blocks of longitude and latitude; ``'region'`` tests on *region*;
                ``'column'`` uses the *split_column* of the dataset.
            fractions: Fractions of training, validation and test points. If a region, a
                column or a fold defines the test points, the first two fractions divide
                the other points in proportion.
            block_degrees: Side of a block in degrees.
            block_km: Side of a block in km, for blocks of equal area. It replaces
                *block_degrees*.
            region: One or several regions: names of continents, names or two-letter
                codes of countries, polygons in longitude and latitude as WKT, or paths
                of vector files of polygons, such as GeoPackage or GeoJSON.
            folds: Number of folds for cross-validation, at random or by blocks.
            fold: Index of the test fold, from 0.
            buffer_km: Leave out training points within this distance of a test point.
            batch_size: Maximum number of points in a batch of each process.
            num_workers: Number of processes that load points.
            seed: Seed of the split and of the order of training points.

        Raises:
            ValueError: If *split* is unknown, or an argument that it needs is missing.
        """
        super().__init__(PointTable, batch_size, num_workers)
        check_choice('split', split, SplitMethod)
        check_fractions(fractions)
        if not dataset.target_names:
            raise ValueError('The dataset has no targets. Pass targets to it.')
        if (split == 'region') != (region is not None):
            raise ValueError(
                "split='region' needs region=; other splits do not use it."
            )
        if split == 'column' and dataset.split_names is None:
            raise ValueError("split='column' needs a dataset with a split_column.")
        if folds is not None and split not in ('random', 'blocks'):
            raise ValueError(f"folds need split='random' or 'blocks', not {split!r}.")
        if folds is not None and (folds < 2 or not 0 <= fold < folds):
            raise ValueError(
                'folds must be at least 2 and fold from 0 to folds - 1, not '
                f'folds={folds} and fold={fold}.'
            )
        self.source, self.predict_source = dataset, predict
        self.dataset = dataset
        self.split_method = split
        self.fractions = fractions
        self.block_side = (block_degrees, block_km)
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
            ValueError: If the split leaves no points for the stage, or fewer training
                points than processes.
        """
        self.split = self._split()
        self.dataset = self.source.fit(self.split.train)
        self.train_dataset = self.dataset.select(self.split.train)
        self.val_dataset = self._part(self.split.val)
        self.test_dataset = self._part(self.split.test)
        self.predict_dataset = self.predict_source or self.test_dataset
        processes, number = self._num_processes, len(self.train_dataset)
        if stage == 'fit' and number < processes:
            raise ValueError(
                f'{processes} processes need at least {processes} training points, got '
                f'{number}.'
            )
        part = STAGES[stage]
        if getattr(self, f'{part}_dataset') is None:
            raise ValueError(
                f'The split leaves no points for {part}. Change fractions.'
            )

    def _split(self) -> Split:
        points, seed, buffer_km = self.source.points, self.seed, self.buffer_km
        share = self.fractions[1] / (self.fractions[0] + self.fractions[1])
        if self.folds is not None:
            folds = (
                random_folds(len(points), self.folds, seed)
                if self.split_method == 'random'
                else block_folds(points, self.folds, seed, *self.block_side)
            )
            return fold_splits(points, folds, share, seed, buffer_km)[self.fold]
        if self.split_method == 'random':
            split = random_split(len(points), self.fractions, seed)
            return with_buffer(points, split, buffer_km)
        if self.split_method == 'blocks':
            return block_split(
                points, self.fractions, seed, *self.block_side, buffer_km
            )
        if self.split_method == 'region' and self.region is not None:
            return region_split(points, self.region, share, seed, buffer_km)
        names = cast(NDArray[np.object_], self.source.split_names)
        return column_split(names, points, share, seed, buffer_km)

    def _part(self, rows: Rows) -> PointTable | None:
        return self.dataset.select(rows) if len(rows) else None
