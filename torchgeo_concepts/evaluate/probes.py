# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Linear probes of frozen features, scored by CoordBench's protocol."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, r2_score
from torch import Tensor

from ..geo.splits import Folds, Rows

ALPHAS = 10.0 ** np.arange(-4, 6.5, 0.5)

# Descending penalties of logistic regression: each fit starts from the previous one.
PENALTIES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)

# Maximum number of steps of the optimiser of logistic regression, for each penalty.
MAX_STEPS = 100

# Log-odds of a class without training rows.
NEVER = -100.0


@dataclass(frozen=True)
class ProbeScore:
    """Score of a ridge regression of one target on features.

    Attributes:
        r2: Coefficient of determination of each fold.
        alpha: Penalty of the ridge regression with the best mean score.
    """

    r2: tuple[float, ...]
    alpha: float

    @property
    def mean(self) -> float:
        """Return the mean of the folds."""
        return float(np.mean(self.r2))


def ridge_probe(features: Tensor, target: Tensor, folds: Folds) -> ProbeScore:
    """Score a ridge regression of a target on features.

    Features are standardised on each training fold, and the intercept is not penalised.
    The penalty of :data:`ALPHAS` with the best mean score on the test folds is chosen,
    so the scores of all features are slightly too high.

    Args:
        features: Features of shape ``(N, d)``.
        target: Values of shape ``(N,)``.
        folds: Rows of each test fold; the other rows are trained on.

    Returns:
        The score.

    Raises:
        ValueError: If the numbers of rows differ, a number is not finite, or a fold is
            empty or has only one value.
    """
    [score] = ridge_probes(features, target[:, None], folds)
    return score


def ridge_probes(
    features: Tensor, targets: Tensor, folds: Folds
) -> tuple[ProbeScore, ...]:
    """Score several targets as :func:`ridge_probe` does, in less time.

    Args:
        features: Features of shape ``(N, d)``.
        targets: Values of shape ``(N, t)``.
        folds: Rows of each test fold; the other rows are trained on.

    Returns:
        The score of each target.

    Raises:
        ValueError: If :func:`ridge_probe` raises one for any target.
    """
    if len(features) != len(targets):
        raise ValueError(
            f'Expected as many rows of features as of targets, got {len(features)} and '
            f'{len(targets)}.'
        )
    if not (features.isfinite().all() and targets.isfinite().all()):
        raise ValueError('Features and targets must be finite.')
    x, y = features.double(), targets.double()
    scores = np.stack([_fold_scores(x, y, fold) for fold in folds])
    best = scores.mean(axis=0).argmax(axis=0).tolist()
    return tuple(
        ProbeScore(tuple(scores[:, place, column].tolist()), float(ALPHAS[place]))
        for column, place in enumerate(best)
    )


def _fold_scores(x: Tensor, y: Tensor, fold: Rows) -> NDArray[np.float64]:
    """Return R² of each penalty and target on one fold."""
    test = torch.zeros(len(x), dtype=torch.bool)
    test[torch.from_numpy(fold)] = True
    truth = y[test]
    if not len(truth) or test.all() or (truth.amin(0) == truth.amax(0)).any():
        raise ValueError(
            'R² is not defined: a fold is empty, or its values are all the same.'
        )
    train_x = x[~test]
    mean, std = train_x.mean(dim=0), train_x.std(dim=0, correction=0)
    # The deviation of equal values can differ from 0 by rounding.
    std[train_x.amin(dim=0) == train_x.amax(dim=0)] = 1
    weight, bias = ridge_path((train_x - mean) / std, y[~test])
    # All penalties and targets in one product.
    columns = weight.permute(1, 0, 2).reshape(x.shape[1], -1)
    predicted = ((x[test] - mean) / std) @ columns + bias.flatten()
    repeated = truth.repeat(1, len(ALPHAS))
    r2: NDArray[np.float64] = r2_score(repeated, predicted, multioutput='raw_values')
    return r2.reshape(len(ALPHAS), -1)


