# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import numpy as np
import pytest
from alignment_study.statistics import compare, holm
from scipy import stats


def test_holm_by_hand() -> None:
    # Sorted: 4 * .005, 3 * .01, 2 * .03, 1 * .04, of which the last may not be smaller.
    corrected = holm([0.01, 0.04, 0.03, 0.005])
    np.testing.assert_allclose(corrected, [0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.6]).tolist() == [1, 1]
    assert holm([]).tolist() == []


def test_comparisons_are_paired_t_tests() -> None:
    rng = np.random.default_rng(0)
    seeds = rng.normal(size=8)
    better, equal = seeds + rng.normal(1, 0.3, 8), seeds + rng.normal(0, 0.3, 8)
    found = compare(
        [
            ('r2', 'a', 'b', better.tolist(), seeds.tolist()),
            ('km', 'a', 'c', equal.tolist(), seeds.tolist()),
        ]
    )
    for comparison, values in zip(found, (better, equal), strict=True):
        test = stats.ttest_rel(values, seeds)
        low, high = test.confidence_interval(0.95)
        assert comparison.p == test.pvalue
        assert (comparison.low, comparison.high) == (low, high)
        assert comparison.difference == pytest.approx((values - seeds).mean())
        assert comparison.seeds == 8
    assert [c.corrected for c in found] == [2 * found[0].p, found[1].p]
    assert (found[0].metric, found[0].arm, found[0].other) == ('r2', 'a', 'b')


@pytest.mark.parametrize('others', [[1.0], [1.0, 2.0]])
def test_too_few_seeds(others: list[float]) -> None:
    with pytest.raises(ValueError, match=f'two seeds or more, got 1 and {len(others)}'):
        compare([('km', 'a', 'b', [1.0], others)])
