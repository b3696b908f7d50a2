# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Figure of an audit."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from torchgeo_concepts.utils.files import atomic_path

from .report import GROUPS, AuditRow
from .scores import AUC, R2

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Inches: width, height of a row, and margin; font size in points.
WIDTH, ROW_HEIGHT, MARGIN, FONT_SIZE = 8.0, 0.32, 2.0, 11
DPI = 150

# Lower scores are drawn here.
LOWEST_SHOWN = -0.2

# Colours and markers that people with any colour vision can tell apart: Okabe and Ito,
# https://jfly.uni-koeln.de/color/
NAMES = {AUC: ('#0072b2', 'o'), R2: ('#d55e00', '^')}
TARGETS = (
    ('#e69f00', 'o'),
    ('#56b4e9', 's'),
    ('#009e73', '^'),
    ('#cc79a7', 'D'),
    ('#7f7f7f', 'v'),
)


def write_figure(path: Path, rows: Sequence[AuditRow]) -> None:
    """Draw the figure, and write it as PNG."""
    figure = plot_rows(rows)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format='png', dpi=DPI)


def plot_rows(rows: Sequence[AuditRow]) -> 'Figure':
    """Draw scores of names and downstream scores of all controls.

    Args:
        rows: All rows.

    Returns:
        The figure, with a line for each control.
    """
    from matplotlib.figure import Figure

    rows = [row for row in rows if row.table != GROUPS]
    names = list(dict.fromkeys(row.name for row in rows))
    height = ROW_HEIGHT * len(names) + MARGIN
    figure = Figure((WIDTH, height), layout='constrained')
    panels = figure.subplots(1, 2, sharey=True)
    blocks = [row for row in rows if row.split == 'blocks']
    targets = list(dict.fromkeys(row.measure for row in blocks))
    signs = {t: TARGETS[n % len(TARGETS)] for n, t in enumerate(targets)}
    _draw_panel(panels[0], names, [row for row in rows if not row.split], NAMES)
    _draw_panel(panels[1], names, blocks, signs)
    panels[0].set_title('do names say what is there?')
    panels[0].set_xlabel('AUC, or R² [1]', fontsize=FONT_SIZE)
    panels[1].set_title('and downstream?')
    panels[1].set_xlabel('R² in held-out blocks [1]', fontsize=FONT_SIZE)
    panels[0].set_yticks(range(len(names)), names, fontsize=FONT_SIZE)
    panels[0].set_ylim(len(names) - 0.4, -0.6)
    panels[0].set_ylabel('features', fontsize=FONT_SIZE)
    return figure


def _draw_panel(
    panel: Any,
    names: Sequence[str],
    rows: Sequence[AuditRow],
    signs: Mapping[str, tuple[str, str]],
) -> None:
    """Draw a line for each name, with a marker and interval for each measure."""
    for number, (measure, (colour, marker)) in enumerate(signs.items()):
        own = [row for row in rows if row.measure == measure]
        values = np.array([[row.value, row.low, row.high] for row in own])
        if not len(own):
            continue
        middle, low, high = values.clip(min=LOWEST_SHOWN).T
        shift = (number - (len(signs) - 1) / 2) * 0.5 / len(signs)
        panel.errorbar(
            middle,
            [names.index(row.name) + shift for row in own],
            xerr=[(middle - low).clip(min=0), (high - middle).clip(min=0)],
            fmt=marker,
            color=colour,
            markersize=6,
            elinewidth=1.6,
            label=measure.rpartition('/')[2],
        )
    panel.set_xlim(LOWEST_SHOWN - 0.05, 1.05)
    panel.set_xticks([0, 0.25, 0.5, 0.75, 1], ['0', '.25', '.5', '.75', '1'])
    panel.tick_params(labelsize=FONT_SIZE)
    panel.grid(color='0.9')
    panel.set_axisbelow(True)
    panel.spines[['top', 'right']].set_visible(False)
    if rows:
        panel.legend(
            loc='upper center',
            bbox_to_anchor=(0.5, -0.08),
            fontsize=FONT_SIZE,
            frameon=False,
        )
