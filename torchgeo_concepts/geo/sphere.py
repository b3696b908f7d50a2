# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Distances on the Earth taken for a sphere."""

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import get_worker_info

# The mean radius of IUGG, whose circle differs from geodesics by up to 0.56%.
RADIUS_KM = 6371.0088
KM_PER_DEGREE = RADIUS_KM * np.pi / 180


def unit_vectors(
    lon: NDArray[np.float64], lat: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return points as vectors of length 1 from the centre of the Earth.

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


def arc_km(chords: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return distances in km along the surface of chords between unit vectors."""
    arcs: NDArray[np.float64] = 2 * RADIUS_KM * np.arcsin(np.minimum(chords / 2, 1.0))
    return arcs


def chord(km: float) -> float:
    """Return the chord between unit vectors that are some km apart on the surface."""
    return 2 * float(np.sin(min(km / (2 * RADIUS_KM), np.pi / 2)))


def query_workers() -> int:
    """Return how many threads search a tree: all, or one in a process that loads data."""
    return -1 if get_worker_info() is None else 1
