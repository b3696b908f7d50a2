# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Scores as sums of contributions of concepts."""

import math
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from torch import Tensor

from ..concepts.bank import ConceptBank
from ..plot.bars import draw_bars, number_format, signed

# Number of concepts that are shown by name; all others are summed.
SHOWN = 8

# Maximum error of the sum of the parts, relative to the sum of their absolute values.
TOLERANCE = 1e-5

# Widths of the columns of a table.
NAME, NUMBER = 44, 11

# Inches of a figure. Text is still readable at half the width of a page.
WIDTH, ROW_HEIGHT, MARGIN = 5.6, 0.32, 2.0

# Characters per line of a title.
TITLE_WIDTH = 60

# Name of the gap in tables and figures.
GAP = 'gap: not explained'

type NamedValues = list[tuple[str, float]]


@dataclass(frozen=True)
class Explanation:
    """A score as a sum of contributions.

    Score = base + contributions of all concepts + contribution of unnamed features + gap.

    Attributes:
        title: Title, which names the score and the point or pair.
        unit: Unit of the score, empty if it has none.
        bank: The concepts.
        contributions: Contribution of each concept, in the order of the bank.
        score: The score.
        base: Score without contributions: the prediction for the reference point, or the
            intercept.
        base_name: Name of the base, empty if there is none.
        unnamed: Sum of the contributions of features without a name.
        unnamed_size: Sum of the absolute contributions of these features, NaN if
            unknown.
        unnamed_count: Number of these features.
        gap: Error of integrated gradients; 0 for a linear model.
    """

    title: str
    unit: str
    bank: ConceptBank = field(repr=False)
    contributions: tuple[float, ...] = field(repr=False)
    score: float
    base: float = 0.0
    base_name: str = ''
    unnamed: float = 0.0
    unnamed_size: float = 0.0
    unnamed_count: int = 0
    gap: float = 0.0

    def __post_init__(self) -> None:
        """Validate the number of contributions and the sum of all parts.

        Raises:
            ValueError: If the number of contributions differs from that of the concepts,
                or the parts do not sum to the score.
        """
        if len(self.contributions) != len(self.bank):
            raise ValueError(
                f'Expected {len(self.bank)} contributions, one for each concept of the '
                f'bank, got {len(self.contributions)}.'
            )
        # A difference has no known size; its parts were validated before.
        is_known = not math.isnan(self.unnamed_size)
        size = self.named_size + self.unnamed_size + abs(self.base)
        limit = TOLERANCE * max(1.0, size) if is_known else math.inf
        if not abs(self.total - self.score) <= limit:
            raise ValueError(
                f'The parts of {self.title!r} sum to {self.total:.6g}, but the score is '
                f'{self.score:.6g}.'
            )

    @property
    def named_size(self) -> float:
        """Sum of the absolute contributions of all concepts."""
        return math.fsum(map(abs, self.contributions))

    @property
    def total(self) -> float:
        """Sum of all parts, which equals the score."""
        return math.fsum((*self.contributions, self.base, self.unnamed, self.gap))

    @property
    def unnamed_share(self) -> float:
        """Share of unnamed features in the sum of absolute contributions.

        Base and gap are not included. NaN if all contributions are 0, or if the size of
        the unnamed features is not known.
        """
        size = self.named_size + self.unnamed_size
        return self.unnamed_size / size if size else math.nan

    def __getitem__(self, concept: str) -> float:
        """Return the contribution of a concept.

        Args:
            concept: Id, name or alias of the concept.

        Raises:
            ValueError: If there is no such concept; the message lists near matches.
        """
        return self.contributions[self.bank.index(concept)]

    def top(self, number: int = SHOWN) -> NamedValues:
        """Return names and contributions of concepts, the largest absolute value first.

        Args:
            number: Maximum number of concepts; contributions of 0 are left out.
        """
        order = np.argsort(-np.abs(self.contributions), kind='stable')[:number]
        return [
            (self.bank.names[place], self.contributions[place])
            for place in order.tolist()
            if self.contributions[place]
        ]

    def _rest(self, num_shown: int) -> NamedValues:
        """Return the other parts: concepts not shown, unnamed features and gap."""
        rest = []
        if others := [value for _, value in self.top(len(self.bank))[num_shown:]]:
            rest.append((f'{len(others)} more concepts', math.fsum(others)))
        if self.unnamed_count:
            rest.append((f'{self.unnamed_count} unnamed features', self.unnamed))
        if self.gap:
            rest.append((GAP, self.gap))
        return rest

    def added(self, number: int = SHOWN) -> NamedValues:
        """Return names and values of all parts except the base.

        Args:
            number: Number of concepts with a row of their own.

        Returns:
            Concepts, the sum of all other concepts, unnamed features and gap.
        """
        shown = self.top(number + 1)
        # One more concept is shown instead of a row "1 more concepts".
        if len(self.top(number + 2)) > number + 1:
            shown = shown[:number]
        return shown + self._rest(len(shown))

    def bar_rows(self, number: int = SHOWN) -> tuple[NamedValues, NamedValues]:
        """Return names and values of the bars of a figure.

        Args:
            number: Number of concepts with a bar of their own.

        Returns:
            The upper bars: the largest contributions. The lower bars: their sum, the
            other parts except the base, and the sum of these.
        """
        shown = self.top(number)
        named = math.fsum(value for _, value in shown)
        rows = [(f'the {len(shown)} above', named), *self._rest(len(shown))]
        return shown, [*rows, ('sum', sum(value for _, value in rows))]

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each part, the largest concepts first.

        Returns:
            A table with the columns ``part`` (concept, base, unnamed or gap), ``name``
            and ``contribution``. The contributions sum to the score.
        """
        order = np.argsort(-np.abs(self.contributions), kind='stable').tolist()
        rows = [('concept', self.bank.names[n], self.contributions[n]) for n in order]
        if self.base_name:
            rows.append(('base', self.base_name, self.base))
        for name, value in self._rest(len(self.bank)):
            rows.append(('gap' if name == GAP else 'unnamed', name, value))
        return pd.DataFrame(rows, columns=['part', 'name', 'contribution'])

    def __str__(self) -> str:
        """Return the largest parts as a table."""
        rows = self.added()
        form = number_format([*(value for _, value in rows), self.base, self.score])
        # A long title has a line of its own.
        is_long = len(self.title) > NAME
        lines = [self.title] if is_long else []
        lines.append(f'{"" if is_long else self.title:<{NAME}}{self.unit:>{NUMBER}}')
        if self.base_name:
            lines.append(_line(self.base_name, f'{self.base:{form}}'))
        lines += [_line(name, f'{value:+{form}}') for name, value in rows]
        lines.append(_line('= score', f'{self.score:{form}}'))
        if self.unnamed_count and not math.isnan(self.unnamed_share):
            lines.append(_line('share without a name', f'{self.unnamed_share:.0%}'))
        return '\n'.join(map(str.rstrip, lines))

    def plot(self, number: int = SHOWN) -> Figure:
        """Draw the largest parts as bars.

        Args:
            number: Number of concepts with a bar of their own.

        Returns:
            The figure. The upper bars are the largest contributions. The lower bars, on
            another scale, are their sum, all other concepts, unnamed features and the sum
            of all. The title has the base and the score.
        """
        form = number_format([self.base, self.score])
        title = f'{self.title}: {self.score:{form}} {self.unit}'.rstrip()
        if self.base_name:
            added = signed(self.score - self.base, form)
            title += f'\n= {self.base_name} {self.base:{form}} {added}'
        return _plot_parts(self, number, 'contribution', title)


@dataclass(frozen=True, eq=False)
class Contributions:
    """Scores of many points as sums of contributions.

    Score = base + contributions of all concepts + contribution of unnamed features + gap.

    Attributes:
        bank: The concepts.
        values: Contribution of each concept, of shape ``(N, k)`` in float64.
        score: The scores, of shape ``(N,)``.
        base: Scores without contributions, of shape ``(N,)``.
        unnamed: Sums of the contributions of features without a name, of shape ``(N,)``.
        unnamed_size: Sums of the absolute contributions of these features.
        gap: Error of integrated gradients, of shape ``(N,)``; 0 for a linear model.
        unnamed_count: Number of unnamed features.
        base_name: Name of the base, empty if there is none.
        titles: Title of each score, which names the point or pair.
        unit: Unit of the scores.
    """

    bank: ConceptBank
    values: Tensor
    score: Tensor
    base: Tensor
    unnamed: Tensor
    unnamed_size: Tensor
    gap: Tensor
    unnamed_count: int
    base_name: str
    titles: tuple[str, ...]
    unit: str

    def __len__(self) -> int:
        """Return the number of scores."""
        return len(self.score)

    def __getitem__(self, row: int) -> Explanation:
        """Return the explanation of one score.

        Args:
            row: Index of the score.
        """
        return Explanation(
            self.titles[row],
            self.unit,
            self.bank,
            tuple(self.values[row].tolist()),
            float(self.score[row]),
            float(self.base[row]),
            self.base_name,
            float(self.unnamed[row]),
            float(self.unnamed_size[row]),
            self.unnamed_count,
            float(self.gap[row]),
        )

    def __iter__(self) -> Iterator[Explanation]:
        """Iterate over the explanations."""
        return map(self.__getitem__, range(len(self)))

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each score, with its parts and a column for each concept.

        Returns:
            A table with the columns ``title``, ``score``, ``base``, ``unnamed``, ``gap``
            and the ids of the concepts. The columns after ``score`` sum to it.
        """
        parts = ('score', 'base', 'unnamed', 'gap')
        first = pd.DataFrame({name: getattr(self, name).numpy() for name in parts})
        first.insert(0, 'title', list(self.titles))
        concepts = pd.DataFrame(self.values.numpy(), columns=list(self.bank.ids))
        return pd.concat([first, concepts], axis=1)


