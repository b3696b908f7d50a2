# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import numpy as np
import pytest
import torch
from sklearn.metrics import r2_score, roc_auc_score

from torchgeo_concepts.evaluate.agreement import auc
from torchgeo_concepts.evaluate.bootstrap import BlockBootstrap, interval, intervals
from torchgeo_concepts.geo.splits import block_numbers

RNG = np.random.default_rng(0)
POINTS = torch.from_numpy(RNG.uniform((-30, -20), (30, 20), (300, 2)))
LABEL = (RNG.random(300) < 0.3).astype(float)
# Rounded, so that there are ties.
SCORE = np.round(LABEL + RNG.normal(size=300), 1)


@pytest.fixture(scope='module')
def draws() -> BlockBootstrap:
    return BlockBootstrap.from_points(POINTS, num_samples=5)


def test_scores_of_each_draw_are_those_of_its_rows(draws: BlockBootstrap) -> None:
    area = draws.resample(auc(SCORE, LABEL), np.ones(300))
    r2 = draws.r2(SCORE, LABEL)
    assert area.shape == r2.shape == (6,)
    for number, counts in enumerate(draws.counts):
        rows = np.repeat(np.arange(300), counts.astype(int)[draws.block])
        assert area[number] == pytest.approx(roc_auc_score(LABEL[rows], SCORE[rows]))
        assert r2[number] == pytest.approx(r2_score(SCORE[rows], LABEL[rows]))
    assert (draws.counts[0] == 1).all()
    assert len(np.unique(area)) == 6


def test_rows_that_are_unknown_do_not_count(draws: BlockBootstrap) -> None:
    label, known = LABEL.copy(), np.arange(300) % 3 > 0
    label[~known] = np.nan
    assert draws.r2(label, SCORE)[0] == pytest.approx(
        r2_score(LABEL[known], SCORE[known])
    )


def test_what_does_not_vary_has_no_score(draws: BlockBootstrap) -> None:
    area = auc(SCORE, np.ones(300))
    assert np.isnan(draws.resample(area, np.ones(300))).all()
    assert np.isnan(draws.r2(np.full(300, 0.1), SCORE)).all()


def test_blocks_begin_at_their_origin() -> None:
    points = torch.tensor([[0.0, 0.0], [3.0, 0.0], [5.0, 0.0]])
    assert block_numbers(points, 8).tolist() == [0, 0, 0]
    first, second, third = block_numbers(points, 8, origin=(-180, -90)).tolist()
    assert first == second != third


def test_statistics_of_weights_are_those_of_rows(draws: BlockBootstrap) -> None:
    weights = np.random.default_rng(1).random(300)
    means = draws.resample(lambda w: float(np.average(SCORE, weights=w)), weights)
    assert means.shape == (6,)
    for mean, counts in zip(means, draws.counts, strict=True):
        rows = np.repeat(np.arange(300), counts.astype(int)[draws.block])
        assert mean == pytest.approx(np.average(SCORE[rows], weights=weights[rows]))


def test_generators_go_on_where_they_stopped() -> None:
    block = np.arange(30)
    rng = np.random.default_rng(3)
    first, second = (BlockBootstrap(block, 4, rng).counts for _ in range(2))
    assert (first == BlockBootstrap(block, 4, 3).counts).all()
    assert (first[1:] != second[1:]).any()


def test_interval() -> None:
    values = np.append(np.arange(1001.0), np.nan)
    assert interval(values) == pytest.approx((25, 975))
    assert interval(values, 0.5) == pytest.approx((250, 750))
    both = intervals(np.stack((values, -values), axis=1), 0.9)
    assert both == pytest.approx(np.array([[50, -950], [950, -50]]))


def test_one_block_gives_no_interval() -> None:
    with pytest.raises(ValueError, match='All 2 points lie in one block of 10 degrees'):
        BlockBootstrap.from_points(torch.tensor([[1.0, 1.0], [2.0, 2.0]]))


def test_one_draw_gives_no_interval() -> None:
    with pytest.raises(ValueError, match='num_samples must be at least 2, got 1'):
        BlockBootstrap.from_points(POINTS, num_samples=1)
