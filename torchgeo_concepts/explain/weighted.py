# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Agreement of weighted values, with intervals by resampling blocks or regions."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ('Estimate', 'auc', 'bootstrap', 'pearson', 'spearman')

type Numbers = NDArray[np.float64]


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

    def __str__(self) -> str:
        """Return both in a few characters."""
        if np.isnan(self.low):
            return f'{self.value:.3f} (no interval)'
        return f'{self.value:.3f} ({self.low:.3f} to {self.high:.3f})'


def pearson(x: Numbers, y: Numbers, weights: Numbers) -> float:
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


def _varies(x: Numbers, weights: Numbers) -> bool:
    # Of equal values, too, rounding leaves a variance.
    some = x[weights > 0]
    return bool(len(some)) and bool(some.min() < some.max())


class Ranked:
    """Values that were sorted once, to rank them by many weights."""

    def __init__(self, x: Numbers) -> None:
        """Initialize a new Ranked instance.

        Args:
            x: Values of shape ``(N,)``.
        """
        groups, self.group = np.unique(x, return_inverse=True)
        self.number = len(groups)

    def weight(self, weights: Numbers) -> Numbers:
        """Return the weight of each group of equal values, the smallest first."""
        return np.bincount(self.group, weights, self.number)

    def ranks(self, weights: Numbers) -> Numbers:
        """Return what weight lies below each value, half of its own group included."""
        each = self.weight(weights)
        ranks: Numbers = (np.cumsum(each) - each / 2)[self.group]
        return ranks


def spearman(x: Numbers, y: Numbers) -> Callable[[Numbers], float]:
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


def auc(score: Numbers, holds: Numbers) -> Callable[[Numbers], float]:
    """Prepare the weighted area under the ROC curve.

    Args:
        score: Scores of shape ``(N,)``.
        holds: 1 where the class holds and 0 where not, of shape ``(N,)``.

    Returns:
        A function of weights of shape ``(N,)`` that returns the area, NaN without
        both kinds.
    """
    ranked = Ranked(score)

    def area(weights: Numbers) -> float:
        yes, no = ranked.weight(weights * holds), ranked.weight(weights * (1 - holds))
        pairs = yes.sum() * no.sum()
        if not pairs > 0:
            return float('nan')
        # Equal scores count for a half.
        return float(yes @ (np.cumsum(no) - no / 2) / pairs)

    return area


def bootstrap(
    statistic: Callable[[Numbers], float],
    weights: Numbers,
    blocks: NDArray[np.int64],
    draws: int,
    confidence: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """Estimate a statistic, with an interval by drawing whole blocks again.

    Args:
        statistic: A function of weights of shape ``(N,)``.
        weights: Weights of the values.
        blocks: Number of the block of each value, of shape ``(N,)``.
        draws: How many times all blocks are drawn, with replacement.
        confidence: Share of the draws that the interval holds.
        seed: Seed of the draws.

    Returns:
        The statistic and its percentile interval, of the draws in which it is defined;
        none without two blocks and two such draws.
    """
    number = int(blocks.max()) + 1
    value = statistic(weights)
    if number < 2 or draws < 2:
        return Estimate(value, np.nan, np.nan)
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(number, np.full(number, 1 / number), size=draws)
    drawn = np.array([statistic(weights * count[blocks]) for count in counts])
    drawn = drawn[~np.isnan(drawn)]
    if len(drawn) < 2:
        return Estimate(value, np.nan, np.nan)
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn, (tail, 1 - tail))
    return Estimate(value, float(low), float(high))
