# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import roc_auc_score

from torchgeo_concepts.evaluate.agreement import auc, pearson, spearman
from torchgeo_concepts.evaluate.bootstrap import BlockBootstrap, Estimate

Numbers = NDArray[np.float64]


@pytest.fixture
def pair() -> tuple[Numbers, Numbers]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=200).round(1)
    return x, (x + rng.normal(size=200)).round(1)


def test_equal_weights_are_those_of_scipy(pair: tuple[Numbers, Numbers]) -> None:
    x, y = pair
    equal = np.full(200, 3.0)
    assert pearson(x, y, equal) == pytest.approx(stats.pearsonr(x, y).statistic)
    assert spearman(x, y)(equal) == pytest.approx(stats.spearmanr(x, y).statistic)


def test_whole_weights_are_repetitions(pair: tuple[Numbers, Numbers]) -> None:
    x, y = pair
    weights = np.random.default_rng(1).integers(0, 4, 200)
    many_x, many_y = np.repeat(x, weights), np.repeat(y, weights)
    w = weights.astype(float)
    assert pearson(x, y, w) == pytest.approx(stats.pearsonr(many_x, many_y).statistic)
    expected = stats.spearmanr(many_x, many_y).statistic
    assert spearman(x, y)(w) == pytest.approx(expected)
    holds = (y > 0).astype(float)
    expected = roc_auc_score(np.repeat(holds, weights), many_x)
    assert auc(x, holds)(w) == pytest.approx(expected)


def test_auc_takes_fractional_weights(pair: tuple[Numbers, Numbers]) -> None:
    x, y = pair
    holds = (y > 0).astype(float)
    w = np.random.default_rng(2).random(200)
    expected = roc_auc_score(holds, x, sample_weight=w)
    assert auc(x, holds)(w) == pytest.approx(expected)


def test_what_does_not_vary_is_undefined() -> None:
    # 0.1 is no binary fraction, so that rounding would leave a variance.
    x, y = np.full(7, 0.1), np.arange(7.0)
    one = np.ones(7)
    assert np.isnan(pearson(x, y, one))
    assert np.isnan(spearman(x, y)(one))
    assert np.isnan(auc(y, one)(one))
    assert np.isnan(pearson(y, y, 0 * one))


def test_intervals_hold_what_they_should() -> None:
    rng = np.random.default_rng(0)
    covered = []
    for seed in range(100):
        # Values of a block are alike: there are 40 of them, not 400.
        x = np.repeat(rng.normal(size=40), 10)
        drawn = BlockBootstrap(np.repeat(np.arange(40), 10), 200, seed)

        def mean(w: Numbers, x: Numbers = x) -> float:
            return float(np.average(x, weights=w))

        estimate = Estimate.from_samples(drawn.resample(mean, np.ones(400)), 0.9)
        covered.append(estimate.low <= 0 <= estimate.high)
    assert 0.8 < np.mean(covered) < 0.97


def test_estimates_are_of_the_draws_that_are_defined() -> None:
    draws = np.concatenate(([7.0], np.arange(101), [np.nan]))
    estimate = Estimate.from_samples(draws, 0.9)
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((7, 5, 95))
    assert str(estimate) == '7.000 (5.000 to 95.000)'
    for few in (draws[:1], draws[:2], np.array([7.0, 1.0, np.nan])):
        assert str(Estimate.from_samples(few, 0.9)) == '7.000 (no interval)'


def test_two_regions() -> None:
    # All draws but those of both are undefined.
    y = np.arange(2.0)
    drawn = BlockBootstrap(np.arange(2), 50)
    two = Estimate.from_samples(drawn.resample(auc(y, y), np.ones(2)), 0.95)
    assert str(two) == '1.000 (1.000 to 1.000)'
    assert np.isnan(
        Estimate.from_samples(drawn.resample(auc(y, 0 * y), np.ones(2)), 0.95).low
    )
