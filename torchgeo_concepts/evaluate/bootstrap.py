# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Intervals of scores at points, by drawing whole blocks of the Earth again."""

from collections.abc import Callable
from typing import Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..geo.splits import Rows, block_numbers

# Share of the draws that an interval holds.
LEVEL = 0.95

type Floats = NDArray[np.float64]


class BlockBootstrap:
    """Draws blocks with replacement, as many as there are, and scores each draw.

    Points near each other have similar errors, so that drawing single points would make
    intervals far too narrow.
    """

    def __init__(
        self, block: Rows, samples: int = 200, seed: int | np.random.Generator = 0
    ) -> None:
        """Initialize a new BlockBootstrap instance.

        Args:
            block: Number of the block of each value, of shape ``(N,)``, from 0 on.
            samples: Number of draws.
            seed: Seed of the draws, or where they come from.
        """
        self.block = block
        number = int(block.max()) + 1
        rng = np.random.default_rng(seed)
        drawn = rng.multinomial(number, np.full(number, 1 / number), size=samples)
        # The first row is not drawn: it is what there is.
        self.counts: Floats = np.concatenate((np.ones((1, number)), drawn))

    @classmethod
    def of_points(
        cls,
        points: Tensor,
        samples: int = 200,
        degrees: float = 10,
        seed: int = 0,
        origin: tuple[float, float] = (0.0, 0.0),
    ) -> Self:
        """Draw the blocks that points lie in.

        Args:
            points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
            samples: Number of draws.
            degrees: Side of a block of longitude and latitude.
            seed: Seed of the draws.
            origin: Corner of a block, as ``(longitude, latitude)`` in degrees.

        Returns:
            The draws.

        Raises:
            ValueError: If there are fewer than two blocks or draws.
        """
        if samples < 2:
            raise ValueError(f'An interval needs at least 2 draws, not {samples}.')
        block = block_numbers(points, degrees, origin=origin)
        if not block.any():
            raise ValueError(
                f'All {len(points)} points lie in one block of {degrees:g} degrees, '
                'which gives no interval. Take smaller blocks, or points farther apart.'
            )
        return cls(block, samples, seed)

    def of(self, statistic: Callable[[Floats], float], weights: Floats) -> Floats:
        """Compute a statistic of weighted values in each draw.

        Args:
            statistic: A function of weights of shape ``(N,)``.
            weights: Weights of the values; where a block is drawn twice, they double.

        Returns:
            Statistics of shape ``(1 + samples,)``, that of all values first.
        """
        return np.array([statistic(weights * one[self.block]) for one in self.counts])

    def sums(self, values: Floats) -> Floats:
        """Sum up values in each block, and then in each draw.

        Args:
            values: Values of shape ``(N,)``.

        Returns:
            Sums of shape ``(1 + samples,)``, that of all points first.
        """
        by_block = np.bincount(self.block, values, minlength=self.counts.shape[1])
        return np.asarray(self.counts @ by_block, dtype=np.float64)

    def r2(self, truth: Floats, predicted: Floats) -> Floats:
        """Compute the coefficient of determination in each draw.

        Args:
            truth: True values of shape ``(N,)``, NaN where unknown.
            predicted: Predictions of shape ``(N,)``.

        Returns:
            Scores of shape ``(1 + samples,)``, that of all points first; NaN where the
            truth does not vary.
        """
        known = ~np.isnan(truth)
        centred = np.where(known, truth - truth[known].mean(), 0.0)
        error = np.where(known, truth - predicted, 0.0)
        number = self.sums(known.astype(np.float64))
        with np.errstate(invalid='ignore', divide='ignore'):
            total = self.sums(centred**2) - self.sums(centred) ** 2 / number
            # Rounding leaves something of a variance that is none.
            total[total <= 1e-12 * number * (centred**2).max()] = np.nan
            return np.asarray(1 - self.sums(error**2) / total)

    def auc(self, score: Floats, label: Floats) -> Floats:
        """Compute the area under the ROC curve in each draw.

        Args:
            score: Scores of shape ``(N,)``.
            label: 1 where a class holds and 0 where not, of shape ``(N,)``, NaN where
                unknown.

        Returns:
            Areas of shape ``(1 + samples,)``, that of all points first; NaN where the
            label does not vary.
        """
        known = ~np.isnan(label)
        order = np.argsort(score[known])
        # Of equal scores, each beats the other half of the time.
        starts = np.flatnonzero(np.diff(score[known][order], prepend=np.nan))
        times = self.counts[:, self.block[known][order]]
        holds = label[known][order]
        above, below = (
            np.add.reduceat(times * part, starts, axis=1) for part in (holds, 1 - holds)
        )
        won = (above * (below.cumsum(axis=1) - below / 2)).sum(axis=1)
        with np.errstate(invalid='ignore'):
            return np.asarray(won / (above.sum(axis=1) * below.sum(axis=1)))


def check_bootstrap(level: float, draws: int) -> None:
    """Refuse what makes no interval.

    Args:
        level: Share of the draws that the interval holds.
        draws: Number of draws.

    Raises:
        ValueError: If the share is not between 0 and 1, or there are too few draws.
    """
    if not 0 < level < 1:
        raise ValueError(f'level must be between 0 and 1, not {level}.')
    if draws * (1 - level) / 2 < 1:
        raise ValueError(
            f'{draws} draws are too few for an interval that holds {level:.0%} of them.'
        )


def interval(draws: Floats, level: float = LEVEL) -> tuple[float, float]:
    """Return the bounds between which a share of the draws lies.

    Args:
        draws: Scores of any shape; NaN are left out.
        level: The share.
    """
    low, high = intervals(draws.reshape(-1), level)
    return float(low), float(high)


def intervals(draws: Floats, level: float = LEVEL) -> Floats:
    """Return the bounds of several scores, between which a share of the draws lies.

    Args:
        draws: Scores of shape ``(draws, ...)``; NaN are left out.
        level: The share.

    Returns:
        Lower and upper bounds, of shape ``(2, ...)``.
    """
    tail = (1 - level) / 2
    return np.asarray(np.nanquantile(draws, (tail, 1 - tail), axis=0))
