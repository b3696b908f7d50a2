# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Data module of S2-100K."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from torchgeo.datasets import S2100k

from .image_points import ImagePointsDataModule, ValidationSplit


class S2100kDataModule(ImagePointsDataModule):
    """Data module of S2-100K, Sentinel-2 patches with 12 bands all over land.

    The dataset has no official splits, so the held-out validation samples are the test
    samples, too.
    """

    def __init__(
        self,
        root: Path | str = 'data/s2-100k',
        *,
        batch_size: int = 256,
        num_workers: int = 0,
        val_fraction: float = 0.1,
        val_split: ValidationSplit = 'blocks',
        concepts: bool = False,
        exclude_groups: Sequence[str] = (),
        seed: int = 0,
        download: bool = False,
        checksum: bool = True,
    ) -> None:
        """Initialize a new S2100kDataModule instance.

        Args:
            root: Root directory of :class:`torchgeo.datasets.S2100k`.
            batch_size: Number of samples in a batch of each process.
            num_workers: Number of processes that load samples.
            val_fraction: Fraction of the patches held out for validation and testing.
            val_split: ``'random'`` or ``'blocks'``, as in
                :class:`ImagePointsDataModule`.
            concepts: Add labels of concepts, as in :class:`ImagePointsDataModule`.
            exclude_groups: Groups of layers to leave out.
            seed: Seed of the split and of the order of training.
            download: Download the dataset if it is not found.
            checksum: Check the downloaded files.
        """
        super().__init__(
            batch_size=batch_size,
            num_workers=num_workers,
            image_size=None,
            # Reflectances are stored times 10,000.
            mean=(0.0,),
            std=(1.0,),
            scale=10_000.0,
            val_fraction=val_fraction,
            val_split=val_split,
            concepts=concepts,
            exclude_groups=exclude_groups,
            seed=seed,
        )
        self.download = download
        self._make_train = partial(S2100k, root, checksum=checksum)

    def setup(self, stage: str) -> None:
        """Set up datasets.

        Args:
            stage: Either 'fit', 'validate', 'test', or 'predict'.

        Raises:
            DatasetNotFoundError: If the dataset is not found.
        """
        assert self._make_train is not None
        dataset = self._make_train()
        dataset.points = torch.from_numpy(dataset.index[['lon', 'lat']].to_numpy())
        self.train_source = dataset
        self.train_dataset, held_out = self._split()
        self.val_dataset = self.test_dataset = self.predict_dataset = held_out
        if stage == 'fit':
            self._check_train()
        self._label(stage)
