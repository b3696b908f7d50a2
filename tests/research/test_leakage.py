# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.


import numpy as np
import pytest
import torch
from concept_purity.leakage import label_leakage, oracle_impurity
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score, roc_auc_score
from torch import Tensor

from torchgeo_concepts.evaluate.agreement import Floats
from torchgeo_concepts.evaluate.bootstrap import BlockBootstrap, interval
from torchgeo_concepts.evaluate.linear_heads import held_out_predictions
from torchgeo_concepts.evaluate.probes import ridge_probe
from torchgeo_concepts.geo.splits import block_folds

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


def test_interval_of_leakage_is_of_draws_of_blocks(data: Data) -> None:
    labels, points = data
    generator = torch.Generator().manual_seed(3)
    y = labels[:, 0] + torch.randn(3000, generator=generator)
    scores = labels + 0.2 * y[:, None]
    folds, draws = block_folds(points), BlockBootstrap.from_points(points, 20)

    def r2(x: Tensor, weight: Floats) -> float:
        alpha = ridge_probe(x, y, folds).alpha
        predicted = held_out_predictions(x, y, folds, Ridge(alpha))
        each = [
            r2_score(y[fold], predicted[fold], sample_weight=weight[fold])
            for fold in folds
        ]
        return float(np.mean(each))

    # How often each row is drawn, the first time as it is.
    weights = draws.counts[:, draws.block]
    gap = np.array([r2(scores, weight) - r2(labels, weight) for weight in weights])
    found = label_leakage(scores, labels, y, points, samples=20)
    assert found == pytest.approx((gap[0], *interval(gap[1:])))
    assert found[2] - found[1] > 0.001


class TestErrors:
    def test_names(self, data: Data) -> None:
        labels, points = data
        with pytest.raises(ValueError, match='4 concepts need as many names, not 3'):
            oracle_impurity(labels, labels, points, 'abc')

    @pytest.mark.parametrize('value', [torch.nan, torch.inf])
    def test_scores_that_are_not_finite(self, data: Data, value: float) -> None:
        labels, points = data
        scores = labels.clone()
        scores[5, 2] = value
        with pytest.raises(ValueError, match='Row 5 of the scores, counted from 0, is'):
            oracle_impurity(scores, labels, points)

    def test_concept_without_labels(self, data: Data) -> None:
        labels, points = data
        unknown = labels.clone()
        unknown[:, 1] = torch.nan
        with pytest.raises(ValueError, match='must be finite'):
            label_leakage(labels, unknown, labels[:, 0], points)

    def test_shapes(self, data: Data) -> None:
        labels, points = data
        with pytest.raises(ValueError, match=r'\(3000, 3\), labels \(3000, 4\)'):
            oracle_impurity(labels[:, :3], labels, points)

    def test_rows(self, data: Data) -> None:
        labels, points = data
        with pytest.raises(ValueError, match='of scores, 3000 of labels and 9 points'):
            oracle_impurity(labels, labels, points[:9])

    def test_halves_without_points(self, data: Data) -> None:
        labels, _ = data
        with pytest.raises(ValueError, match="'0' does not vary on a half"):
            oracle_impurity(labels, labels, torch.ones(3000, 2))

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
