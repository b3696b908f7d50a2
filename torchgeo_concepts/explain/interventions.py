# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""What would be predicted if a concept held more, or less, than it does."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ..concepts.bank import ConceptBank
from ..evaluate.metrics import geodesic_km
from ..models.concept_earth import ConceptEarth
from ..retrieval.gallery import Gallery
from ..retrieval.geolocator import Locations
from ..utils.names import near_matches, with_unit
from ._scores import check_scores

if TYPE_CHECKING:
    from matplotlib.figure import Figure


type Head = Callable[[Tensor], Tensor]

# Halvings of a step, which leave less of it than float32 tells apart.
HALVINGS = 24

# Characters of a name in a table, and concepts that a title names.
NAME, FEW = 44, 3


def intervene(
    scores: Tensor,
    values: Mapping[str, float],
    bank: ConceptBank,
    *,
    encoder: ConceptEarth | None = None,
) -> Tensor:
    """Set concepts to values, and leave all others as they are.

    The result goes wherever scores go: into a head, or into a gallery of projections.
    Concepts that go together on Earth are not moved along, so that the result may be
    like no place there is.

    Args:
        scores: Scores or projections of shape ``(N, k)``.
        values: Value of each concept to set, by its id, name or alias, on the scale of
            the scores.
        bank: The concepts, in the order of the scores.
        encoder: The encoder that made the scores. If given, values are probabilities of
            classes, and quantities in their units.

    Returns:
        New scores of the same shape.

    Raises:
        ValueError: If a concept is unknown, with near matches, or named twice; if a value
            is none that the concept can have; or if scores, bank and encoder do not
            belong together.
    """
    check_scores(scores, bank)
    positions = [bank.index(name) for name in values]
    for name, position in zip(values, positions, strict=True):
        if positions.count(position) > 1:
            raise ValueError(f'{name!r} is set twice, as {bank[position].name!r}.')
        if not np.isfinite(values[name]):
            raise ValueError(f'{name!r} cannot be {values[name]}.')
    targets = torch.tensor(list(values.values()), dtype=torch.float64)
    if encoder is not None:
        targets = _standardised(targets, positions, bank, encoder)
    changed = scores.clone()
    changed[:, positions] = targets.to(changed)
    return changed


def _standardised(
    values: Tensor, positions: list[int], bank: ConceptBank, encoder: ConceptEarth
) -> Tensor:
    """Turn probabilities and units of some concepts into scores."""
    _check_encoder(bank, encoder)
    for value, position in zip(values.tolist(), positions, strict=True):
        name = bank[position].name
        if encoder.is_class[position] and not 0 <= value <= 1:
            raise ValueError(
                f'{name!r} is set to a probability, from 0 to 1, not to {value:g}.'
            )
        if encoder.is_log[position] and value < 0:
            raise ValueError(f'{name!r} cannot be less than 0, as {value:g} is.')
    whole = torch.zeros(1, len(bank), dtype=values.dtype)
    whole[0, positions] = values
    return encoder.standardise(whole.to(encoder.mean.device))[0, positions]


def _check_encoder(bank: ConceptBank, encoder: ConceptEarth) -> None:
    if encoder.bank != bank:
        raise ValueError(
            f'The encoder has another bank, {encoder.bank!r} and not {bank!r}: they do '
            'not belong together.'
        )


