# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Niche impurity: information on a concept in the scores of others."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from torch import Tensor

from torchgeo_concepts.evaluate.agreement import Floats, auc
from torchgeo_concepts.evaluate.bootstrap import BlockBootstrap, interval
from torchgeo_concepts.evaluate.linear_heads import fit_regression, scale_of
from torchgeo_concepts.geo.splits import Rows

from .leakage import check_classes, halves

# Penalty of the squared weights of a head of standardised scores.
RIDGE = 1.0

type NicheFit = Callable[[Floats, Floats], Callable[[Floats], Floats]]


@dataclass(frozen=True, eq=False)
class NicheImpurity:
    """Niche impurity score of concept scores, with its parts.

    Attributes:
        score: The niche impurity score, averaged over concepts and thresholds, from 0.5
            by chance to 1.
        low: Lower end of its interval.
        high: Upper end.
        thresholds: Absolute correlations above which a score is in the niche of a
            concept, of shape ``(steps,)``.
        area: AUC from the scores outside the niche, of shape ``(k, steps)``.
        outside: Number of these scores, of the same shape.
        names: Names of the concepts.
    """

    score: float
    low: float
    high: float
    thresholds: Floats
    area: Floats
    outside: NDArray[np.int64]
    names: tuple[str, ...]

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each concept, the highest impurity first.

        Returns:
            A table of ``concept`` and ``impurity``, its AUC averaged over thresholds.
        """
        frame = pd.DataFrame(
            {'concept': list(self.names), 'impurity': self.area.mean(axis=1)}
        )
        return frame.sort_values(
            'impurity', ascending=False, kind='stable', ignore_index=True
        )


def linear_head(x: Floats, y: Floats) -> Callable[[Floats], Floats]:
    """Fit a ridge regression of a label; it ranks points as a linear discriminant does.

    Args:
        x: Standardised scores of shape ``(N, d)``.
        y: Labels of shape ``(N,)``.

    Returns:
        A function that predicts from scores.
    """
    head = fit_regression(Ridge(RIDGE), torch.from_numpy(x), torch.from_numpy(y))
    weight = head.weight[0].numpy()
    return lambda new: np.asarray(new @ weight)


def niche_impurity(
    scores: Tensor,
    labels: Tensor,
    points: Tensor,
    names: Sequence[str] | None = None,
    *,
    fit: NicheFit = linear_head,
    steps: int = 20,
    num_samples: int = 200,
    seed: int = 0,
) -> NicheImpurity:
    r"""Compute the niche impurity score of concept scores.

    The niche of concept ``i`` at a threshold :math:`\beta` is the set of scores that
    correlate with its label, :math:`N_i(\beta) = \{j : |\rho(\hat c_j, c_i)| > \beta\}`,
    by Pearson's correlation. Impurity is the AUC of a head of all other scores:

    .. math::

        \mathrm{NIS} = \int_0^1 \frac{1}{k} \sum_{i=1}^k
        \mathrm{AUC}\bigl(f_{i, \beta}(\hat c_{\setminus N_i(\beta)}), c_i\bigr)
        \, d\beta

    It is 0.5 if scores outside the niche do not predict the concept, and 1 if they predict
    it perfectly. Above the highest correlation a niche is empty, so even correct scores
    have more than 0.5. Compare with the score of the labels themselves, which shows how
    much concepts occur together on Earth.

    Half of the blocks of 10 degrees fits correlations and heads, the other half scores
    them. The paper fits one head to all scores and sets those of the niche to 0; here a
    head is fitted for each niche. The integral is the mean over thresholds in the middle
    of equal parts.

    If you use this in your research, please cite the following paper:

    * https://doi.org/10.48550/arXiv.2301.10367

    Args:
        scores: Scores of shape ``(N, d)``; there may be more or fewer than concepts.
        labels: 1 where a concept holds and 0 where not, of shape ``(N, k)``; NaN counts
            as 0.
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
        names: Names of the concepts, their numbers by default.
        fit: Function that fits a head to standardised scores of shape ``(n, d)`` and
            labels of shape ``(n,)``, and returns a function that predicts from scores.
        steps: Number of thresholds.
        num_samples: Number of resamples of blocks for the confidence interval.
        seed: Seed of halves and resamples.

    Returns:
        The score, its confidence interval, and its parts.

    Raises:
        ValueError: If numbers of rows or names differ, a score is not finite, a label is
            neither 0 nor 1, a concept does not vary on a half, or *steps* is less than 1.
    """
    if steps < 1:
        raise ValueError(f'steps must be at least 1, not {steps}.')
    titles, truth = check_classes(scores, labels, points, names)
    train, test = halves(truth, points, titles, seed)
    bootstrap = BlockBootstrap.from_points(
        points[torch.from_numpy(test)], num_samples, seed=seed
    )
    # Scores and labels are standardised by the half that is fitted on.
    x, y = (_standardised(values, train) for values in (scores.double().numpy(), truth))
    thresholds = (np.arange(steps) + 0.5) / steps
    correlation = np.abs(y[train].T @ x[train]) / len(train)
    outside = correlation[:, None] <= thresholds[:, None]
    found = np.stack(
        [
            _areas(x[train], x[test], label[train], label[test], own, fit, bootstrap)
            for label, own in zip(truth.T, outside, strict=True)
        ]
    )
    # A concept may be missing in a resample, which is then the mean of the others.
    each = np.nanmean(found, axis=(0, 1))
    return NicheImpurity(
        float(each[0]),
        *interval(each[1:]),
        thresholds,
        found[..., 0],
        outside.sum(axis=2),
        titles,
    )


def _standardised(values: Floats, train: Rows) -> Floats:
    mean, std = scale_of(torch.from_numpy(values[train]))
    return np.asarray((values - mean.numpy()) / std.numpy())


def _areas(
    train: Floats,
    test: Floats,
    train_label: Floats,
    test_label: Floats,
    outside: NDArray[np.bool_],
    fit: NicheFit,
    bootstrap: BlockBootstrap,
) -> Floats:
    """Return AUC at each threshold and resample, shape ``(steps, num_samples + 1)``."""
    # Between two correlations the niche stays the same.
    each, place = np.unique(outside, axis=0, return_inverse=True)
    known = (~np.isnan(test_label)).astype(np.float64)
    areas = []
    for own in each:
        predicted = np.zeros(len(test))
        if own.any():
            predicted = fit(train[:, own], train_label)(test[:, own])
        area = auc(predicted, np.nan_to_num(test_label))
        areas.append(bootstrap.resample(area, known))
    return np.asarray(areas)[place.reshape(-1)]
