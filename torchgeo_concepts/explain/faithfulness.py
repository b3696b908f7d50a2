# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Deletion and insertion of concepts of a prediction."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from torch import Tensor

from ..evaluate.agreement import Floats
from ..evaluate.bootstrap import BlockBootstrap, interval
from ..evaluate.linear_heads import fit_regression, scale_of
from ..evaluate.probes import LinearFit, ridge_probe
from ..geo.splits import block_folds
from ..plot.bars import LESS, MORE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Change = Literal['deletion', 'insertion']

# Colour, marker and name of each order, and titles of the panels.
STYLES = {
    'contribution': (MORE, 'o', 'by contribution'),
    'random': (LESS, '^', 'at random'),
}
TITLES = {'deletion': 'concepts taken away', 'insertion': 'concepts added'}


@dataclass(frozen=True, eq=False)
class ConceptCurve:
    """R² of a head as concepts are deleted or inserted, one after another.

    Attributes:
        change: ``'deletion'`` from all concepts, or ``'insertion'`` from none.
        order: ``'contribution'``, the largest of each point first, or ``'random'``.
        share: Shares of the concepts that were changed, of shape ``(s,)``, from 0 to 1.
        r2: R² there, at least 0. For random orders, the mean over the seeds.
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
    """Fit a ridge regression of standardised scores, its penalty chosen by blocks.

    Args:
        z: Concept scores of shape ``(N, k)``.
        y: Values of shape ``(N,)``.
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.

    Returns:
        The head of standardised scores, and the mean and standard deviation of each.

    Raises:
        ValueError: If the numbers of rows differ.
    """
    check_rows(z, y, points)
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
    """Delete and insert concepts of each point, and score the remaining prediction.

    A deleted concept has its average score. By contribution, deletion falls and
    insertion rises fastest by construction; random orders are the baseline.

    If you use this in your research, please cite the following paper:

    * https://doi.org/10.48550/arXiv.1806.07421

    Args:
        head: A linear head of standardised scores, preferably fitted on other points.
        z: Standardised scores of shape ``(N, k)``.
        y: True values of shape ``(N,)``.
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
        steps: Number of shares of the concepts to try.
        seeds: Seeds of random orders.
        num_samples: Number of bootstrap samples of blocks of 10 degrees.

    Returns:
        Deletion and insertion by contribution, then both at random.

    Raises:
        ValueError: If the numbers of rows differ, or the head has another number of
            concepts.
    """
    check_rows(z, y, points)
    if head.weight.shape != (1, z.shape[1]):
        raise ValueError(
            f'Expected a head with weights of shape (1, {z.shape[1]}), for one target and '
            f'all concepts, got {tuple(head.weight.shape)}.'
        )
    parts = (z.double() * head.weight[0]).numpy()
    base, truth = float(head.bias[0]), y.double().numpy()
    draws = BlockBootstrap.from_points(points, num_samples)
    by_size = np.argsort(-np.abs(parts), axis=1, kind='stable')
    orders = {
        'contribution': [by_size],
        'random': [_shuffled(parts.shape, seed) for seed in seeds],
    }
    changes: tuple[Change, ...] = ('deletion', 'insertion')
    curves = []
    for order, change in itertools.product(orders, changes):
        found = [
            _curve(parts, base, truth, own, change, steps, draws)
            for own in orders[order]
        ]
        curves.append(_summed_up(change, order, np.stack(found), steps))
    return tuple(curves)


def _shuffled(shape: tuple[int, ...], seed: int) -> NDArray[np.int64]:
    columns = np.tile(np.arange(shape[1]), (shape[0], 1))
    shuffled: NDArray[np.int64] = np.random.default_rng(seed).permuted(columns, axis=1)
    return shuffled


def _curve(
    parts: Floats,
    base: float,
    truth: Floats,
    order: NDArray[np.int64],
    change: Change,
    steps: int,
    draws: BlockBootstrap,
) -> Floats:
    """Return R² at each step in each bootstrap sample."""
    summed = np.take_along_axis(parts, order, axis=1).cumsum(axis=1)
    summed = np.concatenate((np.zeros((len(parts), 1)), summed), axis=1)
    rows = []
    for share in np.linspace(0, 1, steps):
        inserted = summed[:, round(share * parts.shape[1])]
        left = inserted if change == 'insertion' else summed[:, -1] - inserted
        rows.append(draws.r2(truth, base + left).clip(min=0))
    return np.stack(rows)


def _summed_up(change: Change, order: str, found: Floats, steps: int) -> ConceptCurve:
    """Summarise curves of shape ``(seeds, steps, samples)``."""
    share = np.linspace(0, 1, steps)
    areas = np.asarray(np.trapezoid(found, share, axis=1))
    low, high = interval(areas[:, 1:])
    r2 = found[:, :, 0].mean(axis=0)
    return ConceptCurve(change, order, share, r2, float(areas[:, 0].mean()), low, high)


def check_rows(z: Tensor, y: Tensor, points: Tensor) -> None:
    """Check that scores, values and points have the same number of rows."""
    if not len(z) == len(y) == len(points):
        raise ValueError(
            f'Expected as many rows of scores as values and points, got {len(z)}, '
            f'{len(y)} and {len(points)}.'
        )


def plot_concept_curves(curves: Sequence[ConceptCurve]) -> 'Figure':
    """Draw R² as concepts are deleted and inserted.

    Args:
        curves: Curves of :func:`concept_curves`.

    Returns:
        The figure, a panel for each change, with the areas and their intervals.

    Raises:
        ValueError: If there are no curves.
    """
    from matplotlib import pyplot as plt

    changes = list(dict.fromkeys(curve.change for curve in curves))
    if not changes:
        raise ValueError('There are no curves to draw.')
    size, number = (4 * len(changes), 3.6), len(changes)
    figure, panels = plt.subplots(
        1, number, figsize=size, sharey=True, squeeze=False, layout='constrained'
    )
    for axes, change in zip(panels[0], changes, strict=True):
        for curve in (each for each in curves if each.change == change):
            colour, marker, name = STYLES[curve.order]
            area = f'area {curve.area:.2f} ({curve.low:.2f} to {curve.high:.2f})'
            style: dict[str, Any] = {'color': colour, 'marker': marker, 'ms': 4}
            axes.plot(curve.share, curve.r2, label=f'{name}: {area}', **style)
        axes.set_title(TITLES[change])
        axes.set_xlabel('share of the concepts')
        axes.set_ylim(-0.05, 1.25)
        axes.legend(fontsize=8, loc='upper right', frameon=False)
    panels[0][0].set_ylabel('R²')
    return figure
