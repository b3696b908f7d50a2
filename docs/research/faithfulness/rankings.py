# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Checks of rankings of concepts that linear heads do not pass by construction.

Heads are fitted again without the concepts that contribute most, rankings of one half of
the Earth are tried on the other, and heads are fitted to other draws of the data.
"""

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from torchgeo_concepts.evaluate.agreement import Floats
from torchgeo_concepts.evaluate.bootstrap import interval
from torchgeo_concepts.evaluate.linear_heads import (
    fit_regression,
    held_out_predictions,
    mean_r2,
    scale_of,
)
from torchgeo_concepts.evaluate.probes import ridge_probe
from torchgeo_concepts.explain.faithfulness import check_rows
from torchgeo_concepts.geo.splits import Folds, Rows, block_folds, block_numbers

COUNTS = (1, 3, 10, 30, 100)


def remove_and_retrain(
    z: Tensor,
    y: Tensor,
    points: Tensor,
    *,
    counts: Sequence[int] = COUNTS,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
) -> pd.DataFrame:
    """Fit heads again without the concepts that contribute most, or without others.

    The ranking is that of a head of the other folds, so that what is scored has chosen
    nothing. Where other concepts tell the same, a new head loses little.

    If you use this in your research, please cite the following paper:

    * https://doi.org/10.48550/arXiv.1806.10758

    Args:
        z: Concept scores of shape ``(N, k)``.
        y: Values of shape ``(N,)``.
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
        counts: Numbers of concepts to remove, less than there are.
        seeds: Seeds of the folds, blocks of 10 degrees, and of random concepts.

    Returns:
        A table with a row for each number: ``removed``, R² without the ``top`` concepts
        and without ``random`` ones, how much more the first costs, ``difference``, and
        the range of that over the seeds, ``low`` and ``high``.

    Raises:
        ValueError: If the numbers of rows differ.
    """
    check_rows(z, y, points)
    z, y = z.double(), y.double()
    lines = []
    folds_of = {seed: block_folds(points, seed=seed) for seed in seeds}
    alphas = {seed: ridge_probe(z, y, folds_of[seed]).alpha for seed in seeds}
    for count in (0, *[c for c in counts if c < z.shape[1]]):
        top, other = [], []
        for seed in seeds:
            folds, alpha = folds_of[seed], alphas[seed]
            rng = np.random.default_rng(seed)
            removed = [_ranking(z, y, alpha, fold)[:count] for fold in folds]
            at_random = [rng.permutation(z.shape[1])[:count] for _ in folds]
            top.append(_r2_without(z, y, folds, alpha, removed))
            other.append(_r2_without(z, y, folds, alpha, at_random))
        gap = np.subtract(other, top)
        lines.append((count, np.mean(top), np.mean(other), gap.mean(), *_range(gap)))
    names = ['removed', 'top', 'random', 'difference', 'low', 'high']
    return pd.DataFrame(lines, columns=names)


def _ranking(z: Tensor, y: Tensor, alpha: float, left_out: Rows) -> NDArray[np.int64]:
    """Rank concepts by their mean contribution, the largest first."""
    rows = np.setdiff1d(np.arange(len(z)), left_out)
    return np.argsort(-_importance(z[rows], y[rows], alpha), kind='stable')


def _importance(z: Tensor, y: Tensor, alpha: float) -> Floats:
    """Return the mean size of what each concept contributes to a head fitted here."""
    mean, std = scale_of(z)
    scaled = (z - mean) / std
    weight = fit_regression(Ridge(alpha), scaled, y).weight[0]
    return np.asarray((scaled * weight).abs().mean(dim=0).numpy())


def _r2_without(
    z: Tensor,
    y: Tensor,
    folds: Folds,
    alpha: float,
    removed: Sequence[NDArray[np.int64]],
) -> float:
    """Score heads without concepts, which may be others on each fold."""
    scores = []
    for fold, columns in zip(folds, removed, strict=True):
        kept = np.setdiff1d(np.arange(z.shape[1]), columns)
        train = np.setdiff1d(np.arange(len(z)), fold)
        model = make_pipeline(StandardScaler(), Ridge(alpha))
        model.fit(z[train][:, kept], y[train])
        scores.append(model.score(z[fold][:, kept], y[fold]))
    return float(np.mean(scores))


def _range(values: Floats) -> tuple[float, float]:
    return float(values.min()), float(values.max())


def rank_by_halves(
    z: Tensor,
    y: Tensor,
    points: Tensor,
    *,
    counts: Sequence[int] = COUNTS,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
) -> pd.DataFrame:
    """Rank concepts on one half of the blocks, and try the ranking on the other.

    Heads of the other half learn from the concepts that come first, by the ranking of
    this half, of their own, or at random.

    Args:
        z: Concept scores of shape ``(N, k)``.
        y: Values of shape ``(N,)``.
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
        counts: Numbers of concepts that heads learn from, less than there are.
        seeds: Seeds of the halves, which are whole blocks of 10 degrees.

    Returns:
        A table with a row for each number: ``kept``, R² in held-out blocks of the other
        half by the ``other`` ranking, by its ``own`` and at ``random``, means over
        seeds and both halves, and ``correlation``, Spearman's of the rankings of the
        halves, the mean over the seeds.

    Raises:
        ValueError: If the numbers of rows differ.
    """
    check_rows(z, y, points)
    z, y = z.double(), y.double()
    found: dict[int, list[tuple[float, float, float]]] = {}
    correlations = []
    for seed in seeds:
        halves = block_folds(points, 2, seed)
        probes = [ridge_probe(z[h], y[h], block_folds(points[h])) for h in halves]
        sizes = [
            _importance(z[h], y[h], probe.alpha)
            for h, probe in zip(halves, probes, strict=True)
        ]
        correlations.append(float(spearmanr(*sizes).statistic))
        rng = np.random.default_rng(seed)
        for here, there in ((0, 1), (1, 0)):
            rows, alpha = halves[here], probes[here].alpha
            folds = block_folds(points[rows])
            rankings = (
                np.argsort(-sizes[there], kind='stable'),
                np.argsort(-sizes[here], kind='stable'),
                rng.permutation(z.shape[1]),
            )
            for count in (c for c in counts if c < z.shape[1]):
                r2 = [
                    _r2_of(z[rows][:, ranking[:count]], y[rows], folds, alpha)
                    for ranking in rankings
                ]
                found.setdefault(count, []).append((r2[0], r2[1], r2[2]))
    correlation = float(np.mean(correlations))
    lines = [(n, *np.mean(rows, axis=0), correlation) for n, rows in found.items()]
    return pd.DataFrame(
        lines, columns=['kept', 'other', 'own', 'random', 'correlation']
    )


def _r2_of(z: Tensor, y: Tensor, folds: Folds, alpha: float) -> float:
    return mean_r2(y, held_out_predictions(z, y, folds, Ridge(alpha)), folds)


def ranking_stability(
    z: Tensor, y: Tensor, points: Tensor, *, draws: int = 20, seed: int = 0
) -> tuple[float, float, float]:
    """Compare rankings of heads that were fitted to other draws of the same blocks.

    Args:
        z: Concept scores of shape ``(N, k)``.
        y: Values of shape ``(N,)``.
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
        draws: Number of draws of blocks of 10 degrees, with replacement.
        seed: Seed of the draws.

    Returns:
        Spearman's correlation of the mean sizes of contributions, the mean over all
        pairs of draws, and the interval that holds 95% of them.

    Raises:
        ValueError: If the numbers of rows differ, or there are fewer than two draws.
    """
    check_rows(z, y, points)
    if draws < 2:
        raise ValueError(
            f'Rankings are compared by pairs: draws=2 at least, not {draws}.'
        )
    z, y = z.double(), y.double()
    alpha = ridge_probe(z, y, block_folds(points)).alpha
    block = block_numbers(points)
    rng = np.random.default_rng(seed)
    sizes = []
    for _ in range(draws):
        chosen = rng.integers(0, block.max() + 1, block.max() + 1)
        rows = torch.from_numpy(
            np.concatenate([np.flatnonzero(block == number) for number in chosen])
        )
        sizes.append(_importance(z[rows], y[rows], alpha))
    pairs = itertools.combinations(sizes, 2)
    values = np.array([spearmanr(a, b).statistic for a, b in pairs])
    return float(values.mean()), *interval(values)
