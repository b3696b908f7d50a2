# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Activation of concepts by the size of the error of a model."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from torchgeo_concepts.evaluate.agreement import Floats
from torchgeo_concepts.evaluate.bootstrap import CONFIDENCE, BlockBootstrap, intervals
from torchgeo_concepts.explain._scores import check_finite, check_rows
from torchgeo_concepts.geo.splits import Rows, block_numbers
from torchgeo_concepts.plot.bars import LESS, draw_grid

# The usual thresholds of geolocation: street, city, region, country and continent.
ERROR_EDGES_KM = (1.0, 25.0, 200.0, 750.0, 2500.0)

NUM_SAMPLES = 1000


@dataclass(frozen=True, eq=False)
class ActivationByError:
    """Activation of the strongest concepts in each bin of errors.

    Attributes:
        edges: Upper ends of the bins, without the last bin, which has none.
        unit: Unit of the errors.
        top: Number of concepts per row that are used, the most active ones.
        number: Number of rows in each bin.
        activation: Median activation in each bin, NaN in an empty bin.
        interval: Lower and upper ends of its 95% confidence interval, of shape ``(2, bins)``;
            NaN without points, or if all rows of a bin lie in one block.
    """

    edges: tuple[float, ...]
    unit: str
    top: int
    number: NDArray[np.int64]
    activation: NDArray[np.float64]
    interval: NDArray[np.float64]

    @property
    def bins(self) -> tuple[str, ...]:
        """Name of each bin, such as ``'1 to 25 km'``."""
        between = [f'{a:g} to {b:g}' for a, b in itertools.pairwise(self.edges)]
        names = f'up to {self.edges[0]:g}', *between, f'over {self.edges[-1]:g}'
        return tuple(f'{name} {self.unit}'.strip() for name in names)

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each bin."""
        columns = self.bins, self.number, self.activation, *self.interval
        names = 'error', 'number', 'activation', 'lower', 'upper'
        return pd.DataFrame(dict(zip(names, columns, strict=True)))

    def __str__(self) -> str:
        """Return the table."""
        title = f'median over rows of the median of the {self.top} most active concepts'
        return f'{title}\n{self.to_frame().to_string(index=False)}'

    def plot(self) -> Figure:
        """Draw the activation of each bin.

        Returns:
            The figure.
        """
        figure, axes = plt.subplots(figsize=(8, 3.8), layout='constrained')
        places = np.arange(len(self.number))
        reach = ((self.interval - self.activation) * [[-1], [1]]).clip(min=0)
        axes.errorbar(
            places, self.activation, reach, fmt='o', color=LESS, markersize=8, capsize=4
        )
        pairs = zip(self.bins, self.number, strict=True)
        axes.set_xticks(places, [f'{name}\n({number:,})' for name, number in pairs])
        axes.set_xlim(-0.5, len(places) - 0.5)
        axes.set_xlabel('error (number of rows)')
        axes.set_ylabel(f'activation, median\nof the top {self.top} concepts')
        draw_grid(axes, 'y')
        has_interval = bool(np.isfinite(self.interval).any())
        name = f'Medians with {CONFIDENCE:.0%} intervals'
        axes.set_title(name if has_interval else 'Medians')
        return figure


def activation_by_error(
    activations: Tensor,
    errors: Tensor,
    *,
    edges: Sequence[float] = ERROR_EDGES_KM,
    unit: str = 'km',
    top: int = 20,
    points: Tensor | None = None,
    block_km: float = 300,
    seed: int = 0,
) -> ActivationByError:
    """Compute the activation of concepts for small and for large errors.

    This is Table 3 of the paper, which uses the geolocation errors of photos. Errors of
    other predictions can be used as well.

    If you use this in your research, please cite the following paper:

    * https://doi.org/10.48550/arXiv.2509.01910

    Args:
        activations: Projections or scores of images or points, of shape ``(N, k)``.
        errors: Errors of shape ``(N,)``, all at least 0.
        edges: Upper ends of the bins, ascending. One more bin holds all larger errors.
        unit: Unit of the errors.
        top: Number of concepts per row that are used, the most active ones. The
            activation of a row is their median.
        points: Points of the rows, of shape ``(N, 2)``, for confidence intervals.
        block_km: Side of the blocks of the bootstrap in kilometres.
        seed: Seed of the bootstrap samples.

    Returns:
        The activation in each bin.

    Raises:
        ValueError: If the numbers of rows differ, an error is negative or not finite,
            *edges* do not ascend, or there are fewer concepts than *top*.
    """
    check_rows(activations=activations, errors=errors)
    check_finite(activations, 'activations')
    check_finite(errors[:, None], 'errors')
    if not len(errors) or errors.min() < 0:
        raise ValueError('Expected at least one row, and errors of at least 0.')
    if not edges or any(a >= b for a, b in itertools.pairwise(edges)):
        raise ValueError(f'edges must ascend, not {tuple(edges)}.')
    if not 1 <= top <= activations.shape[1]:
        raise ValueError(
            f'top must be from 1 to the number of concepts, {activations.shape[1]}, '
            f'not {top}.'
        )
    if points is not None:
        check_rows(activations=activations, points=points)
    strongest = activations.double().topk(top, dim=1).values.detach().cpu().numpy()
    values = np.median(strongest, axis=1)
    bins = np.searchsorted(edges, errors.detach().cpu().double().numpy())
    number = np.bincount(bins, minlength=len(edges) + 1)
    medians = np.full(len(number), np.nan)
    ends = np.full((2, len(number)), np.nan)
    rng = np.random.default_rng(seed)
    for place in np.flatnonzero(number):
        chosen = bins == place
        medians[place] = np.median(values[chosen])
        if points is not None:
            blocks = block_numbers(points[chosen], km=block_km)
            ends[:, place] = _interval(values[chosen], blocks, rng)
    return ActivationByError(tuple(map(float, edges)), unit, top, number, medians, ends)


def _interval(values: Floats, blocks: Rows, rng: np.random.Generator) -> Floats:
    """Return the confidence interval of a median, NaN if all values lie in one block."""
    if not blocks.any():
        return np.full(2, np.nan)

    def median(times: Floats) -> float:
        return float(np.median(np.repeat(values, times.astype(int))))

    bootstrap = BlockBootstrap(blocks, NUM_SAMPLES, rng)
    return intervals(bootstrap.resample(median, np.ones(len(blocks)))[1:])
