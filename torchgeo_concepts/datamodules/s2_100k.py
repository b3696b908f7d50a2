# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""S2-100K datamodule."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torchgeo.datasets import S2100k

from .image_points import ImagePointsDataModule, ValidationSplit


class S2100kDataModule(ImagePointsDataModule):
    """Trains on TorchGeo's S2-100K, Sentinel-2 patches of 12 bands all over land.

    The dataset has no official splits: validation samples are held out, and samples to
    test on are those of validation.
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
            val_fraction: Share of the patches held out for validation and testing.
            val_split: ``'random'`` or ``'blocks'``, as
                :class:`ImagePointsDataModule` has it.
            concepts: Whether maps label points, as there.
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
        self.root = root
        self.download = download
        self.checksum = checksum

    def prepare_data(self) -> None:
        """Download the dataset, if so asked."""
        if self.download:
            S2100k(self.root, download=True, checksum=self.checksum)

    def setup(self, stage: str) -> None:
        """Set up datasets.

        Args:
            stage: Either 'fit', 'validate', 'test', or 'predict'.

        Raises:
            DatasetNotFoundError: If the dataset is not found.
        """
        dataset = S2100k(self.root, checksum=self.checksum)
        dataset.points = torch.from_numpy(dataset.index[['lon', 'lat']].to_numpy())
        self.train_source = dataset
        self.train_dataset, held_out = self._split()
        self.val_dataset = self.test_dataset = self.predict_dataset = held_out
        if stage == 'fit':
            self._check_train()
        self._label(stage)
