# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Data module of OpenStreetView-5M."""

from functools import partial
from pathlib import Path
from typing import Any, get_args

from ..datasets import OSV5M
from ..datasets._samples import OnError
from ..datasets.osv5m import OSVSplit
from .image_points import ImagePointsDataModule


class OSV5MDataModule(ImagePointsDataModule):
    """Data module of OpenStreetView-5M, with its official splits."""

    def __init__(
        self,
        root: Path | str = 'data/osv5m',
        *,
        val_fraction: float = 0.01,
        on_error: OnError = 'raise',
        download: bool = False,
        **kwargs: Any,
    ) -> None:
        """Initialize a new OSV5MDataModule instance.

        Args:
            root: Root directory of :class:`~torchgeo_concepts.datasets.OSV5M`.
            val_fraction: Fraction of the training images held out for validation.
            on_error: ``'skip'`` leaves out images that are missing.
            download: Download the dataset if it is not found.
            **kwargs: Additional keyword arguments passed to
                :class:`ImagePointsDataModule`.
        """
        super().__init__(val_fraction=val_fraction, **kwargs)
        self.download = download
        self.sources = {
            split: partial(OSV5M, root, split, on_error=on_error)
            for split in get_args(OSVSplit)
        }
