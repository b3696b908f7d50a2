# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Images as tensors."""

import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

SUFFIXES = ('.jpg', '.jpeg', '.png', '.tif', '.tiff', '.webp')
ENDING = r'\.(?i:jpe?g|png|tiff?|webp)$'

# What Pillow raises on files that are cut short, damaged, or decompression bombs.
IMAGE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    IndexError,
    KeyError,
    TypeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


class UnreadableImageError(OSError):
    """An image file that cannot be read."""


def is_image(name: str) -> bool:
    """Tell by its name whether a file is an image, hidden files excluded.

    Args:
        name: Name of a file, without folders.

    Returns:
        True if it has the ending of an image format.
    """
    return name.lower().endswith(SUFFIXES) and not name.startswith('.')


def read_image(source: Path | BytesIO, name: str) -> Tensor:
    """Read an image the way it is meant to be seen.

    Args:
        source: The file.
        name: What to call it in messages.

    Returns:
        Tensor of shape ``(3, H, W)``, RGB in 0..255, turned upright by its Exif data.

    Raises:
        UnreadableImageError: If it is cut short, damaged, too large to be an honest
            image by the limits of Pillow, or has other than 8 bits a channel.
    """
    try:
        with Image.open(source) as image:
            return to_tensor(image, name)
    except IMAGE_ERRORS as error:
        if isinstance(error, UnreadableImageError):
            raise
        raise UnreadableImageError(f'Cannot read {name}: {error}') from error


def to_tensor(image: Image.Image, name: str) -> Tensor:
    """Turn an image upright and into a tensor.

    Args:
        image: The image.
        name: What to call it in messages.

    Returns:
        Tensor of shape ``(3, H, W)``, RGB in 0..255.

    Raises:
        UnreadableImageError: If it has other than 8 bits a channel.
    """
    if image.mode.startswith(('I', 'F')):
        raise UnreadableImageError(
            f'Cannot read {name}: mode {image.mode} is not 8 bits a channel'
        )
    upright = ImageOps.exif_transpose(image)
    if upright.mode == 'P':
        # Pillow warns of palettes with transparency that skip this step.
        upright = upright.convert('RGBA')
    array = np.array(upright.convert('RGB'))
    return torch.from_numpy(array).permute(2, 0, 1).float()
