# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import itertools

import numpy as np
import pytest
import torch
from concept_purity.leakage import label_leakage, oracle_impurity
from concept_purity.niches import linear_head, niche_impurity
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
    """Independent labels of four concepts, and points."""
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(3000, 2, generator=generator) * 160 - 80
    return (torch.rand(3000, 4, generator=generator) < 0.4).float(), points


@pytest.fixture(scope='module')
def grid() -> Data:
    """All combinations of four labels in each of 40 blocks, and points."""
    every = torch.tensor(list(itertools.product((0.0, 1.0), repeat=4)))
    corners = torch.tensor([(10.0 * n - 95, lat) for n in range(20) for lat in (5, 25)])
    points = corners.repeat_interleave(len(every) * 4, dim=0)
    return every.repeat(len(corners) * 4, 1), points


class TestOracleImpurity:
    def test_labels_are_pure(self, data: Data) -> None:
        labels, points = data
        impurity = oracle_impurity(labels, labels, points, num_samples=20)
        assert impurity.score == pytest.approx(0, abs=1e-9)
        assert impurity.purity.diagonal() == pytest.approx(np.ones(4))
        assert (impurity.low, impurity.high) == pytest.approx((0, 0), abs=1e-9)

    def test_scores_that_predict_all_concepts_are_impure(self, data: Data) -> None:
        labels, points = data
        # One of 16 values for each combination of labels.
        all_labels = (labels * 2.0 ** torch.arange(4)).sum(dim=1, keepdim=True)
        impurity = oracle_impurity(
            all_labels.expand(-1, 4), labels, points, 'abcd', bins=64, num_samples=20
        )
        # For 12 of 16 pairs, AUC is 1 from the score and 0.5 from the label.
        expected = 2 / 4 * np.sqrt(12 * 0.5**2)
        assert impurity.score == pytest.approx(expected, abs=0.05)
        assert impurity.low < impurity.score < impurity.high
        worst = impurity.worst(3)
        assert (worst['score_of'] != worst['predicts']).all()
        assert worst['score'].min() > 0.95

    def test_definition(self, data: Data) -> None:
        labels, points = data
        generator = torch.Generator().manual_seed(1)
        scores = labels + 0.5 * torch.randn(labels.shape, generator=generator)
        scores[:, 0] += labels[:, 1]
        impurity = oracle_impurity(scores, labels, points, num_samples=20)
        gap = impurity.purity - impurity.ideal
        assert impurity.score == pytest.approx(np.linalg.norm(gap) * 2 / 4)
        # For a score that rises with its label, bins give the AUC of the score.
        _, test = block_folds(points, 2)
        area = roc_auc_score(labels[test, 2], scores[test, 2])
        assert impurity.purity[2, 2] == pytest.approx(area, abs=0.02)
        [first] = impurity.worst(1).to_dict('records')
        assert (first['score_of'], first['predicts']) == ('0', '1')


class TestLabelLeakage:
    def test_information_beyond_labels_leaks(self, data: Data) -> None:
        labels, points = data
        hidden = torch.randn(3000, generator=torch.Generator().manual_seed(2))
        y = labels[:, 0] + hidden
        scores = labels.clone()
        scores[:, 1] += 0.5 * hidden
        leak, low, high = label_leakage(scores, labels, y, points)
        assert low <= leak <= high
        assert leak > 0.3
        assert label_leakage(labels, labels, y, points) == (0, 0, 0)

    def test_interval_is_of_resampled_blocks(self, data: Data) -> None:
        labels, points = data
        generator = torch.Generator().manual_seed(3)
        y = labels[:, 0] + torch.randn(3000, generator=generator)
        scores = labels + 0.2 * y[:, None]
        folds = block_folds(points)
        bootstrap = BlockBootstrap.from_points(points, 20)

        def r2(x: Tensor, weight: Floats) -> float:
            model = Ridge(ridge_probe(x, y, folds).alpha)
            predicted = held_out_predictions(x, y, folds, model)
            each = [
                r2_score(y[fold], predicted[fold], sample_weight=weight[fold])
                for fold in folds
            ]
            return float(np.mean(each))

        # The first row of counts is the full data.
        weights = bootstrap.counts[:, bootstrap.block]
        gap = np.array([r2(scores, weight) - r2(labels, weight) for weight in weights])
        found = label_leakage(scores, labels, y, points, num_samples=20)
        assert found == pytest.approx((gap[0], *interval(gap[1:])))
        assert found[2] - found[1] > 0.001


class TestNicheImpurity:
    def test_a_niche_ends_at_its_correlation(self, grid: Data) -> None:
        labels, points = grid
        # Right in 3 of 4 rows of each label: a correlation of one half.
        right = torch.arange(len(labels)) // 16 % 4 > 0
        scores = torch.where(right[:, None], labels, 1 - labels)
        impurity = niche_impurity(scores, labels, points, steps=10, num_samples=2)
        assert (impurity.outside[:, :5] == 3).all()
        assert (impurity.outside[:, 5:] == 4).all()
        assert impurity.area[:, :5] == pytest.approx(0.5, abs=1e-9)
        assert impurity.area[:, 5:] == pytest.approx(0.75, abs=1e-9)

    def test_definition(self, grid: Data) -> None:
        labels, points = grid
        generator = torch.Generator().manual_seed(1)
        scores = labels + torch.randn(labels.shape, generator=generator)
        scores[:, 0] += labels[:, 1]
        train, test = block_folds(points, 2)
        x, y = scores.double().numpy(), labels.numpy()
        x = (x - x[train].mean(axis=0)) / x[train].std(axis=0)
        areas = []
        for concept in range(4):
            both = np.corrcoef(x[train].T, y[train, concept])
            for threshold in (0.125, 0.375, 0.625, 0.875):
                own = abs(both[-1, :-1]) <= threshold
                head = linear_head(x[train][:, own], y[train, concept].astype(float))
                areas.append(roc_auc_score(y[test, concept], head(x[test][:, own])))
        impurity = niche_impurity(scores, labels, points, steps=4, num_samples=50)
        assert impurity.area.ravel() == pytest.approx(areas)
        assert impurity.score == pytest.approx(np.mean(areas))
        assert impurity.low < impurity.score < impurity.high
        assert impurity.to_frame()['impurity'].is_monotonic_decreasing


class TestErrors:
    def test_scores_that_are_not_finite(self, data: Data) -> None:
        labels, points = data
        scores = labels.clone()
        scores[5, 2] = torch.nan
        with pytest.raises(ValueError, match='Row 5 of the scores, counted from 0, is'):
            niche_impurity(scores, labels, points)

    def test_rows(self, data: Data) -> None:
        labels, points = data
        with pytest.raises(ValueError, match='of scores, 3000 of labels and 9 points'):
            oracle_impurity(labels, labels, points[:9])

    def test_quantities(self, data: Data) -> None:
        labels, points = data
        with pytest.raises(ValueError, match='Labels must be 0 or 1'):
            oracle_impurity(labels, labels * 2, points)

    def test_constant_concept(self, data: Data) -> None:
        labels, points = data
        never = labels.clone()
        never[:, 2] = 0
        with pytest.raises(ValueError, match="'c' does not vary on a half"):
            oracle_impurity(labels, never, points, 'abcd')
