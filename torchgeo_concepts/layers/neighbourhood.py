# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Statistics of the cells within a distance of each cell of a global grid."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..geo.sphere import KM_PER_DEGREE


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
    lat = np.deg2rad(90 - (np.arange(rows) + 0.5) * 180 / rows)
    reach = int(radius_km / cell_km)
    for offset in range(-reach, reach + 1):
        half = np.sqrt(radius_km**2 - (offset * cell_km) ** 2)
        widths = half / (cell_km * np.cos(lat))
        widths = np.minimum(widths.astype(np.int64), columns // 2 - 1)
        for row in range(max(0, -offset), min(rows, rows - offset)):
            yield row, row + offset, 2 * int(widths[row]) + 1


def disc_mean(grid: NDArray[Any], radius_km: float) -> NDArray[np.float64]:
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
    mean: NDArray[np.float64] = total / number
    return mean
