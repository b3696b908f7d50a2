# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Fit sparse linear models of concepts, and compare them with models of an embedding."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import LogisticRegression, lasso_path
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import cross_val_score
from torch import Tensor

from ..concepts.bank import ConceptBank
from ..evaluate.linear_heads import LASSO_STEPS, fold_splits, scale_of
from ..evaluate.probes import NEVER
from ..geo.splits import Folds, block_folds
from ._scores import check_finite, check_rows, check_scores
from .bottleneck import Bottleneck, CurvePoint, best_point

# Penalties to try, relative to the smallest one that removes all features.
PENALTIES = tuple(10 ** np.linspace(-0.1, -2.8, 8))

# liblinear also penalises the intercept; a large constant makes that penalty small.
INTERCEPT_SCALING = 100.0

type Fitted = tuple[Tensor, Tensor]


def concept_bottleneck(
    z: Tensor,
    target: Tensor,
    points: Tensor,
    bank: ConceptBank,
    x: Tensor,
    *,
    classes: Sequence[str] | None = None,
    unit: str = '',
    block_degrees: float = 10,
) -> Bottleneck:
    """Fit a sparse linear model of concepts, and compare it with one of an embedding.

    No labels of concepts are needed, because an encoder has concept scores. A Lasso
    predicts a quantity; L1-penalised logistic regressions predict classes, each against
    all others. The same models are fitted on the embedding. The chosen penalty is the
    largest one whose score is within one standard error of the best. Scores are
    computed on held-out blocks. The same scores choose the penalty, so the best scores
    of both inputs are slightly too high.

    Args:
        z: Concept scores of shape ``(N, k)``.
        target: Values of shape ``(N,)``, or class numbers if *classes* are given.
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
        bank: The concepts, in the order of the scores.
        x: Embeddings of shape ``(N, d)``.
        classes: Names of the classes.
        unit: Unit of the quantity.
        block_degrees: Side of a block in degrees. All points of a block share a fold.

    Returns:
        The model, with the scores of both inputs.

    Raises:
        ValueError: If the inputs do not match; if a target or an embedding is not finite;
            if the target is constant in all rows or in a fold; or if the points lie in
            fewer blocks than folds.
    """
    check_scores(z, bank)
    check_rows(scores=z, targets=target, points=points, embeddings=x)
    check_finite(x, 'embeddings')
    y = _check_target(target, classes)
    folds = block_folds(points, degrees=block_degrees)
    _check_folds(folds, y, classes is not None)
    num_classes = 0 if classes is None else len(classes)
    curve = _score_path(z.double(), y, folds, num_classes)
    black_box = _score_path(x.double(), y, folds, num_classes)
    best = best_point(curve)
    chosen = next(
        n for n, point in enumerate(curve) if point.mean >= best.mean - best.error
    )
    mean, std = scale_of(z.double())
    weight, bias = _fit_path((z.double() - mean) / std, y, num_classes)[chosen]
    constant = DummyClassifier() if num_classes else DummyRegressor()
    splits = fold_splits(len(y), folds)
    return Bottleneck(
        bank,
        None if classes is None else tuple(classes),
        unit,
        'accuracy' if num_classes else 'R²',
        weight,
        bias,
        mean,
        std,
        curve,
        black_box,
        chosen,
        float(cross_val_score(constant, np.zeros((len(y), 1)), y, cv=splits).mean()),
    )


def _check_target(target: Tensor, classes: Sequence[str] | None) -> Tensor:
    """Validate the target, and return it in float64 or as class numbers."""
    y = target.double()
    is_missing = ~y.isfinite()
    if classes is not None:
        is_missing |= (y < 0) | (y >= len(classes)) | (y != y.round())
    if is_missing.any():
        wanted = (
            'a finite number' if classes is None else f'one of {len(classes)} classes'
        )
        raise ValueError(
            f'Row {int(is_missing.nonzero()[0])} of the target, counted from 0, is not '
            f'{wanted}; leave out such rows.'
        )
    if not len(y) or (y == y[0]).all():
        raise ValueError('The target is constant, so no model can be fitted.')
    return y if classes is None else y.long()


