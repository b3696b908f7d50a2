# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Measure whether pictures of the Earth are copies of each other, and draw some of each.

Run as ``python docs/benchmarks/imagery_correlation.py --root data/blue-marble --download
--output docs/imagery_numbers.md --figure docs/images/imagery.png``. It needs the extra
layers, 40 MB of packages and half a minute of one core.
"""

import argparse
import datetime
import io
import itertools
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib import pyplot as plt
from numpy.typing import NDArray
from pictures import PackagedPicture  # noqa: F401  adds pictures of npm and Debian
from PIL import Image
from scipy.ndimage import uniform_filter

from torchgeo_concepts.datasets import EARTH_PICTURES, BlueMarble
from torchgeo_concepts.datasets.earth_imagery import EarthPicture
from torchgeo_concepts.datasets.patches import EarthPatches, area_average
from torchgeo_concepts.datasets.point_sampling import land_points
from torchgeo_concepts.io.pages import processor, wrapped, write_lines
from torchgeo_concepts.layers import get_layer
from torchgeo_concepts.utils.version import VERSION

HEIGHT, WIDTH = 675, 1350
LATITUDE = 60
MEAN_OVER = 9
SHIFTS = range(-3, 4)

PLACES = {
    'Nile delta': (31.0, 30.5),
    'Florida': (-81.5, 27.5),
    'Alps': (9.0, 46.5),
    'Ganges delta': (89.5, 23.5),
    'Iceland': (-19.0, 65.0),
    'Titicaca': (-69.3, -16.0),
}

type Array = NDArray[np.float32]


@dataclass(frozen=True)
class Likeness:
    """How alike two pictures are on some pixels.

    Attributes:
        pixels: Correlation of all pixels and channels.
        detail: Correlation of brightness minus its mean around each pixel.
        difference: Mean absolute difference, in 0..255.
    """

    pixels: float
    detail: float
    difference: float

    def __str__(self) -> str:
        """Return the cells of a table."""
        return f'{self.pixels:.3f} | {self.detail:.3f} | {self.difference:.1f}'


def likeness(one: Array, other: Array, where: NDArray[np.bool_]) -> Likeness:
    """Compare two pictures of shape (3, H, W) on some pixels."""
    pixels = np.corrcoef(one[:, where].ravel(), other[:, where].ravel())[0, 1]
    detail = np.corrcoef(details(one)[where], details(other)[where])[0, 1]
    difference = np.abs(one[:, where] - other[:, where]).mean()
    return Likeness(float(pixels), float(detail), float(difference))


def details(picture: Array) -> Array:
    """Return the brightness minus its mean over the pixels around each."""
    brightness = picture.mean(axis=0)
    high: Array = brightness - uniform_filter(
        brightness, MEAN_OVER, mode=('nearest', 'wrap')
    )
    return high


def registered(
    one: Array, other: Array, land: NDArray[np.bool_]
) -> tuple[tuple[int, int], Array]:
    """Shift a picture to where its details fit another's best.

    Returns:
        The shift in rows and columns, and the shifted picture.
    """
    fixed, moving = details(one)[land], details(other)

    def fit(shift: tuple[int, int]) -> float:
        shifted = np.roll(moving, shift, axis=(0, 1))[land]
        return float(np.corrcoef(fixed, shifted)[0, 1])

    best = max(itertools.product(SHIFTS, SHIFTS), key=fit)
    return best, np.roll(other, best, axis=(1, 2))


def regions() -> dict[str, NDArray[np.bool_]]:
    """Tell which pixels lie on land near the equator, on other land, and at sea."""
    lat = 90 - (np.arange(HEIGHT) + 0.5) * 180 / HEIGHT
    lon = (np.arange(WIDTH) + 0.5) * 360 / WIDTH - 180
    points = np.stack(np.broadcast_arrays(lon, lat[:, None]), axis=-1).reshape(-1, 2)
    land = (get_layer('land')(points) == 1).reshape(HEIGHT, WIDTH)
    is_near = (np.abs(lat) < LATITUDE)[:, None]
    return {
        f'land within {LATITUDE}°': land & is_near,
        f'land beyond {LATITUDE}°': land & ~is_near,
        f'sea within {LATITUDE}°': ~land & is_near,
    }


def small(picture: EarthPicture, root: Path, download: bool) -> Array:
    """Read a picture, and average it to the size that all are compared at."""
    pixels = picture.read(root, download=download, checksum=True)
    return area_average(pixels, HEIGHT, WIDTH).astype(np.float32)


def share_of_sea(land: NDArray[np.bool_]) -> float:
    """Compute how much of the patches around points on land is sea."""
    points = land_points(4000)
    mask = np.repeat(255 * land[None].astype(np.uint8), 3, axis=0)
    patches = EarthPatches(mask)(points, torch.full((len(points),), 4.27), 32)
    return 1 - patches.mean().item() / 255


def copy_of(picture: EarthPicture, root: Path) -> Array:
    """Save a picture as a smaller JPEG, as who copies one may."""
    pixels = area_average(picture.read(root), 1024, 2048)
    stream = io.BytesIO()
    Image.fromarray(np.moveaxis(pixels, 0, -1)).save(stream, 'jpeg', quality=75)
    again = np.moveaxis(np.asarray(Image.open(stream)), -1, 0)
    return area_average(again, HEIGHT, WIDTH).astype(np.float32)


def report(root: Path, download: bool) -> Iterator[str]:
    """Yield the lines of the page."""
    yield '# Pictures of the Earth: measurements'
    yield ''
    yield from wrapped(
        'Written by `python docs/benchmarks/imagery_correlation.py --root data/blue-marble '
        '--download --output docs/imagery_numbers.md` on '
        f'{datetime.datetime.now(datetime.UTC):%d %B %Y}: '
        f'torchgeo-concepts {VERSION}, numpy {np.__version__}, '
        f'Python {platform.python_version()}, {processor()}. '
        '[Satellite imagery](imagery.md) says what follows from it.'
    )
    pictures = {
        name: small(picture, root, download) for name, picture in EARTH_PICTURES.items()
    }
    first = next(iter(pictures))
    pairs = list(itertools.combinations(pictures, 2))
    # The first pair shows what the scores of a copy would be.
    pictures['a copy of it'] = copy_of(EARTH_PICTURES[first], root)
    where = regions()
    near, beyond, sea = where.values()
    yield from wrapped(
        f'Pictures are averaged to {WIDTH} x {HEIGHT} pixels. Each three numbers are the '
        'correlation of all pixels and channels, that of detail, which is brightness minus '
        f'its mean over {MEAN_OVER} x {MEAN_OVER} pixels, and the mean absolute difference '
        f'in 0..255, on the {near.sum():,} pixels of land within {LATITUDE}° of the '
        f'equator, on the {beyond.sum():,} pixels of other land and on the {sea.sum():,} '
        f'pixels of sea within {LATITUDE}°. "Shift" is by how many rows and columns, up to '
        f'{SHIFTS[-1]} each, the second picture was moved to where detail of land near '
        'the equator fits the first best; the scores are those after it. The copy is '
        f'{first} as a JPEG of 2048 x 1024 pixels of quality 75.'
    )
    columns = ' | '.join(f'{name} | detail | difference' for name in where)
    yield f'| pictures | shift | {columns} |'
    yield f'| --- |{" ---: |" * 10}'
    for one, other in [(first, 'a copy of it'), *pairs]:
        shift, moved = registered(pictures[one], pictures[other], near)
        cells = ' | '.join(
            str(likeness(pictures[one], moved, mask)) for mask in where.values()
        )
        yield f'| {one}, {other} | {shift[0]}, {shift[1]} | {cells} |'
    yield ''
    yield (
        f'Of the pixels of patches around points on land, {share_of_sea(near | beyond):.0%} '
        'are sea.'
    )


def draw(root: Path, path: Path) -> None:
    """Draw the same places in all pictures."""
    points = torch.tensor(list(PLACES.values()))
    figure, axes = plt.subplots(
        len(EARTH_PICTURES),
        len(PLACES),
        figsize=(1.3 * len(PLACES) + 1, 1.3 * len(EARTH_PICTURES) + 0.3),
        layout='constrained',
    )
    for row, name in zip(axes, EARTH_PICTURES, strict=True):
        dataset = BlueMarble(root, name, points=points, size=64, concepts=False)
        for axis, image in zip(row, dataset[range(len(points))]['image'], strict=True):
            axis.imshow((image / 255).permute(1, 2, 0).numpy())
            axis.set(xticks=[], yticks=[])
        row[0].set_ylabel(name, fontsize=11)
    for axis, place in zip(axes[0], PLACES, strict=True):
        axis.set_title(place, fontsize=12)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    """Print the page, and write page and figure if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--root', type=Path, default=Path('data/blue-marble'))
    parser.add_argument('--download', action='store_true')
    parser.add_argument('--output', type=Path)
    parser.add_argument('--figure', type=Path)
    options = parser.parse_args()
    start, lines = time.perf_counter(), []
    for line in report(options.root, options.download):
        print(line, flush=True)
        lines.append(line)
    if options.output is not None:
        write_lines(options.output, lines)
    if options.figure is not None:
        draw(options.root, options.figure)
    seconds = time.perf_counter() - start
    print(f'{seconds:.0f} s, {time.process_time():.0f} s of one core')


if __name__ == '__main__':
    main()
