# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Height of the ground, relief and slope."""

from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..geo.sphere import KM_PER_DEGREE
from .base import Source, raster
from .grid import disc_mean, disc_rows
from .rasters import read_npz, read_raster

TOPOGRAPHY = Source(
    distribution='itur',
    files=('itur/data/1511/v2_topo.npz',),
    terms='The package is under the MIT licence; ITU-R publishes its digital maps with '
    'its Recommendations, whose terms could not be verified offline.',
    citation='Recommendation ITU-R P.1511-2 (2019)',
)

MAPZEN = Source(
    distribution='pvlib',
    files=('pvlib/data/Altitude.h5',),
    terms='The package is under BSD-3-Clause; the heights are aggregated from open data '
    'that ask for attribution (listed at github.com/tilezen/joerd), some of them with '
    'rights reserved.',
    citation='Mapzen terrain tiles, as resampled by pvlib',
)

ROWS, COLUMNS = 2160, 4320
CELL_KM = KM_PER_DEGREE / 12


def heights() -> NDArray[np.float32]:
    """Read heights in m in cells of 5 arc minutes, 0 at sea, of shape (2160, 4320)."""
    # The file has a margin of two cells on each side.
    grid = read_npz(TOPOGRAPHY.paths()[0], (ROWS + 4, COLUMNS + 4))
    return grid[2:-2, 2:-2].astype(np.float32)


def _coarse_heights() -> NDArray[np.float32]:
    """Read heights in steps of 28 m, unknown at sea."""
    steps = read_raster(MAPZEN.paths()[0], (1, ROWS, COLUMNS))[0]
    metres = steps.astype(np.float32) * 28 - 450
    return np.where(steps == 255, np.float32(np.nan), metres)


def _relief(radius_km: int) -> NDArray[np.float32]:
    grid = heights()
    highest, lowest = grid.copy(), grid.copy()
    for row, near, size in disc_rows((ROWS, COLUMNS), radius_km):
        maximum = ndimage.maximum_filter1d(grid[near], size, mode='wrap')
        minimum = ndimage.minimum_filter1d(grid[near], size, mode='wrap')
        np.maximum(highest[row], maximum, out=highest[row])
        np.minimum(lowest[row], minimum, out=lowest[row])
    return highest - lowest


def _relative_height(radius_km: int) -> NDArray[np.float32]:
    grid = heights()
    return (grid - disc_mean(grid, radius_km)).astype(np.float32)


def _slope() -> NDArray[np.float32]:
    grid = heights().astype(np.float64)
    lat = np.deg2rad(90 - (np.arange(ROWS) + 0.5) / 12)
    # Columns are closer near the poles, so use a column about as far away as the next row.
    steps = np.maximum(1, np.rint(1 / np.cos(lat)).astype(np.int64))
    east = np.empty_like(grid)
    for row, step in enumerate(np.minimum(steps, COLUMNS // 4)):
        rise = np.roll(grid[row], -step) - np.roll(grid[row], step)
        east[row] = rise / (2 * step * CELL_KM * np.cos(lat[row]))
    north = np.gradient(grid, CELL_KM, axis=0)
    return np.rad2deg(np.arctan(np.hypot(east, north) / 1000)).astype(np.float32)


_layer = partial(
    raster, group='terrain', unit='m', resolution_km=9.3, source=TOPOGRAPHY
)
_coarse_title = 'height above sea level in steps of 28 m (Mapzen)'
_mean_title = 'height above the mean within'

LAYERS = {
    'elevation': _layer(heights, 'height above sea level'),
    'elevation-mapzen': _layer(_coarse_heights, _coarse_title, source=MAPZEN),
    # Highest minus lowest ground within a circle.
    'relief-25-km': _layer(partial(_relief, 25), 'relief within 25 km'),
    'relief-100-km': _layer(partial(_relief, 100), 'relief within 100 km'),
    # Negative in valleys; sea in the circle has height 0.
    'height-above-25-km': _layer(partial(_relative_height, 25), f'{_mean_title} 25 km'),
    'height-above-100-km': _layer(
        partial(_relative_height, 100), f'{_mean_title} 100 km'
    ),
    # The slope between cells of 5 arc minutes is much gentler than the slope at a
    # point.
    'slope': _layer(_slope, 'slope over about 20 km', unit='degree'),
}