def _check_folds(folds: Folds, y: Tensor, is_class: bool) -> None:
    if any(len(fold) == 0 for fold in folds):
        raise ValueError(
            f'The points lie in too few blocks for {len(folds)} folds; use smaller '
            'blocks.'
        )
    for number, fold in enumerate(folds):
        if not is_class and (y[fold] == y[fold[0]]).all():
            raise ValueError(
                f'R² is not defined, because all values of fold {number}, counted from 0, '
                f'are {y[fold[0]].item():g}; use smaller blocks, or pass classes=.'
            )


def _score_path(
    features: Tensor, y: Tensor, folds: Folds, num_classes: int
) -> tuple[CurvePoint, ...]:
    """Score models of all penalties on held-out folds."""
    used, scores = np.empty((2, len(folds), len(PENALTIES)))
    for number, (train, fold) in enumerate(fold_splits(len(y), folds)):
        mean, std = scale_of(features[train])
        scaled = (features - mean) / std
        path = _fit_path(scaled[train], y[train], num_classes)
        for place, (weight, bias) in enumerate(path):
            output = scaled[fold] @ weight.T + bias
            used[number, place] = (weight != 0).any(dim=0).sum()
            if num_classes:
                score = accuracy_score(y[fold], output.argmax(dim=1))
            else:
                score = r2_score(y[fold], output[:, 0])
            scores[number, place] = score
    error = scores.std(axis=0, ddof=1) / np.sqrt(len(folds))
    columns = used.mean(axis=0), scores.mean(axis=0), error
    rows = zip(PENALTIES, *(column.tolist() for column in columns), strict=True)
    return tuple(CurvePoint(*row) for row in rows)


def _fit_path(x: Tensor, y: Tensor, num_classes: int) -> list[Fitted]:
    """Fit models of all penalties to standardised features."""
    if num_classes:
        each = [_logistic_path(x, (y == n).double()) for n in range(num_classes)]
        return [
            (
                torch.cat([weight for weight, _ in at]),
                torch.cat([bias for _, bias in at]),
            )
            for at in zip(*each, strict=True)
        ]
    centred = y - y.mean()
    largest = float((x.T @ centred).abs().max() / len(y))
    alphas = [penalty * largest for penalty in PENALTIES]
    _, weights, _ = lasso_path(
        x.numpy(), centred.numpy(), alphas=alphas, max_iter=LASSO_STEPS
    )
    return [(torch.from_numpy(w.copy())[None], y.mean()[None]) for w in weights.T]


def _logistic_path(x: Tensor, y: Tensor) -> list[Fitted]:
    """Fit logistic regressions of all penalties for one class against all others."""
    if not 0 < y.sum() < len(y):
        # A class without any row is never predicted.
        bias = torch.full((1,), -NEVER if y.any() else NEVER, dtype=torch.float64)
        return [(torch.zeros(1, x.shape[1], dtype=torch.float64), bias)] * len(
            PENALTIES
        )
    largest = float((x.T @ (y - y.mean())).abs().max())
    fitted = []
    for penalty in PENALTIES:
        model = LogisticRegression(
            C=1 / (penalty * largest),
            solver='liblinear',
            random_state=0,
            intercept_scaling=INTERCEPT_SCALING,
            **_l1_options(),
        ).fit(x.numpy(), y.numpy())
        coef, intercept = map(torch.from_numpy, (model.coef_, model.intercept_))
        fitted.append((coef, intercept))
    return fitted


def _l1_options() -> dict[str, Any]:
    """Return the options for an L1 penalty, which scikit-learn 1.8 renamed."""
    is_old = LogisticRegression().get_params()['penalty'] == 'l2'
    return {'penalty': 'l1'} if is_old else {'l1_ratio': 1.0}
