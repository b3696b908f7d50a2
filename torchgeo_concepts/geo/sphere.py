# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Distances and even lattices on a spherical Earth."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import get_worker_info

# Mean radius of IUGG; distances differ from those on WGS84 by up to 0.56%.
RADIUS_KM = 6371.0088
KM_PER_DEGREE = RADIUS_KM * np.pi / 180

GOLDEN_RATIO = (math.sqrt(5) - 1) / 2


def unit_vectors(
    lon: NDArray[np.float64], lat: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return unit vectors from the centre of the Earth to points.

    Args:
        lon: Longitudes of shape ``(N,)`` in degrees.
        lat: Latitudes of shape ``(N,)`` in degrees.

    Returns:
        Vectors of shape ``(N, 3)``.
    """
    lam, phi = np.deg2rad(lon), np.deg2rad(lat)
    return np.stack(
        (np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)), axis=-1
    )


def golden_fractions(index: NDArray[np.number[Any]]) -> NDArray[np.float64]:
    """Return longitudes of a Fibonacci lattice as fractions of a turn.

    Consecutive longitudes differ by the golden ratio of a turn. With equal steps of the
    sine of latitude, the points cover a sphere evenly.

    Args:
        index: Positions of points in the lattice, of shape ``(N,)``.

    Returns:
        Fractions of shape ``(N,)`` in [0, 1).
    """
    fractions: NDArray[np.float64] = np.mod(index * GOLDEN_RATIO, 1)
    return fractions


def arc_km(chords: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convert chords between unit vectors to distances along the surface in km."""
    arcs: NDArray[np.float64] = 2 * RADIUS_KM * np.arcsin(np.minimum(chords / 2, 1.0))
    return arcs


def chord(km: float) -> float:
    """Convert a distance along the surface in km to a chord between unit vectors."""
    return 2 * float(np.sin(min(km / (2 * RADIUS_KM), np.pi / 2)))


def query_workers() -> int:
    """Return the number of search threads: 1 in a DataLoader worker, else -1 (all)."""
    return -1 if get_worker_info() is None else 1
