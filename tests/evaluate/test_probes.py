# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from torchgeo_concepts.evaluate.probes import ALPHAS, ridge_probe, ridge_probes
from torchgeo_concepts.geo.splits import block_folds, random_folds


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
        assert score.std > 0

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
