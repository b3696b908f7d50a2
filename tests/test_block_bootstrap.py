# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import numpy as np
import pytest
import torch
from sklearn.metrics import r2_score, roc_auc_score

from torchgeo_concepts._block_bootstrap import BlockBootstrap, block_numbers, interval

RNG = np.random.default_rng(0)
POINTS = torch.from_numpy(RNG.uniform((-30, -20), (30, 20), (300, 2)))
LABEL = (RNG.random(300) < 0.3).astype(float)
# Rounded, so that there are ties.
SCORE = np.round(LABEL + RNG.normal(size=300), 1)


@pytest.fixture(scope='module')
def draws() -> BlockBootstrap:
    return BlockBootstrap(POINTS, samples=5)


def test_scores_of_each_draw_are_those_of_its_rows(draws: BlockBootstrap) -> None:
    auc, r2 = draws.auc(SCORE, LABEL), draws.r2(SCORE, LABEL)
    assert auc.shape == r2.shape == (6,)
    for number, counts in enumerate(draws.counts):
        rows = np.repeat(np.arange(300), counts.astype(int)[draws.block])
        assert auc[number] == pytest.approx(roc_auc_score(LABEL[rows], SCORE[rows]))
        assert r2[number] == pytest.approx(r2_score(SCORE[rows], LABEL[rows]))
    assert (draws.counts[0] == 1).all()
    assert len(np.unique(auc)) == 6


def test_rows_that_are_unknown_do_not_count(draws: BlockBootstrap) -> None:
    label, known = LABEL.copy(), np.arange(300) % 3 > 0
    label[~known] = np.nan
    assert draws.auc(SCORE, label)[0] == pytest.approx(
        roc_auc_score(LABEL[known], SCORE[known])
    )
    assert draws.r2(label, SCORE)[0] == pytest.approx(
        r2_score(LABEL[known], SCORE[known])
    )


def test_what_does_not_vary_has_no_score(draws: BlockBootstrap) -> None:
    assert np.isnan(draws.auc(SCORE, np.ones(300))).all()
    assert np.isnan(draws.r2(np.full(300, 0.1), SCORE)).all()


def test_blocks_begin_at_their_origin() -> None:
    points = torch.tensor([[0.0, 0.0], [3.0, 0.0], [5.0, 0.0]])
    assert block_numbers(points, 8).tolist() == [0, 0, 0]
    first, second, third = block_numbers(points, 8, (-180, -90)).tolist()
    assert first == second != third


def test_interval() -> None:
    low, high = interval(np.append(np.arange(1001.0), np.nan))
    assert (low, high) == pytest.approx((25, 975))


def test_one_block_gives_no_interval() -> None:
    with pytest.raises(ValueError, match='All 2 points lie in one block of 10 degrees'):
        BlockBootstrap(torch.tensor([[1.0, 1.0], [2.0, 2.0]]))


def test_one_draw_gives_no_interval() -> None:
    with pytest.raises(ValueError, match='at least 2 draws, not 1'):
        BlockBootstrap(POINTS, samples=1)
