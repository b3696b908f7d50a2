# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Data module of MP-16."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from ..datasets import MP16, Im2GPS, Im2GPS3k, ImagePoints, YFCC4k, YFCC26k
from ..datasets._samples import OnError
from .image_points import ImagePointsDataModule, ValidationSplit

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
        batch_size: int = 512,
        num_workers: int = 0,
        image_size: int = 224,
        val_fraction: float = 0.01,
        val_split: ValidationSplit = 'random',
        concepts: bool = False,
        exclude_groups: Sequence[str] = (),
        on_error: OnError = 'skip',
        test_on_error: OnError = 'raise',
        seed: int = 0,
        download: bool = False,
    ) -> None:
        """Initialize a new MP16DataModule instance.

        Args:
            root: Root directory of :class:`~torchgeo_concepts.datasets.MP16`.
            test_root: Root directory of the test set.
            test_set: Name of the test set.
            batch_size: Number of samples in a batch of each process.
            num_workers: Number of processes that load samples.
            image_size: Side of the squares that images are cropped to, in pixels.
            val_fraction: Fraction of the training images held out for validation.
            val_split: ``'random'`` or ``'blocks'``, as in
                :class:`ImagePointsDataModule`.
            concepts: Add labels of concepts, as in :class:`ImagePointsDataModule`.
            exclude_groups: Groups of layers to leave out.
            on_error: ``'skip'`` leaves out the missing images of MP-16, many of which
                are no longer available.
            test_on_error: ``'skip'`` leaves out missing images of the test set, so that
                accuracies are over the remaining images.
            seed: Seed of the split and of the order of training.
            download: Download the files of both datasets that have a direct link.
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
        self._make_train = partial(MP16, root, on_error=on_error)
        self._make_test = partial(
            _TEST_SETS[test_set], test_root, on_error=test_on_error
        )
