# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Linear heads of scikit-learn on frozen features, and their cross-validation."""

from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LassoCV
from sklearn.metrics import r2_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from ..geo.splits import Folds, Rows
from .probes import LinearFit

# Smallest penalty of a sparse regression, relative to the one that removes all features,
# and maximum number of steps of its optimiser.
LASSO_RANGE, LASSO_STEPS = 1e-2, 100_000


def scale_of(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of features; a deviation of 0 becomes 1.

    Args:
        x: Features of shape ``(N, d)``.

    Returns:
        Two tensors of shape ``(d,)``.
    """
    std = x.std(dim=0, correction=0)
    # The deviation of equal values can differ from 0 by rounding.
    std[(x.amin(dim=0) == x.amax(dim=0)) | (std < torch.finfo(x.dtype).tiny)] = 1
    return x.mean(dim=0), std


def fit_regression(model: Any, x: Tensor, y: Tensor) -> LinearFit:
    """Fit a linear regression of scikit-learn.

    Args:
        model: The regression, such as ``Ridge(alpha)`` or ``Lasso(alpha)``.
        x: Standardised features of shape ``(N, d)``.
        y: Values of shape ``(N,)``.

    Returns:
        The fitted head of one target.
    """
    model.fit(x.double().numpy(), y.double().numpy())
    weight = torch.from_numpy(model.coef_).double()[None]
    bias = torch.tensor([float(model.intercept_)], dtype=torch.float64)
    return LinearFit(weight, bias, (model.alpha,))


def held_out_predictions(x: Tensor, y: Tensor, folds: Folds, model: Any) -> Tensor:
    """Predict each fold with a regression that was fitted on the other folds.

    Args:
        x: Features of shape ``(N, d)``; they are standardised on each training fold.
        y: Values of shape ``(N,)``.
        folds: Rows of each test fold. Each row is in one fold.
        model: The regression of scikit-learn, such as ``Ridge(alpha)``.

    Returns:
        Predictions of shape ``(N,)``, in float64.
    """
    predicted = cross_val_predict(
        make_pipeline(StandardScaler(), model),
        x.double().numpy(),
        y.double().numpy(),
        cv=fold_splits(len(x), folds),
    )
    return torch.from_numpy(predicted)


def mean_r2(y: Tensor, predicted: Tensor, folds: Folds) -> float:
    """Return the mean coefficient of determination of the folds.

    Args:
        y: Values of shape ``(N,)``.
        predicted: Predictions of shape ``(N,)``.
        folds: Rows of each test fold.
    """
    return float(np.mean([r2_score(y[fold], predicted[fold]) for fold in folds]))


def choose_lasso(x: Tensor, y: Tensor, folds: Folds) -> float:
    """Choose the penalty of a sparse linear regression by cross-validation.

    Returns the largest penalty whose squared error is within one standard error of the
    smallest error. This penalty keeps the fewest features.

    Args:
        x: Standardised features of shape ``(N, d)``.
        y: Values of shape ``(N,)``.
        folds: Rows of each test fold.

    Returns:
        The penalty.
    """
    splits = fold_splits(len(x), folds)
    path = LassoCV(cv=splits, eps=LASSO_RANGE, max_iter=LASSO_STEPS)
    path.fit(x.double().numpy(), y.double().numpy())
    errors = path.mse_path_.mean(axis=1)
    spread = path.mse_path_.std(axis=1) / np.sqrt(len(splits))
    best = errors.argmin()
    return float(path.alphas_[errors <= errors[best] + spread[best]].max())


def fold_splits(number: int, folds: Folds) -> list[tuple[Rows, Rows]]:
    """Return the training and test rows of each fold.

    Args:
        number: Number of rows.
        folds: Rows of each test fold.
    """
    return [(np.setdiff1d(np.arange(number), fold), fold) for fold in folds]
