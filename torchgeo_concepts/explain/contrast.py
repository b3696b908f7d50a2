# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Differences between the explanation of one score and those of others."""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from ..plot.bars import number_format
from .explanation import NAME, NUMBER, SHOWN, Explanation, plot_parts

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Contrast:
    """One explanation compared with others.

    Attributes:
        explanations: The explanations; the first is compared with each of the others.
    """

    explanations: tuple[Explanation, ...]

    def __post_init__(self) -> None:
        """Check that the explanations can be compared.

        Raises:
            ValueError: If there are fewer than two, or they differ in bank or unit.
        """
        if len(self.explanations) < 2:
            raise ValueError('A contrast needs at least two explanations.')
        for first, second in pairwise(self.explanations):
            if first.bank != second.bank:
                raise ValueError('The explanations have different banks.')
            if first.unit != second.unit:
                raise ValueError(
                    f'The explanations have different units, {first.unit!r} and '
                    f'{second.unit!r}.'
                )

    def difference(self, other: int = 1) -> Explanation:
        """Explain the difference between the first score and another one.

        Args:
            other: Number of the explanation to compare the first with.

        Returns:
            An explanation whose parts are the differences of all parts. The size and
            share of unnamed features are NaN if both explanations have such features,
            because only their sums are known.

        Raises:
            ValueError: If there is no such explanation.
        """
        if not 1 <= other < len(self.explanations):
            raise ValueError(
                f'other must be from 1 to {len(self.explanations) - 1}, not {other}.'
            )
        first, second = self.explanations[0], self.explanations[other]
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
        """Return the scores, and the differences as tables."""
        form = number_format([each.score for each in self.explanations])
        lines = [
            f'{each.title:<{NAME}}{each.score:>{NUMBER}{form}}'
            for each in self.explanations
        ]
        numbers = range(1, len(self.explanations))
        lines += [f'\n{self.difference(number)}' for number in numbers]
        return '\n'.join(lines)

    def plot(self, number: int = SHOWN, other: int = 1) -> 'Figure':
        """Draw the largest differences as bars.

        Args:
            number: Number of concepts that have a bar of their own.
            other: Number of the explanation to compare the first with.

        Returns:
            The figure.
        """
        first, second = self.explanations[0], self.explanations[other]
        form = number_format([first.score, second.score])
        title = (
            f'{first.title}: {first.score:{form}}\n'
            f'rather than {second.title}: {second.score:{form}}'
        )
        difference = self.difference(other)
        return plot_parts(difference, number, 'difference of contributions', title)
