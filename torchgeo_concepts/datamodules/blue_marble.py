# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Data module of patches of satellite imagery."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from torch import nn

from ..datasets.blue_marble import BlueMarble
from ..datasets.earth_imagery import earth_picture
from ..datasets.grounded_points import Blocks
from ..layers.grounding import load_groundings
from ..models.image_transforms import ColourJitter, Normalize
from ..utils.names import check_choice
from ._epochs import BatchedDataModule

# Seeds that no training set is likely to have.
VAL_SEED, TEST_SEED = 1_000_003, 1_000_033

# Statistics of all pixels of 60,000 patches of BlueMarble(mask_sea=True), in [0, 1].
MEAN = (0.363, 0.351, 0.258)
STD = (0.290, 0.266, 0.281)


class BlueMarbleDataModule(BatchedDataModule):
    """Data module of Blue Marble, with points and a picture for each stage.

    By default, images have mean 0 and standard deviation 1 over the 60,000 patches of
    the default training set. For other pictures these values differ.
    """

    def __init__(
        self,
        root: Path | str = 'data/blue-marble',
        imagery: str = 'blue-marble',
        val_imagery: str = 'blue-marble',
        test_imagery: str = 'blue-marble',
        *,
        number: int = 60_000,
        val_number: int = 4_000,
        test_number: int = 4_000,
        batch_size: int = 512,
        num_workers: int = 0,
        blocks: Literal['all', 'train'] = 'all',
        zoom_range: tuple[float, float] | None = (0.8, 1.25),
        colour: float = 0.4,
        mask_sea: bool = True,
        mean: tuple[float, float, float] = MEAN,
        std: tuple[float, float, float] = STD,
        concepts: bool = True,
        map_number: int = 0,
        mislocated: float = 0.0,
        seed: int = 0,
        download: bool = False,
        **kwargs: Any,
    ) -> None:
        """Initialize a new BlueMarbleDataModule instance.

        Args:
            root: Folder of the pictures.
            imagery: Picture to train on, one of
                :data:`~torchgeo_concepts.datasets.earth_imagery.EARTH_PICTURES`.
            val_imagery: Picture to validate on.
            test_imagery: Picture to test and predict on.
            number: Number of training points.
            val_number: Number of validation points.
            test_number: Number of test points.
            batch_size: Number of samples in a batch of each process.
            num_workers: Number of processes that cut patches.
            blocks: ``'train'`` trains outside of held-out blocks of 8 degrees, and
                validates and tests inside them. ``'all'`` uses points everywhere.
            zoom_range: Range of random zoom factors of training patches. None for no
                random zoom.
            colour: Strength of random colour changes of training patches, from 0 to 1.
            mask_sea: Paint the sea black, since several pictures show the same sea
                floor.
            mean: Mean of each channel in [0, 1]. For a pretrained backbone, use the mean
                of its training images.
            std: Standard deviation of each channel.
            concepts: Add labels of concepts.
            map_number: Number of additional training points with labels and without
                images, in all blocks.
            mislocated: Fraction of the training points whose image shows another place,
                as for photos with a wrong position.
            seed: Seed of the points to train on, and of their order.
            download: Download pictures that are not found.
            **kwargs: Additional keyword arguments passed to
                :class:`~torchgeo_concepts.datasets.BlueMarble`.

        Raises:
            ValueError: If *blocks* or *colour* is invalid, or a picture is unknown.
        """
        super().__init__(BlueMarble, batch_size, num_workers)
        check_choice('blocks', blocks, Literal['all', 'train'])
        # Picture, number of points and their seed.
        self.parts = {
            'train': (imagery, number, seed),
            'val': (val_imagery, val_number, VAL_SEED),
            'test': (test_imagery, test_number, TEST_SEED),
        }
        self.pictures = [earth_picture(name) for name, _, _ in self.parts.values()]
        self.root = root
        self.download = download
        self.seed = seed
        self.blocks = blocks
        self.train_options: dict[str, Any] = {
            'zoom_range': zoom_range,
            'map_number': map_number,
            'mislocated': mislocated,
        }
        self.options: dict[str, Any] = dict(
            root=root, mask_sea=mask_sea, concepts=concepts, **kwargs
        )
        self.aug: nn.Module = Normalize(mean, std)
        self.train_aug: nn.Module = nn.Sequential(ColourJitter(colour), self.aug)

    def prepare_data(self) -> None:
        """Download the pictures if requested."""
        if self.download:
            for picture in self.pictures:
                picture.find(self.root, download=True)

    def setup(self, stage: str) -> None:
        """Set up datasets.

        Args:
            stage: Either 'fit', 'validate', 'test', or 'predict'.

        Raises:
            DatasetNotFoundError: If a picture is not found.
            ValueError: If there are fewer training points than in a batch.
        """
        if self.options['concepts'] and 'groundings' not in self.options:
            self.options['groundings'] = load_groundings()
        if stage == 'fit':
            self._check_batch(self.parts['train'][1])
            self.train_dataset = self._part('train', self.blocks, self.train_options)
        others: Blocks = 'test' if self.blocks == 'train' else 'all'
        if stage in ('fit', 'validate'):
            self.val_dataset = self._part('val', others, {})
        if stage in ('test', 'predict'):
            self.test_dataset = self._part('test', others, {})
            self.predict_dataset = self.test_dataset

    def _part(self, part: str, blocks: Blocks, extra: Mapping[str, Any]) -> BlueMarble:
        imagery, number, seed = self.parts[part]
        return BlueMarble(
            imagery=imagery,
            number=number,
            seed=seed,
            blocks=blocks,
            **extra,
            **self.options,
        )
