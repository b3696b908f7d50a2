# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Training points on land, at coasts, around settlements and at sea."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..geo.sphere import RADIUS_KM, unit_vectors
from ..layers import get_layer
from ..layers.settlements import places

# Fractions of the points by kind of place.
SHARES = {'land': 0.6, 'coast': 0.1, 'settlement': 0.2, 'anywhere': 0.1}

# Maximum distance from the coast, on both sides.
COAST_KM = 50.0

# Range of the standard deviation of offsets from a settlement.
SETTLEMENT_KM = (2.0, 50.0)

type Points = NDArray[np.float64]


def sample_points(number: int, seed: int = 0) -> Tensor:
    """Sample training points.

    Args:
        number: Number of points.
        seed: Seed of the points.

    Returns:
        Points of shape ``(number, 2)`` as ``(longitude, latitude)`` in degrees, in
        random order.
    """
    rng = np.random.default_rng(seed)
    draw: dict[str, Callable[[int, np.random.Generator], Points]] = {
        'land': _on_land,
        'coast': _at_coast,
        'settlement': _at_settlements,
        'anywhere': _anywhere,
    }
    counts = {name: int(share * number) for name, share in SHARES.items()}
    counts['land'] += number - sum(counts.values())
    parts = [draw[name](count, rng) for name, count in counts.items()]
    points = rng.permutation(np.concatenate(parts))
    return torch.from_numpy(points).float()


def land_points(number: int, seed: int = 0) -> Tensor:
    """Sample points on land, equally dense everywhere.

    Args:
        number: Number of points.
        seed: Seed of the points.

    Returns:
        Points of shape ``(number, 2)`` as ``(longitude, latitude)`` in degrees.
    """
    return torch.from_numpy(_on_land(number, np.random.default_rng(seed))).float()


def _anywhere(number: int, rng: np.random.Generator) -> Points:
    lat = np.rad2deg(np.arcsin(rng.uniform(-1, 1, number)))
    return np.column_stack((rng.uniform(-180, 180, number), lat))


def _on_land(number: int, rng: np.random.Generator) -> Points:
    land = get_layer('land')
    return _rejected(number, rng, lambda lon, lat: land.at(lon, lat) == 1)


def _at_coast(number: int, rng: np.random.Generator) -> Points:
    distance = get_layer('distance-to-coast')
    return _rejected(
        number, rng, lambda lon, lat: np.abs(distance.at(lon, lat)) < COAST_KM
    )


def _rejected(
    number: int,
    rng: np.random.Generator,
    accept: Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.bool_]],
) -> Points:
    """Sample points anywhere on Earth until enough are accepted."""
    parts, missing = [np.empty((0, 2))], number
    while missing > 0:
        drawn = _anywhere(4 * missing + 100, rng)
        parts.append(drawn[accept(drawn[:, 0], drawn[:, 1])])
        missing -= len(parts[-1])
    return np.concatenate(parts)[:number]


def _at_settlements(number: int, rng: np.random.Generator) -> Points:
    """Sample points in and around settlements."""
    known = places()
    chosen = rng.integers(0, len(known.lon), number)
    centre = unit_vectors(known.lon[chosen], known.lat[chosen])
    near, far = np.log(SETTLEMENT_KM)
    spread = np.exp(rng.uniform(near, far, (number, 1))) / RADIUS_KM
    moved = centre + spread * rng.standard_normal((number, 3))
    moved /= np.linalg.norm(moved, axis=1, keepdims=True)
    lon = np.rad2deg(np.arctan2(moved[:, 1], moved[:, 0]))
    return np.column_stack((lon, np.rad2deg(np.arcsin(moved[:, 2].clip(-1, 1)))))
