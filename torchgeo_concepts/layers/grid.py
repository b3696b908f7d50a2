# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Look-ups and sums in grids that span the Earth in steps of longitude and latitude.

Rows run from north to south, columns from 180° W to the east. In a grid of cells, each
value covers a pixel, whose north and west edges belong to it. In a grid of nodes, the
first row is the North Pole, the last row the South Pole, and the first column 180° W;
180° E has no column of its own.
"""

from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..geo.sphere import KM_PER_DEGREE

type Floats = NDArray[np.float64]
type Registration = Literal['cell', 'node']

# Points closer than this to an edge, in pixels, lie on it, because edges are rounded.
EDGE = 1e-9

# Number of points whose arrays fit into the cache of a core.
BLOCK = 65536


def cell_centres(rows: int, columns: int) -> tuple[Floats, Floats]:
    """Return the longitudes and latitudes of the centres of cells.

    Args:
        rows: Number of rows of a grid that spans the Earth.
        columns: Number of columns of the grid.

    Returns:
        Longitudes of shape ``(columns,)`` and latitudes of shape ``(rows,)``.
    """
    lon = -180 + (np.arange(columns) + 0.5) * 360 / columns
    return lon, 90 - (np.arange(rows) + 0.5) * 180 / rows


def pixel_of(
    lon: Floats, lat: Floats, shape: tuple[int, ...]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find the pixels that contain points.

    Args:
        lon: Longitudes in [-180, 180].
        lat: Latitudes.
        shape: Rows and columns of a grid of cells.

    Returns:
        Rows and columns. The south edge of the last row belongs to that row. The east
        edge of the last column belongs to the first column.
    """
    rows, columns = shape[:2]
    row = np.floor((90.0 - lat) * (rows / 180.0) + EDGE).astype(np.int64)
    column = np.floor((lon + 180.0) * (columns / 360.0) + EDGE).astype(np.int64)
    return np.minimum(row, rows - 1), column % columns


def nearest(grid: NDArray[Any], lon: Floats, lat: Floats) -> NDArray[np.float32]:
    """Read the pixel that contains each point.

    Args:
        grid: Values of shape ``(H, W)``.
        lon: Longitudes of shape ``(N,)`` in [-180, 180].
        lat: Latitudes of shape ``(N,)``.

    Returns:
        Values of shape ``(N,)``.
    """
    return grid[pixel_of(lon, lat, grid.shape)].astype(np.float32)


def bilinear(
    grid: NDArray[Any], lon: Floats, lat: Floats, registration: Registration = 'cell'
) -> NDArray[np.float32]:
    """Interpolate between the four values around each point.

    Columns continue across the dateline. Rows of cells continue across the poles, on the
    other side of the Earth.

    Args:
        grid: Values of shape ``(H, W)``, NaN where unknown.
        lon: Longitudes of shape ``(N,)`` in [-180, 180].
        lat: Latitudes of shape ``(N,)``.
        registration: ``'cell'`` or ``'node'``.

    Returns:
        Values of shape ``(N,)``, NaN where :func:`interpolate` returns it.
    """
    rows, columns = grid.shape
    cell = registration == 'cell'
    last, mirror, half = rows - 1, int(cell), 0.5 if cell else 0.0

    def value_at(row: NDArray[np.int64], column: NDArray[np.int64]) -> Floats:
        beyond_pole = (row < 0) | (row > last)
        row = np.where(row < 0, -row - mirror, row)
        row = np.where(row > last, 2 * last + mirror - row, row)
        column = np.where(beyond_pole, column + columns // 2, column) % columns
        return grid[row, column].astype(np.float64)

    result = np.empty(len(lon), dtype=np.float32)
    for start in range(0, len(lon), BLOCK):
        part = slice(start, start + BLOCK)
        y = (90.0 - lat[part]) * ((rows if cell else last) / 180.0) - half
        x = (lon[part] + 180.0) * (columns / 360.0) - half
        result[part] = interpolate(value_at, y, x)
    return result


def interpolate(
    value_at: Callable[[NDArray[np.int64], NDArray[np.int64]], Floats],
    y: Floats,
    x: Floats,
) -> Floats:
    """Interpolate bilinearly between values at whole rows and columns.

    If some of the four values are unknown, the weights of the others are rescaled to
    sum to 1. If these weights sum to less than half, the result is unknown. This moves
    the border of unknown values by less than half a pixel.

    Args:
        value_at: Returns the values at rows and columns, NaN where unknown.
        y: Rows of shape ``(N,)``, with fractions.
        x: Columns of shape ``(N,)``, with fractions.

    Returns:
        Values of shape ``(N,)``, NaN where unknown.
    """
    top, left = np.floor(y), np.floor(x)
    south, east = y - top, x - left
    total, known = np.zeros(len(y)), np.zeros(len(y))
    for down in (0, 1):
        for right in (0, 1):
            weight = (south if down else 1 - south) * (east if right else 1 - east)
            values = value_at(top.astype(int) + down, left.astype(int) + right)
            is_known = ~np.isnan(values)
            total += np.where(is_known, weight * values, 0.0)
            known += np.where(is_known, weight, 0.0)
    # Rounding can move a sum of weights away from exactly one half.
    enough = known >= 0.5 - EDGE
    return np.where(enough, total / np.where(enough, known, 1.0), np.nan)


def disc_rows(
    shape: tuple[int, int], radius_km: float
) -> Iterator[tuple[int, int, int]]:
    """Yield the cells within a distance of a cell, for each row of a grid.

    Args:
        shape: Number of rows and columns of a grid that spans the Earth.
        radius_km: The distance.

    Yields:
        The row of the cell; a row near it; and the number of columns of the near row
        within the distance, centred on the column of the cell. Rows beyond a pole are
        left out.
    """
    rows, columns = shape
    cell_km = 180 / rows * KM_PER_DEGREE
    lat = np.deg2rad(cell_centres(rows, columns)[1])
    reach = int(radius_km / cell_km)
    for offset in range(-reach, reach + 1):
        half = np.sqrt(radius_km**2 - (offset * cell_km) ** 2)
        widths = half / (cell_km * np.cos(lat))
        widths = np.minimum(widths.astype(np.int64), columns // 2 - 1)
        for row in range(max(0, -offset), min(rows, rows - offset)):
            yield row, row + offset, 2 * int(widths[row]) + 1


def disc_mean(grid: NDArray[Any], radius_km: float) -> Floats:
    """Compute the mean of the cells within a distance of each cell.

    Args:
        grid: Values of shape ``(H, W)`` that span the Earth.
        radius_km: The distance.

    Returns:
        Means of the same shape.
    """
    rows, columns = grid.shape
    total, number = np.zeros((rows, columns)), np.zeros((rows, 1))
    for row, near, size in disc_rows((rows, columns), radius_km):
        values = grid[near].astype(np.float64)
        total[row] += size * ndimage.uniform_filter1d(values, size, mode='wrap')
        number[row] += size
    return total / number