# Places --------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Reranked:
    """Where a gallery finds projections before and after an intervention.

    Attributes:
        values: What the concepts were set to.
        before: The best candidates before.
        after: The best candidates after.
        rank_of_first: Rank that the first candidate before has after, of shape ``(N,)``.
    """

    values: Mapping[str, float]
    before: Locations
    after: Locations
    rank_of_first: Tensor

    @property
    def moved_km(self) -> Tensor:
        """Distances between the first candidates before and after, of shape ``(N,)``."""
        return geodesic_km(self.before.points[:, 0], self.after.points[:, 0])

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each query and candidate, before and after."""
        parts = {'before': self.before.to_frame(), 'after': self.after.to_frame()}
        frame = pd.concat(parts, names=['concepts', None]).reset_index(level=0)
        return frame.rename(columns={'image': 'query'}).reset_index(drop=True)

    def __str__(self) -> str:
        """Return where the first candidates are, in words."""
        lines = [f'With {_described(self.values)}, the first candidates are']
        pairs = zip(
            self.before.points[:, 0].tolist(),
            self.after.points[:, 0].tolist(),
            self.moved_km.tolist(),
            self.rank_of_first.tolist(),
            strict=True,
        )
        for query, (old, new, km, rank) in enumerate(pairs):
            lines.append(
                f'  query {query}: ({old[0]:.2f}, {old[1]:.2f}) -> ({new[0]:.2f}, '
                f'{new[1]:.2f}), {km:,.0f} km away; the old one has rank {rank:,}'
            )
        return '\n'.join(lines)

    def plot(self, query: int = 0) -> 'Figure':
        """Draw the candidates of a query before and after on a map.

        Args:
            query: Number of the query, counted from 0.

        Returns:
            The figure.
        """
        from ..plot.maps import CLASS_COLOURS
        from ..plot.point_maps import point_map

        old, new = self.before.points[query], self.after.points[query]
        figure, axes = point_map(torch.cat((old, new)))
        for points, label, marker, colour in (
            (old, 'before', 'o', CLASS_COLOURS[4]),
            (new, 'after', '^', CLASS_COLOURS[5]),
        ):
            lon, lat = points.T.tolist()
            axes.scatter(
                lon,
                lat, s=45, marker=marker, color=colour, alpha=0.8,
                label=f'best {len(points)} {label}', edgecolors='white', linewidths=0.5,
            )  # fmt: skip
        axes.set_title(f'With {_described(self.values)}')
        axes.legend(loc='best')
        return figure


def _described(values: Mapping[str, float]) -> str:
    if len(values) > FEW:
        return f'{len(values)} concepts set'
    return ', '.join(f'{name} at {value:.3g}' for name, value in values.items())


def rerank(
    gallery: Gallery,
    projections: Tensor,
    values: Mapping[str, float],
    bank: ConceptBank,
    top_k: int = 5,
    scale: float = 100.0,
) -> Reranked:
    """Search a gallery with projections as they are, and with some concepts set.

    Args:
        gallery: A gallery in space ``'z'``.
        projections: Projections of images or of points, of shape ``(N, k)``.
        values: Value of each concept to set, on the scale of the projections.
        bank: The concepts, in the order of the projections.
        top_k: Number of candidates for each query.
        scale: Factor of the similarities in the probabilities.

    Returns:
        The best candidates before and after.

    Raises:
        ValueError: As :func:`intervene` does, or if the gallery is not in space ``'z'`` or
            not of this bank.
    """
    if gallery.space != 'z':
        raise ValueError(
            f'The gallery is in space {gallery.space!r}, where no number has a name; '
            "build one with space='z'."
        )
    if gallery.vectors.shape[1] != len(bank):
        raise ValueError(
            f'The gallery has vectors of {gallery.vectors.shape[1]} features, the bank '
            f'{len(bank)} concepts: they do not belong together.'
        )
    changed = intervene(projections, values, bank)
    before, after = (
        Locations(*gallery.search_probable(queries, scale, top_k))
        for queries in (projections, changed)
    )
    ranks = gallery.ranks(changed, before.points[:, 0])
    return Reranked(dict(values), before, after, ranks)


# The smallest change -------------------------------------------------------------------


@dataclass(frozen=True)
class ConceptStep:
    """One concept that was moved.

    Attributes:
        concept: Its name.
        before: Its score before.
        after: Its score after.
        reachable: Least and largest score that it could be moved to.
        cost: How far it was moved, in standard deviations of the reference.
        outcome: What the goal is measured by, once this concept is moved too.
        values: Probabilities or quantities before and after, if an encoder told them.
        unit: Their unit, empty for probabilities.
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
    """A small set of concepts that changes a prediction as wanted.

    Attributes:
        goal: What was wanted, in words.
        reached: Whether it was reached.
        outcome_name: What the goal is measured by.
        start: That before any change.
        steps: The concepts in the order in which they were moved.
        scores: The scores with all of them moved, of shape ``(k,)``.
        allowed: Number of concepts that could have been moved.
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
        """Standard deviations that all concepts were moved by in all."""
        return sum(step.cost for step in self.steps)

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each concept that was moved, in order."""
        rows = []
        for step in self.steps:
            row = {
                'concept': step.concept,
                'before': step.before,
                'after': step.after,
                'cost': step.cost,
                self.outcome_name: step.outcome,
            }
            if step.values is not None:
                row |= {
                    'value before': step.values[0],
                    'value after': step.values[1],
                    'unit': step.unit or 'probability',
                }
            rows.append(row)
        columns = ['concept', 'before', 'after', 'cost', self.outcome_name]
        return pd.DataFrame(rows, columns=None if rows else columns)

    def __str__(self) -> str:
        """Return goal, steps and cost in words."""
        lines = [
            f'{self.goal}: {"reached" if self.reached else "not reached"}',
            f'{"":<{NAME}}{"from":>9}{"to":>9}{"cost":>7}  {self.outcome_name}',
            f'{"  as it is":<{NAME + 25}}  {_short(self.start)}',
        ]
        lines += [
            f'  {step.concept:<{NAME - 2}}{step.before:>9.2f}{step.after:>9.2f}'
            f'{step.cost:>7.2f}  {_short(step.outcome)}{_in_units(step)}'
            for step in self.steps
        ]
        lines.append(
            f'{len(self.steps)} of {self.allowed} concepts, moved by {self.cost:.2f} '
            'standard deviations in all'
        )
        if not self.reached:
            lines.append(
                'No set that the search tried reaches it. Allow more concepts, or values '
                'farther out, or ask for less.'
            )
        return '\n'.join(lines)

    def plot(self) -> 'Figure':
        """Draw how far each concept was moved, and what came of it.

        Returns:
            The figure.
        """
        from matplotlib import pyplot as plt

        from ..plot.maps import CLASS_COLOURS

        rows = range(1, len(self.steps) + 1)
        figure, (moves, outcome) = plt.subplots(
            1, 2, sharey=True, figsize=(8, 1.6 + 0.42 * (len(self.steps) + 1)),
            width_ratios=(3, 2), layout='constrained',
        )  # fmt: skip
        for row, step in zip(rows, self.steps, strict=True):
            moves.plot(step.reachable, (row, row), color='0.85', linewidth=8, zorder=1)
            moves.annotate(
                '', (step.after, row), (step.before, row),
                arrowprops={'arrowstyle': '->', 'color': CLASS_COLOURS[5], 'lw': 2},
            )  # fmt: skip
            moves.plot(step.before, row, 'o', color=CLASS_COLOURS[4], zorder=3)
        levels = [self.start, *(step.outcome for step in self.steps)]
        outcome.plot(levels, range(len(levels)), 'o-', color=CLASS_COLOURS[4])
        for row, level in enumerate(levels):
            outcome.annotate(
                _short(level),
                (level, row),
                xytext=(8, 6),
                textcoords='offset points',
                fontsize=9,
            )
        names = ['as it is', *(step.concept for step in self.steps)]
        moves.set_yticks(range(len(names)), names)
        moves.set_ylim(len(names) - 0.5, -0.6)
        moves.set_xlabel('score; grey: what it could be moved to')
        outcome.set_xlabel(self.outcome_name)
        outcome.margins(x=0.25)
        for axes in (moves, outcome):
            axes.spines[['top', 'right']].set_visible(False)
        figure.suptitle(
            f'{self.goal}: {"reached" if self.reached else "not reached"}, '
            f'{self.cost:.1f} standard deviations in all',
            fontsize=11,
        )
        return figure


