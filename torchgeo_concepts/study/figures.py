# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Figures of the study."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .._files import atomic_path
from ..plot import CLASS_COLOURS
from .report import Outcome, of_arm

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ('plot_curves', 'write_curves')


def plot_curves(outcome: Outcome) -> 'Figure':
    """Draw the contrastive loss of the arms that were tested.

    Args:
        outcome: All runs.

    Returns:
        The figure: a line for each arm, the mean of its seeds, in a band from the least
        to the largest.
    """
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 3.5), layout='constrained')
    names = (outcome.chosen, *outcome.rivals)
    for name, colour in zip(names, CLASS_COLOURS, strict=False):
        curves = [run.curve for run in of_arm(outcome.tests, name)]
        steps = [point['step'] for point in curves[0]]
        losses = np.array([[point['contrast'] for point in curve] for curve in curves])
        axes.plot(steps, losses.mean(axis=0), color=colour, label=name)
        axes.fill_between(
            steps, losses.min(axis=0), losses.max(axis=0), color=colour, alpha=0.2
        )
    axes.set(xlabel='Step', ylabel='Contrastive loss (nats)')
    axes.legend(frameon=False)
    return figure


def write_curves(path: Path, outcome: Outcome) -> None:
    """Write the figure of :func:`plot_curves`.

    Args:
        path: A PNG file.
        outcome: All runs.
    """
    from matplotlib import pyplot as plt

    figure = plot_curves(outcome)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150, format='png')
    plt.close(figure)
