# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Contributions as horizontal bars."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .explanation import SHOWN, Contrast, Explanation, number_format

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# Colours of people with any colour vision: Okabe and Ito (2008),
# https://jfly.uni-koeln.de/color/
MORE, LESS, SUM = '#d55e00', '#0072b2', '#7f7f7f'

# Inches; at half the width of a page, letters still have 6 points.
WIDTH, ROW_HEIGHT, MARGIN = 5.6, 0.32, 2.0

# Characters to a line of a name and of a title.
NAME_WIDTH, TITLE_WIDTH = 28, 60

# Digits of the largest number.
DIGITS = 3

# Room for numbers beside bars of either sign, in parts of the axis.
ROOM = 0.25


def plot_explanation(explanation: Explanation, number: int = SHOWN) -> 'Figure':
    """Draw what a score is the sum of.

    Args:
        explanation: The explanation.
        number: How many concepts have bars of their own.

    Returns:
        A figure with a bar for each of the largest contributions above, and below, on a
        scale of their own, bars for these together, for all others, for unnamed numbers
        and for the sum. The title has the base and the score.
    """
    return _plot(explanation, number, 'contribution', _title(explanation))


def plot_contrast(contrast: Contrast, number: int = SHOWN, other: int = 1) -> 'Figure':
    """Draw why a score is higher than another.

    Args:
        contrast: The contrast.
        number: How many concepts have bars of their own.
        other: Which of the explanations to compare the first with.

    Returns:
        A figure like that of an explanation, of the differences of contributions, whose
        sum is the difference of the scores.
    """
    difference = contrast.difference(other)
    first, second = contrast.explanations[0], contrast.explanations[other]
    form = number_format([first.score, second.score])
    title = (
        f'{first.title}: {first.score:{form}}\n'
        f'rather than {second.title}: {second.score:{form}}'
    )
    return _plot(difference, number, 'difference of contributions', title)


def draw_bars(
    axes: 'Axes', rows: Sequence[tuple[str, float]], label: str, has_sum: bool = False
) -> None:
    """Draw values as bars.

    Args:
        axes: Axes of a figure.
        rows: Names and values, from top to bottom.
        label: What the values are, with their unit.
        has_sum: The last row is the sum of the others.
    """
    values = [value for _, value in rows]
    colours = [MORE if value > 0 else LESS for value in values]
    if has_sum:
        colours[-1] = SUM
        axes.axhline(len(rows) - 1.5, color='0.3', linewidth=0.8)
    axes.barh(range(len(rows)), values, color=colours)
    form = number_format(values, DIGITS)
    for place, value in enumerate(values):
        side: Any = 'right' if value < 0 else 'left'
        axes.annotate(
            signed(value, form),
            (value, place),
            xytext=(-4 if value < 0 else 4, 0),
            textcoords='offset points',
            va='center',
            ha=side,
        )
    axes.set_yticks(
        range(len(rows)), [textwrap.fill(name, NAME_WIDTH) for name, _ in rows]
    )
    axes.invert_yaxis()
    axes.axvline(0, color='0.3', linewidth=0.8)
    axes.set_xlim(*_limits(values))
    axes.locator_params(axis='x', nbins=5)
    axes.set_xlabel(label)
    axes.spines[['top', 'right']].set_visible(False)
    axes.grid(axis='x', color='0.9')
    axes.set_axisbelow(True)


def signed(value: float, form: str) -> str:
    """Return a number with its sign, a minus as long as a plus.

    Args:
        value: The number.
        form: Its format.
    """
    return f'{value:+{form}}'.replace('-', '\N{MINUS SIGN}')


def _limits(values: Sequence[float]) -> tuple[float, float]:
    low, high = min([0.0, *values]), max([0.0, *values])
    if low == high:
        return -1.0, 1.0
    sides = (low < 0) + (high > 0)
    room = ROOM / (1 - sides * ROOM) * (high - low)
    return (low - room if low < 0 else 0.0), (high + room if high > 0 else 0.0)


def _plot(explanation: Explanation, number: int, what: str, title: str) -> 'Figure':
    from matplotlib.figure import Figure

    shown, together = bar_rows(explanation, number)
    heights = [max(1, len(shown)), len(together)]
    size = (WIDTH, MARGIN + ROW_HEIGHT * sum(heights))
    figure = Figure(figsize=size, dpi=200, layout='constrained')
    upper, lower = figure.subplots(2, 1, height_ratios=heights)
    label = f'{what} [{explanation.unit or 1}]'
    draw_bars(upper, shown, label)
    draw_bars(lower, together, f'{label}, together', has_sum=True)
    lines = [textwrap.fill(line, TITLE_WIDTH) for line in title.splitlines()]
    figure.suptitle('\n'.join(lines), fontsize=11, x=0.02, ha='left')
    return figure


def bar_rows(
    explanation: Explanation, number: int = SHOWN
) -> tuple[list[tuple[str, float]], list[tuple[str, float]]]:
    """Return names and values of the bars of an explanation.

    Args:
        explanation: The explanation.
        number: How many concepts have bars of their own.

    Returns:
        Those of the largest contributions, and those of what these, all other concepts
        and all else add together, the sum last.
    """
    shown = explanation.top(number)
    named = sum(value for _, value in shown)
    others = sum(1 for value in explanation.contributions if value) - len(shown)
    rows = [(f'the {len(shown)} above', named)]
    if others:
        rows.append((f'{others} more concepts', explanation.named - named))
    rows += [(name, value) for part, name, value in explanation.parts.rows()
             if part != 'base']  # fmt: skip
    return shown, [*rows, ('sum', sum(value for _, value in rows))]


def _title(explanation: Explanation) -> str:
    """Say what the score is, and the sum that it is."""
    unit = f' {explanation.unit}' if explanation.unit else ''
    base, score = explanation.base, explanation.score
    form = number_format([base, score])
    title = f'{explanation.title}: {score:{form}}{unit}'
    if name := explanation.parts.base_name:
        title += f'\n= {name} {base:{form}} {signed(score - base, form)}'
    return title
