# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Paired t-tests of arms over seeds, corrected for their number."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats


@dataclass(frozen=True)
class Comparison:
    """Paired comparison of two arms over the same seeds.

    Attributes:
        metric: Name of the measurement.
        arm: The first arm.
        other: The second arm.
        difference: Mean of the first minus the second.
        low: Lower end of the 95% confidence interval of the difference.
        high: Upper end.
        p: Two-sided p-value.
        corrected: The p-value by Holm's correction for all comparisons.
        seeds: Number of seeds.
    """

    metric: str
    arm: str
    other: str
    difference: float
    low: float
    high: float
    p: float
    corrected: float
    seeds: int


def holm(probabilities: Sequence[float]) -> NDArray[np.float64]:
    """Correct p-values by Holm's step-down method.

    Args:
        probabilities: P-values of several tests.

    Returns:
        Corrected p-values, in the same order.

    Example:
        >>> holm([0.01, 0.04, 0.03]).round(2).tolist()
        [0.03, 0.06, 0.06]
    """
    p = np.asarray(probabilities, dtype=np.float64)
    order = np.argsort(p)
    scaled = p[order] * (len(p) - np.arange(len(p)))
    corrected = np.empty_like(p)
    corrected[order] = np.maximum.accumulate(scaled).clip(max=1)
    return corrected


def compare(
    pairs: Sequence[tuple[str, str, str, Sequence[float], Sequence[float]]],
) -> tuple[Comparison, ...]:
    """Compare arms seed by seed, and correct for the number of comparisons.

    Args:
        pairs: Measurement, the two arms, and the values of each in the order of the seeds.

    Returns:
        The comparisons.

    Raises:
        ValueError: If a comparison has fewer than two seeds.
    """
    made = []
    for metric, arm, other, values, others in pairs:
        if len(values) != len(others) or len(values) < 2:
            raise ValueError(
                f'{arm} and {other} need values of the same two seeds or more, got '
                f'{len(values)} and {len(others)}.'
            )
        test = stats.ttest_rel(values, others)
        low, high = test.confidence_interval(0.95)
        difference = float(np.mean(np.subtract(values, others)))
        numbers = difference, float(low), float(high), float(test.pvalue)
        made.append((metric, arm, other, *numbers, len(values)))
    corrected = holm([row[6] for row in made])
    return tuple(
        Comparison(*row[:7], float(p), row[7])
        for row, p in zip(made, corrected, strict=True)
    )
