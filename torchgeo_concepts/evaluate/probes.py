# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Linear models of frozen features, and their scores by the protocol of CoordBench."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..geo.splits import Folds

ALPHAS = 10.0 ** np.arange(-4, 6.5, 0.5)

# Of logistic regression, strongest first, since each fit starts from the one before.
PENALTIES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)

# Log-odds of a class that has no row to learn it from.
NEVER = -100.0


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
    [score] = ridge_probes(features, target[:, None], folds, alphas)
    return score


def ridge_probes(
    features: Tensor,
    targets: Tensor,
    folds: Folds,
    alphas: NDArray[np.float64] = ALPHAS,
) -> tuple[ProbeScore, ...]:
    """Predict each of several targets as :func:`ridge_probe` does, in less time.

    Args:
        features: Features of shape ``(N, d)``.
        targets: Values of shape ``(N, t)``.
        folds: Rows of each test fold; the others train.
        alphas: Penalties to choose from, for each target on its own.

    Returns:
        The scores of each target.

    Raises:
        ValueError: As :func:`ridge_probe` does, if it would for any target.
    """
    if len(features) != len(targets):
        raise ValueError(f'{len(features)} rows of features, {len(targets)} values.')
    if not (features.isfinite().all() and targets.isfinite().all()):
        raise ValueError('Features and values must be finite.')
    x, y = features.double(), targets.double()
    scores = torch.stack(
        [_fold_scores(x, y, torch.from_numpy(fold), alphas) for fold in folds]
    )
    best = scores.mean(dim=0).argmax(dim=0).tolist()
    return tuple(
        ProbeScore(tuple(scores[:, place, column].tolist()), float(alphas[place]))
        for column, place in enumerate(best)
    )


def _fold_scores(
    x: Tensor, y: Tensor, fold: Tensor, alphas: NDArray[np.float64]
) -> Tensor:
    """Score each penalty and target on one fold."""
    test = torch.zeros(len(x), dtype=torch.bool)
    test[fold] = True
    if (
        not test.any()
        or test.all()
        or (y[test].amin(dim=0) == y[test].amax(dim=0)).any()
    ):
        raise ValueError(
            'R² is not defined: a fold is empty, or its values are all the same.'
        )
    train_x, test_x = x[~test], x[test]
    mean, std = train_x.mean(dim=0), train_x.std(dim=0, correction=0)
    # Of equal values, too, rounding leaves a deviation, which must not be blown up.
    std[train_x.amin(dim=0) == train_x.amax(dim=0)] = 1
    weight, bias = ridge_path((train_x - mean) / std, y[~test], alphas)
    # All penalties and targets in one product.
    columns = weight.permute(1, 0, 2).reshape(x.shape[1], -1)
    predicted = (((test_x - mean) / std) @ columns).reshape(-1, *bias.shape) + bias
    total = (y[test] - y[test].mean(dim=0)).square().sum(dim=0)
    scores: Tensor = 1 - (y[test][:, None] - predicted).square().sum(dim=0) / total
    return scores


def ridge_path(
    x: Tensor, y: Tensor, alphas: NDArray[np.float64] = ALPHAS
) -> tuple[Tensor, Tensor]:
    """Fit ridge regressions of several penalties, in closed form.

    Args:
        x: Features of shape ``(N, d)`` in float64, on one scale.
        y: Values of shape ``(N, t)`` in float64.
        alphas: Penalties of the squared weights; the intercept has none.

    Returns:
        Weights of shape ``(len(alphas), d, t)`` and intercepts of shape
        ``(len(alphas), t)``.
    """
    x_mean, y_mean = x.mean(dim=0), y.mean(dim=0)
    centred = x - x_mean
    # One decomposition serves all penalties.
    values, vectors = torch.linalg.eigh(centred.T @ centred)
    moment = vectors.T @ (centred.T @ (y - y_mean))
    penalty = torch.from_numpy(alphas)[:, None]
    shrunk = moment / (values.clamp(min=0) + penalty)[:, :, None]
    weight = vectors @ shrunk
    return weight, y_mean - x_mean @ weight


@dataclass(frozen=True)
class LinearFit:
    """A linear model.

    Attributes:
        weight: Weights of shape ``(t, d)``, in float64.
        bias: Intercepts of shape ``(t,)``.
        penalty: Penalties of the weights that were chosen.
    """

    weight: Tensor
    bias: Tensor
    penalty: tuple[float, ...]


