# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Smallest changes of concept scores that change a prediction."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from torch import Tensor

from ..concepts.bank import ConceptBank
from ..models.concept_earth import ConceptEarth
from ..plot.bars import LESS, MORE
from ._goals import Head, make_goal
from ._scores import check_bank, check_scores

# Number of bisection steps, enough for float32.
HALVINGS = 24

# Columns of a table.
MOVED = ('concept', 'before', 'after', 'cost')


@dataclass(frozen=True)
class ConceptStep:
    """Move of one concept.

    Attributes:
        concept: Name of the concept.
        before: Score before.
        after: Score after.
        reachable: Lowest and highest allowed score.
        cost: Size of the move, in standard deviations of the reference.
        outcome: Outcome after this and all earlier steps.
        values: Probability or quantity before and after, None without an encoder.
        unit: Unit of the values, empty for probabilities.
    """

    concept: str
    before: float
    after: float
    reachable: tuple[float, float]
    cost: float
    outcome: float
    values: tuple[float, float] | None = None
    unit: str = ''


@dataclass(frozen=True, eq=False)
class SmallestChange:
    """A small set of moved concepts that changes a prediction as wanted.

    Attributes:
        goal: The wanted change, in words.
        reached: True if the goal was reached.
        outcome_name: Name of the outcome: the prediction, or the lead of a class.
        start: Outcome before any change.
        steps: The moves, in order.
        scores: The scores after all moves, of shape ``(k,)``.
        allowed: Number of concepts that were allowed to move.
    """

    goal: str
    reached: bool
    outcome_name: str
    start: float
    steps: tuple[ConceptStep, ...]
    scores: Tensor
    allowed: int

    @property
    def cost(self) -> float:
        """Sum of the costs of all steps, in standard deviations."""
        return sum(step.cost for step in self.steps)

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each move, in order."""
        rows = []
        for step in self.steps:
            row = {name: getattr(step, name) for name in MOVED}
            row[self.outcome_name] = step.outcome
            if step.values is not None:
                row['value before'], row['value after'] = step.values
                row['unit'] = step.unit or 'probability'
            rows.append(row)
        columns = None if rows else [*MOVED, self.outcome_name]
        return pd.DataFrame(rows, columns=columns)

    @property
    def _verdict(self) -> str:
        return f'{self.goal}: {"reached" if self.reached else "not reached"}'

    def __str__(self) -> str:
        """Return goal, steps and cost in words."""
        lines = [self._verdict, f'{self.outcome_name} before: {_short(self.start)}']
        if self.steps:
            lines.append(self.to_frame().to_string(index=False, float_format=_short))
        lines.append(
            f'{len(self.steps)} of {self.allowed} concepts, moved by {self.cost:.2f} '
            'standard deviations in all'
        )
        if not self.reached:
            lines.append(
                'The search found no set of concepts that reaches the goal. Allow more '
                'concepts or wider quantiles, or choose a smaller change.'
            )
        return '\n'.join(lines)

    def plot(self) -> Figure:
        """Draw the move of each concept, and the outcome after it.

        Returns:
            The figure.
        """
        figure, (moves, outcome) = plt.subplots(
            1,
            2,
            sharey=True,
            figsize=(8, 1.6 + 0.42 * (len(self.steps) + 1)),
            width_ratios=(3, 2),
            layout='constrained',
        )
        arrow: dict[str, Any] = {'arrowstyle': '->', 'color': MORE, 'lw': 2}
        for row, step in enumerate(self.steps, start=1):
            moves.plot(step.reachable, (row, row), color='0.85', linewidth=8, zorder=1)
            moves.annotate('', (step.after, row), (step.before, row), arrowprops=arrow)
            moves.plot(step.before, row, 'o', color=LESS, zorder=3)
        outcomes = [self.start, *(step.outcome for step in self.steps)]
        outcome.plot(outcomes, range(len(outcomes)), 'o-', color=LESS)
        shift: dict[str, Any] = {'xytext': (8, 6), 'textcoords': 'offset points'}
        for row, value in enumerate(outcomes):
            outcome.annotate(_short(value), (value, row), fontsize=9, **shift)
        names = ['before', *(step.concept for step in self.steps)]
        moves.set_yticks(range(len(names)), names)
        moves.set_ylim(len(names) - 0.5, -0.6)
        moves.set_xlabel('score; grey: allowed range')
        outcome.set_xlabel(self.outcome_name)
        outcome.margins(x=0.25)
        for axes in (moves, outcome):
            axes.spines[['top', 'right']].set_visible(False)
        cost = f'{self.cost:.1f} standard deviations in all'
        figure.suptitle(f'{self._verdict}, {cost}', fontsize=11)
        return figure


def _short(value: float) -> str:
    # A lead is slightly above 0 if the goal was just reached.
    return f'{round(value, 4):.4g}'


def smallest_change(
    scores: Tensor,
    head: Head,
    bank: ConceptBank,
    reference: Tensor,
    *,
    by: float | None = None,
    to: str | int | None = None,
    classes: Sequence[str] | None = None,
    concepts: Collection[str] | str | None = None,
    quantiles: tuple[float, float] = (0.05, 0.95),
    most: int = 10,
    unit: str = '',
    encoder: ConceptEarth | None = None,
) -> SmallestChange:
    """Search for a small set of concepts that changes a prediction as wanted.

    The search is greedy. Each step moves one more concept to an end of its range: the
    move that comes nearest to the goal. If single moves can reach the goal, the step
    takes the cheapest of them and goes no farther than necessary. A smaller set may
    exist.

    Args:
        scores: Scores of one place, of shape ``(k,)`` or ``(1, k)``.
        head: Function from scores of shape ``(N, k)`` to predictions of shape ``(N,)`` or
            ``(N, 1)``, or to class scores of shape ``(N, C)``.
        bank: The concepts, in the order of the scores.
        reference: Scores of other places, of shape ``(M, k)``, which define the range
            and the standard deviation of each concept.
        by: Wanted change of the prediction, up or down. For heads with one output.
        to: Wanted class, by index or name. By default, any other class.
        classes: Names of the classes.
        concepts: Names of the concepts that may move, or one name. By default, all.
        quantiles: Quantiles of the reference that bound the range of each concept.
        most: Maximum number of concepts to move.
        unit: Unit of the outputs of the head.
        encoder: The encoder of the scores. If given, moves are also reported as
            probabilities, and as quantities in their units.

    Returns:
        The moves and their cost, even if the goal is not reached.

    Raises:
        ValueError: If a concept or class is unknown (with near matches), the goal is
            invalid or already reached, the prediction for the place is not finite, or the
            inputs do not match.
    """
    place = scores[None] if scores.ndim == 1 else scores
    check_scores(place, bank)
    check_scores(reference, bank, 'reference scores')
    if len(place) != 1 or len(reference) < 2:
        raise ValueError(
            'Expected the scores of one place and a reference of at least two, got '
            f'{len(place)} and {len(reference)}.'
        )
    if encoder is not None:
        check_bank(bank, encoder)
    if not 0 <= quantiles[0] < quantiles[1] <= 1:
        raise ValueError(f'quantiles must ascend between 0 and 1, got {quantiles}.')
    if most < 1:
        raise ValueError(f'most must be at least 1, not {most}.')
    with torch.no_grad():
        goal = make_goal(head, place, by, to, classes, unit)
        search = _Search(place[0], reference, goal.lead, quantiles)
        if concepts is not None:
            names = [concepts] if isinstance(concepts, str) else concepts
            allowed = {bank.index(name) for name in names}
            search.free = [number for number in search.free if number in allowed]
        num_allowed = len(search.free)
        moves: list[tuple[int, float]] = []
        while not search.reached and len(moves) < most and search.free:
            move = search.step()
            if move is None:
                break
            moves.append((move, goal.outcome(search.current[None]).item()))
        start, changed = goal.outcome(place).item(), search.current
        both = torch.cat((place, changed[None]))
        values = None if encoder is None else encoder.calibrate(both.to(encoder.mean))
    steps = []
    for n, outcome in moves:
        before, after = both[:, n].tolist()
        reachable = search.low[n].item(), search.high[n].item()
        cost = abs(after - before) / search.std[n].item()
        step = ConceptStep(bank[n].name, before, after, reachable, cost, outcome)
        if values is not None:
            calibrated = values[0, n].item(), values[1, n].item()
            step = replace(step, values=calibrated, unit=bank[n].unit)
        steps.append(step)
    texts = goal.text, search.reached, goal.outcome_name
    return SmallestChange(*texts, start, tuple(steps), changed, num_allowed)


class _Search:
    """Greedy search for scores with a positive lead, concept by concept."""

    def __init__(
        self,
        place: Tensor,
        reference: Tensor,
        lead: Head,
        quantiles: tuple[float, float],
    ) -> None:
        ends = np.quantile(reference.detach().cpu().double().numpy(), quantiles, axis=0)
        self.current = place.detach().clone()
        self.low, self.high = torch.from_numpy(ends).to(self.current)
        self.std = reference.std(dim=0, correction=0).to(self.current)
        self.lead = lead
        # A constant concept cannot be moved.
        self.free: list[int] = (self.std > 0).nonzero().flatten().tolist()
        self.reached = False

    def step(self) -> int | None:
        """Move one concept and return its index, or None if no move helps."""
        free = torch.tensor(self.free, device=self.current.device)
        number, ends = free.repeat(2), torch.cat((self.low[free], self.high[free]))
        lead = self._lead_after(number, ends)
        # If the head returns NaN for a move, max() would return NaN.
        lead = lead.masked_fill(lead.isnan(), -torch.inf)
        if lead.max() <= self.lead(self.current[None])[0]:
            return None
        best = lead.argmax()
        if lead[best] > 0:
            self.reached = True
            number, ends = number[lead > 0], ends[lead > 0]
            ends = self._nearest(number, ends)
            costs = (ends - self.current[number]).abs() / self.std[number]
            best = costs.argmin()
        chosen = int(number[best])
        self.current[chosen] = ends[best]
        self.free.remove(chosen)
        return chosen

    def _lead_after(self, number: Tensor, ends: Tensor) -> Tensor:
        """Return the lead after each move."""
        trials = self.current.repeat(len(number), 1)
        trials[torch.arange(len(number), device=number.device), number] = ends
        return self.lead(trials)

    def _nearest(self, number: Tensor, far: Tensor) -> Tensor:
        """Return, for each move, the nearest score that reaches the goal."""
        near = self.current[number]
        for _ in range(HALVINGS):
            middle = (near + far) / 2
            reaches = self._lead_after(number, middle) > 0
            near = torch.where(reaches, near, middle)
            far = torch.where(reaches, middle, far)
        return far
