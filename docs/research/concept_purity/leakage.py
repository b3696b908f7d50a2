# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""How much concept scores carry beyond what their names say."""

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

# Steps into which scores are cut, each as full as the others.
BINS = 20


@dataclass(frozen=True, eq=False)
class Impurity:
    """How much more, or less, scores tell of other concepts than true labels do.

    Attributes:
        score: The oracle impurity score, from 0 to 1.
        low: Lower end of its interval.
        high: Upper end.
        purity: AUC of shape ``(k, k)``: row ``i`` and column ``j`` have how well the
            score of concept ``i`` tells the label of concept ``j``.
        ideal: The same for the true labels of concept ``i``.
        names: Names of the concepts.
    """

    score: float
    low: float
    high: float
    purity: Floats
    ideal: Floats
    names: tuple[str, ...]

    def worst(self, number: int = 10) -> pd.DataFrame:
        """Return the pairs in which scores tell most beyond their names.

        Args:
            number: How many.

        Returns:
            A table of ``score_of``, the concept whose score it is, ``tells``, the other
            concept, and AUC by ``score`` and by ``label``.
        """
        excess = self.purity - self.ideal
        np.fill_diagonal(excess, -np.inf)
        order = np.argsort(-excess, axis=None)[:number]
        rows = [
            (self.names[i], self.names[j], self.purity[i, j], self.ideal[i, j])
            for i, j in zip(*np.unravel_index(order, excess.shape), strict=True)
        ]
        return pd.DataFrame(rows, columns=['score_of', 'tells', 'score', 'label'])


def oracle_impurity(
    scores: Tensor,
    labels: Tensor,
    points: Tensor,
    names: Sequence[str] | None = None,
    *,
    bins: int = BINS,
    samples: int = 200,
    seed: int = 0,
) -> Impurity:
    r"""Compute the oracle impurity score of concept scores.

    It is :math:`\frac{2}{k} \lVert \pi(\hat c, c) - \pi(c, c) \rVert_F`, where
    :math:`\pi_{ij}` is the AUC with which one number for concept ``i`` tells the label
    of concept ``j``: 0 if scores tell of other concepts as much as true labels do, 1 if
    every score tells all concepts, and labels tell nothing of each other. What tells is
    the mean label in each of some bins of the number, learned on half of the blocks of 10
    degrees and tried on the other.

    Graded scores, with more bins than a label has values, do not have exactly 0, however
    pure, since rates of more bins are learned less well from as many points.

    If you use this in your research, please cite the following paper:

    * https://doi.org/10.48550/arXiv.2301.10367

    Args:
        scores: Scores of shape ``(N, k)``.
        labels: 1 where a concept holds and 0 where not, of shape ``(N, k)``; NaN counts
            as 0.
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
        names: Names of the concepts, their numbers by default.
        bins: Number of bins of scores. Labels have two.
        samples: Number of draws of blocks that the interval is made of.
        seed: Seed of halves and draws.

    Returns:
        The score, its interval, and what it is made of. The interval is as wide as that
        of the draws and lies around the score.

    Raises:
        ValueError: If shapes differ, there is not one name for each concept, a score is
            not finite, labels are others than 0 and 1, or a concept does not vary on
            either half.
    """
    if scores.shape != labels.shape:
        raise ValueError(
            f'Scores have shape {tuple(scores.shape)}, labels {tuple(labels.shape)}; '
            'both must be the same rows and concepts.'
        )
    titles, truth = check_classes(scores, labels, points, names)
    train, test = halves(truth, points, titles, seed)
    draws = BlockBootstrap.from_points(points[test], samples, seed=seed)
    numbers = scores.double().numpy()
    purity, ideal = (
        np.stack(
            [
                _tells(columns[:, i], truth, train, test, steps, draws)
                for i in range(truth.shape[1])
            ]
        )
        for columns, steps in ((numbers, bins), (truth, 2))
    )
    # A concept may be missing in a draw; elsewhere there is always an area.
    gap = np.nan_to_num(purity - ideal)
    each = 2 / len(titles) * np.sqrt((gap**2).sum(axis=(0, 1)))
    # A norm of noisy numbers is too large, in draws even more so: only their spread counts.
    low, high = interval(each[1:] - each[1:].mean() + each[0])
    return Impurity(
        float(each[0]), low, high, purity[..., 0], ideal[..., 0].copy(), titles
    )