def ridge_path(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Fit ridge regressions of all penalties of :data:`ALPHAS`, in closed form.

    Args:
        x: Standardised features of shape ``(N, d)`` in float64.
        y: Values of shape ``(N, t)`` in float64.

    Returns:
        Weights of shape ``(len(ALPHAS), d, t)`` and intercepts of shape
        ``(len(ALPHAS), t)``. Intercepts are not penalised.
    """
    x_mean, y_mean = x.mean(dim=0), y.mean(dim=0)
    centred = x - x_mean
    # One decomposition serves all penalties.
    values, vectors = torch.linalg.eigh(centred.T @ centred)
    moment = vectors.T @ (centred.T @ (y - y_mean))
    penalty = torch.from_numpy(ALPHAS)[:, None]
    shrunk = moment / (values.clamp(min=0) + penalty)[:, :, None]
    weight = vectors @ shrunk
    return weight, y_mean - x_mean @ weight


@dataclass(frozen=True)
class LinearFit:
    """Fitted linear model of one or more targets, or of the log-odds of classes.

    Attributes:
        weight: Weights of shape ``(t, d)``, in float64.
        bias: Intercepts of shape ``(t,)``.
        penalty: Chosen penalty of the weights, one for all or one for each target.
    """

    weight: Tensor
    bias: Tensor
    penalty: tuple[float, ...]


def fit_ridge(
    x: Tensor, y: Tensor, val_x: Tensor | None = None, val_y: Tensor | None = None
) -> LinearFit:
    """Fit ridge regressions and choose their penalties on validation rows.

    Args:
        x: Standardised features of shape ``(N, d)``.
        y: Values of shape ``(N, t)``, NaN where missing.
        val_x: Features of the validation rows.
        val_y: Values of the validation rows. The penalty is 1 for a target that is
            missing in all of these rows.

    Returns:
        The model, with a penalty for each target.

    Raises:
        ValueError: If a target is missing in all rows.
    """
    known = ~y.isnan()
    if not known.any(dim=0).all():
        column = int((~known.any(dim=0)).nonzero()[0])
        raise ValueError(f'Target {column} is missing in all {len(y)} rows.')
    dim, targets = x.shape[1], y.shape[1]
    weight = torch.empty(targets, dim, dtype=torch.float64)
    bias = torch.empty(targets, dtype=torch.float64)
    penalty = [0.0] * targets
    # Targets that are known in the same rows share the decomposition.
    patterns, group = known.unique(dim=1, return_inverse=True)
    for number, rows in enumerate(patterns.T):
        columns = (group == number).nonzero().flatten().tolist()
        path, offsets = ridge_path(x[rows].double(), y[rows][:, columns].double())
        for place, column in enumerate(columns):
            own, own_bias = path[:, :, place], offsets[:, place]
            best = int(np.abs(ALPHAS - 1).argmin())
            if val_x is not None and val_y is not None:
                tested = ~val_y[:, column].isnan()
                if tested.any():
                    error = val_x[tested].double() @ own.T + own_bias
                    error -= val_y[tested, column].double()[:, None]
                    best = int(error.square().mean(dim=0).argmin())
            weight[column], bias[column] = own[best], own_bias[best]
            penalty[column] = float(ALPHAS[best])
    return LinearFit(weight, bias, tuple(penalty))


def fit_logistic(
    x: Tensor,
    y: Tensor,
    num_classes: int,
    val_x: Tensor | None = None,
    val_y: Tensor | None = None,
    penalties: Sequence[float] = PENALTIES,
) -> LinearFit:
    """Fit a multinomial logistic regression and choose its penalty on validation rows.

    Args:
        x: Standardised features of shape ``(N, d)``.
        y: Class numbers of shape ``(N,)``, -1 where missing.
        num_classes: Number of classes. A class without rows is never predicted.
        val_x: Features of the validation rows. Without them, the penalty is 1 / N,
            scikit-learn's default for more than two classes.
        val_y: Classes of the validation rows.
        penalties: Penalties in descending order. The loss is the mean cross-entropy of
            the rows plus the penalty times half the squared weights. The search stops
            at the first penalty that is no better than the previous one.

    Returns:
        The model of the log-odds.

    Raises:
        ValueError: If no row has a class.
    """
    x, y = x[y >= 0].double(), y[y >= 0]
    if not len(y):
        raise ValueError('No row has a class; at least one class must be known.')
    weight = torch.zeros(num_classes, x.shape[1], dtype=torch.float64)
    bias = torch.full((num_classes,), NEVER, dtype=torch.float64)
    classes = y.unique()
    if val_x is not None and val_y is not None:
        known = torch.isin(val_y, classes)
        val_x, val_y = val_x[known].double(), val_y[known]
    if val_x is None or val_y is None or not len(val_y):
        penalties, val_x, val_y = (1 / len(x),), x, y
    if len(classes) == 1:
        bias[classes] = 0
        return LinearFit(weight, bias, (float(penalties[0]),))
    # For two classes, scikit-learn penalises the difference of the weights.
    scale = 2 if len(classes) == 2 else 1
    model = LogisticRegression(tol=1e-6, max_iter=MAX_STEPS, warm_start=True)
    best_loss, chosen = np.inf, float(penalties[0])
    for penalty in penalties:
        model.C = scale / (penalty * len(x))
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', ConvergenceWarning)
            model.fit(x.numpy(), y.numpy())
        odds = model.predict_proba(val_x.numpy())
        loss = log_loss(val_y.numpy(), odds, labels=classes.numpy())
        if loss >= best_loss:
            break
        best_loss, chosen = loss, penalty
        coef = torch.from_numpy(model.coef_.copy())
        intercept = torch.from_numpy(model.intercept_.copy())
        if scale == 2:
            half = torch.tensor([[-0.5], [0.5]], dtype=torch.float64)
            coef, intercept = half * coef, half[:, 0] * intercept
        weight[classes], bias[classes] = coef, intercept
    return LinearFit(weight, bias, (chosen,))
