# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Which concepts make up which regions, as bands that flow from the ones to the others."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..embed.points import embed_points
from ..layers.region_split import in_region
from ..maps.bands import ConceptScores
from ..plot.maps import CLASS_COLOURS
from ..retrieval.candidates import land_lattice

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# Parts of the height of a diagram between two of its blocks, and of its width that a
# block takes.
GAP, BLOCK = 0.03, 0.04

# Steps along the edge of a band.
STEPS = 50

# Share of a region that a band must have to be drawn.
LEAST = 0.005


def concept_flows(
    encoder: nn.Module,
    concepts: Sequence[str],
    regions: Sequence[str],
    spacing_km: float = 100.0,
) -> NDArray[np.float64]:
    """Compute which concept is strongest over which share of each region.

    Args:
        encoder: An encoder with concept scores.
        concepts: Names, ids or aliases of classes that exclude each other, such as the
            zones of a climate.
        regions: Names of countries or continents, or whatever
            :func:`~torchgeo_concepts.geo.splits.in_region` takes.
        spacing_km: Distance of the places on land that are counted.

    Returns:
        Shares of shape ``(concepts, regions)``; those of a region sum to 1.

    Raises:
        ValueError: If there are no concepts or no regions, one is unknown, or a region
            has no place.
    """
    if not len(concepts) or not len(regions):
        raise ValueError(
            f'Name at least one concept and one region, not {len(concepts)} and '
            f'{len(regions)}.'
        )
    scores = ConceptScores(encoder, concepts, calibrated=True)
    points = land_lattice(spacing_km)
    strongest = embed_points(scores, points, progress=False).argmax(dim=1)
    shares = []
    for region in regions:
        inside = torch.from_numpy(in_region(points, region))
        if not inside.any():
            raise ValueError(
                f'No place lies in {region!r}. Take a spacing_km below {spacing_km:g}.'
            )
        counts = strongest[inside].bincount(minlength=len(concepts)).double()
        shares.append(counts / counts.sum())
    return torch.stack(shares, dim=1).numpy()


def plot_concept_flows(
    shares: NDArray[np.float64], concepts: Sequence[str], regions: Sequence[str]
) -> 'Figure':
    """Draw how concepts flow into regions, in bands as wide as their shares.

    Args:
        shares: What :func:`concept_flows` returns.
        concepts: What to call the concepts.
        regions: What to call the regions.

    Returns:
        The figure, with concepts on the left and regions on the right.

    Raises:
        ValueError: If the shares are not those of as many concepts and regions.
    """
    from matplotlib import pyplot as plt

    if shares.shape != (len(concepts), len(regions)):
        raise ValueError(
            f'{len(concepts)} concepts and {len(regions)} regions need shares of shape '
            f'{(len(concepts), len(regions))}, not {shares.shape}.'
        )
    if len(concepts) > len(CLASS_COLOURS):
        raise ValueError(
            f'Colours tell {len(CLASS_COLOURS)} concepts apart, not {len(concepts)}.'
        )
    shown = np.where(shares < LEAST, 0, shares)
    used = shown.sum(axis=1) > 0
    shown, names = shown[used], [n for n, u in zip(concepts, used, strict=True) if u]
    figure, axes = plt.subplots(
        figsize=(8, 0.55 * max(shown.shape) + 2.5), layout='constrained'
    )
    left, right = _stacked(shown.sum(axis=1)), _stacked(shown.sum(axis=0))
    _draw_bands(axes, shown, left[:, 0], right[:, 0])
    for (low, high), name, colour in zip(left, names, CLASS_COLOURS, strict=False):
        axes.fill_between([0, BLOCK], low, high, color=colour, linewidth=0)
        axes.text(-0.02, (low + high) / 2, name, ha='right', va='center')
    for (low, high), name in zip(right, regions, strict=True):
        axes.fill_between([1 - BLOCK, 1], low, high, color='0.3', linewidth=0)
        axes.text(1.02, (low + high) / 2, name, ha='left', va='center')
    axes.set_xlim(-0.45, 1.3)
    axes.invert_yaxis()
    axes.axis('off')
    axes.set_title(
        'strongest concept, by share of the land of each region', fontsize=10
    )
    return figure


def _stacked(sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return lower and upper ends of blocks of one height together, with gaps."""
    scaled = sizes / sizes.sum() * (1 - GAP * (len(sizes) - 1))
    ends = np.cumsum(scaled + GAP) - GAP
    return np.column_stack((ends - scaled, ends))


def _draw_bands(
    axes: 'Axes',
    shares: NDArray[np.float64],
    left: NDArray[np.float64],
    right: NDArray[np.float64],
) -> None:
    left, right = left.copy(), right.copy()
    scale_left = (1 - GAP * (len(left) - 1)) / shares.sum()
    scale_right = (1 - GAP * (len(right) - 1)) / shares.sum()
    across = np.linspace(0, 1, STEPS)
    # Level at both ends.
    bend = across**2 * (3 - 2 * across)
    x = BLOCK + across * (1 - 2 * BLOCK)
    for row, column in np.argwhere(shares > 0):
        share, colour = shares[row, column], CLASS_COLOURS[row]
        top = left[row] + (right[column] - left[row]) * bend
        thick = share * (scale_left + (scale_right - scale_left) * bend)
        axes.fill_between(x, top, top + thick, color=colour, alpha=0.55, linewidth=0)
        left[row] += share * scale_left
        right[column] += share * scale_right
