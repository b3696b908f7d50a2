# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Shares of concepts in regions, drawn as bands from concepts to regions."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import nn

from ..embed.points import embed_points
from ..layers.regions import in_region
from ..maps.bands import ConceptScores
from ..plot.maps import CLASS_COLOURS
from ..retrieval.candidates import land_lattice

# Gap between two blocks, and width of a block, as shares of the diagram.
GAP, BLOCK = 0.03, 0.04

# Number of points along the edge of a band.
STEPS = 50

# Smallest share that is drawn.
LEAST = 0.005


def concept_flows(
    encoder: nn.Module,
    concepts: Sequence[str],
    regions: Sequence[str],
    spacing_km: float = 100.0,
) -> NDArray[np.float64]:
    """Compute the share of each region in which each concept is strongest.

    Args:
        encoder: An encoder with concept scores.
        concepts: Names, ids or aliases of mutually exclusive classes, such as climate
            zones.
        regions: Regions, as :func:`~torchgeo_concepts.layers.region_split.in_region`
            takes them, such as names of countries or continents.
        spacing_km: Distance between the points on land, in kilometres.

    Returns:
        Shares of shape ``(concepts, regions)``; those of a region sum to 1.

    Raises:
        ValueError: If there are no concepts or no regions, if one is unknown, or if a
            region has no points.
    """
    if not len(concepts) or not len(regions):
        raise ValueError(
            'Expected at least one concept and one region, got '
            f'{len(concepts)} and {len(regions)}.'
        )
    scores = ConceptScores(encoder, concepts, calibrated=True)
    points = land_lattice(spacing_km)
    strongest = embed_points(scores, points, progress=False).argmax(dim=1)
    shares = []
    for region in regions:
        inside = torch.from_numpy(in_region(points, region))
        if not inside.any():
            raise ValueError(
                f'No point lies in {region!r}; use a spacing_km below {spacing_km:g}.'
            )
        counts = strongest[inside].bincount(minlength=len(concepts)).double()
        shares.append(counts / counts.sum())
    return torch.stack(shares, dim=1).numpy()


def plot_concept_flows(
    shares: NDArray[np.float64], concepts: Sequence[str], regions: Sequence[str]
) -> Figure:
    """Draw shares of concepts in regions as bands between them.

    Args:
        shares: Shares of shape ``(concepts, regions)``, from :func:`concept_flows`.
        concepts: Names of the concepts.
        regions: Names of the regions.

    Returns:
        The figure, with concepts on the left and regions on the right.

    Raises:
        ValueError: If the shares do not match concepts and regions, or there are more
            concepts than colours.
    """
    if shares.shape != (len(concepts), len(regions)):
        raise ValueError(
            f'Expected shares of shape {(len(concepts), len(regions))}, one for each '
            f'concept and region, got {shares.shape}.'
        )
    if len(concepts) > len(CLASS_COLOURS):
        raise ValueError(
            f'Colours distinguish {len(CLASS_COLOURS)} concepts, got {len(concepts)}.'
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
    """Return lower and upper ends of blocks that, with gaps, fill the height."""
    scaled = sizes / sizes.sum() * (1 - GAP * (len(sizes) - 1))
    ends = np.cumsum(scaled + GAP) - GAP
    return np.column_stack((ends - scaled, ends))


def _draw_bands(
    axes: Axes,
    shares: NDArray[np.float64],
    left: NDArray[np.float64],
    right: NDArray[np.float64],
) -> None:
    left, right = left.copy(), right.copy()
    scale_left, scale_right = (
        (1 - GAP * (number - 1)) / shares.sum() for number in shares.shape
    )
    across = np.linspace(0, 1, STEPS)
    # A smooth step, flat at both ends.
    bend = across**2 * (3 - 2 * across)
    x = BLOCK + across * (1 - 2 * BLOCK)
    for row, column in np.argwhere(shares > 0):
        share, colour = shares[row, column], CLASS_COLOURS[row]
        top = left[row] + (right[column] - left[row]) * bend
        thick = share * (scale_left + (scale_right - scale_left) * bend)
        axes.fill_between(x, top, top + thick, color=colour, alpha=0.55, linewidth=0)
        left[row] += share * scale_left
        right[column] += share * scale_right
