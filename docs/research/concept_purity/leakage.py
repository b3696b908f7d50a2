# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Oracle impurity and label leakage: information in scores beyond their names."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import Ridge
from torch import Tensor

from torchgeo_concepts.evaluate.agreement import Floats
from torchgeo_concepts.evaluate.bootstrap import BlockBootstrap, interval
from torchgeo_concepts.evaluate.linear_heads import held_out_predictions
from torchgeo_concepts.evaluate.probes import ridge_probe
from torchgeo_concepts.geo.splits import Folds, Rows, block_folds

# Bins of scores, with equal numbers of points.
BINS = 20


@dataclass(frozen=True, eq=False)
class Impurity:
    """Oracle impurity score of concept scores, with its parts.

    Attributes:
        score: The oracle impurity score, from 0 to 1.
        low: Lower end of its interval.
        high: Upper end.
        purity: AUC of shape ``(k, k)``: row ``i`` and column ``j`` have that of predicting
            the label of concept ``j`` from the score of concept ``i``.
        ideal: The same from the label of concept ``i``.
        names: Names of the concepts.
    """

    score: float
    low: float
    high: float
    purity: Floats
    ideal: Floats
    names: tuple[str, ...]

    def worst(self, number: int = 10) -> pd.DataFrame:
        """Return the pairs in which a score predicts most beyond its label.

        Args:
            number: Number of pairs.

        Returns:
            A table of ``score_of``, the concept of the score; ``predicts``, the other
            concept; and AUC from the ``score`` and from the ``label``.
        """
        excess = self.purity - self.ideal
        np.fill_diagonal(excess, -np.inf)
        order = np.argsort(-excess, axis=None)[:number]
        rows = [
            (self.names[i], self.names[j], self.purity[i, j], self.ideal[i, j])
            for i, j in zip(*np.unravel_index(order, excess.shape), strict=True)
        ]
        return pd.DataFrame(rows, columns=['score_of', 'predicts', 'score', 'label'])


def oracle_impurity(
    scores: Tensor,
    labels: Tensor,
    points: Tensor,
    names: Sequence[str] | None = None,
    *,
    bins: int = BINS,
    num_samples: int = 200,
    seed: int = 0,
) -> Impurity:
    r"""Compute the oracle impurity score of concept scores.

    It is :math:`\frac{2}{k} \lVert \pi(\hat c, c) - \pi(c, c) \rVert_F`, where
    :math:`\pi_{ij}` is the AUC of predicting the label of concept ``j`` from one number of
    concept ``i``. It is 0 if scores predict other concepts as well as true labels do, and
    1 if every score predicts all concepts, and labels do not predict each other. The
    prediction is the mean label in each bin of the number. Half of the blocks of 10
    degrees fit it, the other half scores it.

    Pure graded scores have a little more than 0, since rates of many bins are estimated
    from fewer points than those of the two values of a label.

    If you use this in your research, please cite the following paper:

    * https://doi.org/10.48550/arXiv.2301.10367

    Args:
        scores: Scores of shape ``(N, k)``.
        labels: 1 where a concept holds and 0 where not, of shape ``(N, k)``; NaN counts
            as 0.
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
        names: Names of the concepts, their numbers by default.
        bins: Number of bins of scores. Labels have two.
        num_samples: Number of resamples of blocks for the confidence interval.
        seed: Seed of halves and resamples.

    Returns:
        The score, its parts, and a confidence interval: that of the resamples, shifted to
        the score.

    Raises:
        ValueError: If shapes or the number of names differ, a score is not finite, a
            label is neither 0 nor 1, or a concept does not vary on a half.
    """
    if scores.shape != labels.shape:
        raise ValueError(
            f'Scores have shape {tuple(scores.shape)}, labels {tuple(labels.shape)}; '
            'pass the same rows and concepts.'
        )
    titles, truth = check_classes(scores, labels, points, names)
    train, test = halves(truth, points, titles, seed)
    bootstrap = BlockBootstrap.from_points(points[test], num_samples, seed=seed)
    numbers = scores.double().numpy()
    purity, ideal = (
        np.stack(
            [
                _predict_labels(columns[:, i], truth, train, test, steps, bootstrap)
                for i in range(truth.shape[1])
            ]
        )
        for columns, steps in ((numbers, bins), (truth, 2))
    )
    # A concept may be missing in a resample; otherwise the area is defined.
    gap = np.nan_to_num(purity - ideal)
    each = 2 / len(titles) * np.sqrt((gap**2).sum(axis=(0, 1)))
    # A norm of noisy numbers is biased upwards, more so in resamples: use their spread.
    low, high = interval(each[1:] - each[1:].mean() + each[0])
    return Impurity(
        float(each[0]), low, high, purity[..., 0], ideal[..., 0].copy(), titles
    )


