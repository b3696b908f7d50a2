# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Cache the features of a published image set or of a folder of photos."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from ..models.image_towers import ImageTower
from ..models.image_transforms import CenterCrop, Normalize
from ..models.tower_loading import load_image_tower
from ..utils.devices import Device, find_device
from ..utils.names import check_choice
from ..utils.open_clip_weights import GEOCLIP_MODEL
from . import (
    MP16,
    CachedFeatures,
    Im2GPS,
    Im2GPS3k,
    ImagePoints,
    YFCC4k,
    YFCC26k,
    cache_features,
)
from ._samples import OnError

ImageSet = Literal['MP16', 'Im2GPS', 'Im2GPS3k', 'YFCC4k', 'YFCC26k', 'ImagePoints']

_IMAGE_SETS: dict[str, Callable[..., ImagePoints]] = {
    cls.__name__: cls for cls in (MP16, Im2GPS, Im2GPS3k, YFCC4k, YFCC26k, ImagePoints)
}


def cache_image_features(
    dataset: ImageSet,
    root: Path,
    output: Path,
    table: Path | None = None,
    tower: str = f'open_clip/{GEOCLIP_MODEL[0]}',
    weights: str = GEOCLIP_MODEL[1],
    fraction: float = 1.0,
    seed: int = 0,
    image_size: int = 224,
    batch_size: int = 64,
    num_workers: int = 0,
    on_error: OnError | None = None,
    device: Device = 'auto',
    download: bool = False,
    progress: bool | None = None,
) -> CachedFeatures:
    """Compute the features of all images of a set once, with a frozen backbone.

    Each image is cropped to its centre, and normalised with CLIP's mean and standard
    deviation. To resume an interrupted run, repeat it.

    Args:
        dataset: A published set, or ImagePoints for a folder of photos.
        root: Folder of the set, in the layout that its class describes.
        output: Folder to write to, for CachedFeatures.
        table: Names and positions of the photos, for ImagePoints only. By default,
            positions come from Exif data.
        tower: Backbone: open_clip/NAME, timm/NAME or torchgeo/NAME.
        weights: Weights of the backbone: a tag of open_clip, "pretrained" for timm, the
            full name of weights of TorchGeo, or a file of weights of any of these.
        fraction: Fraction of the images to use, chosen at random.
        seed: Seed of the random choice.
        image_size: Side of the squares that images are cropped to, in pixels.
        batch_size: Number of images to encode at a time.
        num_workers: Number of processes that read images.
        on_error: "raise" to fail if an image is missing or unreadable, "skip" to leave it
            out. By default, "skip" for MP16 and "raise" for the others, so that test
            sets are complete.
        device: Device to compute on. By default, a GPU if there is one.
        download: Download weights that are not on this machine. Images are not
            downloaded.
        progress: Show a progress bar. By default, on a terminal only.

    Returns:
        The features.

    Raises:
        ValueError: If the dataset, backbone or device is unknown, if the backbone does
            not accept images of that size, or if the folder has features of other images
            or of another backbone.
        OSError: If images or weights are not found, or an image cannot be read.
    """
    check_choice('dataset', dataset, ImageSet)
    if table is not None and dataset != 'ImagePoints':
        raise ValueError(
            f'{dataset} has its own table. Use table= with ImagePoints only.'
        )
    if not 0 < fraction <= 1:
        raise ValueError(f'fraction must be above 0 and at most 1, not {fraction}.')
    if tower.startswith('features/'):
        raise ValueError(f'{tower} has no backbone to compute features with.')
    place = find_device(device)
    options = {'table': table, 'on_error': on_error}
    given = {name: value for name, value in options.items() if value is not None}
    images = _part(_IMAGE_SETS[dataset](root, **given), fraction, seed)
    images.transforms = CenterCrop(image_size)
    backbone = load_image_tower(tower, weights, download=download).to(place)
    _check_size(backbone, tower, image_size)
    return cache_features(
        images,
        backbone,
        output,
        prepare=Normalize(),
        batch_size=batch_size,
        num_workers=num_workers,
        on_error=images.on_error,
        progress=progress,
    )


def _part(images: ImagePoints, fraction: float, seed: int) -> ImagePoints:
    if fraction == 1:
        return images
    number = max(round(fraction * len(images)), 1)
    taken = np.zeros(len(images), bool)
    taken[np.random.default_rng(seed).permutation(len(images))[:number]] = True
    return images.select(taken)


@torch.no_grad()
def _check_size(tower: ImageTower, name: str, size: int) -> None:
    device = next(tower.parameters()).device
    try:
        tower.features(torch.zeros(1, 3, size, size, device=device))
    except (AssertionError, RuntimeError) as error:
        raise ValueError(
            f'{name} does not accept images of {size} pixels: {error}. Choose another '
            'image_size.'
        ) from error
