# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Dataset of cached image features."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torchgeo.datasets import NonGeoDataset
from torchgeo.datasets.utils import Sample

from ..models.image_towers import ImageTower
from ..utils.hashing import hash_state
from ._samples import find_index

INFO_FILE = 'features.json'


class CachedFeatures(NonGeoDataset):
    """Image features of a frozen backbone, and the points of the images.

    Samples have an ``'image'`` of shape ``(f,)``, the features, and a ``'point'``,
    ``(longitude, latitude)`` in degrees. The files are memory-mapped, so they may be
    larger than memory.
    """

    def __init__(self, root: Path | str, *, tower: ImageTower | None = None) -> None:
        """Initialize a new CachedFeatures instance.

        Args:
            root: Folder that :func:`cache_features` wrote.
            tower: Tower whose backbone the features must come from. By default, the
                backbone is not checked.

        Raises:
            FileNotFoundError: If the folder has no features.
            ValueError: If they are incomplete or come from another backbone.
        """
        self.root = Path(root)
        if not (self.root / INFO_FILE).is_file():
            raise FileNotFoundError(f'{self.root} has no cached features.')
        self.info: dict[str, Any] = json.loads((self.root / INFO_FILE).read_text())
        if not self.info['complete']:
            raise ValueError(
                f'{self.root} is not complete. Run cache_features again to compute the '
                'rest.'
            )
        stems = [self.root / f'{part:05}' for part in range(self.info['parts'])]
        self._parts = [np.load(f'{stem}.features.npy', mmap_mode='r') for stem in stems]
        self._starts = np.cumsum([0, *map(len, self._parts)])
        points = [np.load(f'{stem}.points.npy') for stem in stems]
        self.points = torch.from_numpy(np.concatenate(points))
        if tower is not None:
            self.check_tower(tower)

    def check_tower(self, tower: ImageTower) -> None:
        """Validate that a tower fits the features.

        Args:
            tower: An image tower. Without a backbone, it only needs a head for this
                number of features.

        Raises:
            ValueError: If the backbone or the number of features differs.
        """
        if isinstance(tower.backbone, nn.Identity):
            heads = (m for m in tower.head.modules() if isinstance(m, nn.Linear))
            taken = next((head.in_features for head in heads), self.num_features)
            if taken != self.num_features:
                raise ValueError(
                    f'The tower expects {taken} features, got {self.num_features} from '
                    f'{self.root}.'
                )
        elif hash_backbone(tower) != self.made_by:
            raise ValueError(
                f'The features in {self.root} come from another backbone or other '
                'weights. Compute them again in another folder.'
            )

    @property
    def made_by(self) -> str:
        """Hash of the backbone that the features come from."""
        return str(self.info['made']['model'])

    @property
    def num_features(self) -> int:
        """Number of features of an image."""
        return max(int(part.shape[1]) for part in self._parts)

    def __str__(self) -> str:
        """Return numbers of images and features, and the size of the folder."""
        size = sum(file.stat().st_size for file in self.root.iterdir())
        text = (
            f'{len(self):,} images, {self.num_features} features each in float16, '
            f'{size / 1e6:.2f} MB: {self.root}'
        )
        unreadable = self.info['unreadable']
        if unreadable:
            text += f'\n{unreadable:,} could not be read and were left out'
        return text

    def __len__(self) -> int:
        """Return the number of images."""
        return int(self._starts[-1])

    def __getitem__(self, index: int) -> Sample:
        """Return a sample.

        Args:
            index: Index of the image.

        Returns:
            Its ``'image'``, the features in float32, and its ``'point'``.

        Raises:
            IndexError: If there is no such image.
        """
        index = find_index(index, len(self), 'image')
        part = int(np.searchsorted(self._starts, index, side='right')) - 1
        features = self._parts[part][index - self._starts[part]]
        image = torch.from_numpy(features.astype(np.float32))
        return {'image': image, 'point': self.points[index]}


def hash_backbone(tower: ImageTower) -> str:
    """Return a hash of the weights and the architecture of a backbone."""
    # State dicts lack activations and some buffers.
    state = {**tower.backbone.state_dict(), **dict(tower.backbone.named_buffers())}
    return hash_state(state, repr(tower.backbone))