def check_classes(
    scores: Tensor, labels: Tensor, points: Tensor, names: Sequence[str] | None
) -> tuple[tuple[str, ...], Floats]:
    """Validate scores and labels of classes.

    Args:
        scores: Scores of shape ``(N, d)``.
        labels: 1 where a concept holds and 0 where not, of shape ``(N, k)``; NaN counts
            as 0.
        points: Points of shape ``(N, 2)``.
        names: Names of the concepts, their numbers by default.

    Returns:
        Names, and labels without NaN.

    Raises:
        ValueError: If numbers of rows or names differ, a score is not finite, or a label
            is neither 0 nor 1.
    """
    if not len(scores) == len(labels) == len(points):
        raise ValueError(
            f'Expected equal numbers of rows, got {len(scores)} of scores, {len(labels)} '
            f'of labels and {len(points)} points.'
        )
    number = labels.shape[1]
    titles = tuple(map(str, range(number) if names is None else names))
    if len(titles) != number:
        raise ValueError(f'Expected {number} names, got {len(titles)}.')
    bad = ~scores.isfinite().all(dim=1)
    if bad.any():
        raise ValueError(
            f'Row {int(bad.nonzero()[0])} of the scores, counted from 0, is not finite; '
            'leave out such rows.'
        )
    truth = labels.double().nan_to_num().numpy()
    if not np.isin(truth, (0, 1)).all():
        raise ValueError('Labels must be 0 or 1; leave out quantities.')
    return titles, truth


def halves(
    truth: Floats, points: Tensor, names: Sequence[str], seed: int
) -> tuple[Rows, Rows]:
    """Split points in two halves of the blocks of 10 degrees.

    Args:
        truth: Labels of shape ``(N, k)``.
        points: Points of shape ``(N, 2)``.
        names: Names of the concepts.
        seed: Seed of the split.

    Returns:
        The rows of each half.

    Raises:
        ValueError: If a concept does not vary on either half.
    """
    train, test = block_folds(points, 2, seed)
    for rows in (train, test):
        constant = (truth[rows] == truth[rows[:1]]).all(axis=0)
        if constant.any():
            raise ValueError(
                f'Concept {names[int(constant.argmax())]!r} does not vary on a half of '
                'the blocks; leave it out or use more points.'
            )
    return train, test


def _predict_labels(
    values: Floats,
    truth: Floats,
    train: Rows,
    test: Rows,
    bins: int,
    bootstrap: BlockBootstrap,
) -> Floats:
    """Return the AUC of each label in each resample, of shape ``(k, num_samples + 1)``."""
    edges = np.unique(np.quantile(values[train], np.linspace(0, 1, bins + 1)[1:-1]))
    if bins == 2:
        edges = np.array([0.5])
    place = np.searchsorted(edges, values, 'right')
    number = len(edges) + 1
    one_hot = np.eye(number)[place]
    count = one_hot[train].sum(axis=0)[:, None]
    # An empty bin gets the mean of all points.
    mean = truth[train].mean(axis=0)
    rate = (one_hot[train].T @ truth[train] + mean) / (count + 1)
    in_block = np.zeros((bootstrap.counts.shape[1], number, truth.shape[1]))
    np.add.at(in_block, (bootstrap.block, place[test]), truth[test])
    every = np.zeros(in_block.shape[:2])
    np.add.at(every, (bootstrap.block, place[test]), 1)
    holds = np.tensordot(bootstrap.counts, in_block, 1)
    fails = (bootstrap.counts @ every)[:, :, None] - holds
    order = np.argsort(rate, axis=0)[None]
    holds, fails = (np.take_along_axis(part, order, axis=1) for part in (holds, fails))
    below = fails.cumsum(axis=1) - fails / 2
    with np.errstate(invalid='ignore'):
        area = (holds * below).sum(axis=1) / (holds.sum(axis=1) * fails.sum(axis=1))
    return np.asarray(area.T)


def label_leakage(
    scores: Tensor, labels: Tensor, y: Tensor, points: Tensor, num_samples: int = 200
) -> tuple[float, float, float]:
    """Compare predictions of a target from scores with those from true labels.

    Leave out concepts that name or determine the target: no score can predict it better
    than their labels.

    Args:
        scores: Scores of shape ``(N, k)``.
        labels: True labels or values of the same concepts, of shape ``(N, k)``; NaN
            counts as the mean.
        y: Values of shape ``(N,)``.
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
        num_samples: Number of resamples of blocks for the confidence interval.

    Returns:
        R² of a ridge regression from the scores minus that from the labels, in held-out
        blocks of 10 degrees, and its 95% confidence interval. Above 0, scores carry
        information beyond their names.

    Raises:
        ValueError: As :func:`~torchgeo_concepts.evaluate.probes.ridge_probe` does, and if a
            concept has no label anywhere.
    """
    filled = torch.where(labels.isnan(), labels.nanmean(dim=0), labels)
    folds: Folds = block_folds(points)
    bootstrap = BlockBootstrap.from_points(points, num_samples)
    # Both in the same resamples, so that common noise cancels.
    own, ideal = (_held_out_r2(x, y, folds, bootstrap) for x in (scores, filled))
    gap = own - ideal
    return float(gap[0]), *interval(gap[1:])


def _held_out_r2(
    x: Tensor, y: Tensor, folds: Folds, bootstrap: BlockBootstrap
) -> Floats:
    """Return R² of a ridge regression, averaged over folds, in each resample."""
    model = Ridge(ridge_probe(x, y, folds).alpha)
    predicted = held_out_predictions(x, y, folds, model).numpy()
    scores = []
    for fold in folds:
        truth = np.full(len(y), np.nan)
        truth[fold] = y[fold].numpy()
        scores.append(bootstrap.r2(truth, predicted))
    return np.asarray(np.nanmean(scores, axis=0))
