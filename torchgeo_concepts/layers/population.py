# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""How many people live around a point, by the places of GeoNames."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..geo.sphere import KM_PER_DEGREE, RADIUS_KM
from .base import Layer, RasterLayer
from .settlements import GEONAMES, Places, places

# Weights beyond this many widths of a bell are left out.
REACH = 3.0


def population(width_km: int) -> Layer:
    """Return how many people live around, by a bell that weighs near ones more.

    The sum of ``people * exp(-distance² / 2 width²)`` over places of 500 people or more
    is about the number of people within 1.4 widths.

    Args:
        width_km: Width of the bell, at most 300.
    """
    rows = KERNEL_ROWS[width_km]
    return RasterLayer(
        f'population-{width_km}-km',
        partial(_kernel, float(width_km), rows),
        decode=np.expm1,
        title=f'people around, by a bell of {width_km} km',
        group='people',
        unit='people',
        resolution_km=round(180 / rows * KM_PER_DEGREE, 1),
        source=GEONAMES,
    )


def settlement_count(width_km: int) -> Layer:
    """Return how many places lie around, by a bell that weighs near ones more.

    Args:
        width_km: Width of the bell, a key of :data:`KERNEL_ROWS`.
    """
    rows = KERNEL_ROWS[width_km]
    return RasterLayer(
        f'settlements-{width_km}-km',
        partial(_kernel, float(width_km), rows, by_people=False),
        decode=np.expm1,
        title=f'places of 500 people or more around, by a bell of {width_km} km',
        group='people',
        unit='places',
        resolution_km=round(180 / rows * KM_PER_DEGREE, 1),
        source=GEONAMES,
    )


def population_density() -> Layer:
    """Return people per km² near a point, by the bell of 10 km, spread over its area."""
    return RasterLayer(
        'population-density',
        partial(_kernel, 10.0, KERNEL_ROWS[10]),
        decode=_per_km2,
        stored_as='population-10-km',
        title='people of places of 500 or more, for each km²',
        group='people',
        unit='people per km²',
        resolution_km=4.6,
        source=GEONAMES,
    )


def _per_km2(logarithm: NDArray[np.float32]) -> NDArray[Any]:
    return np.expm1(logarithm) / (2 * np.pi * 10.0**2)


# Rows of the grid for each width, half a width apart or less.
KERNEL_ROWS = {10: 4320, 25: 1800, 100: 450, 300: 180}


def _kernel(width_km: float, rows: int, by_people: bool = True) -> NDArray[np.float16]:
    """Add up the bells of all places, and return the logarithm of 1 + the sums."""
    total = np.zeros((rows, 2 * rows))
    known = places()
    if not by_people:
        known = replace(known, people=np.ones_like(known.people))
    for cells, weights in _bells(known, width_km, rows):
        first, last = cells.min(), cells.max() + 1
        total.ravel()[first:last] += np.bincount(
            (cells - first).ravel(), weights.ravel(), minlength=last - first
        )
    return np.log1p(total).astype(np.float16)


def _bells(
    of: Places, width_km: float, rows: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Yield numbers of cells and people weighed in them, by rows of places."""
    step = 180 / rows
    row_of = np.minimum(((90 - of.lat) / step).astype(int), rows - 1)
    order = np.argsort(row_of, kind='stable')
    reach = int(np.ceil(REACH * width_km / (step * KM_PER_DEGREE)))
    for group in np.split(order, np.flatnonzero(np.diff(row_of[order])) + 1):
        near = np.arange(row_of[group[0]] - reach, row_of[group[0]] + reach + 1)
        near = near[(near >= 0) & (near < rows)]
        lat = 90 - (near + 0.5) * step
        # The row nearest to a pole has the widest window.
        wide = reach / max(np.cos(np.deg2rad(np.abs(lat).max())), 1e-9)
        half = int(min(np.ceil(wide), rows - 1))
        around = np.arange(-half, half + 1)
        for part in np.array_split(group, len(group) * len(near) * half // 10**6 + 1):
            column = ((of.lon[part] + 180) / step).astype(int)
            columns = column[:, None] + around
            lon = -180 + (columns + 0.5) * step
            km = _haversine_km(of.lon[part], of.lat[part], lon, lat)
            weights = np.exp(-0.5 * (km / width_km) ** 2) * of.people[part, None, None]
            weights[km > REACH * width_km] = 0
            cells = near[None, :, None] * (2 * rows) + (columns % (2 * rows))[:, None]
            yield cells, weights


def _haversine_km(
    lon: NDArray[np.float64],
    lat: NDArray[np.float64],
    lons: NDArray[Any],
    lats: NDArray[Any],
) -> NDArray[np.float64]:
    """Return distances of shape ``(N, rows, columns)`` from places to cells."""
    phi, phis = np.deg2rad(lat), np.deg2rad(lats)
    across = np.sin(np.deg2rad(lons - lon[:, None]) / 2) ** 2
    along = np.sin((phis - phi[:, None]) / 2) ** 2
    cosines = np.cos(phi)[:, None] * np.cos(phis)
    haversine = along[:, :, None] + cosines[:, :, None] * across[:, None, :]
    distances: NDArray[np.float64] = 2 * RADIUS_KM * np.arcsin(np.sqrt(haversine))
    return distances
