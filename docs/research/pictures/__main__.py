# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Measure which pictures of the Earth are copies of each other, and draw patches."""

import io
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib import pyplot as plt
from numpy.typing import NDArray
from PIL import Image
from research_cli import run
from scipy.ndimage import uniform_filter

from torchgeo_concepts.datasets import EARTH_PICTURES, BlueMarble
from torchgeo_concepts.datasets.earth_imagery import EarthPicture
from torchgeo_concepts.datasets.patches import EarthPatches, area_average
from torchgeo_concepts.datasets.point_sampling import land_points
from torchgeo_concepts.io.pages import today_with, wrapped, write_lines
from torchgeo_concepts.layers import get_layer

HEIGHT, WIDTH = 675, 1350
LATITUDE = 60
MEAN_OVER = 9
COPY = 'a copy of it'
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
    """Agreement of two pictures on some pixels.

    Attributes:
        pixels: Correlation of all pixels and channels.
        detail: Correlation of brightness minus its local mean.
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
    """Return the brightness minus its local mean."""
    brightness = picture.mean(axis=0)
    high: Array = brightness - uniform_filter(
        brightness, MEAN_OVER, mode=('nearest', 'wrap')
    )
    return high


def register_pair(
    one: Array, other: Array, land: NDArray[np.bool_]
) -> tuple[tuple[int, int], Array]:
    """Shift a picture to the best fit of its details with those of another.

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
    """Return masks of land near the equator, of other land, and of the sea."""
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


def read_small(picture: EarthPicture, root: Path, download: bool) -> Array:
    """Read a picture, and average it to the size of the comparison."""
    pixels = picture.read(root, download=download)
    return area_average(pixels, HEIGHT, WIDTH).astype(np.float32)


def share_of_sea(land: NDArray[np.bool_]) -> float:
    """Compute the share of sea in patches around points on land."""
    points = land_points(4000)
    mask = np.repeat(255 * land[None].astype(np.uint8), 3, axis=0)
    patches = EarthPatches(mask)(points, torch.full((len(points),), 4.27), 32)
    return 1 - patches.mean().item() / 255


def compress(picture: EarthPicture, root: Path) -> Array:
    """Return a picture after it was saved as a smaller JPEG, an example of a copy."""
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
        'Written by `PYTHONPATH=docs/research python -m pictures --root data/blue-marble '
        '--download --output docs/research/pictures/imagery_numbers.md` on '
        f'{today_with()}. [Which pictures share pixels](pictures.md) explains it.'
    )
    pictures = {
        name: read_small(picture, root, download)
        for name, picture in EARTH_PICTURES.items()
    }
    first = next(iter(pictures))
    pairs = list(itertools.combinations(pictures, 2))
    # The first pair shows the scores of a copy.
    pictures[COPY] = compress(EARTH_PICTURES[first], root)
    where = regions()
    near, beyond, sea = where.values()
    yield from wrapped(
        f'Pictures are averaged to {WIDTH} x {HEIGHT} pixels. Each three numbers are the '
        'correlation of all pixels and channels; that of detail, which is brightness minus '
        f'its mean over {MEAN_OVER} x {MEAN_OVER} pixels; and the mean absolute difference '
        f'in 0..255. They are computed on the {near.sum():,} pixels of land within '
        f'{LATITUDE}° of the equator, on the {beyond.sum():,} pixels of other land and on '
        f'the {sea.sum():,} pixels of sea within {LATITUDE}°. Before that, the second '
        f'picture is shifted by up to {SHIFTS[-1]} rows and columns to the best fit of '
        'detail of land near the equator; "shift" has rows and columns. The copy is '
        f'{first} as a JPEG of 2048 x 1024 pixels of quality 75.'
    )
    yield from _table(pictures, [(first, COPY), *pairs], where)
    sea_share = share_of_sea(near | beyond)
    yield f'Of the pixels of patches around points on land, {sea_share:.0%} are sea.'


def _table(
    pictures: Mapping[str, Array],
    pairs: list[tuple[str, str]],
    where: Mapping[str, NDArray[np.bool_]],
) -> Iterator[str]:
    columns = ' | '.join(f'{name} | detail | difference' for name in where)
    yield f'| pictures | shift | {columns} |'
    yield f'| --- |{" ---: |" * 10}'
    near = next(iter(where.values()))
    for one, other in pairs:
        shift, moved = register_pair(pictures[one], pictures[other], near)
        cells = ' | '.join(
            str(likeness(pictures[one], moved, mask)) for mask in where.values()
        )
        yield f'| {one}, {other} | {shift[0]}, {shift[1]} | {cells} |'
    yield ''


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


def compare_pictures(
    root: Path = Path('data/blue-marble'),
    output: Path | None = None,
    figure: Path | None = None,
    download: bool = False,
) -> str:
    """Measure which pictures of the Earth are copies of each other.

    It needs the extra layers, 40 MB of packages and half a minute of one core.

    Args:
        root: Folder of the pictures.
        output: Markdown file to write.
        figure: PNG file to draw patches of all pictures to.
        download: Download pictures that are not found.

    Returns:
        The page.
    """
    lines = list(report(root, download))
    if output is not None:
        write_lines(output, lines)
    if figure is not None:
        draw(root, figure)
    return '\n'.join(lines)


if __name__ == '__main__':
    run(compare_pictures)
