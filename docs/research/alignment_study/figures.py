# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Figures of the study."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.stats import binned_statistic_2d
from torch import Tensor

from torchgeo_concepts.datamodules.blue_marble import MEAN, STD
from torchgeo_concepts.plot.bars import draw_bars
from torchgeo_concepts.plot.maps import CLASS_COLOURS
from torchgeo_concepts.plot.point_maps import draw_coast
from torchgeo_concepts.utils.files import atomic_path

from .cases import (
    RIGHT_KM,
    WRONG_KM,
    Case,
    LocatedPatches,
    explain_case,
    find_case,
    join_patch_sets,
    locate_patch_set,
)
from .measures import EvaluationData, PatchSet
from .report import Outcome, runs_of_arm
from .runs import checkpoint_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure


# Side of the cells of maps of errors in degrees, and the errors that colours span.
CELL, SHOWN_KM = 8, (50.0, 10_000.0)

# Maps of errors side by side.
COLUMNS = 2

# Without yellow, which is hard to see as a thin line on white.
LINE_COLOURS = (*CLASS_COLOURS[:3], *CLASS_COLOURS[4:])

# Colours and markers of the true place and of those that the two arms find.
PLACES = (('#009e73', '*', 12), ('#0072b2', 'o', 7), ('#d55e00', 'X', 7))

# Number of concepts with bars; height of a bar in inches.
BARS, ROW_HEIGHT = 6, 0.34

# Inches: width of a case, height of its patch and map, and of their legend.
WIDTH, ABOVE = 6.4, (2.5, 0.4)

SUCCESS = 'A patch that {} puts right and {} wrong, and why'
FAILURE = 'A patch that {} puts wrong and {} right, and why'


def plot_curves(outcome: Outcome) -> 'Figure':
    """Draw the contrastive loss of the arms that were tested.

    Args:
        outcome: All runs.

    Returns:
        The figure: for each arm the mean over seeds as a line and their range as a band.
    """
    from matplotlib.figure import Figure

    figure = Figure((6, 3.5), layout='constrained')
    axes = figure.subplots()
    for name, colour in zip(
        outcome.tested, itertools.cycle(LINE_COLOURS), strict=False
    ):
        curves = [run.curve for run in runs_of_arm(outcome.tests, name)]
        steps = [point['step'] for point in curves[0]]
        losses = np.array([[point['contrast'] for point in curve] for curve in curves])
        axes.plot(steps, losses.mean(axis=0), color=colour, label=name)
        axes.fill_between(
            steps, losses.min(axis=0), losses.max(axis=0), color=colour, alpha=0.2
        )
    axes.set(xlabel='step', ylabel='contrastive loss [nats]')
    axes.legend(frameon=False)
    return figure


