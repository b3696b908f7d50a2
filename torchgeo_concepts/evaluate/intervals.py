# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Prediction intervals: quantile loss, conformal margins and coverage."""

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor


def pinball_loss(preds: Tensor, target: Tensor, quantiles: Sequence[float]) -> Tensor:
    """Compute the mean quantile loss over known targets.

    If you use this loss in your research, please cite the following paper:

    * https://doi.org/10.2307/1913643

    Args:
        preds: Predicted quantiles of shape ``(N, t, q)``.
        target: Values of shape ``(N, t)``, NaN where unknown.
        quantiles: The quantiles.

    Returns:
        The loss, a scalar; 0 if no target is known.

    Example:
        >>> preds = torch.tensor([[[1.0, 2.0]]])
        >>> pinball_loss(preds, torch.tensor([[3.0]]), (0.5, 0.9))
        tensor(0.9500)
    """
    known = ~target.isnan()
    error = torch.where(known, target, 0)[..., None] - preds
    quantile = preds.new_tensor(quantiles)
    loss = torch.maximum(quantile * error, (quantile - 1) * error)
    total = torch.where(known[..., None], loss, 0).sum()
    return total / (known.sum() * len(quantiles)).clamp(min=1)


def conformal_margin(scores: Tensor, confidence: float) -> float:
    """Compute the margin with which prediction intervals have a given coverage.

    The coverage holds for any model and for new rows from the distribution of the
    scored rows. It does not hold far from all scored rows.

    If you use this in your research, please cite the following papers:

    * https://doi.org/10.1080/01621459.2017.1307116
    * https://doi.org/10.48550/arXiv.1905.03222

    Args:
        scores: Conformity scores of held-out rows, of shape ``(N,)``: the distance of
            each value from its prediction, or how far it is outside its interval.
        confidence: Share of new values inside their intervals.

    Returns:
        The margin, infinite if there are too few rows.

    Example:
        >>> conformal_margin(torch.arange(9.0), 0.9)
        8.0
    """
    rank = math.ceil((len(scores) + 1) * confidence)
    if rank > len(scores):
        return math.inf
    return scores.sort().values[rank - 1].item()


def coverage(lower: Tensor, upper: Tensor, target: Tensor) -> Tensor:
    """Compute the share of values inside their intervals.

    Args:
        lower: Lower ends of shape ``(N,)``.
        upper: Upper ends of shape ``(N,)``.
        target: Values of shape ``(N,)``.

    Returns:
        The share; NaN without values.

    Example:
        >>> coverage(torch.zeros(2), torch.ones(2), torch.tensor([0.5, 2.0]))
        tensor(0.5000)
    """
    return ((lower <= target) & (target <= upper)).float().mean()


def check_quantiles(quantiles: Sequence[float]) -> tuple[float, ...]:
    """Validate the quantiles of a prediction interval.

    Args:
        quantiles: The quantiles.

    Returns:
        The quantiles.

    Raises:
        ValueError: If they do not ascend between 0 and 1, or lack 0.5 or a quantile on
            either side of it.
    """
    values = tuple(map(float, quantiles))
    is_ascending = all(a < b for a, b in itertools.pairwise((0.0, *values, 1.0)))
    if not is_ascending or not values:
        raise ValueError(f'quantiles must ascend between 0 and 1, got {values}.')
    if 0.5 not in values or not values[0] < 0.5 < values[-1]:
        raise ValueError(
            'quantiles must include 0.5, the prediction, and at least one on either '
            f'side of it, got {values}.'
        )
    return values
