# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Linear probes of frozen features, by the protocol of CoordBench."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .splits import Folds, block_folds, random_folds

__all__ = ('ALPHAS', 'ProbeScore', 'block_folds', 'random_folds', 'ridge_probe')

ALPHAS = 10.0 ** np.arange(-4, 6.5, 0.5)


@dataclass(frozen=True)
class ProbeScore:
    """How well features predict a target.

    Attributes:
        r2: Coefficient of determination on each fold.
        alpha: Penalty of the ridge regression, the best by the mean over the folds.
    """

    r2: tuple[float, ...]
    alpha: float

    @property
    def mean(self) -> float:
        """Mean over the folds."""
        return float(np.mean(self.r2))

    @property
    def std(self) -> float:
        """Standard deviation over the folds."""
        return float(np.std(self.r2))


def ridge_probe(
    features: Tensor, target: Tensor, folds: Folds, alphas: NDArray[np.float64] = ALPHAS
) -> ProbeScore:
    """Predict a target by ridge regression, in closed form.

    Features are standardised on each training fold, and the intercept is not penalised.
    The penalty is the best by the mean score over the folds themselves, so that all
    scores are slightly high, and equally so for all features.

    Args:
        features: Features of shape ``(N, d)``.
        target: Values of shape ``(N,)``.
        folds: Rows of each test fold; the others train.
        alphas: Penalties to choose from.

    Returns:
        The scores.

    Raises:
        ValueError: If there is not one value for each row, or one of them is not finite,
            or a fold is empty or has a single value only.
    """
    if len(features) != len(target):
        raise ValueError(f'{len(features)} rows of features, {len(target)} values.')
    if not (features.isfinite().all() and target.isfinite().all()):
        raise ValueError('Features and values must be finite.')
    x, y = features.double(), target.double()
    scores = torch.stack(
        [_fold_scores(x, y, torch.from_numpy(fold), alphas) for fold in folds]
    )
    best = int(scores.mean(dim=0).argmax())
    return ProbeScore(tuple(scores[:, best].tolist()), float(alphas[best]))


def _fold_scores(
    x: Tensor, y: Tensor, fold: Tensor, alphas: NDArray[np.float64]
) -> Tensor:
    """Score each penalty on one fold."""
    test = torch.zeros(len(x), dtype=torch.bool)
    test[fold] = True
    if not test.any() or test.all() or y[test].min() == y[test].max():
        raise ValueError(
            'R² is not defined: a fold is empty, or its values are all the same.'
        )
    mean, std = x[~test].mean(dim=0), x[~test].std(dim=0, correction=0)
    std[std == 0] = 1
    train_x, test_x = (x[~test] - mean) / std, (x[test] - mean) / std
    offset = y[~test].mean()
    # One decomposition serves all penalties.
    values, vectors = torch.linalg.eigh(train_x.T @ train_x)
    moment = vectors.T @ (train_x.T @ (y[~test] - offset))
    penalty = torch.from_numpy(alphas)
    weights = vectors @ (moment[:, None] / (values.clamp(min=0)[:, None] + penalty))
    error = y[test][:, None] - offset - test_x @ weights
    total = (y[test] - y[test].mean()).square().sum()
    scores: Tensor = 1 - error.square().sum(dim=0) / total
    return scores
