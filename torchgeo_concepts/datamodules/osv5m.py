# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Data module of OpenStreetView-5M."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ..datasets import OSV5M
from ..datasets._samples import OnError
from .image_points import ImagePointsDataModule, ValidationSplit


class OSV5MDataModule(ImagePointsDataModule):
    """Data module of OpenStreetView-5M, with its official splits."""

    def __init__(
        self,
        root: Path | str = 'data/osv5m',
        *,
        batch_size: int = 512,
        num_workers: int = 0,
        image_size: int = 224,
        val_fraction: float = 0.01,
        val_split: ValidationSplit = 'random',
        concepts: bool = False,
        exclude_groups: Sequence[str] = (),
        on_error: OnError = 'raise',
        seed: int = 0,
        download: bool = False,
    ) -> None:
        """Initialize a new OSV5MDataModule instance.

        Args:
            root: Root directory of :class:`~torchgeo_concepts.datasets.OSV5M`.
            batch_size: Number of samples in a batch of each process.
            num_workers: Number of processes that load samples.
            image_size: Side of the squares that images are cropped to, in pixels.
            val_fraction: Fraction of the training images held out for validation.
            val_split: ``'random'`` or ``'blocks'``, as in
                :class:`ImagePointsDataModule`.
            concepts: Add labels of concepts, as in :class:`ImagePointsDataModule`.
            exclude_groups: Groups of layers to leave out.
            on_error: ``'skip'`` leaves out images that are missing.
            seed: Seed of the split and of the order of training.
            download: Download the dataset if it is not found.
        """
        super().__init__(
            batch_size=batch_size,
            num_workers=num_workers,
            image_size=image_size,
            val_fraction=val_fraction,
            val_split=val_split,
            concepts=concepts,
            exclude_groups=exclude_groups,
            seed=seed,
        )
        self.download = download
        self._make_train = partial(OSV5M, root, 'train', on_error=on_error)
        self._make_test = partial(OSV5M, root, 'test', on_error=on_error)