def check_classes(
    scores: Tensor, labels: Tensor, points: Tensor, names: Sequence[str] | None
) -> tuple[tuple[str, ...], Floats]:
    """Refuse what has no impurity.

    Args:
        scores: Scores of shape ``(N, d)``.
        labels: 1 where a concept holds and 0 where not, of shape ``(N, k)``; NaN counts
            as 0.
        points: Points of shape ``(N, 2)``.
        names: Names of the concepts, their numbers by default.

    Returns:
        Names, and labels without NaN.

    Raises:
        ValueError: If numbers of rows or names differ, a score is not finite, or labels
            are others than 0 and 1.
    """
    if not len(scores) == len(labels) == len(points):
        raise ValueError(
            f'There are {len(scores)} rows of scores, {len(labels)} of labels and '
            f'{len(points)} points; there must be as many of each.'
        )
    number = labels.shape[1]
    titles = tuple(map(str, range(number) if names is None else names))
    if len(titles) != number:
        raise ValueError(f'{number} concepts need as many names, not {len(titles)}.')
    bad = ~scores.isfinite().all(dim=1)
    if bad.any():
        raise ValueError(
            f'Row {int(bad.nonzero()[0])} of the scores, counted from 0, is not finite. '
            'Leave out such rows.'
        )
    truth = labels.double().nan_to_num().numpy()
    if not np.isin(truth, (0, 1)).all():
        raise ValueError('Labels must be 0 or 1; impurity is for classes alone.')
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
        # Few points may leave a half without any.
        constant = (truth[rows] == truth[rows[:1]]).all(axis=0)
        if constant.any():
            raise ValueError(
                f'Concept {names[int(constant.argmax())]!r} does not vary on a half of '
                'the blocks. Leave it out, or take more points.'
            )
    return train, test


def _tells(
    values: Floats,
    truth: Floats,
    train: Rows,
    test: Rows,
    bins: int,
    draws: BlockBootstrap,
) -> Floats:
    """Return how well numbers tell each label, in each draw, of shape ``(k, draws)``."""
    edges = np.unique(np.quantile(values[train], np.linspace(0, 1, bins + 1)[1:-1]))
    if bins == 2:
        edges = np.array([0.5])
    place = np.searchsorted(edges, values, 'right')
    number = len(edges) + 1
    one_hot = np.eye(number)[place]
    count = one_hot[train].sum(axis=0)[:, None]
    # A bin that is empty says what all points say.
    mean = truth[train].mean(axis=0)
    rate = (one_hot[train].T @ truth[train] + mean) / (count + 1)
    in_block = np.zeros((draws.counts.shape[1], number, truth.shape[1]))
    np.add.at(in_block, (draws.block, place[test]), truth[test])
    every = np.zeros(in_block.shape[:2])
    np.add.at(every, (draws.block, place[test]), 1)
    holds = np.tensordot(draws.counts, in_block, 1)
    fails = (draws.counts @ every)[:, :, None] - holds
    order = np.argsort(rate, axis=0)[None]
    holds, fails = (np.take_along_axis(part, order, axis=1) for part in (holds, fails))
    below = fails.cumsum(axis=1) - fails / 2
    with np.errstate(invalid='ignore'):
        area = (holds * below).sum(axis=1) / (holds.sum(axis=1) * fails.sum(axis=1))
    return np.asarray(area.T)


def label_leakage(
    scores: Tensor, labels: Tensor, y: Tensor, points: Tensor, samples: int = 200
) -> tuple[float, float, float]:
    """Tell how much more of a target scores know than the truth of their names does.

    Labels that name the target or determine it decide the result: nothing can know more
    than they do. Leave such concepts out of both.

    Args:
        scores: Scores of shape ``(N, k)``.
        labels: What is true of the same concepts, of shape ``(N, k)``; NaN counts as
            the mean.
        y: Values of shape ``(N,)``.
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
        samples: Number of draws of blocks that the interval is made of.

    Returns:
        R² of a ridge regression of the scores less that of the labels, in held-out
        blocks of 10 degrees, and the interval that has 95% of its draws. More than 0 is
        what scores carry beyond their names.

    Raises:
        ValueError: As :func:`~torchgeo_concepts.evaluate.probes.ridge_probe` does, and if a
            concept has no label anywhere.
    """
    filled = torch.where(labels.isnan(), labels.nanmean(dim=0), labels)
    folds: Folds = block_folds(points)
    draws = BlockBootstrap.from_points(points, samples)
    # Both in the same draws, so that what is hard to predict for both cancels.
    gap = _held_out_r2(scores, y, folds, draws) - _held_out_r2(filled, y, folds, draws)
    return float(gap[0]), *interval(gap[1:])


def _held_out_r2(x: Tensor, y: Tensor, folds: Folds, draws: BlockBootstrap) -> Floats:
    """Return R² of a ridge regression, the mean over folds, in each draw."""
    model = Ridge(ridge_probe(x, y, folds).alpha)
    predicted = held_out_predictions(x, y, folds, model).numpy()
    scores = []
    for fold in folds:
        truth = np.full(len(y), np.nan)
        truth[fold] = y[fold].numpy()
        scores.append(draws.r2(truth, predicted))
    return np.asarray(np.nanmean(scores, axis=0))
