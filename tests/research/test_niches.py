# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from concept_purity.niches import linear_head, niche_impurity
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from torch import Tensor

from torchgeo_concepts.evaluate.agreement import Floats
from torchgeo_concepts.geo.splits import block_folds

type Data = tuple[Tensor, Tensor]


@pytest.fixture(scope='module')
def data() -> Data:
    """All combinations of four labels in each of 40 blocks, and points."""
    every = torch.tensor(list(itertools.product((0.0, 1.0), repeat=4)))
    corners = torch.tensor([(10.0 * n - 95, lat) for n in range(20) for lat in (5, 25)])
    points = corners.repeat_interleave(len(every) * 4, dim=0)
    return every.repeat(len(corners) * 4, 1), points


def test_independent_labels_are_pure(data: Data) -> None:
    labels, points = data
    impurity = niche_impurity(labels, labels, points, 'abcd', samples=20)
    # Each combination is in each block, so that no label tells another, in no draw.
    assert impurity.area == pytest.approx(np.full((4, 20), 0.5), abs=1e-12)
    assert (impurity.low, impurity.score, impurity.high) == pytest.approx((0.5,) * 3)
    assert (impurity.outside == 3).all()
    assert impurity.thresholds == pytest.approx(np.arange(0.025, 1, 0.05))
    assert impurity.to_frame()['concept'].tolist() == list('abcd')


def test_scores_that_are_duplicates_but_for_the_label_are_impure(data: Data) -> None:
    labels, points = data
    noise = torch.randn(labels.shape, generator=torch.Generator().manual_seed(0))
    # Neither goes with the label, and their difference is the label.
    scores = torch.cat((10 * noise + labels, 10 * noise), dim=1).double()
    impurity = niche_impurity(scores, labels, points, samples=20)
    # At the lowest thresholds chance puts some of them in niches.
    assert impurity.area[:, 3:] == pytest.approx(1, abs=0.02)
    assert impurity.score > 0.95
    assert impurity.outside[:, 3:].min() == 8


def test_a_niche_ends_at_its_correlation(data: Data) -> None:
    labels, points = data
    # Right in 3 of 4 rows of each label: a correlation of one half.
    right = torch.arange(len(labels)) // 16 % 4 > 0
    scores = torch.where(right[:, None], labels, 1 - labels)
    impurity = niche_impurity(scores, labels, points, steps=10, samples=2)
    assert (impurity.outside[:, :5] == 3).all()
    assert (impurity.outside[:, 5:] == 4).all()
    assert impurity.area[:, :5] == pytest.approx(0.5, abs=1e-9)
    assert impurity.area[:, 5:] == pytest.approx(0.75, abs=1e-9)
    assert impurity.score == pytest.approx(0.625)


def test_score_is_that_of_the_definition(data: Data) -> None:
    labels, points = data
    generator = torch.Generator().manual_seed(1)
    scores = labels + torch.randn(labels.shape, generator=generator)
    scores[:, 0] += labels[:, 1]
    scores = torch.cat((scores, torch.ones(len(scores), 1)), dim=1)
    train, test = block_folds(points, 2)
    x, y = scores.double().numpy(), labels.numpy()
    x = (x - x[train].mean(axis=0)) / np.append(x[train, :4].std(axis=0), 1)
    areas = []
    for concept in range(4):
        with np.errstate(invalid='ignore'):
            both = np.corrcoef(x[train].T, y[train, concept])
        correlation = np.nan_to_num(abs(both[-1, :-1]))
        for threshold in (0.125, 0.375, 0.625, 0.875):
            own = correlation <= threshold
            head = linear_head(x[train][:, own], y[train, concept].astype(float))
            predicted = head(x[test][:, own])
            areas.append(roc_auc_score(y[test, concept], predicted))
    impurity = niche_impurity(scores, labels, points, steps=4, samples=50)
    assert impurity.area.ravel() == pytest.approx(areas)
    assert impurity.score == pytest.approx(np.mean(areas))
    assert impurity.low < impurity.score < impurity.high
    frame = impurity.to_frame()
    assert frame['impurity'].is_monotonic_decreasing
    assert frame['impurity'].mean() == pytest.approx(impurity.score)


def test_nothing_outside_tells_nothing(data: Data) -> None:
    labels, points = data
    impurity = niche_impurity(labels[:, :1], labels[:, :1], points, samples=2)
    assert (impurity.outside == 0).all()
    assert impurity.score == 0.5


def test_another_head(data: Data) -> None:
    labels, points = data
    hidden = torch.cat((labels, (labels[:, :1] - labels[:, 1:2]).abs()), dim=1)
    # A is told by whether B is the same as A, for which a line is too little.
    both = hidden[:, [1, 4]]
    assert niche_impurity(both, labels[:, :1], points).score == pytest.approx(0.5)

    def products(x: Floats, y: Floats) -> Callable[[Floats], Floats]:
        model = LogisticRegression().fit(x[:, :1] * x[:, 1:], y)
        return lambda new: model.decision_function(new[:, :1] * new[:, 1:])

    found = niche_impurity(both, labels[:, :1], points, fit=products)
    assert found.score == pytest.approx(1)


class TestErrors:
    def test_rows(self, data: Data) -> None:
        labels, points = data
        with pytest.raises(
            ValueError, match='2560 rows of scores, 9 of labels and 2560'
        ):
            niche_impurity(labels, labels[:9], points)

    def test_names(self, data: Data) -> None:
        labels, points = data
        with pytest.raises(ValueError, match='4 concepts need as many names, not 3'):
            niche_impurity(labels[:, :3], labels, points, 'abc')

    def test_scores_that_are_not_finite(self, data: Data) -> None:
        labels, points = data
        scores = labels.clone()
        scores[5, 2] = torch.nan
        with pytest.raises(ValueError, match='Row 5 of the scores, counted from 0, is'):
            niche_impurity(scores, labels, points)

    def test_quantities(self, data: Data) -> None:
        labels, points = data
        with pytest.raises(ValueError, match='0 or 1; impurity is for classes'):
            niche_impurity(labels, labels * 2, points)

    def test_concept_that_never_holds(self, data: Data) -> None:
        labels, points = data
        never = labels.clone()
        never[:, 2] = torch.nan
        with pytest.raises(ValueError, match="'c' does not vary on a half"):
            niche_impurity(labels, never, points, 'abcd')

    def test_no_threshold(self, data: Data) -> None:
        labels, points = data
        with pytest.raises(ValueError, match='steps must be at least 1, not 0'):
            niche_impurity(labels, labels, points, steps=0)