def _short(value: float) -> str:
    # What is reached is often a hair above 0.
    return f'{round(value, 4):.4g}'


def _in_units(step: ConceptStep) -> str:
    if step.values is None:
        return ''
    before, after = (f'{value:,.3g}' for value in step.values)
    unit = {'': ' probability', '1': ''}.get(step.unit, f' {step.unit}')
    return f'  ({before} -> {after}{unit})'


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

    In each step all concepts that were not moved yet are tried, each at either end of
    what it can be moved to, and the one that brings the goal nearest is moved there. Once
    a step can reach the goal, of those that do the cheapest is taken, and moved no
    farther than it must be. There may be a smaller set that the search does not find.

    Args:
        scores: Scores of one place, of shape ``(k,)`` or ``(1, k)``.
        head: Function from scores of shape ``(N, k)`` to predictions of shape ``(N,)`` or
            ``(N, 1)``, or to a number for each class, of shape ``(N, C)``, the highest of
            which is the prediction.
        bank: The concepts, in the order of the scores.
        reference: Scores of other places, of shape ``(M, k)``, that say how far each
            concept can be moved, and what a standard deviation is.
        by: Change a prediction by so much, up or down. For heads with one output.
        to: Class to arrive at, by number or name. By default, any other class.
        classes: Names of the classes.
        concepts: Names of the concepts that may be moved, or one name. By default, all.
        quantiles: Quantiles of the reference between which each concept may be moved.
        most: Most concepts to move.
        unit: Unit of what the head gives, for texts and axes.
        encoder: The encoder that made the scores. If given, moves are also told in
            probabilities and units.

    Returns:
        The concepts and their cost, reached or not.

    Raises:
        ValueError: If a concept or class is unknown, with near matches; if the goal is
            none, or met already; if the head gives the place what is not finite; or if
            scores, reference, bank, head and encoder do not belong together.
    """
    place = scores[None] if scores.ndim == 1 else scores
    check_scores(place, bank)
    check_scores(reference, bank, 'reference scores')
    if len(place) != 1 or len(reference) < 2:
        raise ValueError(
            'The search needs the scores of one place, and a reference of at least two; '
            f'not of {len(place)} and of {len(reference)}.'
        )
    if encoder is not None:
        _check_encoder(bank, encoder)
    if not 0 <= quantiles[0] < quantiles[1] <= 1:
        raise ValueError(f'quantiles must ascend from 0 to 1, not {quantiles}.')
    if most < 1:
        raise ValueError(f'most must be at least 1, not {most}.')
    with torch.no_grad():
        goal = _make_goal(head, place, by, to, classes, unit)
        search = _Search(place[0], reference, goal.lead, quantiles)
        if concepts is not None:
            names = [concepts] if isinstance(concepts, str) else concepts
            allowed = {bank.index(name) for name in names}
            search.free = [number for number in search.free if number in allowed]
        number = len(search.free)
        moves: list[tuple[int, float]] = []
        while not search.reached and len(moves) < most and search.free:
            move = search.step()
            if move is None:
                break
            moves.append((move, goal.outcome(search.current[None]).item()))
        steps = tuple(
            _describe(search, place[0], bank, encoder, *move) for move in moves
        )
    return SmallestChange(
        goal.text,
        search.reached,
        goal.outcome_name,
        goal.outcome(place).item(),
        steps,
        search.current,
        number,
    )


def _describe(
    search: '_Search',
    place: Tensor,
    bank: ConceptBank,
    encoder: ConceptEarth | None,
    number: int,
    outcome: float,
) -> ConceptStep:
    before, after = place[number].item(), search.current[number].item()
    values = None
    if encoder is not None:
        both = torch.stack((place, search.current)).to(encoder.mean)
        first, second = encoder.calibrate(both)[:, number].tolist()
        values = first, second
    return ConceptStep(
        bank[number].name,
        before,
        after,
        (search.low[number].item(), search.high[number].item()),
        abs(after - before) / search.std[number].item(),
        outcome,
        values,
        bank[number].unit if encoder is not None else '',
    )


class _Search:
    """A greedy search, concept by concept, for scores with a lead above 0."""

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
        # What never varies is nowhere but where it is.
        self.free: list[int] = (self.std > 0).nonzero().flatten().tolist()
        self.reached = False

    def step(self) -> int | None:
        """Move one concept, and return its number, or None if no move helps."""
        free = torch.tensor(self.free, device=self.current.device)
        number, ends = free.repeat(2), torch.cat((self.low[free], self.high[free]))
        lead = self.lead(self._trials(number, ends))
        # A head may not be defined everywhere, and NaN would be the highest of all.
        lead = lead.masked_fill(lead.isnan(), -torch.inf)
        now = self.lead(self.current[None])[0]
        if lead.max() <= now:
            return None
        reaching = (lead > 0).nonzero().flatten()
        if len(reaching):
            number, ends = (
                number[reaching],
                self._nearest(number[reaching], ends[reaching]),
            )
            best = self._costs(number, ends).argmin()
            self.reached = True
        else:
            best = lead.argmax()
        chosen = int(number[best])
        self.current[chosen] = ends[best]
        self.free.remove(chosen)
        return chosen

    def _trials(self, number: Tensor, ends: Tensor) -> Tensor:
        """Return the current scores once for each move, with that made."""
        trials = self.current.repeat(len(number), 1)
        trials[torch.arange(len(number), device=number.device), number] = ends
        return trials

    def _costs(self, number: Tensor, ends: Tensor) -> Tensor:
        return (ends - self.current[number]).abs() / self.std[number]

    def _nearest(self, number: Tensor, far: Tensor) -> Tensor:
        """Return how far each move must go at least to reach the goal."""
        near = self.current[number]
        for _ in range(HALVINGS):
            middle = (near + far) / 2
            reaches = self.lead(self._trials(number, middle)) > 0
            near, far = (
                torch.where(reaches, near, middle),
                torch.where(reaches, middle, far),
            )
        return far


@dataclass(frozen=True)
class _Goal:
    """What is wanted: a lead above 0, in words, and what it is measured by."""

    text: str
    outcome_name: str
    lead: Head
    outcome: Head


def _make_goal(
    head: Head,
    place: Tensor,
    by: float | None,
    to: str | int | None,
    classes: Sequence[str] | None,
    unit: str,
) -> _Goal:
    output = head(place)
    if output.ndim not in (1, 2) or len(output) != 1:
        raise ValueError(
            'The head must give a prediction for each row, of shape (N,), (N, 1) or '
            f'(N, C), not {tuple(output.shape)} for {tuple(place.shape)}.'
        )
    if not output.isfinite().all():
        raise ValueError(
            f'The head gives {output.flatten().tolist()} for the place, which is not '
            'finite, so that there is no prediction to change.'
        )
    num_classes = 1 if output.ndim == 1 else output.shape[1]
    if num_classes == 1:
        return _amount_goal(head, output.flatten()[0].item(), by, to, unit)
    if by is not None:
        raise ValueError(
            f'by= is for heads with one output; this one has {num_classes} classes. Say '
            'which to arrive at with to=, or neither for any other.'
        )
    names = [f'class {n}' for n in range(num_classes)] if classes is None else classes
    if len(names) != num_classes:
        raise ValueError(
            f'The head has {num_classes} classes, and there are {len(names)} names.'
        )
    return _class_goal(head, int(output.argmax()), to, names, unit)


def _amount_goal(
    head: Head, start: float, by: float | None, to: str | int | None, unit: str
) -> _Goal:
    if to is not None or by is None or by == 0 or not np.isfinite(by):
        raise ValueError(
            'The head has one output: say with by= how much to change it, up or down; '
            f'not by={by}, to={to!r}.'
        )
    sign = 1 if by > 0 else -1

    def outcome(scores: Tensor) -> Tensor:
        return head(scores).reshape(len(scores))

    def lead(scores: Tensor) -> Tensor:
        return sign * (outcome(scores) - start) - abs(by)

    end = f' {unit}' if unit else ''
    way = 'up' if by > 0 else 'down'
    text = f'prediction {way} by {abs(by):g}{end} from {start:.4g}{end}'
    return _Goal(text, with_unit('prediction', unit), lead, outcome)


def _class_goal(
    head: Head, start: int, to: str | int | None, names: Sequence[str], unit: str
) -> _Goal:
    target = None if to is None else _class_number(to, names)
    if target == start:
        raise ValueError(f'{names[start]!r} is what the head predicts as it is.')
    pivot = start if target is None else target

    def lead(scores: Tensor) -> Tensor:
        output = head(scores)
        own = output[:, pivot]
        others = output.clone()
        others[:, pivot] = -torch.inf
        ahead = own - others.amax(dim=1)
        return -ahead if target is None else ahead

    if target is None:
        text, name = f'another class than {names[start]}', f'lead over {names[start]}'
    else:
        text = f'{names[target]} instead of {names[start]}'
        name = f'lead of {names[target]}'
    return _Goal(text, with_unit(name, unit), lead, lead)


def _class_number(to: str | int, names: Sequence[str]) -> int:
    if isinstance(to, str):
        if to not in names:
            raise ValueError(f'No class {to!r}. {near_matches(to, names)}')
        return list(names).index(to)
    if not 0 <= to < len(names):
        raise ValueError(f'No class {to}: there are {len(names)}, counted from 0.')
    return to
