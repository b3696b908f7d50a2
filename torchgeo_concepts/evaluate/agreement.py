# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Correlations and areas under the ROC curve of weighted values."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..geo.splits import Rows

type Floats = NDArray[np.float64]


def pearson(x: Floats, y: Floats, weights: Floats) -> float:
    """Compute the weighted correlation of two variables.

    Args:
        x: Values of shape ``(N,)``.
        y: Values of shape ``(N,)``.
        weights: Weights of shape ``(N,)``, not negative.

    Returns:
        The correlation, NaN if a variable does not vary.
    """
    if not _varies(x, weights) or not _varies(y, weights):
        return float('nan')
    dx, dy = (v - np.average(v, weights=weights) for v in (x, y))
    product = weights @ (dx * dy)
    return float(product / np.sqrt((weights @ dx**2) * (weights @ dy**2)))


def _varies(x: Floats, weights: Floats) -> bool:
    # The variance of equal values can differ from 0 by rounding.
    weighted = x[weights > 0]
    return len(weighted) > 0 and bool(weighted.min() < weighted.max())


def _ranks(group: Rows, weights: Floats) -> Floats:
    """Return the weight below each value plus half the weight of equal values."""
    weight = np.bincount(group, weights)
    ranks: Floats = (np.cumsum(weight) - weight / 2)[group]
    return ranks


def spearman(x: Floats, y: Floats) -> Callable[[Floats], float]:
    """Prepare the weighted rank correlation of two variables.

    Args:
        x: Values of shape ``(N,)``.
        y: Values of shape ``(N,)``.

    Returns:
        A function of weights of shape ``(N,)`` that returns the correlation, NaN if
        a variable does not vary.
    """
    # Values are sorted once, because many sets of weights need their ranks.
    a, b = (np.unique(values, return_inverse=True)[1] for values in (x, y))
    return lambda w: pearson(_ranks(a, w), _ranks(b, w), w)


def auc(score: Floats, label: Floats) -> Callable[[Floats], float]:
    """Prepare the weighted area under the ROC curve.

    Args:
        score: Scores of shape ``(N,)``.
        label: 1 for the class and 0 otherwise, of shape ``(N,)``.

    Returns:
        A function of weights of shape ``(N,)`` that returns the area, NaN unless both
        labels have weight.
    """
    group = np.unique(score, return_inverse=True)[1]

    def area(weights: Floats) -> float:
        yes = np.bincount(group, weights * label)
        no = np.bincount(group, weights * (1 - label))
        pairs = yes.sum() * no.sum()
        if not pairs > 0:
            return float('nan')
        # A pair of equal scores counts half.
        return float(yes @ (np.cumsum(no) - no / 2) / pairs)

    return area
