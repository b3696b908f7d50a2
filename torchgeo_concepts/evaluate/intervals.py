# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Intervals that hold a given share of the values, and the loss of their bounds."""

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor


def pinball_loss(preds: Tensor, target: Tensor, quantiles: Sequence[float]) -> Tensor:
    """Compute the mean loss that quantiles minimise, where the target is known.

    If you use this loss in your research, please cite the following paper:

    * https://doi.org/10.2307/1913643

    Args:
        preds: Predicted quantiles of shape ``(N, t, q)``.
        target: Values of shape ``(N, t)``, NaN where unknown.
        quantiles: The quantiles.

    Returns:
        The loss, a scalar; 0 if nothing is known.

    Example:
        >>> preds = torch.tensor([[[1.0, 2.0]]])
        >>> pinball_loss(preds, torch.tensor([[3.0]]), (0.5, 0.9))
        tensor(0.9500)
    """
    known = ~target.isnan()
    error = torch.where(known, target, 0)[..., None] - preds
    level = preds.new_tensor(quantiles)
    loss = torch.maximum(level * error, (level - 1) * error)
    total = torch.where(known[..., None], loss, 0).sum()
    return total / (known.sum() * len(quantiles)).clamp(min=1)


def conformal_margin(scores: Tensor, level: float) -> float:
    """Find the margin that makes intervals hold a share of new values.

    It does so whatever the model, if new rows come from where those of the scores do;
    places far from all of them do not.

    If you use this in your research, please cite the following papers:

    * https://doi.org/10.1080/01621459.2017.1307116
    * https://doi.org/10.48550/arXiv.1905.03222

    Args:
        scores: How far each value lies outside its interval, or how far from its
            prediction, of shape ``(N,)``, of rows that nothing was trained on.
        level: The share.

    Returns:
        The margin, infinite if there are too few rows for the share.

    Example:
        >>> conformal_margin(torch.arange(9.0), 0.9)
        8.0
    """
    rank = math.ceil((len(scores) + 1) * level)
    if rank > len(scores):
        return math.inf
    return scores.sort().values[rank - 1].item()


def coverage(lower: Tensor, upper: Tensor, target: Tensor) -> Tensor:
    """Compute the share of values that lie in their intervals.

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
    """Refuse quantiles that make no prediction or no interval.

    Args:
        quantiles: The quantiles.

    Returns:
        The quantiles.

    Raises:
        ValueError: If they do not ascend between 0 and 1 around 0.5.
    """
    levels = tuple(map(float, quantiles))
    is_ascending = all(a < b for a, b in itertools.pairwise(levels))
    if not is_ascending or not levels or levels[0] <= 0 or levels[-1] >= 1:
        raise ValueError(f'quantiles must ascend between 0 and 1, not {levels}.')
    if 0.5 not in levels or len(levels) < 3 or not levels[0] < 0.5 < levels[-1]:
        raise ValueError(
            f'quantiles need 0.5, which is the prediction, with others on both sides; '
            f'not {levels}.'
        )
    return levels
