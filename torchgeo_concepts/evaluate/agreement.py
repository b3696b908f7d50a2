# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Agreement of weighted values, and numbers with intervals."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np

from .bootstrap import Floats, interval


@dataclass(frozen=True)
class Estimate:
    """A number with an interval.

    Attributes:
        value: The number.
        low: Lower end of the interval, NaN if there is none.
        high: Upper end.
    """

    value: float
    low: float
    high: float

    @classmethod
    def of_draws(cls, draws: Floats, confidence: float) -> Self:
        """Estimate a number from draws.

        Args:
            draws: The number itself, and that in each draw, NaN where undefined.
            confidence: Share of the draws that the interval holds.

        Returns:
            The number with its interval, of the draws in which it is defined; without,
            if there are less than two.
        """
        defined = draws[1:][~np.isnan(draws[1:])]
        if len(defined) < 2:
            return cls(float(draws[0]), np.nan, np.nan)
        return cls(float(draws[0]), *interval(defined, confidence))

    def __str__(self) -> str:
        """Return both in a few characters."""
        if np.isnan(self.low):
            return f'{self.value:.3f} (no interval)'
        return f'{self.value:.3f} ({self.low:.3f} to {self.high:.3f})'


def pearson(x: Floats, y: Floats, weights: Floats) -> float:
    """Compute the weighted correlation of two variables.

    Args:
        x: Values of shape ``(N,)``.
        y: Values of shape ``(N,)``.
        weights: Weights of shape ``(N,)``, not negative.

    Returns:
        The correlation, NaN if either does not vary.
    """
    total = weights.sum()
    if not total > 0 or not _varies(x, weights) or not _varies(y, weights):
        return float('nan')
    dx, dy = x - weights @ x / total, y - weights @ y / total
    product = weights @ (dx * dy)
    return float(product / np.sqrt((weights @ dx**2) * (weights @ dy**2)))


def _varies(x: Floats, weights: Floats) -> bool:
    # Of equal values, too, rounding leaves a variance.
    some = x[weights > 0]
    return bool(len(some)) and bool(some.min() < some.max())


class Ranked:
    """Values that were sorted once, to rank them by many weights."""

    def __init__(self, x: Floats) -> None:
        """Initialize a new Ranked instance.

        Args:
            x: Values of shape ``(N,)``.
        """
        groups, self.group = np.unique(x, return_inverse=True)
        self.number = len(groups)

    def weight(self, weights: Floats) -> Floats:
        """Return the weight of each group of equal values, the smallest first."""
        return np.bincount(self.group, weights, self.number)

    def ranks(self, weights: Floats) -> Floats:
        """Return what weight lies below each value, half of its own group included."""
        each = self.weight(weights)
        ranks: Floats = (np.cumsum(each) - each / 2)[self.group]
        return ranks


def spearman(x: Floats, y: Floats) -> Callable[[Floats], float]:
    """Prepare the weighted rank correlation of two variables.

    Args:
        x: Values of shape ``(N,)``.
        y: Values of shape ``(N,)``.

    Returns:
        A function of weights of shape ``(N,)`` that returns the correlation, NaN if
        either does not vary.
    """
    first, second = Ranked(x), Ranked(y)
    return lambda weights: pearson(first.ranks(weights), second.ranks(weights), weights)


def auc(score: Floats, holds: Floats) -> Callable[[Floats], float]:
    """Prepare the weighted area under the ROC curve.

    Args:
        score: Scores of shape ``(N,)``.
        holds: 1 where the class holds and 0 where not, of shape ``(N,)``.

    Returns:
        A function of weights of shape ``(N,)`` that returns the area, NaN without
        both kinds.
    """
    ranked = Ranked(score)

    def area(weights: Floats) -> float:
        yes, no = ranked.weight(weights * holds), ranked.weight(weights * (1 - holds))
        pairs = yes.sum() * no.sum()
        if not pairs > 0:
            return float('nan')
        # Equal scores count for a half.
        return float(yes @ (np.cumsum(no) - no / 2) / pairs)

    return area
