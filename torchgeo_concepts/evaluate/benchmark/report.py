# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Report of the benchmark: marks of training maps, tables in Markdown, and a figure."""

import itertools
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from ...io.pages import report_head, today_with, wrapped
from ...layers import LAYERS, get_layer
from ...utils.files import atomic_path
from ...utils.markdown import markdown_table
from .encoders import TrainingMaps
from .inputs import Input
from .scores import NUM_FOLDS, BenchmarkScore
from .tasks import OTHER, UNKNOWN, Target

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Number of panels side by side; width of a panel and height of a row in inches.
PANELS, PANEL_WIDTH, ROW_HEIGHT = 3, 6.0, 0.3

# Bars of lower scores are cut here.
LOWEST_SHOWN = -0.2

# Pixels per inch, and maximum height of the figure in pixels.
DPI, MOST_PIXELS = 120, 60_000

COLOURS = {'random': '#56b4e9', 'blocks': '#0072b2'}

SAME_SOURCE, SAME_KIND, NOT_KNOWN = '*', '+', '?'
LEGEND = {
    SAME_SOURCE: 'trained on the source of this target',
    SAME_KIND: 'trained on other maps of the same kind of quantity',
    NOT_KNOWN: 'may have been trained on the source of this target or maps of its kind',
}


PROTOCOL_IN_WORDS = (
    'R² of a ridge regression on frozen features (neighbours and boosting use no ridge '
    'regression): mean and standard deviation over five folds and all seeds. Folds are '
    'random rows, or whole blocks of 10 degrees. The penalty is chosen on the test '
    'folds, so all scores are slightly too high. Points/s is the speed of computing '
    'features in this run. MB is the size of the weights on disk.'
)


@dataclass(frozen=True)
class BenchmarkRow:
    """Score of one target and split from one input.

    Attributes:
        table: Name of the file or dataset.
        target: Name of the column.
        group: Kind of quantity: a group of layers, ``'other'`` or ``'unknown'``.
        split: ``'random'`` or ``'blocks'``.
        input: Name of the input.
        mark: ``'*'`` if the input was trained on the source of the target, ``'+'`` on
            other maps of the same kind, ``'?'`` if that is unknown, empty otherwise.
        r2_mean: Mean of R² over folds and seeds, None where R² is not defined.
        r2_std: Standard deviation over folds and seeds.
        seeds: Number of seeds.
        folds: Number of folds of each seed.
        dimensions: Number of features.
        points_per_second: Speed of computing the features in the run that scored them.
        megabytes: Size of the encoder's weights on disk.
        rows: Number of rows with a value.
    """

    table: str
    target: str
    group: str
    split: str
    input: str
    mark: str
    r2_mean: float | None
    r2_std: float | None
    seeds: int
    folds: int
    dimensions: int | None
    points_per_second: float | None
    megabytes: float | None
    rows: int

    @property
    def score(self) -> str:
        """Return mean and standard deviation of R², a dash if not defined."""
        if self.r2_mean is None or self.r2_std is None:
            return '-'
        return f'{self.r2_mean:.3f} ± {self.r2_std:.3f}'


def make_row(
    target: Target,
    num_rows: int,
    split: str,
    source: Input,
    scores: Sequence[BenchmarkScore],
) -> BenchmarkRow:
    """Summarise the scores of all seeds."""
    r2 = [value for score in scores for value in score.r2]
    rates = [s.points_per_second for s in scores if s.points_per_second is not None]
    return BenchmarkRow(
        target.table,
        target.name,
        target.group,
        split,
        source.name,
        mark(source.layers, target),
        float(np.mean(r2)) if r2 else None,
        float(np.std(r2)) if r2 else None,
        len(scores),
        NUM_FOLDS,
        scores[-1].dimensions if scores else None,
        rates[-1] if rates else None,
        source.megabytes,
        num_rows,
    )