@dataclass(frozen=True)
class Contrast:
    """Difference of two explanations.

    Attributes:
        explanations: The two explanations.
    """

    explanations: tuple[Explanation, ...]

    def __post_init__(self) -> None:
        """Check that the explanations can be compared.

        Raises:
            ValueError: If there are not two explanations, or banks or units differ.
        """
        if len(self.explanations) != 2:
            raise ValueError(
                f'A contrast needs two explanations, got {len(self.explanations)}.'
            )
        first, second = self.explanations
        if first.bank != second.bank:
            raise ValueError('The explanations have different banks.')
        if first.unit != second.unit:
            raise ValueError(
                f'The explanations have different units, {first.unit!r} and '
                f'{second.unit!r}.'
            )

    def difference(self) -> Explanation:
        """Explain the difference between the two scores.

        Returns:
            An explanation whose parts are the differences of all parts. The size and
            share of unnamed features are NaN if both explanations have such features,
            because only their sums are known.
        """
        first, second = self.explanations
        pairs = zip(first.contributions, second.contributions, strict=True)
        sizes = first.unnamed_size, second.unnamed_size
        return Explanation(
            f'{first.title}, rather than {second.title}',
            first.unit,
            first.bank,
            tuple(mine - theirs for mine, theirs in pairs),
            first.score - second.score,
            first.base - second.base,
            # A common base cancels out.
            'difference of the bases' if first.base != second.base else '',
            first.unnamed - second.unnamed,
            sum(sizes) if 0 in sizes else math.nan,
            max(first.unnamed_count, second.unnamed_count),
            first.gap - second.gap,
        )

    def __str__(self) -> str:
        """Return the scores, and the difference as a table."""
        form = number_format([each.score for each in self.explanations])
        lines = [
            f'{each.title:<{NAME}}{each.score:>{NUMBER}{form}}'
            for each in self.explanations
        ]
        return '\n'.join([*lines, '', str(self.difference())])

    def plot(self, number: int = SHOWN) -> Figure:
        """Draw the largest differences as bars.

        Args:
            number: Number of concepts that have a bar of their own.

        Returns:
            The figure.
        """
        first, second = self.explanations
        form = number_format([first.score, second.score])
        title = (
            f'{first.title}: {first.score:{form}}\n'
            f'rather than {second.title}: {second.score:{form}}'
        )
        what = 'difference of contributions'
        return _plot_parts(self.difference(), number, what, title)


def _line(name: str, value: str) -> str:
    return f'  {name:<{NAME - 2}}{value:>{NUMBER}}'


def _plot_parts(explanation: Explanation, number: int, what: str, title: str) -> Figure:
    """Draw the parts of a score as bars."""
    shown, together = explanation.bar_rows(number)
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
