# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Scores as sums of what concepts contribute, and contrasts of two of them."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..concepts.bank import ConceptBank

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# Contributions that are shown by name; the others are added up.
SHOWN = 8

# Parts may miss their score by this much, relative to the sum of their sizes.
TOLERANCE = 1e-5

# Columns of the tables.
NAME, NUMBER = 44, 11


@dataclass(frozen=True)
class Parts:
    """What a score is made of besides the contributions of concepts.

    Attributes:
        base: What is there before any contribution: the score of the point that
            contributions are relative to, or the intercept.
        base_name: What to call it. Empty if there is none.
        unnamed: What numbers that no concept names add, all together.
        unnamed_size: Sum of the absolute contributions of these numbers, NaN if it is
            not known.
        unnamed_count: How many there are.
        gap: What integrated gradients leave unexplained; 0 where a model is linear.
    """

    base: float = 0.0
    base_name: str = ''
    unnamed: float = 0.0
    unnamed_size: float = 0.0
    unnamed_count: int = 0
    gap: float = 0.0

    def rows(self) -> Iterator[tuple[str, str, float]]:
        """Yield kind, name and value of each part that there is."""
        if self.base_name:
            yield 'base', self.base_name, self.base
        if self.unnamed_count:
            yield 'unnamed', f'{self.unnamed_count} unnamed numbers', self.unnamed
        if self.gap:
            yield 'gap', 'gap: not explained', self.gap


