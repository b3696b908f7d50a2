# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Number of people and of places around a point, from GeoNames."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..geo.sphere import KM_PER_DEGREE, RADIUS_KM
from .base import Layer, RasterLayer
from .grid import Floats
from .settlements import GEONAMES, Places, places

# Rows of the grid for each width of the Gaussian in km. Rows are at most half a width
# apart.
KERNEL_ROWS = {10: 4320, 25: 1800, 100: 450, 300: 180}

# Number of widths beyond which weights are 0.
REACH = 3.0


def population(width_km: int) -> Layer:
    """Return the layer of the number of people around, weighted by a Gaussian.

    The value is the sum of ``people * exp(-distance² / 2 width²)`` over places of 500
    people or more, about the number of people within 1.4 widths.

    Args:
        width_km: Standard deviation of the Gaussian, a key of :data:`KERNEL_ROWS`.
    """
    title = f'people around, by a bell of {width_km} km'
    return _layer(f'population-{width_km}-km', width_km, title=title, unit='people')


def settlement_count(width_km: int) -> Layer:
    """Return the layer of the number of places around, weighted by a Gaussian.

    Args:
        width_km: Standard deviation of the Gaussian, a key of :data:`KERNEL_ROWS`.
    """
    return _layer(
        f'settlements-{width_km}-km',
        width_km,
        by_people=False,
        title=f'places of 500 people or more around, by a bell of {width_km} km',
        unit='places',
    )


def population_density() -> Layer:
    """Return the layer of people per km², from the layer of people around at 10 km."""
    return _layer(
        'population-density',
        10,
        decode=_per_km2,
        stored_as='population-10-km',
        title='people of places of 500 or more, for each km²',
        unit='people per km²',
    )


def _layer(
    name: str,
    width_km: int,
    *,
    by_people: bool = True,
    decode: Callable[[NDArray[np.float32]], NDArray[Any]] = np.expm1,
    **info: Any,
) -> Layer:
    rows = KERNEL_ROWS[width_km]
    info |= {'decode': decode, 'group': 'people', 'source': GEONAMES}
    info['resolution_km'] = round(180 / rows * KM_PER_DEGREE, 1)
    make = partial(_kernel, float(width_km), rows, by_people=by_people)
    return RasterLayer(name, make, **info)


def _per_km2(logarithm: NDArray[np.float32]) -> NDArray[Any]:
    return np.expm1(logarithm) / (2 * np.pi * 10.0**2)


def _kernel(width_km: float, rows: int, by_people: bool) -> NDArray[np.float16]:
    """Sum the Gaussians of all places, and return the logarithm of 1 + the sums."""
    total = np.zeros((rows, 2 * rows))
    known = places()
    if not by_people:
        known = replace(known, people=np.ones_like(known.people))
    for cells, weights in _weighted_cells(known, width_km, rows):
        first, last = cells.min(), cells.max() + 1
        total.ravel()[first:last] += np.bincount(
            (cells - first).ravel(), weights.ravel(), minlength=last - first
        )
    return np.log1p(total).astype(np.float16)


def _weighted_cells(
    of: Places, width_km: float, rows: int
) -> Iterator[tuple[NDArray[np.int64], Floats]]:
    """Yield indices of cells around places, and the weighted people in each."""
    step = 180 / rows
    row_of = np.minimum(((90 - of.lat) / step).astype(int), rows - 1)
    order = np.argsort(row_of, kind='stable')
    reach = int(np.ceil(REACH * width_km / (step * KM_PER_DEGREE)))
    for group in np.split(order, np.flatnonzero(np.diff(row_of[order])) + 1):
        near = np.arange(row_of[group[0]] - reach, row_of[group[0]] + reach + 1)
        near = near[(near >= 0) & (near < rows)]
        lat = 90 - (near + 0.5) * step
        # The row closest to a pole needs the widest window.
        wide = reach / max(np.cos(np.deg2rad(np.abs(lat).max())), 1e-9)
        half = int(min(np.ceil(wide), rows - 1))
        around = np.arange(-half, half + 1)
        for part in np.array_split(group, len(group) * len(near) * half // 10**6 + 1):
            column = ((of.lon[part] + 180) / step).astype(int)
            columns = column[:, None] + around
            lon: Floats = -180 + (columns + 0.5) * step  # type: ignore[assignment]
            km = _haversine_km(of.lon[part], of.lat[part], lon, lat)
            weights = np.exp(-0.5 * (km / width_km) ** 2) * of.people[part, None, None]
            weights[km > REACH * width_km] = 0
            cells = near[None, :, None] * (2 * rows) + (columns % (2 * rows))[:, None]
            yield cells, weights


def _haversine_km(lon: Floats, lat: Floats, lons: Floats, lats: Floats) -> Floats:
    """Return distances of shape ``(N, rows, columns)`` from places to cells."""
    phi, phis = np.deg2rad(lat), np.deg2rad(lats)
    across = np.sin(np.deg2rad(lons - lon[:, None]) / 2) ** 2
    along = np.sin((phis - phi[:, None]) / 2) ** 2
    cosines = np.cos(phi)[:, None] * np.cos(phis)
    haversine = along[:, :, None] + cosines[:, :, None] * across[:, None, :]
    distances: Floats = 2 * RADIUS_KM * np.arcsin(np.sqrt(haversine))
    return distances
