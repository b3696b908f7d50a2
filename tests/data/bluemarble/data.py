# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Makes small pictures of the Earth with random colours."""

import hashlib
import io
from pathlib import Path

import numpy as np
from PIL import Image

from torchgeo_concepts.datasets.earth_imagery import EarthPicture

SHAPE = (3, 64, 128)
NAMES = ('blue-marble', 'january', 'may', 'july', 'august', 'three-globe')


def create(root: Path) -> dict[str, EarthPicture]:
    """Write the pictures.

    Args:
        root: Folder to write to.

    Returns:
        The pictures by name, all of which are read from this folder.
    """
    root.mkdir(parents=True, exist_ok=True)
    pictures = {}
    for seed, name in enumerate(NAMES):
        content = jpeg(seed)
        (root / f'{name}.jpg').write_bytes(content)
        md5 = hashlib.md5(content).hexdigest()
        pictures[name] = EarthPicture(
            name=name, file=f'{name}.jpg', shape=SHAPE, md5=md5
        )
    return pictures


def jpeg(seed: int) -> bytes:
    """Make a picture.

    Args:
        seed: Seed of the colours.

    Returns:
        The content of a JPEG file of the shape ``SHAPE``.
    """
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 16, 3), np.uint8)
    image = Image.fromarray(pixels).resize((SHAPE[2], SHAPE[1]))
    stream = io.BytesIO()
    image.save(stream, 'jpeg', quality=95)
    return stream.getvalue()


if __name__ == '__main__':
    create(Path(__file__).parent)
