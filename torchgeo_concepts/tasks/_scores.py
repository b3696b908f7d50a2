# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Metrics of predictions at points."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torchmetrics.functional import mean_absolute_error, mean_squared_error, r2_score
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_f1_score,
)

# Columns of the table that a test prints.
TITLES = {
    'r2': 'R²',
    'baseline_r2': 'R² by coordinates',
    'log_r2': 'R² of logarithms',
    'baseline_log_r2': 'R² of logarithms by coordinates',
    'rmse': 'RMSE',
    'mae': 'MAE',
    'coverage': 'coverage of {:.0%} intervals',
}


def regression_scores(preds: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Compute metrics of each target over the rows where it is known.

    Args:
        preds: Predictions of shape ``(N, t)``.
        target: Values of shape ``(N, t)``, NaN where missing.

    Returns:
        ``'r2'``, ``'rmse'`` and ``'mae'`` of shape ``(t,)``. NaN without rows, and for
        R² also if all values are the same.

    Example:
        >>> target = torch.tensor([[1.0], [3.0], [torch.nan]])
        >>> regression_scores(torch.tensor([[1.0], [2.0], [9.0]]), target)['r2']
        tensor([0.5000], dtype=torch.float64)
    """
    scores = torch.full((target.shape[1], 3), torch.nan, dtype=torch.float64)
    for row, pred, truth in zip(
        scores, preds.double().T, target.double().T, strict=True
    ):
        known = ~truth.isnan()
        pair = pred[known], truth[known]
        if not known.any():
            continue
        row[1] = mean_squared_error(*pair, squared=False)
        row[2] = mean_absolute_error(*pair)
        if pair[1].min() < pair[1].max():
            row[0] = r2_score(*pair)
    return dict(zip(('r2', 'rmse', 'mae'), scores.T, strict=True))


def name_scores(
    columns: Mapping[str, Tensor], targets: Sequence[str]
) -> dict[str, float]:
    """Return metrics by name: the mean over targets, and the value of each target.

    Args:
        columns: Metrics of shape ``(t,)`` by name.
        targets: Names of the targets.

    Returns:
        Means by name, such as ``'r2'``. With several targets, also the metrics of each
        target, such as ``'r2_elevation'``.
    """
    named = {}
    for name, column in columns.items():
        if not column.isnan().all():
            named[name] = float(column.nanmean())
        for target, value in zip(targets, column, strict=True):
            if len(column) > 1 and not value.isnan():
                named[f'{name}_{target}'] = float(value)
    return named


def score_table(
    columns: Mapping[str, Tensor],
    means: Mapping[str, float],
    targets: Sequence[str],
    confidence: float,
) -> list[list[str]]:
    """Make the printed table of metrics.

    Args:
        columns: Metrics of shape ``(t,)`` by name.
        means: Mean of each metric, if it is defined.
        targets: Names of the targets, with their units.
        confidence: Nominal coverage of intervals.

    Returns:
        The header, a row for each target, and, for several targets, a row of means.
    """
    shown = [name for name in TITLES if name in columns]
    rows = [['', *(TITLES[name].format(confidence) for name in shown)]]
    for place, target in enumerate(targets):
        rows.append([target, *(_text(n, float(columns[n][place])) for n in shown)])
    if len(targets) > 1:
        rows.append(['mean', *(_text(n, means.get(n, math.nan)) for n in shown)])
    return rows


def _text(name: str, value: float) -> str:
    if math.isnan(value):
        return '-'
    if name == 'coverage':
        return f'{value:.1%}'
    return f'{value:.3f}' if 'r2' in name else f'{value:,.4g}'


def classification_scores(logits: Tensor, target: Tensor) -> dict[str, float]:
    """Compute metrics over the rows whose class is known.

    Args:
        logits: Log-odds of shape ``(N, c)``.
        target: Classes of shape ``(N,)``, -1 where missing.

    Returns:
        ``'accuracy'``, ``'macro_f1'`` over the classes that occur or are predicted, and
        ``'top5'``, the fraction of rows whose class is among the five most likely. Empty
        if no class is known.

    Example:
        >>> logits = torch.eye(3)
        >>> classification_scores(logits, torch.tensor([0, 1, -1]))['accuracy']
        1.0
    """
    known = target >= 0
    if not known.any():
        return {}
    number = logits.shape[1]
    if number < 2:
        return {'accuracy': 1.0, 'macro_f1': 1.0, 'top5': 1.0}
    logits, target = logits[known], target[known]
    accuracy = multiclass_accuracy(logits, target, number, average='micro')
    f1 = multiclass_f1_score(logits, target, number, average='macro')
    top5 = logits.topk(min(5, number), dim=1).indices == target[:, None]
    return {
        'accuracy': float(accuracy),
        'macro_f1': float(f1),
        'top5': float(top5.any(dim=1).float().mean()),
    }
