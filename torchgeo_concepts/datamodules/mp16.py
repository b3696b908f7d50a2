# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""MP-16 datamodule."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from ..datasets import MP16, Im2GPS, Im2GPS3k, ImagePoints, YFCC4k, YFCC26k
from ..datasets.image_points import OnError
from .image_points import ImagePointsDataModule, ValidationSplit

TestSet = Literal['im2gps', 'im2gps3k', 'yfcc4k', 'yfcc26k']

_TEST_SETS: dict[TestSet, Callable[..., ImagePoints]] = {
    'im2gps': Im2GPS,
    'im2gps3k': Im2GPS3k,
    'yfcc4k': YFCC4k,
    'yfcc26k': YFCC26k,
}


class MP16DataModule(ImagePointsDataModule):
    """Trains on MP-16, and tests on one of the sets that are tested on with it."""

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
            test_set: Which test set.
            batch_size: Number of samples in a batch of each process.
            num_workers: Number of processes that load samples.
            image_size: Side of the squares that images are cropped to, in pixels.
            val_fraction: Share of the images that is held out for validation.
            val_split: ``'random'`` or ``'blocks'``, as
                :class:`ImagePointsDataModule` has it.
            concepts: Whether maps label points, as there.
            exclude_groups: Groups of layers to leave out.
            on_error: ``'skip'`` leaves out the images of MP-16 that are missing, as
                many are that were removed since.
            test_on_error: The same for the test set. Accuracies are then those of the
                images that are left.
            seed: Seed of the split and of the order of training.
            download: Download what of both can be downloaded.
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
        self.root = root
        self.test_root = test_root
        self.test_set = test_set
        self.on_error: OnError = on_error
        self.test_on_error: OnError = test_on_error
        self.download = download

    def prepare_data(self) -> None:
        """Download the datasets, if so asked."""
        if self.download:
            MP16(self.root, on_error=self.on_error, download=True)
            self._test_set(download=True)

    def _test_set(self, download: bool = False) -> ImagePoints:
        return _TEST_SETS[self.test_set](
            self.test_root, on_error=self.test_on_error, download=download
        )

    def setup(self, stage: str) -> None:
        """Set up datasets.

        Args:
            stage: Either 'fit', 'validate', 'test', or 'predict'.

        Raises:
            DatasetNotFoundError: If a dataset is not found.
        """
        if stage in ('fit', 'validate'):
            self.train_source = MP16(self.root, on_error=self.on_error)
        else:
            self.test_source = self._test_set()
        super().setup(stage)
