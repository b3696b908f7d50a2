# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Makes photos of places whose look tells their region."""

import csv
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIZE = 32

# Far from each other, at both sides of the antimeridian and of the equator.
REGIONS = (
    (-100, 40),
    (-60, -15),
    (-20, 65),
    (15, 48),
    (25, -25),
    (80, 22),
    (135, -25),
    (178, -40),
)


def photo(region: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw stripes whose colours and width belong to a region, and noise."""
    look = np.random.default_rng(region)
    colours = look.uniform(40, 215, (2, 3))
    width, slope = look.integers(3, 9), look.uniform(-1, 1)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    phase = rng.integers(0, 2 * width)
    stripe = ((rows + slope * columns + phase) // width % 2).astype(int)
    noise = rng.normal(0, 25, (SIZE, SIZE, 3))
    drawn: NDArray[np.uint8] = (colours[stripe] + noise).clip(0, 255).astype(np.uint8)
    return drawn


def create(root: Path, number: int = 480, seed: int = 0) -> None:
    """Write photos and the table of their points.

    Args:
        root: Folder to write to.
        number: Number of photos.
        seed: Seed of what differs between photos of a region.
    """
    rng = np.random.default_rng(seed)
    (root / 'images').mkdir(parents=True)
    with (root / 'photos.csv').open('w', newline='') as file:
        table = csv.writer(file)
        table.writerow(('image', 'lon', 'lat'))
        for index in range(number):
            region = index % len(REGIONS)
            lon, lat = REGIONS[region] + rng.normal(0, 1.5, 2)
            name = f'images/{index:04}.png'
            Image.fromarray(photo(region, rng)).save(root / name)
            table.writerow((name, f'{lon:.5f}', f'{lat:.5f}'))


if __name__ == '__main__':
    create(Path(sys.argv[1]))
