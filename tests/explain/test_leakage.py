# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from torchgeo_concepts.explain import label_leakage, oracle_impurity
from torchgeo_concepts.splits import block_folds

type Data = tuple[Tensor, Tensor]


@pytest.fixture(scope='module')
def data() -> Data:
    """Labels of four concepts that have nothing to do with each other, and points."""
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(3000, 2, generator=generator) * 160 - 80
    return (torch.rand(3000, 4, generator=generator) < 0.4).float(), points


def test_labels_themselves_are_pure(data: Data) -> None:
    labels, points = data
    impurity = oracle_impurity(labels, labels, points, samples=20)
    assert impurity.score == pytest.approx(0, abs=1e-9)
    assert impurity.purity.diagonal() == pytest.approx(np.ones(4))
    assert (impurity.low, impurity.high) == pytest.approx((0, 0), abs=1e-9)


def test_scores_that_tell_everything_are_impure(data: Data) -> None:
    labels, points = data
    # One of 16 steps for each combination of labels.
    everything = (labels * 2.0 ** torch.arange(4)).sum(dim=1, keepdim=True)
    impurity = oracle_impurity(
        everything.expand(-1, 4), labels, points, 'abcd', bins=64, samples=20
    )
    # 12 of 16 pairs are told by the score and by chance alone from labels.
    expected = 2 / 4 * np.sqrt(12 * 0.5**2)
    assert impurity.score == pytest.approx(expected, abs=0.05)
    assert impurity.low < impurity.score < impurity.high
    worst = impurity.worst(3)
    assert len(worst) == 3
    assert (worst['score_of'] != worst['tells']).all()
    assert set(worst['tells']) <= set('abcd')
    assert worst['score'].min() > 0.95


def test_score_is_that_of_the_definition(data: Data) -> None:
    labels, points = data
    generator = torch.Generator().manual_seed(1)
    scores = labels + 0.5 * torch.randn(labels.shape, generator=generator)
    scores[:, 0] += labels[:, 1]
    impurity = oracle_impurity(scores, labels, points, samples=20)
    gap = impurity.purity - impurity.ideal
    assert impurity.score == pytest.approx(np.linalg.norm(gap) * 2 / 4)
    # A score that rises with its label is told as well by a line as by its bins.
    _, test = block_folds(points, 2)
    area = roc_auc_score(labels[test, 2], scores[test, 2])
    assert impurity.purity[2, 2] == pytest.approx(area, abs=0.02)
    [first] = impurity.worst(1).to_dict('records')
    assert (first['score_of'], first['tells']) == ('0', '1')


def test_only_what_names_do_not_say_leaks(data: Data) -> None:
    labels, points = data
    generator = torch.Generator().manual_seed(2)
    hidden = torch.randn(3000, generator=generator)
    y = labels[:, 0] + hidden
    scores = labels.clone()
    scores[:, 1] += 0.5 * hidden
    known = labels.clone()
    known[::7, 0] = torch.nan
    leak, low, high = label_leakage(scores, labels, y, points)
    assert low <= leak <= high
    assert leak > 0.3
    assert label_leakage(labels, labels, y, points) == (0, 0, 0)
    assert label_leakage(labels, known, y, points)[0] > 0


class TestErrors:
    def test_shapes(self, data: Data) -> None:
        labels, points = data
        with pytest.raises(ValueError, match=r'\(3000, 3\), labels \(3000, 4\)'):
            oracle_impurity(labels[:, :3], labels, points)

    def test_quantities(self, data: Data) -> None:
        labels, points = data
        with pytest.raises(ValueError, match='0 or 1; impurity is for classes'):
            oracle_impurity(labels, labels * 2, points)

    def test_concept_that_never_holds(self, data: Data) -> None:
        labels, points = data
        never = labels.clone()
        never[:, 2] = 0
        with pytest.raises(ValueError, match="'c' does not vary on a half"):
            oracle_impurity(labels, never, points, 'abcd')