def plot_errors(points: Tensor, located: Sequence[LocatedPatches]) -> 'Figure':
    """Map the errors of location of several models.

    Args:
        points: True places of the patches, of shape ``(N, 2)``.
        located: Places that each model finds.

    Returns:
        The figure: a map for each model, with the median error in cells of 8 degrees.
    """
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

    rows = -(-len(located) // COLUMNS)
    figure = Figure((5 * COLUMNS, 0.9 + 2.5 * rows), layout='constrained')
    grid = figure.subplots(rows, COLUMNS, squeeze=False)
    panels = grid.ravel()[: len(located)]
    for empty in grid.ravel()[len(located) :]:
        empty.remove()
    west, north = np.arange(-180, 181, CELL), np.arange(-90, 90 + CELL, CELL)
    lon, lat = points.double().numpy().T
    for axes, found in zip(panels, located, strict=True):
        errors = found.kilometres.numpy()
        cells = binned_statistic_2d(lon, lat, errors, 'median', [west, north])
        drawn = axes.pcolormesh(
            west,
            north,
            np.ma.masked_invalid(cells.statistic.T),
            norm=LogNorm(*SHOWN_KM),
            cmap='viridis',
        )
        _draw_world(axes)
        axes.set_title(f'{found.arm}: median {np.median(errors):,.0f} km', fontsize=11)
        axes.set(xlabel='longitude [°]', ylabel='latitude [°]')
    bar = figure.colorbar(
        drawn, ax=list(panels), location='bottom', extend='both', shrink=0.8, aspect=40
    )
    ticks = (100, 300, 1000, 3000, 10_000)
    bar.set_ticks(ticks, labels=[f'{tick:,}' for tick in ticks])
    bar.set_label(f'median error in cells of {CELL}° [km]')
    return figure


def plot_case(case: Case) -> 'Figure':
    """Draw a patch, the places that two arms find, and the explanation.

    Args:
        case: The patch.

    Returns:
        The figure: the patch, a map, and bars of the contributions of concepts to the
        similarity of the first place, minus those to that of the second.
    """
    from matplotlib.figure import Figure

    shown, together = case.contrast.difference().bar_rows(BARS)
    heights = [max(1, len(shown)), len(together)]
    below = 1.6 + ROW_HEIGHT * sum(heights)
    figure = Figure((WIDTH, sum(ABOVE) + below), layout='constrained')
    parts: Any = figure.subfigures(3, 1, height_ratios=[*ABOVE, below])
    upper, middle, lower = parts
    middle.legend(
        *_draw_places(upper, case),
        loc='center',
        ncols=3,
        frameon=False,
        fontsize=9,
        columnspacing=1,
    )
    panels = lower.subplots(2, 1, height_ratios=heights)
    label = f'similarity to the place of {case.arm},\nless that of {case.other} [1]'
    draw_bars(panels[0], shown, label)
    draw_bars(panels[1], together, 'the same, together [1]', has_sum=True)
    return figure


def write_figures(
    folder: Path, outcome: Outcome, data: EvaluationData, study: Path
) -> dict[str, str]:
    """Write all figures as PNG.

    Args:
        folder: Folder that gets them.
        outcome: All runs.
        data: Data that arms were tested on; its first picture is shown.
        study: Folder of the study, with the models that were kept.

    Returns:
        Names of the files by title.
    """
    seed = min(run.seed for run in outcome.tests)
    patches = join_patch_sets(data.patch_sets)
    located = [
        locate_patch_set(
            name, checkpoint_path(study, name, seed), patches, data.candidates
        )
        for name in outcome.tested
    ]
    shown = {each.arm: each for each in located}
    compared = [
        (shown[name], shown[rival])
        for name in outcome.chosen
        for rival in outcome.rivals[name][:1]
        if outcome.arms[name].compares_concepts
    ]
    made = {
        'Contrastive loss as training goes on, mean and range of the seeds': (
            'study_curves.png',
            plot_curves(outcome),
        ),
        f'Where patches of the picture {patches.picture} are missed, in '
        f'{patches.where} blocks, with seed {seed}': (
            'study_errors.png',
            plot_errors(patches.points, located),
        ),
        **(_cases(patches, *compared[0]) if compared else {}),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in made.values():
        with atomic_path(folder / name) as temporary:
            figure.savefig(temporary, dpi=150, format='png')
    return {title: name for title, (name, _) in made.items()}


def _cases(
    patches: PatchSet, chosen: LocatedPatches, rival: LocatedPatches
) -> Mapping[str, tuple[str, 'Figure']]:
    """Draw a success and a failure of a chosen arm against its first rival."""
    rule = (
        f'; of all that the one puts within {RIGHT_KM} km and the other farther off than '
        f'{WRONG_KM} km, that in the middle by distance'
    )
    made = {}
    for title, name, right, wrong in (
        (SUCCESS, 'study_success.png', chosen, rival),
        (FAILURE, 'study_failure.png', rival, chosen),
    ):
        row = find_case(right, wrong)
        if row is not None:
            case = explain_case(patches, row, chosen, rival)
            made[title.format(chosen.arm, rival.arm) + rule] = name, plot_case(case)
    return made


def _draw_places(figure: 'SubFigure', case: Case) -> tuple[list[Any], list[Any]]:
    """Draw a patch and a map of places; return handles and labels of a legend."""
    patch, world = figure.subplots(1, 2, width_ratios=[1, 1.9])
    colours = case.image * _channels(STD) + _channels(MEAN)
    patch.imshow(colours.clamp(0, 1).permute(1, 2, 0).numpy())
    patch.set_axis_off()
    lon, lat = case.point.tolist()
    names = (
        f'the patch,\n({lon:.1f}°, {lat:.1f}°)',
        f'{case.arm},\n{case.kilometres[0]:,.0f} km off',
        f'{case.other},\n{case.kilometres[1]:,.0f} km off',
    )
    places = case.point, case.found, case.other_found
    for place, name, (colour, sign, size) in zip(places, names, PLACES, strict=True):
        world.plot(
            *place.tolist(), sign, color=colour, markersize=size, mec='k', label=name
        )
    _draw_world(world)
    world.set(xlabel='longitude [°]', ylabel='latitude [°]')
    signs, labels = world.get_legend_handles_labels()
    return signs, labels


def _draw_world(axes: 'Axes') -> None:
    axes.set(xlim=(-180, 180), ylim=(-90, 90), aspect='equal')
    axes.set(xticks=range(-180, 181, 60), yticks=range(-90, 91, 30))
    draw_coast(axes)


def _channels(values: Sequence[float]) -> Tensor:
    return torch.tensor(values)[:, None, None]
