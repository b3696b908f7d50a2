# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Spatial autocorrelation of maps."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..geo.sphere import unit_vectors


def morans_i(
    points: Tensor, values: NDArray[np.float64], neighbours: int = 8
) -> NDArray[np.float64]:
    """Compute Moran's I of maps at points, with nearest neighbours on the sphere.

    If you use this in your research, please cite the following paper:

    * https://doi.org/10.1093/biomet/37.1-2.17

    Args:
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
        values: Values of shape ``(m, N)`` of m maps.
        neighbours: Number of neighbours of each point, with equal weights.

    Returns:
        Moran's I of each map, of shape ``(m,)``: near 1 if neighbours have similar
        values, -1 / (N - 1) on average if values are shuffled, NaN if a map does not
        vary.

    Raises:
        ImportError: If esda and libpysal are not installed.
        ValueError: If there are not more points than neighbours.
    """
    try:
        from esda.moran import Moran
        from libpysal.weights import KNN
    except ImportError as error:
        raise ImportError(
            "Moran's I needs esda and libpysal: pip install torchgeo-concepts[explain]"
        ) from error
    if len(points) <= neighbours:
        raise ValueError(
            f"Moran's I with {neighbours} neighbours needs more than {neighbours} "
            f'points, got {len(points)}.'
        )
    places = unit_vectors(*points.detach().cpu().double().numpy().T)
    weights = KNN.from_array(places, k=neighbours, silence_warnings=True)
    return np.array(
        [
            Moran(row, weights, permutations=0).I if np.ptp(row) > 0 else np.nan
            for row in values
        ]
    )
