# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Intervals of scores at points, by drawing whole blocks of the Earth again."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from .points import check_points
from .splits import ROW_STRIDE

# Share of the draws that an interval leaves out at either end.
TAIL = 0.025

type Floats = NDArray[np.float64]


class BlockBootstrap:
    """Draws blocks with replacement, and scores each draw.

    Points near each other have similar errors, so that drawing single points would make
    intervals far too narrow.
    """

    def __init__(
        self,
        points: Tensor,
        samples: int = 200,
        degrees: float = 10,
        seed: int = 0,
        origin: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        """Initialize a new BlockBootstrap instance.

        Args:
            points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
            samples: Number of draws.
            degrees: Side of a block of longitude and latitude.
            seed: Seed of the draws.
            origin: Corner of a block, as ``(longitude, latitude)`` in degrees.

        Raises:
            ValueError: If there are fewer than two blocks or draws.
        """
        if samples < 2:
            raise ValueError(f'An interval needs at least 2 draws, not {samples}.')
        self.block = block_numbers(points, degrees, origin)
        number = int(self.block.max()) + 1
        if number < 2:
            raise ValueError(
                f'All {len(points)} points lie in one block of {degrees:g} degrees, which '
                'gives no interval. Take smaller blocks, or points farther apart.'
            )
        rng = np.random.default_rng(seed)
        drawn = rng.multinomial(number, np.full(number, 1 / number), size=samples)
        # The first row is not drawn: it is what there is.
        self.counts: Floats = np.concatenate((np.ones((1, number)), drawn))

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
        holds, fails = label == 1, label == 0
        number = self.counts.shape[1]
        order = np.argsort(score[fails])
        below = score[fails][order]
        # How many of each block lie below each place in that order.
        passed = np.zeros((len(below) + 1, number))
        passed[np.arange(1, len(below) + 1), self.block[fails][order]] = 1
        passed = passed.cumsum(axis=0)
        own = score[holds]
        # Of equal scores, each beats the other half of the time.
        beaten = (
            passed[np.searchsorted(below, own, 'left')]
            + passed[np.searchsorted(below, own, 'right')]
        ) / 2
        pairs = np.zeros((number, number))
        np.add.at(pairs, self.block[holds], beaten)
        won = np.einsum('sa,ab,sb->s', self.counts, pairs, self.counts, optimize=True)
        with np.errstate(invalid='ignore'):
            every = self.sums(holds.astype(float)) * self.sums(fails.astype(float))
            return np.asarray(won / every)


def block_numbers(
    points: Tensor, degrees: float = 10, origin: tuple[float, float] = (0.0, 0.0)
) -> NDArray[np.int64]:
    """Number the blocks that have points, and say in which each point lies.

    Args:
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
        degrees: Side of a block of longitude and latitude.
        origin: Corner of a block, as ``(longitude, latitude)`` in degrees.

    Returns:
        Numbers of shape ``(N,)``, from 0 on.
    """
    lonlat = check_points(points).detach().cpu().double().numpy()
    lon, lat = np.floor((lonlat - origin) / degrees).T
    blocks: NDArray[np.int64] = np.unique(lat * ROW_STRIDE + lon, return_inverse=True)[
        1
    ]
    return blocks


def interval(draws: Floats) -> tuple[float, float]:
    """Return the bounds between which 95% of the draws lie.

    Args:
        draws: Scores of any shape; NaN are left out.
    """
    low, high = np.nanquantile(draws, (TAIL, 1 - TAIL))
    return float(low), float(high)
