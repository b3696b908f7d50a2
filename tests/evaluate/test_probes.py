# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from torchgeo_concepts.evaluate.probes import (
    ALPHAS,
    NEVER,
    fit_logistic,
    ridge_probe,
    ridge_probes,
)
from torchgeo_concepts.geo.splits import block_folds, random_folds

Numbers = NDArray[np.float64]


@pytest.fixture
def points() -> Tensor:
    unit = torch.rand(900, 2, generator=torch.Generator().manual_seed(0))
    return unit * torch.tensor([360, 180]) - torch.tensor([180, 90])


class TestFolds:
    def test_random(self) -> None:
        folds = random_folds(103)
        assert sorted(np.concatenate(folds).tolist()) == list(range(103))
        expected = np.random.default_rng(0).permutation(103)[2::5]
        assert folds[2].tolist() == expected.tolist()

    def test_blocks(self, points: Tensor) -> None:
        folds = block_folds(points)
        assert sorted(np.concatenate(folds).tolist()) == list(range(900))
        blocks = [
            {tuple(b) for b in np.floor(points[fold].numpy() / 10)} for fold in folds
        ]
        for first in range(5):
            for second in range(first):
                assert not blocks[first] & blocks[second]

    def test_blocks_are_numbered_as_the_protocol_says(self, points: Tensor) -> None:
        keys = [
            int(np.floor(lat / 10)) * 100_003 + int(np.floor(lon / 10))
            for lon, lat in points.tolist()
        ]
        unique = sorted(set(keys))
        order = np.random.default_rng(0).permutation(len(unique))
        fold_of = {key: order[i] % 5 for i, key in enumerate(unique)}
        expected = [fold_of[key] for key in keys]
        for fold, rows in enumerate(block_folds(points)):
            assert rows.tolist() == [r for r in range(900) if expected[r] == fold]


class TestRidge:
    def test_equals_scikit_learn(self) -> None:
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(200, 12, generator=generator) * torch.arange(1, 13)
        y = x @ torch.randn(12, generator=generator) + 20
        y += 8 * torch.randn(200, generator=generator)
        folds = random_folds(200)
        means = []
        for alpha in ALPHAS:
            scores = []
            for fold in folds:
                train = np.setdiff1d(np.arange(200), fold)
                model = make_pipeline(StandardScaler(), Ridge(alpha))
                model.fit(x[train].double(), y[train].double())
                scores.append(model.score(x[fold].double(), y[fold].double()))
            means.append(np.mean(scores))
        score = ridge_probe(x, y, folds)
        assert score.mean == pytest.approx(max(means), abs=1e-9)
        assert score.alpha == ALPHAS[int(np.argmax(means))]

    def test_several_targets_at_once(self) -> None:
        generator = torch.Generator().manual_seed(1)
        x = torch.randn(150, 6, generator=generator)
        noise = torch.randn(150, 3, generator=generator)
        y = x @ torch.randn(6, 3, generator=generator) + noise
        folds = random_folds(150)
        for column, score in enumerate(ridge_probes(x, y, folds)):
            alone = ridge_probe(x, y[:, column], folds)
            assert score.r2 == pytest.approx(alone.r2, abs=1e-12)
            assert score.alpha == alone.alpha

    def test_a_feature_that_never_varies_in_training(self) -> None:
        x = torch.randn(100, 3, dtype=torch.float64)
        y = x[:, 0] + 0.1
        # The mean of equal numbers is not always that number.
        x[:, 2] = 0.1
        x[:50, 2] = torch.rand(50).double()
        assert ridge_probe(x, y, [np.arange(50)]).mean > 0.99

    def test_features_that_tell_the_fold_are_worth_nothing(
        self, points: Tensor
    ) -> None:
        folds = block_folds(points)
        fold = torch.empty(900, dtype=torch.long)
        for number, rows in enumerate(folds):
            fold[torch.from_numpy(rows)] = number
        target = fold * 10.0 + torch.randn(900)
        # Known in training for other folds only, so of no use on the one tested.
        features = torch.nn.functional.one_hot(fold).float()
        assert ridge_probe(features, target, folds).mean <= 0

    def test_constant_feature(self) -> None:
        x = torch.cat((torch.ones(50, 1), torch.arange(50.0)[:, None]), dim=1)
        assert ridge_probe(x, x[:, 1], random_folds(50)).mean > 0.999

    def test_undefined(self) -> None:
        folds = random_folds(20)
        with pytest.raises(ValueError, match='R² is not defined'):
            ridge_probe(torch.randn(20, 2), torch.ones(20), folds)
        with pytest.raises(ValueError, match='must be finite'):
            ridge_probe(torch.full((20, 2), torch.nan), torch.randn(20), folds)
        with pytest.raises(ValueError, match='got 19 and 20'):
            ridge_probe(torch.randn(19, 2), torch.randn(20), folds)


