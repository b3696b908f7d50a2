# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Checks of rankings of concepts that linear heads do not pass by construction."""

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
from torchgeo_concepts.explain._scores import check_rows
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
    """Train heads without the concepts that contribute most, or without random ones.

    The ranking of each fold comes from a head that was trained on the other folds. A new
    head loses little where other concepts carry the same information.

    If you use this in your research, please cite the following paper:

    * https://doi.org/10.48550/arXiv.1806.10758

    Args:
        z: Concept scores of shape ``(N, k)``.
        y: Values of shape ``(N,)``.
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
        counts: Numbers of concepts to remove; those of all concepts or more are left out.
        seeds: Seeds of the folds, blocks of 10 degrees, and of random concepts.

    Returns:
        A table with a row for each number: ``removed``; R² without the ``top`` concepts
        and without ``random`` ones; ``difference``, the second minus the first; and its
        range over the seeds, ``low`` and ``high``.

    Raises:
        ValueError: If the numbers of rows differ.
    """
    check_rows(scores=z, values=y, points=points)
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
        means = np.mean(top), np.mean(other), gap.mean()
        lines.append((count, *means, gap.min(), gap.max()))
    names = ['removed', 'top', 'random', 'difference', 'low', 'high']
    return pd.DataFrame(lines, columns=names)


def _ranking(z: Tensor, y: Tensor, alpha: float, left_out: Rows) -> NDArray[np.int64]:
    """Rank concepts by a head that was trained without the rows that are left out."""
    rows = np.setdiff1d(np.arange(len(z)), left_out)
    return np.argsort(-_importance(z[rows], y[rows], alpha), kind='stable')


def _importance(z: Tensor, y: Tensor, alpha: float) -> Floats:
    """Return the mean absolute contribution of each concept to a head of these rows."""
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
    """Score heads without concepts, which may differ between folds."""
    scores = []
    for fold, columns in zip(folds, removed, strict=True):
        kept = np.setdiff1d(np.arange(z.shape[1]), columns)
        train = np.setdiff1d(np.arange(len(z)), fold)
        model = make_pipeline(StandardScaler(), Ridge(alpha))
        model.fit(z[train][:, kept], y[train])
        scores.append(model.score(z[fold][:, kept], y[fold]))
    return float(np.mean(scores))


def _r2_of(z: Tensor, y: Tensor, folds: Folds, alpha: float) -> float:
    """Score heads in held-out folds."""
    return mean_r2(y, held_out_predictions(z, y, folds, Ridge(alpha)), folds)


def rank_by_halves(
    z: Tensor,
    y: Tensor,
    points: Tensor,
    *,
    counts: Sequence[int] = COUNTS,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
) -> pd.DataFrame:
    """Rank concepts on each half of the blocks, and use the ranking on the other half.

    Heads of each half are trained on the concepts that come first by the ranking of the
    other half, by their own, or at random.

    Args:
        z: Concept scores of shape ``(N, k)``.
        y: Values of shape ``(N,)``.
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
        counts: Numbers of concepts to train on; those of all concepts or more are left
            out.
        seeds: Seeds of the halves, which are whole blocks of 10 degrees.

    Returns:
        A table with a row for each number: ``kept``; R² in held-out blocks of a half by
        the ranking of the ``other`` half, by its ``own``, and at ``random``, averaged
        over seeds and both halves; and ``correlation``, Spearman's of both rankings,
        averaged over seeds.

    Raises:
        ValueError: If the numbers of rows differ.
    """
    check_rows(scores=z, values=y, points=points)
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


def ranking_stability(
    z: Tensor, y: Tensor, points: Tensor, *, num_samples: int = 20, seed: int = 0
) -> tuple[float, float, float]:
    """Compare rankings of heads that were trained on resampled blocks.

    Args:
        z: Concept scores of shape ``(N, k)``.
        y: Values of shape ``(N,)``.
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
        num_samples: Number of resamples of blocks of 10 degrees, with replacement.
        seed: Seed of the resamples.

    Returns:
        Spearman's correlation of the mean absolute contributions, averaged over all pairs
        of resamples, and the interval with 95% of the pairs.

    Raises:
        ValueError: If the numbers of rows differ, or *num_samples* is less than 2.
    """
    check_rows(scores=z, values=y, points=points)
    if num_samples < 2:
        raise ValueError(f'num_samples must be at least 2, not {num_samples}.')
    z, y = z.double(), y.double()
    alpha = ridge_probe(z, y, block_folds(points)).alpha
    block = block_numbers(points)
    rng = np.random.default_rng(seed)
    sizes = []
    for _ in range(num_samples):
        chosen = rng.integers(0, block.max() + 1, block.max() + 1)
        rows = torch.from_numpy(
            np.concatenate([np.flatnonzero(block == number) for number in chosen])
        )
        sizes.append(_importance(z[rows], y[rows], alpha))
    pairs = itertools.combinations(sizes, 2)
    values = np.array([spearmanr(a, b).statistic for a, b in pairs])
    return float(values.mean()), *interval(values)
