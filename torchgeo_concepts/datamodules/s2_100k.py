# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Data module of S2-100K."""

from pathlib import Path
from typing import Any

import torch
from torchgeo.datasets import S2100k

from .image_points import ImagePointsDataModule, ValidationSplit


class S2100kDataModule(ImagePointsDataModule):
    """Data module of S2-100K, Sentinel-2 patches with 12 bands all over land.

    The dataset has no official splits, so the held-out validation samples are also
    the test samples.
    """

    def __init__(
        self,
        root: Path | str = 'data/s2-100k',
        *,
        batch_size: int = 256,
        val_fraction: float = 0.1,
        val_split: ValidationSplit = 'blocks',
        download: bool = False,
        checksum: bool = True,
        **kwargs: Any,
    ) -> None:
        """Initialize a new S2100kDataModule instance.

        Args:
            root: Root directory of :class:`torchgeo.datasets.S2100k`.
            batch_size: Number of samples in a batch of each process.
            val_fraction: Fraction of the patches held out for validation and testing.
            val_split: ``'random'`` or ``'blocks'``, as in
                :class:`ImagePointsDataModule`.
            download: Download the dataset if it is not found.
            checksum: Check the downloaded files.
            **kwargs: Additional keyword arguments passed to
                :class:`ImagePointsDataModule`.
        """
        super().__init__(
            batch_size=batch_size,
            image_size=None,
            # Reflectances are stored multiplied by 10,000.
            mean=(0.0,),
            std=(1.0,),
            scale=10_000.0,
            val_fraction=val_fraction,
            val_split=val_split,
            **kwargs,
        )
        self.root = root
        self.download = download
        self.checksum = checksum

    def prepare_data(self) -> None:
        """Download the dataset if requested."""
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
        super().setup('fit' if stage == 'fit' else 'validate')
        self.test_dataset = self.predict_dataset = self.val_dataset
