# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Figure of the benchmark."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...utils.files import atomic_path
from .report import BenchmarkRow, by_target, marks_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Panels side by side; inches of a panel, and of a row of bars.
PANELS, PANEL_WIDTH, ROW_HEIGHT = 3, 6.0, 0.3

# Bars of lower scores are cut here.
LOWEST_SHOWN = -0.2

# Pixels per inch, and maximum height of the figure in pixels.
DPI, MOST_PIXELS = 120, 60_000

COLOURS = {'random': '#56b4e9', 'blocks': '#0072b2'}


def write_figure(path: Path, rows: Sequence[BenchmarkRow]) -> None:
    """Write a figure with a panel of bars for each target as PNG."""
    figure = plot_rows(rows)
    dpi = min(DPI, MOST_PIXELS / figure.get_figheight())
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format='png', dpi=dpi)


def plot_rows(rows: Sequence[BenchmarkRow]) -> 'Figure':
    """Draw a panel of horizontal bars for each target.

    Args:
        rows: All rows, grouped by target.

    Returns:
        The figure.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    panels = by_target(rows)
    across = min(PANELS, math.ceil(math.sqrt(len(panels))))
    down = math.ceil(len(panels) / across)
    most = max(len({row.input for row in own}) for _, own in panels)
    size = (PANEL_WIDTH * across, down * (ROW_HEIGHT * most + 1.2))
    figure = Figure(size, layout='constrained')
    axes = figure.subplots(down, across, squeeze=False).ravel()
    for ax, ((table, name), own) in zip(axes, panels, strict=False):
        _draw_panel(ax, own)
        ax.set_title(f'{name} ({table})', fontsize=10)
    for ax in axes[len(panels) :]:
        ax.set_axis_off()
    splits = list(dict.fromkeys(row.split for row in rows))
    handles = [Patch(color=COLOURS[split], label=split) for split in splits]
    figure.legend(handles=handles, loc='outside upper center', ncols=len(splits))
    signs = [f'{sign} {text}' for sign, text in marks_of(rows).items()]
    figure.supxlabel('\n'.join(['R²', *signs]), fontsize=9)
    return figure


def _draw_panel(ax: Any, rows: Sequence[BenchmarkRow]) -> None:
    inputs = list(dict.fromkeys((row.input, row.mark) for row in rows))
    place = {name: number for number, (name, _) in enumerate(inputs)}
    splits = list(dict.fromkeys(row.split for row in rows))
    height = 0.8 / len(splits)
    for number, split in enumerate(splits):
        own = [row for row in rows if row.split == split]
        shown = [row for row in own if row.r2_mean is not None]
        means = [max(row.r2_mean or 0.0, LOWEST_SHOWN) for row in shown]
        y = [place[row.input] + (number + 0.5) * height - 0.4 for row in shown]
        spread = [row.r2_std or 0.0 for row in shown]
        ax.barh(y, means, height, xerr=spread, color=COLOURS[split], ecolor='0.4')
        for row, top in zip(shown, y, strict=True):
            text = f'{row.r2_mean:.2f}'
            ax.text(1.02, top, text, va='center', fontsize=6.5, color='0.3')
    ax.set_yticks(range(len(inputs)), [f'{n} {sign}'.strip() for n, sign in inputs])
    ax.tick_params(labelsize=8)
    ax.set_ylim(len(inputs) - 0.5, -0.5)
    lowest = min([row.r2_mean for row in rows if row.r2_mean is not None], default=0.0)
    ax.set_xlim(LOWEST_SHOWN if lowest < 0 else 0, 1.12)
    ax.set_xticks([0, 0.2, 0.4, 0.6, 0.8, 1])
    ax.axvline(0, color='0.3', linewidth=0.8)
    ax.grid(axis='x', alpha=0.3)
    ax.set_axisbelow(True)