@dataclass(frozen=True)
class Explanation:
    """One score, and what it is the sum of.

    The score is the base, plus the contributions of all concepts, plus what unnamed
    numbers add, plus the gap.

    Attributes:
        title: What the score is, and of what.
        unit: Its unit, empty if it has none.
        bank: The concepts.
        contributions: What each of them adds to the score, in the order of the bank.
        score: The score.
        parts: What else it is made of.
    """

    title: str
    unit: str
    bank: ConceptBank = field(repr=False)
    contributions: tuple[float, ...] = field(repr=False)
    score: float
    parts: Parts = Parts()

    def __post_init__(self) -> None:
        """Check that the parts are as many as they should be, and add up.

        Raises:
            ValueError: If they do not.
        """
        if len(self.contributions) != len(self.bank):
            raise ValueError(
                f'A bank of {len(self.bank)} concepts needs as many contributions, not '
                f'{len(self.contributions)}.'
            )
        size = self.named_size + self.parts.unnamed_size + abs(self.parts.base)
        # What a difference was made of has been checked, and its size is not known.
        is_known = not math.isnan(self.parts.unnamed_size)
        limit = TOLERANCE * max(1.0, size) if is_known else math.inf
        if not abs(self.total - self.score) <= limit:
            raise ValueError(
                f'The parts of {self.title!r} add up to {self.total:.6g}, the score is '
                f'{self.score:.6g}.'
            )

    @property
    def base(self) -> float:
        """What is there before any contribution."""
        return self.parts.base

    @property
    def unnamed(self) -> float:
        """What numbers that no concept names add, 0 where there are none."""
        return self.parts.unnamed

    @property
    def gap(self) -> float:
        """What integrated gradients leave unexplained, 0 where a model is linear."""
        return self.parts.gap

    @property
    def named(self) -> float:
        """Sum of the contributions of all concepts."""
        return math.fsum(self.contributions)

    @property
    def named_size(self) -> float:
        """Sum of their absolute values."""
        return math.fsum(map(abs, self.contributions))

    @property
    def total(self) -> float:
        """Sum of all parts, which is the score."""
        parts = self.parts
        return math.fsum((*self.contributions, parts.base, parts.unnamed, parts.gap))

    @property
    def named_share(self) -> float:
        """How much of what moves the score has a name.

        The sum of the absolute contributions of concepts, divided by that of concepts
        and of unnamed numbers, each number by itself. Base and gap do not count. NaN if
        nothing contributes, or if the size of unnamed numbers is not known.
        """
        size = self.named_size + self.parts.unnamed_size
        return self.named_size / size if size else math.nan

    @property
    def unnamed_share(self) -> float:
        """How much of what moves the score has no name: 1 - :attr:`named_share`."""
        return 1 - self.named_share

    def __getitem__(self, concept: str) -> float:
        """Return the contribution of a concept.

        Args:
            concept: Id, name or alias of the concept.

        Raises:
            ValueError: If there is no such concept; the message lists near matches.
        """
        return self.contributions[self.bank.index(concept)]

    def top(self, number: int = SHOWN) -> list[tuple[str, float]]:
        """Return names and contributions of concepts, that of the largest size first.

        Args:
            number: How many concepts; those that add nothing are left out.
        """
        order = np.argsort(-np.abs(self.contributions), kind='stable')[:number]
        return [
            (self.bank.names[place], self.contributions[place])
            for place in order.tolist()
            if self.contributions[place]
        ]

    def added(self, number: int = SHOWN) -> list[tuple[str, float]]:
        """Return what is added to the base: concepts, most as one, and the rest.

        Args:
            number: How many concepts have their names.

        Returns:
            Names and values: concepts, all others, unnamed numbers, the gap.
        """
        used = self.top(len(self.bank))
        # A single other concept has as much room as the line that stands for it.
        shown = used[: number if len(used) > number + 1 else None]
        others = [value for _, value in used[len(shown) :]]
        rows = list(shown)
        if others:
            rows.append((f'{len(others)} more concepts', math.fsum(others)))
        return rows + [
            (name, value) for part, name, value in self.parts.rows() if part != 'base'
        ]

    def rows(self, number: int = SHOWN) -> list[tuple[str, float]]:
        """Return what the score is the sum of: the base, and what is added to it.

        Args:
            number: How many concepts have their names.
        """
        name = self.parts.base_name
        return ([(name, self.base)] if name else []) + self.added(number)

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each part, concepts by size; contributions sum to the score.

        Returns:
            A table with the columns ``part`` (base, concept, unnamed or gap), ``name``
            and ``contribution``.
        """
        order = np.argsort(-np.abs(self.contributions), kind='stable').tolist()
        concepts = [
            ('concept', self.bank.names[place], self.contributions[place])
            for place in order
        ]
        rows = [*concepts, *self.parts.rows()]
        return pd.DataFrame(rows, columns=['part', 'name', 'contribution'])

    def __str__(self) -> str:
        """Return the largest parts as a table."""
        form = number_format([value for _, value in self.rows()] + [self.score])
        # A long title has a line of its own.
        is_long = len(self.title) > NAME
        lines = [self.title] if is_long else []
        lines.append(f'{"" if is_long else self.title:<{NAME}}{self.unit:>{NUMBER}}')
        for place, (name, value) in enumerate(self.rows()):
            is_base = place == 0 and bool(self.parts.base_name)
            text = f'{value:{form}}' if is_base else f'{value:+{form}}'
            lines.append(_line(name, text))
        lines.append(_line('= score', f'{self.score:{form}}'))
        if self.parts.unnamed_count and not math.isnan(self.unnamed_share):
            lines.append(_line('share without a name', f'{self.unnamed_share:.0%}'))
        return '\n'.join(map(str.rstrip, lines))

    def plot(self, number: int = SHOWN) -> 'Figure':
        """Draw the largest parts as bars.

        Args:
            number: How many concepts have bars of their own.

        Returns:
            The figure.
        """
        from .bars import plot_explanation

        return plot_explanation(self, number)


@dataclass(frozen=True)
class Contrast:
    """Why one of several has a higher score than the others.

    Attributes:
        explanations: Explanations of all, the one that is compared with all others
            first.
    """

    explanations: tuple[Explanation, ...]

    def __post_init__(self) -> None:
        """Check that the explanations can be compared.

        Raises:
            ValueError: If there are less than two, or they differ in bank or unit.
        """
        if len(self.explanations) < 2:
            raise ValueError('A contrast needs at least two explanations.')
        for first, second in pairwise(self.explanations):
            if first.bank != second.bank:
                raise ValueError('The explanations are not of the same bank.')
            if first.unit != second.unit:
                raise ValueError(
                    f'The explanations are in {first.unit!r} and {second.unit!r}.'
                )

    def difference(self, other: int = 1) -> Explanation:
        """Return how much more each concept adds to the first score than to another.

        Args:
            other: Which of the explanations to compare the first with.

        Returns:
            An explanation of the difference of the scores, which is the sum of the
            differences of all parts. Unnamed numbers are known only as sums, so that
            their size in a difference is NaN, as are the shares with and without a
            name, unless one of both has nothing unnamed.

        Raises:
            ValueError: If there is no such explanation.
        """
        if not 1 <= other < len(self.explanations):
            raise ValueError(
                f'other must be 1 to {len(self.explanations) - 1}, not {other}.'
            )
        first, second = self.explanations[0], self.explanations[other]
        pairs = zip(first.contributions, second.contributions, strict=True)
        one, two = first.parts, second.parts
        sizes = one.unnamed_size, two.unnamed_size
        parts = Parts(
            one.base - two.base,
            # What both begin with tells nothing.
            'difference of the bases' if one.base != two.base else '',
            one.unnamed - two.unnamed,
            sum(sizes) if 0 in sizes else math.nan,
            max(one.unnamed_count, two.unnamed_count),
            one.gap - two.gap,
        )
        return Explanation(
            f'{first.title}, rather than {second.title}',
            first.unit,
            first.bank,
            tuple(mine - theirs for mine, theirs in pairs),
            first.score - second.score,
            parts,
        )

    @property
    def differences(self) -> tuple[Explanation, ...]:
        """The differences of the first with each of the others."""
        return tuple(map(self.difference, range(1, len(self.explanations))))

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each part and each other explanation.

        Returns:
            A table with the columns ``other`` (its number), ``part``, ``name``,
            ``first``, ``second`` and ``difference``, concepts by size of the
            difference.
        """
        return pd.concat(
            [self._pair(other) for other in range(1, len(self.explanations))],
            ignore_index=True,
        )

    def _pair(self, other: int) -> pd.DataFrame:
        keys = ['part', 'name']
        first, second = (
            self.explanations[number].to_frame().set_index(keys)['contribution']
            for number in (0, other)
        )
        frame = pd.DataFrame({'first': first, 'second': second}).fillna(0.0)
        frame['difference'] = frame['first'] - frame['second']
        order = frame['difference'].abs().sort_values(ascending=False, kind='stable')
        frame = frame.loc[order.index].reset_index()
        frame.insert(0, 'other', other)
        return frame

    def __str__(self) -> str:
        """Return the scores, and the differences as tables."""
        form = number_format([each.score for each in self.explanations])
        lines = [
            f'{each.title:<{NAME}}{each.score:>{NUMBER}{form}}'
            for each in self.explanations
        ]
        return '\n'.join([*lines, *(f'\n{each}' for each in self.differences)])

    def plot(self, number: int = SHOWN, other: int = 1) -> 'Figure':
        """Draw the largest differences as bars.

        Args:
            number: How many concepts have bars of their own.
            other: Which of the explanations to compare the first with.

        Returns:
            The figure.
        """
        from .bars import plot_contrast

        return plot_contrast(self, number, other)


def number_format(values: Sequence[float], digits: int = 4) -> str:
    """Return a format in which the largest of some values has so many digits.

    Args:
        values: The values.
        digits: How many digits.
    """
    largest = max(map(abs, values), default=0.0)
    if largest >= 1e9:
        return f'.{digits - 1}e'
    decimals = digits - 1 - math.floor(math.log10(largest)) if largest > 0 else 2
    return f'.{min(max(decimals, 0), 6)}f'


def _line(name: str, value: str) -> str:
    return f'  {name:<{NAME - 2}}{value:>{NUMBER}}'
