# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Horizontal bars with their values beside them."""

import math
import textwrap
from collections.abc import Sequence
from typing import Any, Literal

from matplotlib.axes import Axes

# Colours that are distinct with any colour vision: Okabe and Ito (2008),
# https://jfly.uni-koeln.de/color/
MORE, LESS, SUM = '#d55e00', '#0072b2', '#7f7f7f'

# Characters per line of a name, and digits of the largest number.
NAME_WIDTH, DIGITS = 28, 3

# Room for numbers beside the bars of either sign, as a share of the axis.
ROOM = 0.25


def draw_bars(
    axes: Axes,
    rows: Sequence[tuple[str, float]],
    label: str,
    has_sum: bool = False,
    name_width: int = NAME_WIDTH,
    form: str | None = None,
) -> None:
    """Draw values as horizontal bars.

    Args:
        axes: Axes of a figure.
        rows: Names and values, from top to bottom.
        label: Label of the axis of values, with their unit.
        has_sum: True if the last row is the sum of the others.
        name_width: Characters per line of a name.
        form: Format of the values. By default, the largest value has three digits.
    """
    values = [value for _, value in rows]
    colours = [MORE if value > 0 else LESS for value in values]
    if has_sum:
        colours[-1] = SUM
        axes.axhline(len(rows) - 1.5, color='0.3', linewidth=0.8)
    names = [textwrap.fill(name, name_width) for name, _ in rows]
    draw_named_bars(axes, names, values, colours)
    form = form or number_format(values, DIGITS)
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
    axes.axvline(0, color='0.3', linewidth=0.8)
    axes.set_xlim(*_limits(values))
    axes.locator_params(axis='x', nbins=5)
    axes.set_xlabel(label)


def draw_named_bars(
    axes: Axes, names: Sequence[str], values: Sequence[float], colours: Sequence[str]
) -> None:
    """Draw horizontal bars from top to bottom, with their names on the left.

    Args:
        axes: Axes of a figure.
        names: Name of each bar.
        values: Length of each bar.
        colours: Colour of each bar.
    """
    axes.barh(range(len(names)), values, color=colours)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    draw_grid(axes)


def draw_grid(axes: Axes, axis: Literal['x', 'y'] = 'x') -> None:
    """Draw grid lines behind the data, and hide the top and right frame.

    Args:
        axes: Axes of a figure.
        axis: Axis of values.
    """
    axes.spines[['top', 'right']].set_visible(False)
    axes.grid(axis=axis, color='0.9')
    axes.set_axisbelow(True)


def number_format(values: Sequence[float], digits: int = 4) -> str:
    """Return a format that shows the largest value with the given number of digits.

    Args:
        values: The values.
        digits: Number of digits.
    """
    largest = max(map(abs, values), default=0.0)
    if largest >= 1e9:
        return f'.{digits - 1}e'
    decimals = digits - 1 - math.floor(math.log10(largest)) if largest > 0 else 2
    return f'.{min(max(decimals, 0), 6)}f'


def signed(value: float, form: str) -> str:
    """Format a number with its sign, with a typographic minus.

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
