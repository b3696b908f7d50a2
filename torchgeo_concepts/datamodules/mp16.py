# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Data module of MP-16."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

from ..datasets import MP16, Im2GPS, Im2GPS3k, ImagePoints, YFCC4k, YFCC26k
from ..datasets._samples import OnError
from .image_points import ImagePointsDataModule

TestSet = Literal['im2gps', 'im2gps3k', 'yfcc4k', 'yfcc26k']

_TEST_SETS: dict[TestSet, Callable[..., ImagePoints]] = {
    'im2gps': Im2GPS,
    'im2gps3k': Im2GPS3k,
    'yfcc4k': YFCC4k,
    'yfcc26k': YFCC26k,
}


class MP16DataModule(ImagePointsDataModule):
    """Data module of MP-16 and one of its usual test sets."""

    def __init__(
        self,
        root: Path | str = 'data/mp16',
        test_root: Path | str = 'data/im2gps3k',
        test_set: TestSet = 'im2gps3k',
        *,
        val_fraction: float = 0.01,
        on_error: OnError = 'skip',
        test_on_error: OnError = 'raise',
        download: bool = False,
        **kwargs: Any,
    ) -> None:
        """Initialize a new MP16DataModule instance.

        Args:
            root: Root directory of :class:`~torchgeo_concepts.datasets.MP16`.
            test_root: Root directory of the test set.
            test_set: Name of the test set.
            val_fraction: Fraction of the training images held out for validation.
            on_error: ``'skip'`` leaves out the missing images of MP-16, many of which
                are no longer available.
            test_on_error: ``'skip'`` leaves out missing images of the test set, so that
                accuracies are over the remaining images.
            download: Download the files of both datasets that have a direct link.
            **kwargs: Additional keyword arguments passed to
                :class:`ImagePointsDataModule`.
        """
        super().__init__(val_fraction=val_fraction, **kwargs)
        self.download = download
        self._open_train = partial(MP16, root, on_error=on_error)
        test_class = _TEST_SETS[test_set]
        self._open_test = partial(test_class, test_root, on_error=test_on_error)

    def prepare_data(self) -> None:
        """Download the datasets if requested."""
        if self.download:
            self._open_train(download=True)
            self._open_test(download=True)

    def setup(self, stage: str) -> None:
        """Set up datasets.

        Args:
            stage: Either 'fit', 'validate', 'test', or 'predict'.

        Raises:
            DatasetNotFoundError: If a dataset is not found.
        """
        if stage in ('fit', 'validate'):
            self.train_source = self._open_train()
        else:
            self.test_source = self._open_test()
        super().setup(stage)
