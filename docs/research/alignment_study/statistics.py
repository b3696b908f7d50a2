# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Whether arms differ by more than their seeds do."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats


@dataclass(frozen=True)
class Comparison:
    """A paired comparison of two arms over the same seeds.

    Attributes:
        metric: What is compared.
        arm: The one arm.
        other: The other arm.
        difference: Mean of the one minus the other.
        low: Lower end of the interval of the difference, of 95 %.
        high: Upper end.
        p: Two-sided probability of a t of that size if there were no difference.
        corrected: The same by Holm's correction for all comparisons that are made.
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
    """Correct probabilities for their number, so that any false one is rare.

    Args:
        probabilities: Probabilities of several tests.

    Returns:
        Corrected ones, in the same order.

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
        pairs: Metric, the two arms, and the values of each, in the order of the seeds.

    Returns:
        The comparisons.

    Raises:
        ValueError: If a comparison has fewer than two seeds.
    """
    made = []
    for metric, arm, other, values, others in pairs:
        if len(values) != len(others) or len(values) < 2:
            raise ValueError(
                f'{arm} and {other} need values of the same two seeds or more, not '
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
