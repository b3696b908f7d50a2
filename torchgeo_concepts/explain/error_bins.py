# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Whether concepts are more active where a model errs less."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from ..evaluate.bootstrap import BlockBootstrap, check_bootstrap, intervals
from ..geo.splits import block_numbers

if TYPE_CHECKING:
    from matplotlib.figure import Figure


Summary = Literal['mean', 'median']

# The usual thresholds of geolocation: street, city, region, country and continent.
ERROR_EDGES_KM = (1.0, 25.0, 200.0, 750.0, 2500.0)


@dataclass(frozen=True, eq=False)
class ActivationByError:
    """Activation of the strongest concepts, by bin of error.

    Attributes:
        edges: Errors at which bins end; the last has no end.
        unit: Their unit.
        top: Number of concepts that count, the most active of each row.
        summary: How these are brought into one number.
        number: Number of rows in each bin.
        activation: Median over the rows of a bin, NaN without any.
        interval: Lower and upper ends of its interval, of shape ``(2, bins)``; NaN
            without points, or where all rows of a bin lie in one block.
        level: Share of the draws that the interval holds.
    """

    edges: tuple[float, ...]
    unit: str
    top: int
    summary: Summary
    number: NDArray[np.int64]
    activation: NDArray[np.float64]
    interval: NDArray[np.float64]
    level: float

    @property
    def bins(self) -> tuple[str, ...]:
        """What each bin holds, such as ``'1 to 25 km'``."""
        between = [f'{a:g} to {b:g}' for a, b in itertools.pairwise(self.edges)]
        names = f'up to {self.edges[0]:g}', *between, f'over {self.edges[-1]:g}'
        return tuple(f'{name} {self.unit}'.strip() for name in names)

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each bin."""
        return pd.DataFrame(
            {
                'error': self.bins,
                'number': self.number,
                'activation': self.activation,
                'lower': self.interval[0],
                'upper': self.interval[1],
            }
        )

    @property
    def title(self) -> str:
        """What the numbers are."""
        return f'median over rows of the {self.summary} of the {self.top} most active'

    def __str__(self) -> str:
        """Return the table."""
        return f'{self.title}\n{self.to_frame().to_string(index=False)}'

    def plot(self) -> 'Figure':
        """Draw the activation of each bin.

        Returns:
            The figure.
        """
        from matplotlib import pyplot as plt

        from ..plot.maps import CLASS_COLOURS

        figure, axes = plt.subplots(figsize=(8, 3.8), layout='constrained')
        places = np.arange(len(self.number))
        ends = self.interval - self.activation
        reach = np.stack((-ends[0], ends[1])).clip(min=0)
        axes.errorbar(
            places, self.activation, yerr=reach, fmt='o', color=CLASS_COLOURS[4],
            markersize=8, capsize=4,
        )  # fmt: skip
        names = [
            f'{name}\n({number:,})'
            for name, number in zip(self.bins, self.number, strict=True)
        ]
        axes.set_xticks(places, names)
        axes.set_xlim(-0.5, len(places) - 0.5)
        axes.set_xlabel('error (number of rows)')
        axes.set_ylabel(f'activation, {self.summary}\nof the top {self.top} concepts')
        axes.spines[['top', 'right']].set_visible(False)
        axes.grid(axis='y', color='0.9')
        axes.set_axisbelow(True)
        has_interval = bool(np.isfinite(self.interval).any())
        axes.set_title(
            f'Medians with {self.level:.0%} intervals' if has_interval else 'Medians'
        )
        return figure


def activation_by_error(
    activations: Tensor,
    errors: Tensor,
    *,
    edges: Sequence[float] = ERROR_EDGES_KM,
    unit: str = 'km',
    top: int = 20,
    summary: Summary = 'median',
    points: Tensor | None = None,
    block_km: float = 300,
    level: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> ActivationByError:
    """Compare how active concepts are where errors are small and where they are large.

    It is what Table 3 of the paper shows of photos and the errors of their geolocation;
    any other error of a prediction at points does as well.

    If you use this in your research, please cite the following paper:

    * https://doi.org/10.48550/arXiv.2509.01910

    Args:
        activations: Projections or scores of images or points, of shape ``(N, k)``.
        errors: Errors of shape ``(N,)``, none below 0.
        edges: Errors at which bins end, ascending; a last bin holds all above.
        unit: Unit of the errors.
        top: Number of concepts that count, the most active of each row.
        summary: ``'mean'`` or ``'median'`` of these.
        points: Where the rows are, of shape ``(N, 2)``, for intervals.
        block_km: Side of the blocks that the bootstrap draws.
        level: Share of the draws that intervals hold.
        draws: Number of draws.
        seed: Seed of the draws.

    Returns:
        The activations by bin.

    Raises:
        ValueError: If there are no rows, or not one error for each; one is negative or
            not finite; edges do not ascend; or there are fewer concepts than *top*.
    """
    _check(activations, errors, edges, top, summary)
    check_bootstrap(level, draws)
    strongest = activations.double().topk(top, dim=1).values
    # Of an even number the median is between the two in the middle.
    value = (
        strongest.mean(dim=1) if summary == 'mean' else strongest.quantile(0.5, dim=1)
    )
    rows = value.detach().cpu().numpy()
    bins = np.searchsorted(edges, errors.detach().cpu().double().numpy())
    number = np.bincount(bins, minlength=len(edges) + 1)
    medians = np.full(len(number), np.nan)
    interval = np.full((2, len(number)), np.nan)
    if points is not None and len(points) != len(rows):
        raise ValueError(f'{len(rows)} rows of activations for {len(points)} points.')
    rng = np.random.default_rng(seed)
    for place in np.flatnonzero(number):
        chosen = bins == place
        medians[place] = np.median(rows[chosen])
        if points is not None:
            blocks = block_numbers(points[chosen], km=block_km)
            interval[:, place] = _interval(rows[chosen], blocks, level, draws, rng)
    return ActivationByError(
        tuple(map(float, edges)), unit, top, summary, number, medians, interval, level
    )


def _interval(
    values: NDArray[np.float64],
    blocks: NDArray[np.int64],
    level: float,
    draws: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Return the interval of a median, NaN if all values lie in one block."""
    if not blocks.any():
        return np.full(2, np.nan)
    medians = BlockBootstrap(blocks, draws, rng).resample(
        lambda times: float(np.median(np.repeat(values, times.astype(int)))),
        np.ones(len(values)),
    )
    return intervals(medians[1:], level)


def _check(
    activations: Tensor,
    errors: Tensor,
    edges: Sequence[float],
    top: int,
    summary: Summary,
) -> None:
    if activations.ndim != 2 or errors.shape != (len(activations),):
        raise ValueError(
            f'Activations have shape (N, k) and errors (N,), not '
            f'{tuple(activations.shape)} and {tuple(errors.shape)}.'
        )
    if not len(activations):
        raise ValueError('There are no rows of activations to sort by error.')
    bad = ~(errors.isfinite() & (errors >= 0) & activations.isfinite().all(dim=1))
    if bad.any():
        row = int(bad.nonzero()[0])
        raise ValueError(
            f'Row {row}, counted from 0, has no error of 0 or more, which is '
            f'{errors[row].item():g}, or an activation that is not finite.'
        )
    if not edges or any(a >= b for a, b in itertools.pairwise(edges)):
        raise ValueError(f'edges must ascend, not {tuple(edges)}.')
    if not 1 <= top <= activations.shape[1]:
        raise ValueError(
            f'top must be from 1 to the number of concepts, {activations.shape[1]}, '
            f'not {top}.'
        )
    if summary not in get_args(Summary):
        raise ValueError(
            f'summary must be one of {get_args(Summary)}, not {summary!r}.'
        )
