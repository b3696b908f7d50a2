# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Look-ups in grids that span the Earth in steps of longitude and latitude.

Rows run from north to south, columns from 180° W to the east. A grid of cells has values
that cover pixels: the north and west edges of a pixel belong to it. A grid of nodes has
its first row at the North Pole, its last at the South Pole, its first column at 180° W,
and no second one there.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Registration = Literal['cell', 'node']

# Edges of pixels are seldom exact in binary; what is this close to one lies on it.
EDGE = 1e-9

# Points of a block, whose arrays stay in a core's cache.
BLOCK = 65536


def pixel_of(
    lon: NDArray[np.float64], lat: NDArray[np.float64], shape: tuple[int, ...]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find the pixels around points.

    Args:
        lon: Longitudes in [-180, 180].
        lat: Latitudes.
        shape: Rows and columns of a grid of cells.

    Returns:
        Rows and columns. The south edge of the last row belongs to it, and the east edge
        of the last column to the first one.
    """
    rows, columns = shape[:2]
    row = _floor((90.0 - lat) * (rows / 180.0))
    column = _floor((lon + 180.0) * (columns / 360.0))
    return np.minimum(row, rows - 1), column % columns


def _floor(values: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.floor(values + EDGE).astype(np.int64)


def nearest(
    grid: NDArray[Any],
    lon: NDArray[np.float64],
    lat: NDArray[np.float64],
    registration: Registration = 'cell',
) -> NDArray[np.float32]:
    """Read the value of the pixel around each point, or of the node next to it.

    Args:
        grid: Values of shape ``(H, W)``.
        lon: Longitudes of shape ``(N,)`` in [-180, 180].
        lat: Latitudes of shape ``(N,)``.
        registration: What the values stand for.

    Returns:
        Values of shape ``(N,)``.
    """
    if registration == 'cell':
        row, column = pixel_of(lon, lat, grid.shape)
    else:
        rows, columns = grid.shape
        row = np.rint((90.0 - lat) * ((rows - 1) / 180.0)).astype(np.int64)
        column = np.rint((lon + 180.0) * (columns / 360.0)).astype(np.int64) % columns
    return grid[row, column].astype(np.float32)


def bilinear(
    grid: NDArray[Any],
    lon: NDArray[np.float64],
    lat: NDArray[np.float64],
    registration: Registration = 'cell',
) -> NDArray[np.float32]:
    """Interpolate between the four values around each point.

    Columns go on across the dateline, and rows of cells across the poles, on the other
    side of the Earth. Where some of the four values are unknown, the others share their
    weight if they have at least half of it; else the result is unknown. So a hole neither
    grows nor heals by more than half a pixel.

    Args:
        grid: Values of shape ``(H, W)``, NaN where unknown.
        lon: Longitudes of shape ``(N,)`` in [-180, 180].
        lat: Latitudes of shape ``(N,)``.
        registration: What the values stand for.

    Returns:
        Values of shape ``(N,)``, NaN where unknown.
    """
    result = np.empty(len(lon), dtype=np.float32)
    for start in range(0, len(lon), BLOCK):
        part = slice(start, start + BLOCK)
        result[part] = _bilinear(grid, lon[part], lat[part], registration)
    return result


def _bilinear(
    grid: NDArray[Any],
    lon: NDArray[np.float64],
    lat: NDArray[np.float64],
    registration: Registration,
) -> NDArray[np.float64]:
    rows, columns = grid.shape
    if registration == 'cell':
        y = (90.0 - lat) * (rows / 180.0) - 0.5
        x = (lon + 180.0) * (columns / 360.0) - 0.5
    else:
        y = (90.0 - lat) * ((rows - 1) / 180.0)
        x = (lon + 180.0) * (columns / 360.0)
    top, left = np.floor(y), np.floor(x)
    south, east = y - top, x - left
    total = np.zeros(len(lon))
    known = np.zeros(len(lon))
    for down in (0, 1):
        for right in (0, 1):
            weight = (south if down else 1 - south) * (east if right else 1 - east)
            values = _across(
                grid, top.astype(int) + down, left.astype(int) + right, registration
            )
            is_known = ~np.isnan(values)
            total += np.where(is_known, weight * values, 0.0)
            known += np.where(is_known, weight, 0.0)
    # Weights that add up to a half may miss it by rounding.
    enough = known >= 0.5 - EDGE
    return np.where(enough, total / np.where(enough, known, 1.0), np.nan)


def _across(
    grid: NDArray[Any],
    row: NDArray[np.int64],
    column: NDArray[np.int64],
    registration: Registration,
) -> NDArray[np.float64]:
    """Read values of rows beyond the poles on the other side of the Earth."""
    rows, columns = grid.shape
    last = rows - 1
    mirror = 1 if registration == 'cell' else 0
    beyond = (row < 0) | (row > last)
    row = np.where(row < 0, -row - mirror, row)
    row = np.where(row > last, 2 * last + mirror - row, row)
    column = np.where(beyond, column + columns // 2, column) % columns
    return grid[row, column].astype(np.float64)
