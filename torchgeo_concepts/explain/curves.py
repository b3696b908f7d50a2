# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""The figure of deletion and insertion."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..plot.maps import CLASS_COLOURS
from .faithfulness import ConceptCurve

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# Colour and marker of each order, and what to call it.
STYLES = {
    'contribution': (CLASS_COLOURS[5], 'o', 'by contribution'),
    'random': (CLASS_COLOURS[4], '^', 'at random'),
}

TITLES = {'deletion': 'concepts taken away', 'insertion': 'concepts added'}


def plot_concept_curves(curves: Sequence[ConceptCurve]) -> 'Figure':
    """Draw how R² changes as concepts are taken away and added.

    Args:
        curves: What :func:`~torchgeo_concepts.explain.concept_curves` returns.

    Returns:
        The figure, a panel for each change, with the areas and their intervals.

    Raises:
        ValueError: If there are no curves.
    """
    from matplotlib import pyplot as plt

    changes = list(dict.fromkeys(curve.change for curve in curves))
    if not changes:
        raise ValueError('There are no curves to draw.')
    figure, panels = plt.subplots(
        1,
        len(changes),
        figsize=(4 * len(changes), 3.6),
        sharey=True,
        squeeze=False,
        layout='constrained',
    )
    for axes, change in zip(panels[0], changes, strict=True):
        for curve in (each for each in curves if each.change == change):
            colour, marker, name = STYLES[curve.order]
            label = (
                f'{name}: area {curve.area:.2f} ({curve.low:.2f} to {curve.high:.2f})'
            )
            axes.plot(
                curve.share, curve.r2, color=colour, marker=marker, ms=4, label=label
            )
        axes.set_title(TITLES[change])
        axes.set_xlabel('share of the concepts')
        axes.set_ylim(-0.05, 1.25)
        axes.legend(fontsize=8, loc='upper right', frameon=False)
    panels[0][0].set_ylabel('R²')
    return figure