def mark(layers: TrainingMaps | None, target: Target) -> str:
    """Return the mark of an encoder for a target.

    Args:
        layers: Names and versions of the encoder's training maps, None if unknown.
        target: The target.

    Returns:
        A key of :data:`LEGEND`, empty without training maps of this kind.
    """
    if layers is None:
        return NOT_KNOWN
    known = [
        (get_layer(name).group, version.partition(' ')[0])
        for name, version in layers.items()
        if name in LAYERS
    ]
    kind = target.group
    if target.source and any(
        source == target.source and kind in (UNKNOWN, OTHER, group)
        for group, source in known
    ):
        return SAME_SOURCE
    if kind == UNKNOWN and layers:
        return NOT_KNOWN
    if any(group == kind for group, _ in known):
        return SAME_KIND
    return '' if len(known) == len(layers) else NOT_KNOWN


# Tables --------------------------------------------------------------------------------


def page_lines(
    rows: Sequence[BenchmarkRow],
    command: str,
    left_out: Sequence[str],
    guessed: Collection[tuple[str, str]],
    machine: str,
    origins: Mapping[str, str],
) -> Iterator[str]:
    """Yield the lines of the page of results in Markdown.

    Args:
        rows: All rows.
        command: The command that was run.
        left_out: A line for each omission, with its reason.
        guessed: Tables and columns whose kind was guessed.
        machine: The machine that ran the command.
        origins: Origins of tables, by their names.
    """
    yield '# Benchmark'
    yield ''
    remark = f'{today_with()}, {machine}.'
    yield from report_head((), remark, command, PROTOCOL_IN_WORDS, left_out)
    yield from target_lines(rows, guessed, origins)


def target_lines(
    rows: Sequence[BenchmarkRow],
    guessed: Collection[tuple[str, str]] = frozenset(),
    origins: Mapping[str, str] = MappingProxyType({}),
    level: int = 2,
) -> Iterator[str]:
    """Yield the lines of a table for each target.

    Args:
        rows: All rows, grouped by target.
        guessed: Tables and columns whose kind was guessed.
        origins: Origins of tables, by their names.
        level: Level of the headings.
    """
    for (table, name), group in by_target(rows):
        first = group[0]
        is_guessed = (table, name) in guessed and first.group != UNKNOWN
        origin = f' ({origins[table]})' if table in origins else ''
        yield f'{"#" * level} {name}'
        yield ''
        yield from wrapped(
            f'{first.rows:,} rows of {table}{origin}. Kind of quantity: '
            f'{first.group}{" (guessed from the name)" * is_guessed}.'
        )
        yield from _table(group).splitlines()
        yield ''
        legend = marks_of(group)
        if legend:
            text = '; '.join(f'`{sign}` {meaning}' for sign, meaning in legend.items())
            yield from wrapped(f'Maps: {text}.')


def by_target(
    rows: Iterable[BenchmarkRow],
) -> list[tuple[tuple[str, str], list[BenchmarkRow]]]:
    """Return the rows of each table and target."""
    grouped = itertools.groupby(rows, lambda row: (row.table, row.target))
    return [(key, list(group)) for key, group in grouped]


def marks_of(rows: Iterable[BenchmarkRow]) -> dict[str, str]:
    """Return the marks of rows and their meanings."""
    used = {row.mark for row in rows}
    return {sign: text for sign, text in LEGEND.items() if sign in used}


def _table(rows: Sequence[BenchmarkRow]) -> str:
    """Return a table with a line for each input and a column for each split."""
    lines: dict[str, dict[str, str]] = {}
    for row in rows:
        line = lines.setdefault(row.input, {'input': row.input})
        line['maps'] = f'`{row.mark}`' if row.mark else ''
        # A row of a split where R² is not defined has no dimensions and no speed.
        for column, value, form in (
            ('d', row.dimensions, ',d'),
            ('points/s', row.points_per_second, ',.0f'),
            ('MB', row.megabytes, '.1f'),
        ):
            line[column] = line.get(column) or (format(value, form) if value else '')
        line[row.split] = row.score
    for line in lines.values():
        line['d'] = line['d'] or '-'
    splits = dict.fromkeys(row.split for row in rows)
    columns = ('input', 'maps', 'd', *splits, 'points/s', 'MB')
    cells = ([line[name] for name in columns] for line in lines.values())
    return markdown_table(columns, cells, right=columns[2:])


# Figure -------------------------------------------------------------------------------


def write_figure(path: Path, rows: Sequence[BenchmarkRow]) -> None:
    """Write a PNG file with a panel of bars for each target."""
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
