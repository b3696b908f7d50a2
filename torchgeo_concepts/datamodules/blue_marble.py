# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Data module of patches of satellite imagery."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from torch import nn

from ..datasets.blue_marble import BlueMarble
from ..datasets.earth_imagery import earth_picture
from ..layers.grounding import load_groundings
from ..models.image_transforms import ColourJitter, Normalize
from ..utils.names import check_choice
from ._epochs import BatchedDataModule

# Seeds that no training set is likely to have.
VAL_SEED, TEST_SEED = 1_000_003, 1_000_033

# Over all pixels of the 60,000 patches of BlueMarble(mask_sea=True), in [0, 1].
MEAN = (0.363, 0.351, 0.258)
STD = (0.290, 0.266, 0.281)


class BlueMarbleDataModule(BatchedDataModule):
    """Data module of Blue Marble, with other points and pictures for each stage.

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
        size: int = 32,
        degrees: float = 4.27,
        pixels_per_degree: float = 7.5,
        zoom_range: tuple[float, float] | None = (0.8, 1.25),
        colour: float = 0.4,
        mask_sea: bool = True,
        mean: tuple[float, float, float] = MEAN,
        std: tuple[float, float, float] = STD,
        concepts: bool = True,
        exclude_groups: Sequence[str] = (),
        rotate_degrees: float = 0.0,
        map_number: int = 0,
        mislocated: float = 0.0,
        seed: int = 0,
        download: bool = False,
        checksum: bool = False,
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
            size: Rows and columns of a patch.
            degrees: Height of a patch in degrees of latitude.
            pixels_per_degree: Average finer pictures to this resolution.
            zoom_range: Range of random zoom factors of training patches. None for no
                random zoom.
            colour: Strength of random colour changes of training patches, from 0 to 1.
            mask_sea: Paint the sea black, since several pictures show the same sea
                floor.
            mean: Mean of each channel in [0, 1]. For a pretrained backbone, use the mean
                of its training images.
            std: Standard deviation of each channel.
            concepts: Add labels of concepts.
            exclude_groups: Groups of layers to leave out.
            rotate_degrees: Take labels this many degrees east of each point, as a
                control.
            map_number: Number of additional training points with labels and without
                images, in all blocks.
            mislocated: Fraction of the training points whose image shows another place,
                as for photos with a wrong position.
            seed: Seed of the points to train on, and of their order.
            download: Download pictures that are not found.
            checksum: Check the MD5 of the pictures.

        Raises:
            ValueError: If *blocks* or *colour* is invalid, or a picture is unknown.
        """
        super().__init__(BlueMarble, batch_size, num_workers)
        check_choice('blocks', blocks, Literal['all', 'train'])
        self.imagery = {'train': imagery, 'val': val_imagery, 'test': test_imagery}
        self.pictures = {part: earth_picture(x) for part, x in self.imagery.items()}
        self.numbers = {'train': number, 'val': val_number, 'test': test_number}
        self.seed = seed
        self.blocks = blocks
        self.concepts = concepts
        self.map_number = map_number
        self.mislocated = mislocated
        self.zoom_range = zoom_range
        self.files: dict[str, Any] = {'download': download, 'checksum': checksum}
        self.options: dict[str, Any] = {
            'root': root,
            'size': size,
            'degrees': degrees,
            'pixels_per_degree': pixels_per_degree,
            'mask_sea': mask_sea,
            'concepts': concepts,
            'exclude_groups': tuple(exclude_groups),
            'rotate_degrees': rotate_degrees,
        }
        self.aug: nn.Module = Normalize(mean, std)
        self.train_aug: nn.Module = nn.Sequential(ColourJitter(colour), self.aug)

    def prepare_data(self) -> None:
        """Download and check the pictures if requested."""
        if any(self.files.values()):
            for picture in self.pictures.values():
                picture.find(self.options['root'], **self.files)

    def setup(self, stage: str) -> None:
        """Set up datasets.

        Args:
            stage: Either 'fit', 'validate', 'test', or 'predict'.

        Raises:
            DatasetNotFoundError: If a picture is not found.
            ValueError: If there are fewer training points than in a batch.
        """
        if self.concepts and 'groundings' not in self.options:
            self.options['groundings'] = load_groundings()
        if stage == 'fit':
            self._check_batch(self.numbers['train'])
            self.train_dataset = self._part('train', self.seed)
        if stage in ('fit', 'validate'):
            self.val_dataset = self._part('val', VAL_SEED)
        if stage in ('test', 'predict'):
            self.test_dataset = self.predict_dataset = self._part('test', TEST_SEED)

    def _part(self, part: str, seed: int) -> BlueMarble:
        is_train = part == 'train'
        blocks = 'test' if self.blocks == 'train' and not is_train else self.blocks
        return BlueMarble(
            imagery=self.imagery[part],
            number=self.numbers[part],
            seed=seed,
            blocks=blocks,
            zoom_range=self.zoom_range if is_train else None,
            map_number=self.map_number if is_train else 0,
            mislocated=self.mislocated if is_train else 0.0,
            **self.options,
        )
