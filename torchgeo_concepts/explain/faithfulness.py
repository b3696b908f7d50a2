# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Faithfulness of contributions, by deletion and insertion of concepts."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from torch import Tensor

from ..evaluate.agreement import Floats
from ..evaluate.bootstrap import BlockBootstrap, interval
from ..evaluate.linear_heads import fit_regression, scale_of
from ..evaluate.probes import LinearFit, ridge_probe
from ..geo.splits import block_folds
from ..plot.bars import LESS, MORE
from ._scores import check_rows

Change = Literal['deletion', 'insertion']

# Colour, marker and label of each order, and titles of the panels.
STYLES = {
    'contribution': (MORE, 'o', 'by contribution'),
    'random': (LESS, '^', 'at random'),
}
TITLES = {'deletion': 'concepts deleted', 'insertion': 'concepts inserted'}


@dataclass(frozen=True, eq=False)
class ConceptCurve:
    """R² of a head while concepts are deleted or inserted one after another.

    Attributes:
        change: ``'deletion'``, which starts with all concepts, or ``'insertion'``, which
            starts without any.
        order: ``'contribution'`` (largest first, for each point) or ``'random'``.
        share: Shares of deleted or inserted concepts, of shape ``(s,)``, from 0 to 1.
        r2: R² at each share, at least 0. For random orders, the mean over the seeds.
        area: Area under the curve.
        low: Lower end of the confidence interval of the area.
        high: Upper end.
    """

    change: Change
    order: str
    share: Floats
    r2: Floats
    area: float
    low: float
    high: float


def fit_head(z: Tensor, y: Tensor, points: Tensor) -> tuple[LinearFit, Tensor, Tensor]:
    """Fit a ridge regression, and choose its penalty by cross-validation over blocks.

    Args:
        z: Concept scores of shape ``(N, k)``.
        y: Values of shape ``(N,)``.
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.

    Returns:
        The head, which takes standardised scores, and the mean and standard deviation of
        each score.

    Raises:
        ValueError: If the numbers of rows differ.
    """
    check_rows(scores=z, values=y, points=points)
    mean, std = scale_of(z.double())
    alpha = ridge_probe(z, y, block_folds(points)).alpha
    return fit_regression(Ridge(alpha), (z.double() - mean) / std, y), mean, std


def concept_curves(
    head: LinearFit,
    z: Tensor,
    y: Tensor,
    points: Tensor,
    *,
    steps: int = 21,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    num_samples: int = 200,
) -> tuple[ConceptCurve, ...]:
    """Delete and insert concepts of each point, and score the predictions.

    A deleted concept is set to its mean score. The order by contribution should give
    the steepest curves; random orders are the baseline.

    If you use this in your research, please cite the following paper:

    * https://doi.org/10.48550/arXiv.1806.07421

    Args:
        head: A linear head of standardised scores, preferably fitted on other points.
        z: Standardised scores of shape ``(N, k)``.
        y: True values of shape ``(N,)``.
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
        steps: Number of shares at which R² is computed.
        seeds: Seeds of random orders.
        num_samples: Number of bootstrap samples, over blocks of 10 degrees.

    Returns:
        Curves of deletion and insertion by contribution, then in random order.

    Raises:
        ValueError: If the numbers of rows or of concepts differ.
    """
    check_rows(scores=z, values=y, points=points)
    if head.weight.shape != (1, z.shape[1]):
        raise ValueError(
            f'Expected a head with weights of shape (1, {z.shape[1]}), for one target and '
            f'all concepts, got {tuple(head.weight.shape)}.'
        )
    parts = (z.double() * head.weight[0]).numpy()
    base, truth = float(head.bias[0]), y.double().numpy()
    bootstrap = BlockBootstrap.from_points(points, num_samples)
    by_size = np.argsort(-np.abs(parts), axis=1, kind='stable')
    columns = np.tile(np.arange(parts.shape[1]), (len(parts), 1))
    orders = {
        'contribution': [by_size],
        'random': [np.random.default_rng(s).permuted(columns, axis=1) for s in seeds],
    }
    shares, curves = np.linspace(0, 1, steps), []
    for order, change in itertools.product(orders, get_args(Change)):
        scores = [
            bootstrap.r2(truth, base + kept).clip(min=0)
            for ranking in orders[order]
            for kept in _kept_sums(parts, ranking, shares, change)
        ]
        # Of shape (seeds, steps, samples).
        r2 = np.stack(scores).reshape(-1, steps, num_samples + 1)
        area = np.asarray(np.trapezoid(r2, shares, axis=1))
        ends = interval(area[:, 1:])
        mean_r2, mean_area = r2[:, :, 0].mean(axis=0), float(area[:, 0].mean())
        curves.append(ConceptCurve(change, order, shares, mean_r2, mean_area, *ends))
    return tuple(curves)


def _kept_sums(
    parts: Floats, ranking: NDArray[np.int64], shares: Floats, change: Change
) -> Iterator[Floats]:
    """Yield the sum of the contributions of the remaining concepts at each share."""
    sums = np.take_along_axis(parts, ranking, axis=1).cumsum(axis=1)
    sums = np.concatenate((np.zeros((len(parts), 1)), sums), axis=1)
    for share in shares:
        inserted = sums[:, round(share * parts.shape[1])]
        yield inserted if change == 'insertion' else sums[:, -1] - inserted


def plot_concept_curves(curves: Sequence[ConceptCurve]) -> Figure:
    """Draw R² against the share of deleted and of inserted concepts.

    Args:
        curves: Curves of :func:`concept_curves`.

    Returns:
        The figure, with a panel for deletion and one for insertion. The legend shows
        areas and their intervals.
    """
    figure, panels = plt.subplots(
        1, 2, figsize=(8, 3.6), sharey=True, layout='constrained'
    )
    for axes, (change, title) in zip(panels, TITLES.items(), strict=True):
        for curve in (each for each in curves if each.change == change):
            colour, marker, name = STYLES[curve.order]
            area = f'area {curve.area:.2f} ({curve.low:.2f} to {curve.high:.2f})'
            style: dict[str, Any] = {'color': colour, 'marker': marker, 'ms': 4}
            axes.plot(curve.share, curve.r2, label=f'{name}: {area}', **style)
        axes.set_title(title)
        axes.set_xlabel('share of the concepts')
        axes.set_ylim(-0.05, 1.25)
        axes.legend(fontsize=8, loc='upper right', frameon=False)
    panels[0].set_ylabel('R²')
    return figure