class TestLogistic:
    @pytest.mark.parametrize('num_classes', [2, 3])
    @pytest.mark.parametrize('penalty', [0.3, 0.01])
    def test_penalty_is_half_the_squared_weights_beside_the_mean_loss(
        self, num_classes: int, penalty: float
    ) -> None:
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=(60, 3)), rng.integers(0, num_classes, 60)
        x[:, 0] += y

        def loss(parameters: Numbers) -> float:
            weight, bias = _split(parameters, num_classes)
            odds = x @ weight.T + bias
            entropy = (logsumexp(odds, axis=1) - odds[np.arange(60), y]).mean()
            return float(entropy + penalty / 2 * (weight**2).sum())

        found = minimize(loss, np.zeros(4 * num_classes), tol=1e-10)
        weight, bias = _split(found.x, num_classes)
        data = torch.from_numpy(x), torch.from_numpy(y)
        fit = fit_logistic(*data, num_classes, *data, penalties=[penalty])
        assert fit.penalty == (penalty,)
        np.testing.assert_allclose(fit.weight, weight, atol=1e-4)
        np.testing.assert_allclose(fit.bias - fit.bias.mean(), bias, atol=1e-4)

    @pytest.mark.parametrize('num_classes', [2, 3])
    def test_penalty_without_validation_rows_is_one_over_n(
        self, num_classes: int
    ) -> None:
        x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
        y = torch.arange(50) % num_classes
        fit = fit_logistic(x, y, num_classes)
        expected = fit_logistic(x, y, num_classes, x, y, penalties=[1 / 50])
        assert fit.penalty == (0.02,)
        torch.testing.assert_close(fit.weight, expected.weight)

    def test_penalty_is_chosen_on_validation_rows(self) -> None:
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(300, 4, generator=generator)
        noise = torch.randn(300, generator=generator)
        y = torch.bucketize(3 * x[:, 0] + noise, torch.tensor([-1.0, 1.0]))
        fit = fit_logistic(x[:200], y[:200], 3, x[200:], y[200:])
        assert 1e-5 < fit.penalty[0] < 1e-1
        predicted = (x.double() @ fit.weight.T + fit.bias).argmax(dim=1)
        assert (predicted == y).float().mean() > 0.7

    def test_classes_without_rows_are_never_predicted(self) -> None:
        x, y = torch.randn(30, 2), torch.tensor([1, 3, -1]).repeat(10)
        fit = fit_logistic(x, y, 5, x, torch.tensor([0, 1, 3]).repeat(10))
        assert (fit.bias == NEVER).tolist() == [True, False, True, False, True]
        one = fit_logistic(x, torch.full((30,), 2), 4)
        assert one.bias.argmax() == 2
        assert not one.weight.any()
        with pytest.raises(ValueError, match='No row has a class'):
            fit_logistic(x, torch.full((30,), -1), 4)


def _split(parameters: Numbers, num_classes: int) -> tuple[Numbers, Numbers]:
    table = parameters.reshape(num_classes, 4)
    return table[:, :3], table[:, 3] - table[:, 3].mean()
