# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Linear heads that are fitted on some points and tried on others."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ..geo.splits import Folds
from .probes import LinearFit

# Least penalty of a sparse regression, as a part of the one that leaves no feature, and
# most steps of its optimiser.
LASSO_RANGE, LASSO_STEPS = 1e-2, 100_000

type Fit = Callable[[Tensor, Tensor], LinearFit]


def scale_of(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of features, 1 for those that do not vary.

    Args:
        x: Features of shape ``(N, d)``.

    Returns:
        Two tensors of shape ``(d,)``.
    """
    std = x.std(dim=0, correction=0)
    # Of equal values, too, rounding leaves a deviation, which must not be blown up.
    std[(x.amin(dim=0) == x.amax(dim=0)) | (std < torch.finfo(x.dtype).tiny)] = 1
    return x.mean(dim=0), std


def held_out_predictions(x: Tensor, y: Tensor, folds: Folds, fit: Fit) -> Tensor:
    """Predict each fold by a head that was fitted on the others.

    Args:
        x: Features of shape ``(N, d)``; they are standardised on each training fold.
        y: Values of shape ``(N,)``.
        folds: Rows of each test fold.
        fit: Fits a head to standardised features and values.

    Returns:
        Predictions of shape ``(N,)``, in float64.
    """
    x, y = x.double(), y.double()
    predicted = torch.full_like(y, torch.nan)
    for fold in map(torch.from_numpy, folds):
        train = torch.ones(len(x), dtype=torch.bool)
        train[fold] = False
        mean, std = scale_of(x[train])
        head = fit((x[train] - mean) / std, y[train])
        predicted[fold] = (x[fold] - mean) / std @ head.weight[0] + head.bias[0]
    return predicted


def mean_r2(y: Tensor, predicted: Tensor, folds: Folds) -> float:
    """Return the mean over folds of the coefficient of determination.

    Args:
        y: Values of shape ``(N,)``.
        predicted: Predictions of shape ``(N,)``.
        folds: Rows of each test fold.
    """
    scores = []
    for fold in map(torch.from_numpy, folds):
        total = (y[fold] - y[fold].mean()).square().sum()
        scores.append(1 - float((y[fold] - predicted[fold]).square().sum() / total))
    return float(np.mean(scores))


def fit_one_ridge(x: Tensor, y: Tensor, alpha: float) -> LinearFit:
    """Fit a ridge regression of one penalty, faster than those of many.

    Args:
        x: Features of shape ``(N, d)``, on one scale.
        y: Values of shape ``(N,)``.
        alpha: The penalty of the squared weights; the intercept has none.

    Returns:
        The model.
    """
    x, y = x.double(), y.double()
    x_mean, y_mean = x.mean(dim=0), y.mean()
    centred = x - x_mean
    moments = centred.T @ centred
    moments.diagonal().add_(alpha)
    weight = torch.linalg.solve(moments, centred.T @ (y - y_mean))
    return LinearFit(weight[None], (y_mean - x_mean @ weight)[None], (alpha,))


def choose_lasso(x: Tensor, y: Tensor, folds: Folds) -> float:
    """Choose the penalty of a sparse linear regression by cross-validation.

    Of the penalties whose squared error is within one standard error of the least, the
    largest is taken, which leaves the fewest features.

    Args:
        x: Features of shape ``(N, d)``, on one scale.
        y: Values of shape ``(N,)``.
        folds: Rows of each test fold; the others train.

    Returns:
        The penalty.
    """
    from sklearn.linear_model import LassoCV

    splits = [(np.setdiff1d(np.arange(len(x)), fold), fold) for fold in folds]
    path = LassoCV(cv=splits, eps=LASSO_RANGE, max_iter=LASSO_STEPS)
    path.fit(x.double().numpy(), y.double().numpy())
    errors = path.mse_path_.mean(axis=1)
    spread = path.mse_path_.std(axis=1) / np.sqrt(len(splits))
    best = errors.argmin()
    return float(path.alphas_[errors <= errors[best] + spread[best]].max())


def fit_lasso(x: Tensor, y: Tensor, alpha: float) -> LinearFit:
    """Fit a sparse linear regression.

    Args:
        x: Features of shape ``(N, d)``, on one scale.
        y: Values of shape ``(N,)``.
        alpha: The penalty.

    Returns:
        The model, in which the weights of most features are 0.
    """
    from sklearn.linear_model import Lasso

    model = Lasso(alpha, max_iter=LASSO_STEPS).fit(
        x.double().numpy(), y.double().numpy()
    )
    weight = torch.from_numpy(model.coef_).double()[None]
    bias = torch.tensor([float(model.intercept_)], dtype=torch.float64)
    return LinearFit(weight, bias, (alpha,))
