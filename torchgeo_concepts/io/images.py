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

# Errors that Pillow raises on truncated or damaged files and decompression bombs.
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
    """Error of an image file that cannot be read."""


def is_image(name: str) -> bool:
    """Return True if a file name is that of an image and not hidden.

    Args:
        name: Name of a file, without folders.

    Returns:
        True if it has the suffix of an image format.
    """
    return name.lower().endswith(SUFFIXES) and not name.startswith('.')


def read_image(source: Path | BytesIO, name: str) -> Tensor:
    """Read an image in its upright orientation.

    Args:
        source: The file.
        name: Name of the image in messages.

    Returns:
        Tensor of shape ``(3, H, W)``, RGB in 0..255, turned upright by its Exif data.

    Raises:
        UnreadableImageError: If the file is truncated or damaged, exceeds the size
            limit of Pillow, or does not have 8 bits per channel.
    """
    try:
        with Image.open(source) as image:
            return to_tensor(image, name)
    except IMAGE_ERRORS as error:
        if isinstance(error, UnreadableImageError):
            raise
        raise UnreadableImageError(f'Cannot read {name}: {error}') from error


def to_tensor(image: Image.Image, name: str) -> Tensor:
    """Convert an image to a tensor in its upright orientation.

    Args:
        image: The image.
        name: Name of the image in messages.

    Returns:
        Tensor of shape ``(3, H, W)``, RGB in 0..255.

    Raises:
        UnreadableImageError: If it does not have 8 bits per channel.
    """
    if image.mode.startswith(('I', 'F')):
        raise UnreadableImageError(
            f'Cannot read {name}: mode {image.mode} does not have 8 bits per channel'
        )
    upright = ImageOps.exif_transpose(image)
    if upright.mode == 'P':
        # Without this step, Pillow warns of palettes with transparency.
        upright = upright.convert('RGBA')
    array = np.array(upright.convert('RGB'))
    return torch.from_numpy(array).permute(2, 0, 1).float()