def fit_ridge(
    x: Tensor,
    y: Tensor,
    val_x: Tensor | None = None,
    val_y: Tensor | None = None,
    alphas: NDArray[np.float64] = ALPHAS,
) -> LinearFit:
    """Fit ridge regressions whose penalties are chosen on other rows.

    Args:
        x: Features of shape ``(N, d)``, on one scale.
        y: Values of shape ``(N, t)``, NaN where missing.
        val_x: Features of the rows to choose penalties on.
        val_y: Their values. Of a target that is missing in all of them the penalty
            is 1.
        alphas: Penalties to choose from.

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
        columns = (group == number).nonzero().flatten()
        path, offsets = ridge_path(
            x[rows].double(), y[rows][:, columns].double(), alphas
        )
        for place, column in enumerate(columns.tolist()):
            own, own_bias = path[:, :, place], offsets[:, place]
            best = _best_penalty(own, own_bias, val_x, val_y, column)
            if best is None:
                best = int(np.abs(alphas - 1).argmin())
            weight[column], bias[column] = own[best], own_bias[best]
            penalty[column] = float(alphas[best])
    return LinearFit(weight, bias, tuple(penalty))


def _best_penalty(
    weight: Tensor,
    bias: Tensor,
    val_x: Tensor | None,
    val_y: Tensor | None,
    column: int,
) -> int | None:
    """Return the number of the best penalty of a target, if any row can tell."""
    if val_x is None or val_y is None:
        return None
    known = ~val_y[:, column].isnan()
    if not known.any():
        return None
    predicted = val_x[known].double() @ weight.T + bias
    error = predicted - val_y[known, column].double()[:, None]
    return int(error.square().mean(dim=0).argmin())


def fit_logistic(
    x: Tensor,
    y: Tensor,
    num_classes: int,
    val_x: Tensor | None = None,
    val_y: Tensor | None = None,
    penalties: Sequence[float] = PENALTIES,
    max_iterations: int = 100,
) -> LinearFit:
    """Fit a multinomial logistic regression whose penalty is chosen on other rows.

    Args:
        x: Features of shape ``(N, d)``, on one scale.
        y: Numbers of the classes of shape ``(N,)``, -1 where missing.
        num_classes: Number of classes. Those that no row has are never predicted.
        val_x: Features of the rows to choose the penalty on. Without them it is 1 / N,
            scikit-learn's default.
        val_y: Their classes.
        penalties: Factors of half the squared weights, beside the mean loss of a row,
            in descending order. Weaker ones are left out once they do no better.
        max_iterations: Most steps of the optimiser for each penalty.

    Returns:
        The model, of log-odds.

    Raises:
        ValueError: If no row has a class.
    """
    x, y = x[y >= 0].float(), y[y >= 0]
    if not len(y):
        raise ValueError('No row has a class to learn.')
    classes, own = y.unique(return_inverse=True)
    fit = torch.zeros(len(classes), x.shape[1] + 1)
    if val_x is not None and val_y is not None:
        val_known = torch.isin(val_y, classes)
        val_x, val_own = (
            val_x[val_known].float(),
            torch.searchsorted(classes, val_y[val_known]),
        )
    if val_x is None or not len(val_x):
        penalties, val_x, val_own = (1 / len(x),), x, own
    best, best_loss, chosen = fit, np.inf, float(penalties[0])
    for penalty in penalties:
        fit = _minimise(x, own, fit, penalty, max_iterations)
        loss = F.cross_entropy(F.linear(val_x, fit[:, :-1], fit[:, -1]), val_own).item()
        if loss >= best_loss:
            break
        best, best_loss, chosen = fit, loss, penalty
    weight = torch.zeros(num_classes, x.shape[1], dtype=torch.float64)
    bias = torch.full((num_classes,), NEVER, dtype=torch.float64)
    weight[classes], bias[classes] = best[:, :-1].double(), best[:, -1].double()
    return LinearFit(weight, bias, (chosen,))


def _minimise(
    x: Tensor, y: Tensor, start: Tensor, penalty: float, max_iterations: int
) -> Tensor:
    """Minimise the penalised loss, which is convex, from a start."""
    parameters = start.clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [parameters],
        max_iter=max_iterations,
        tolerance_grad=1e-6,
        tolerance_change=1e-9,
        history_size=10,
        line_search_fn='strong_wolfe',
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        weight = parameters[:, :-1]
        loss = F.cross_entropy(F.linear(x, weight, parameters[:, -1]), y)
        loss = loss + penalty / 2 * weight.square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        optimizer.step(closure)
    return parameters.detach()
