# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Data module of images and points."""

import copy
from collections.abc import Callable, Sequence, Sized
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import Dataset, IterableDataset, Subset, default_collate
from torchgeo.datasets import NonGeoDataset
from torchgeo.datasets.utils import Sample

from ..datasets import CachedFeatures, ImagePoints
from ..geo.splits import block_split, random_split
from ..models.image_transforms import (
    CLIP_MEAN,
    CLIP_STD,
    CenterCrop,
    Normalize,
    RandomCrop,
)
from ..utils.names import check_choice
from ._epochs import ResumingDataModule
from ._map_labels import MapLabels

if TYPE_CHECKING:
    type Stream = IterableDataset[Sample]
else:
    # For a generic type, jsonargparse accepts any class and then hides why it failed.
    Stream = IterableDataset

ValidationSplit = Literal['random', 'blocks']

# Side of the blocks that are held out together, in degrees.
BLOCK_DEGREES = 10


class ImagePointsDataModule(ResumingDataModule):
    """Data module of any datasets of images and points, or of cached features.

    Images are normalised and cropped to one size: at random in training, in the centre
    otherwise. Cached features are not changed.
    """

    def __init__(
        self,
        train: NonGeoDataset | Stream | None = None,
        test: NonGeoDataset | None = None,
        predict: NonGeoDataset | None = None,
        *,
        batch_size: int = 512,
        num_workers: int = 0,
        image_size: int | None = 224,
        augment: bool = True,
        mean: tuple[float, ...] = CLIP_MEAN,
        std: tuple[float, ...] = CLIP_STD,
        scale: float = 255.0,
        val: NonGeoDataset | None = None,
        val_fraction: float = 0.05,
        val_split: ValidationSplit = 'random',
        concepts: bool = False,
        exclude_groups: Sequence[str] = (),
        seed: int = 0,
    ) -> None:
        """Initialize a new ImagePointsDataModule instance.

        Args:
            train: Training dataset, from which validation samples are held out.
            test: Test dataset.
            predict: Dataset to predict. By default, the test dataset.
            batch_size: Number of samples in a batch of each process. Larger batches
                have more negatives for each image.
            num_workers: Number of processes that load samples.
            image_size: Side of the squares that images are cropped to, in pixels. None
                for images that already have the same size.
            augment: Crop, flip and recolour training images at random.
            mean: Mean of each channel, after division by *scale*.
            std: Standard deviation of each channel.
            scale: Divisor of image values, before *mean* and *std*.
            val: Validation dataset. By default, a part of *train*.
            val_fraction: Fraction of *train* that is held out if *val* is None.
            val_split: ``'random'`` holds out single samples, ``'blocks'`` all samples
                in blocks of 10 degrees, to measure errors far from training samples.
            concepts: Add labels of concepts from installed maps to training and
                validation samples. This needs the extra ``layers``.
            exclude_groups: Groups of layers to leave out.
            seed: Seed of the split and of the order of training samples.
        """
        super().__init__(NonGeoDataset, batch_size, num_workers)
        check_choice('val_split', val_split, ValidationSplit)
        if not 0 < val_fraction < 1:
            raise ValueError(
                f'val_fraction must be between 0 and 1, not {val_fraction}.'
            )
        self.train_source, self.val_source = train, val
        self.test_source, self.predict_source = test, predict
        self.image_size = image_size
        self.augment = augment
        self.val_fraction = val_fraction
        self.val_split = val_split
        self.seed = seed
        self.concepts = concepts
        self.exclude_groups = tuple(exclude_groups)
        self.map_labels: MapLabels | None = None
        self.aug: nn.Module = Normalize(mean, std, scale)

    def setup(self, stage: str) -> None:
        """Set up datasets.

        Args:
            stage: Either 'fit', 'validate', 'test', or 'predict'.

        Raises:
            DatasetNotFoundError: If a dataset is not found.
            ImportError: If *concepts* are requested and no map is installed.
            ValueError: If there is no dataset for the stage, fewer training samples
                than in a batch, or *concepts* are requested for a dataset without
                points.
        """
        if stage in ('fit', 'validate'):
            self.train_dataset, self.val_dataset = self._split()
            if stage == 'fit':
                self._check_train()
            if self.concepts:
                trained = self.train_dataset if stage == 'fit' else None
                self.map_labels = MapLabels(trained, self.exclude_groups)
            return
        part, source = 'test', self.test_source
        if stage == 'predict':
            part, source = 'predict', self.predict_source or source
        if source is None:
            raise ValueError(f'There is no dataset for {part}. Pass {part}.')
        setattr(self, f'{part}_dataset', self._evaluated(source))

    def _check_train(self) -> None:
        dataset = self.train_dataset
        if dataset is None:
            raise ValueError('There is no training dataset. Pass train.')
        if isinstance(dataset, IterableDataset):
            is_equal = getattr(dataset, 'samples_per_epoch', None) is not None
            if self._num_processes > 1 and not is_equal:
                raise ValueError(
                    'Processes may get different numbers of samples from a stream. '
                    'Pass samples_per_epoch to it.'
                )
            return
        self._check_batch(len(cast(Sized, dataset)))

    def _split(self) -> tuple[Dataset[Sample] | None, Dataset[Sample] | None]:
        source, val = self.train_source, self.val_source
        if source is None or val is not None or isinstance(source, IterableDataset):
            train = None if source is None else self._transformed(source, train=True)
            return train, None if val is None else self._evaluated(val)
        held_out = self._held_out(source)
        if isinstance(source, ImagePoints):
            # In separate datasets, no training image can replace a validation image.
            train = self._transformed(source.select(~held_out), train=True)
            return train, self._evaluated(source.select(held_out))
        train, evaluated = (self._transformed(source, train=t) for t in (True, False))
        return (
            Subset(train, np.flatnonzero(~held_out).tolist()),
            Subset(evaluated, np.flatnonzero(held_out).tolist()),
        )

    def _held_out(self, source: NonGeoDataset) -> NDArray[np.bool_]:
        """Return a mask of the samples that are held out for validation."""
        number = len(source)
        if number < 2:
            raise ValueError(f'{number} training sample cannot be split. Pass val.')
        fraction = max(self.val_fraction, 1 / number)
        fractions = (1 - fraction, fraction, 0.0)
        if self.val_split == 'random':
            split = random_split(number, fractions, self.seed)
        else:
            points = getattr(source, 'points', None)
            if points is None:
                raise ValueError(
                    f"val_split='blocks' needs points, which {type(source).__name__} "
                    'does not have.'
                )
            split = block_split(points, fractions, self.seed, BLOCK_DEGREES)
        held_out = np.zeros(number, bool)
        held_out[split.val] = True
        return held_out

    def _evaluated(self, source: NonGeoDataset) -> Dataset[Sample]:
        if isinstance(source, ImagePoints) and source.on_error == 'skip':
            # An image that replaces an unreadable one would count twice.
            source = source.without_unreadable()
        return self._transformed(source, train=False)

    def _transformed(
        self, source: NonGeoDataset | Stream, train: bool
    ) -> Dataset[Sample]:
        """Crop the images of a dataset that has no transforms of its own."""
        own = getattr(source, 'transforms', None)
        if isinstance(source, CachedFeatures) or own or self.image_size is None:
            return source
        crop = RandomCrop if train and self.augment else CenterCrop
        changed: Any = copy.copy(source)
        changed.transforms = crop(self.image_size)
        return cast(Dataset[Sample], changed)

    def _collate_fn(self, split: str) -> Callable[[list[Sample]], Sample]:
        labels = self.map_labels if split in ('train', 'val') else None
        return partial(_collate, labels=labels)


def _collate(samples: list[Sample], labels: MapLabels | None) -> Sample:
    batch: Sample = default_collate(samples)
    # Some datasets have points in double precision.
    batch = {**batch, 'point': batch['point'].float()}
    return batch if labels is None else labels.label(batch)
