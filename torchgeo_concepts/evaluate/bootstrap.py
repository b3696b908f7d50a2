# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Confidence intervals by resampling whole blocks of the Earth."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
from torch import Tensor

from ..geo.splits import Rows, block_numbers
from .agreement import Floats

# Share of the resampled values inside a confidence interval.
CONFIDENCE = 0.95


class BlockBootstrap:
    """Resamples blocks with replacement and computes statistics of each resample.

    Points near each other have similar errors, so resampling single points would make
    confidence intervals far too narrow.
    """

    def __init__(
        self, block: Rows, num_samples: int = 200, seed: int | np.random.Generator = 0
    ) -> None:
        """Initialize a new BlockBootstrap instance.

        Args:
            block: Block number of each value, of shape ``(N,)``, counted from 0.
            num_samples: Number of resamples.
            seed: Seed, or random generator, of the resamples.
        """
        self.block = block
        number = int(block.max()) + 1
        rng = np.random.default_rng(seed)
        drawn = rng.multinomial(number, np.full(number, 1 / number), size=num_samples)
        # The first row is the original sample: each block once.
        self.counts: Floats = np.concatenate((np.ones((1, number)), drawn))

    @classmethod
    def from_points(
        cls,
        points: Tensor,
        num_samples: int = 200,
        degrees: float = 10,
        seed: int = 0,
        origin: tuple[float, float] = (0.0, 0.0),
    ) -> Self:
        """Resample blocks of longitude and latitude.

        Args:
            points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
            num_samples: Number of resamples.
            degrees: Side of a block in degrees.
            seed: Seed of the resamples.
            origin: Corner of a block, as ``(longitude, latitude)`` in degrees.

        Returns:
            The bootstrap.

        Raises:
            ValueError: If there are fewer than two blocks or resamples.
        """
        if num_samples < 2:
            raise ValueError(f'num_samples must be at least 2, got {num_samples}.')
        block = block_numbers(points, degrees, origin=origin)
        if not block.any():
            raise ValueError(
                f'All {len(points)} points lie in one block of {degrees:g} degrees, '
                'so no confidence interval is defined. Use smaller blocks, or points '
                'farther apart.'
            )
        return cls(block, num_samples, seed)

    def resample(self, statistic: Callable[[Floats], float], weights: Floats) -> Floats:
        """Compute a statistic of weighted values in each resample.

        Args:
            statistic: A function of weights of shape ``(N,)``.
            weights: Weights of the values of shape ``(N,)``; they double where a block
                is drawn twice.

        Returns:
            Statistics of shape ``(1 + num_samples,)``. The first is of the
            original sample.
        """
        return np.array([statistic(weights * row[self.block]) for row in self.counts])

    def sums(self, values: Floats) -> Floats:
        """Sum values over each resample.

        Args:
            values: Values of shape ``(N,)``.

        Returns:
            Sums of shape ``(1 + num_samples,)``. The first is of the original sample.
        """
        by_block = np.bincount(self.block, values, minlength=self.counts.shape[1])
        return np.asarray(self.counts @ by_block, dtype=np.float64)

    def r2(self, truth: Floats, predicted: Floats) -> Floats:
        """Compute the coefficient of determination of each resample.

        Sums over blocks make this much faster than scikit-learn on each resample.

        Args:
            truth: True values of shape ``(N,)``, NaN where unknown.
            predicted: Predictions of shape ``(N,)``.

        Returns:
            Scores of shape ``(1 + num_samples,)``. The first is of the original sample.
            NaN where the truth does not vary.
        """
        known = ~np.isnan(truth)
        centred = np.where(known, truth - truth[known].mean(), 0.0)
        error = np.where(known, truth - predicted, 0.0)
        number = self.sums(known.astype(np.float64))
        with np.errstate(invalid='ignore', divide='ignore'):
            total = self.sums(centred**2) - self.sums(centred) ** 2 / number
            # The variance of equal values can differ from 0 by rounding.
            total[total <= 1e-12 * number * (centred**2).max()] = np.nan
            return np.asarray(1 - self.sums(error**2) / total)


@dataclass(frozen=True)
class Estimate:
    """Number with a confidence interval.

    Attributes:
        value: The number.
        low: Lower bound of the interval, NaN if there is none.
        high: Upper bound.
    """

    value: float
    low: float
    high: float

    @classmethod
    def from_samples(cls, values: Floats, confidence: float = CONFIDENCE) -> Self:
        """Estimate a statistic from its resamples.

        Args:
            values: The statistic of the original sample, then that of each resample, NaN
                where undefined.
            confidence: Share of the resamples inside the interval.

        Returns:
            The statistic with its interval; without one if fewer than two resamples
            are defined.
        """
        defined = values[1:][~np.isnan(values[1:])]
        if len(defined) < 2:
            return cls(float(values[0]), np.nan, np.nan)
        return cls(float(values[0]), *interval(defined, confidence))

    def __str__(self) -> str:
        """Return number and interval with three decimals."""
        if np.isnan(self.low):
            return f'{self.value:.3f} (no interval)'
        return f'{self.value:.3f} ({self.low:.3f} to {self.high:.3f})'


def interval(values: Floats, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the confidence interval of resampled values.

    Args:
        values: Values of any shape; NaN are ignored.
        confidence: Share of the values inside the interval.

    Returns:
        Lower and upper bound.
    """
    low, high = intervals(values.reshape(-1), confidence)
    return float(low), float(high)


def intervals(values: Floats, confidence: float = CONFIDENCE) -> Floats:
    """Return the confidence intervals of several statistics.

    Args:
        values: Values of shape ``(num_samples, ...)``; NaN are ignored.
        confidence: Share of the values inside each interval.

    Returns:
        Lower and upper bounds of shape ``(2, ...)``.
    """
    tail = (1 - confidence) / 2
    return np.asarray(np.nanquantile(values, (tail, 1 - tail), axis=0))
