# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Which concepts tell one group of places from another."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry
from torch import Tensor, nn

from ..concepts.bank import ConceptBank
from ..evaluate.bootstrap import BlockBootstrap, check_bootstrap, intervals
from ..geo.points import check_points
from ..geo.splits import block_numbers
from ..layers.region_split import Region, in_region
from ..retrieval.candidates import land_lattice
from ..utils.modes import evaluating
from ._scores import check_scores

if TYPE_CHECKING:
    from matplotlib.figure import Figure


type Group = Region | Tensor

ScoreKind = Literal['scores', 'projections']

# Below this, draws of whole blocks say little of other draws.
FEW_BLOCKS = 10

# Letters of the name of a group, and of a concept in a table.
MAX_SHOWN, NAME = 40, 46

# Concepts that a text shows.
SHOWN = 10

# Points to encode at a time.
BATCH = 8192

# Where equal values go in a sorted list: before all of them, and after.
SIDES: tuple[Literal['left'], Literal['right']] = ('left', 'right')

EMPTY_HINT = (
    'A small region needs a smaller spacing_km, and the sea points of your own; polygons '
    'are flat in longitude and latitude, so that one around a pole must reach up to it.'
)


@dataclass(frozen=True, eq=False)
class GroupComparison:
    """Which concepts tell group A from group B.

    Attributes:
        bank: The concepts.
        names: What the two groups are.
        kind: What was compared, ``'scores'`` or ``'projections'``.
        effect: Cliff's delta of each concept, of shape ``(k,)``: the share of pairs of
            places in which that of A has the higher score, less the share in which that
            of B has. 1 if all of A are above all of B, 0 if neither stands out.
        interval: Lower and upper ends of its interval, of shape ``(2, k)``; NaN if a
            group lies in one block.
        medians: Median score in each group, of shape ``(2, k)``.
        num_points: Number of points in each group.
        num_blocks: Number of blocks that they lie in.
        block_km: Side of a block.
        level: Share of the draws that the interval holds.
    """

    bank: ConceptBank
    names: tuple[str, str]
    kind: ScoreKind
    effect: NDArray[np.float64]
    interval: NDArray[np.float64]
    medians: NDArray[np.float64]
    num_points: tuple[int, int]
    num_blocks: tuple[int, int]
    block_km: float
    level: float

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each concept, those that tell most first.

        Concepts of one effect stand in the order of how far the medians lie apart.
        """
        frame = pd.DataFrame(
            {
                'concept': self.bank.names,
                'category': [concept.category for concept in self.bank],
                'effect': self.effect,
                'lower': self.interval[0],
                'upper': self.interval[1],
                'median of A': self.medians[0],
                'median of B': self.medians[1],
            }
        )
        distance = np.abs(self.medians[0] - self.medians[1])
        order = np.lexsort((-distance, -np.abs(self.effect).round(6)))
        return frame.iloc[order].reset_index(drop=True)

    @property
    def remark(self) -> str:
        """What to know when reading the intervals."""
        fewest = min(self.num_blocks)
        if fewest == 1:
            name = self.names[self.num_blocks.index(1)]
            return (
                f'No interval can be had: {name} lies in one block of '
                f'{self.block_km:g} km. Take smaller blocks or a larger group.'
            )
        text = (
            f'Intervals hold {self.level:.0%} of the draws of whole blocks of '
            f'{self.block_km:g} km, each concept by itself.'
        )
        if fewest < FEW_BLOCKS:
            text += (
                f' With {fewest} blocks in a group they are too narrow, if anything.'
            )
        return text

    def __str__(self) -> str:
        """Return the groups and the concepts that tell most of them."""
        lines = [
            f'{name}: {points:,} points in {blocks:,} blocks'
            for name, points, blocks in zip(
                (f'A, {self.names[0]}', f'B, {self.names[1]}'),
                self.num_points,
                self.num_blocks,
                strict=True,
            )
        ]
        header = f"Cliff's delta of {self.kind}"
        lines.append(f'{header:<{NAME}}{"effect":>8}  interval')
        for row in self.to_frame().head(SHOWN).itertuples():
            ends = f'[{row.lower:+.2f}, {row.upper:+.2f}]'
            lines.append(f'  {row.concept:<{NAME - 2}}{row.effect:>+8.2f}  {ends}')
        return '\n'.join([*lines, self.remark])

    def plot(self, number: int = 8) -> 'Figure':
        """Draw the concepts that stand out most in each group.

        Args:
            number: Number of concepts for each group.

        Returns:
            The figure: bars of effects, with their intervals.
        """
        from matplotlib import pyplot as plt

        from ..plot.maps import CLASS_COLOURS

        frame = self.to_frame()
        shown = pd.concat(
            (
                frame[frame['effect'] > 0].head(number),
                frame[frame['effect'] < 0].head(number).iloc[::-1],
            )
        )
        effect = shown['effect'].to_numpy()
        figure, axes = plt.subplots(
            figsize=(8, 1.6 + 0.3 * len(shown)), layout='constrained'
        )
        colours = [CLASS_COLOURS[5] if e > 0 else CLASS_COLOURS[4] for e in effect]
        axes.barh(range(len(shown)), effect, color=colours)
        # An interval by percentiles need not hold the effect itself.
        ends = shown[['lower', 'upper']].to_numpy().T - effect
        reach = np.stack((-ends[0], ends[1])).clip(min=0)
        axes.errorbar(
            effect, range(len(shown)), xerr=reach, fmt='none', ecolor='0.1', capsize=3
        )
        axes.set_yticks(range(len(shown)), shown['concept'])
        axes.invert_yaxis()
        axes.axvline(0, color='0.3', linewidth=0.8)
        axes.set_xlim(-1.05, 1.05)
        axes.set_xlabel(
            f"higher in {self.names[1]}  \N{LEFTWARDS ARROW}  Cliff's delta of "
            f'{self.kind}  \N{RIGHTWARDS ARROW}  higher in {self.names[0]}'
        )
        axes.set_title(
            f'{self.names[0]} and {self.names[1]}: bars with {self.level:.0%} intervals'
            if min(self.num_blocks) > 1
            else f'{self.names[0]} and {self.names[1]}: no intervals, one block only'
        )
        axes.spines[['top', 'right']].set_visible(False)
        axes.grid(axis='x', color='0.9')
        axes.set_axisbelow(True)
        return figure


def compare_groups(
    source: nn.Module | Tensor,
    a: Group,
    b: Group | None = None,
    *,
    kind: ScoreKind | None = None,
    points: Tensor | None = None,
    bank: ConceptBank | None = None,
    names: tuple[str, str] | None = None,
    spacing_km: float = 25,
    most_points: int = 2000,
    block_km: float = 300,
    level: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> GroupComparison:
    """Tell which concepts distinguish two groups of places.

    The effect is Cliff's delta. It compares ranks, so it needs no concept to be spread in
    any way, and does not depend on the scale of the scores: a rare class, which is almost
    constant where it does not hold, would have an enormous distance in standard
    deviations, and any other with a change of scale.

    If you use this in your research, please cite the following papers:

    * https://doi.org/10.1037/0033-2909.114.3.494
    * https://doi.org/10.48550/arXiv.2509.01910

    Args:
        source: An encoder, or the scores of points, of shape ``(N, k)``.
        a: A region, as :func:`~torchgeo_concepts.geo.splits.in_region` takes it: names of
            continents or countries, polygons, also as WKT, files; or the points
            themselves, of shape ``(n, 2)`` as ``(longitude, latitude)`` in degrees.
            Of scores, a region or which rows, of shape ``(N,)``.
        b: The other group. By default, all other land, or all other rows.
        kind: What to compare of an encoder: ``'scores'`` or ``'projections'``. By
            default, scores if it has them.
        points: Where the scores are, of shape ``(N, 2)``. For scores only.
        bank: The concepts of the scores. For scores only.
        names: What to call the groups.
        spacing_km: An encoder is asked at a lattice over land with a point in each square
            of so many kilometres, so that all parts of a region count by their area.
        most_points: Most points of a group, drawn at random.
        block_km: Side of the blocks that the bootstrap draws.
        level: Share of the draws that intervals hold.
        draws: Number of draws.
        seed: Seed of points and draws.

    Returns:
        The comparison.

    Raises:
        ValueError: If a region is unknown, with near matches, or without points; if the
            groups have points in common; or if scores, points and bank do not belong
            together.
        ImportError: If a region is given and the extra ``layers`` is not installed.
    """
    check_bootstrap(level, draws)
    if most_points < 2:
        raise ValueError(f'most_points must be at least 2, not {most_points}.')
    named = names or (_describe(a, 'A'), _describe(b, 'B'))
    rng = np.random.default_rng(seed)
    if isinstance(source, Tensor):
        if points is None or bank is None:
            raise ValueError('Scores need points= and bank=: where and what they are.')
        check_scores(source, bank)
        if len(points) != len(source):
            raise ValueError(f'{len(source)} rows of scores for {len(points)} points.')
        own_bank, own_kind = bank, kind or 'scores'
        rows = [_draw(some, most_points, rng) for some in _rows(a, b, points, named)]
        samples = [(source[some], points[some]) for some in rows]
    else:
        if points is not None or bank is not None:
            raise ValueError(
                'points= and bank= are for scores; an encoder has its own.'
            )
        own_kind = _kind_of(source, kind)
        own_bank = cast(ConceptBank, source.bank)
        groups = _places(a, b, spacing_km, named)
        places = [_draw(some, most_points, rng) for some in groups]
        samples = [(_encode(source, some, own_kind), some) for some in places]
    scores_a, scores_b = (some.double().cpu().numpy() for some, _ in samples)
    blocks_a, blocks_b = (block_numbers(some, km=block_km) for _, some in samples)
    effect, drawn = cliffs_delta(scores_a, scores_b, blocks_a, blocks_b, draws, rng)
    num_blocks = int(blocks_a.max()) + 1, int(blocks_b.max()) + 1
    return GroupComparison(
        own_bank,
        named,
        own_kind,
        effect,
        intervals(drawn, level)
        if min(num_blocks) > 1
        else np.full((2, len(own_bank)), np.nan),
        np.stack((np.median(scores_a, axis=0), np.median(scores_b, axis=0))),
        (len(scores_a), len(scores_b)),
        num_blocks,
        block_km,
        level,
    )


def _draw(some: Tensor, most: int, rng: np.random.Generator) -> Tensor:
    return some[np.sort(rng.permutation(len(some))[:most])]


def cliffs_delta(
    scores_a: NDArray[np.float64],
    scores_b: NDArray[np.float64],
    blocks_a: NDArray[np.int64],
    blocks_b: NDArray[np.int64],
    draws: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute the effect of each concept, and that in draws of whole blocks.

    Args:
        scores_a: Scores of A, of shape ``(n, k)``.
        scores_b: Scores of B, of shape ``(m, k)``.
        blocks_a: Number of the block of each row of A, from 0.
        blocks_b: Number of the block of each row of B, from 0.
        draws: Number of draws.
        rng: Source of randomness.

    Returns:
        Effects of shape ``(k,)`` and of shape ``(draws, k)``.
    """
    draws_a, draws_b = (
        BlockBootstrap(blocks, draws, rng) for blocks in (blocks_a, blocks_b)
    )
    won = np.empty((draws + 1, scores_a.shape[1]))
    for concept, (own, other) in enumerate(zip(scores_a.T, scores_b.T, strict=True)):
        pairs = _pairs_won(own, other, blocks_a, blocks_b)
        won[:, concept] = ((draws_a.counts @ pairs) * draws_b.counts).sum(axis=1)
    pairs_in_all = draws_a.sums(np.ones(len(blocks_a))) * draws_b.sums(
        np.ones(len(blocks_b))
    )
    effect: NDArray[np.float64] = won / pairs_in_all[:, None]
    return effect[0], effect[1:]


def _pairs_won(
    own: NDArray[np.float64],
    other: NDArray[np.float64],
    own_blocks: NDArray[np.int64],
    other_blocks: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Count pairs in which a score is above another, less those in which it is below.

    Args:
        own: Scores of shape ``(n,)``.
        other: Scores of shape ``(m,)``.
        own_blocks: Number of the block of each of the first.
        other_blocks: Number of the block of each of the others.

    Returns:
        Numbers of pairs between any two blocks; those of a draw of blocks are sums of
        them.
    """
    order = other.argsort()
    in_block = np.eye(other_blocks.max() + 1)[other_blocks[order]]
    below = np.vstack((np.zeros(in_block.shape[1]), in_block.cumsum(axis=0)))
    first, last = (np.searchsorted(other[order], own, side) for side in SIDES)
    # Of equal scores neither is above.
    won = below[first] + below[last] - below[-1]
    by_block = own_blocks.argsort(kind='stable')
    starts = np.flatnonzero(np.diff(own_blocks[by_block], prepend=-1))
    pairs: NDArray[np.float64] = np.add.reduceat(won[by_block], starts)
    return pairs


# Where the groups are ------------------------------------------------------------------


def _places(
    a: Group, b: Group | None, spacing_km: float, names: tuple[str, str]
) -> tuple[Tensor, Tensor]:
    """Return the points of both groups, of regions those of a lattice over land."""
    if b is None and isinstance(a, Tensor):
        raise ValueError('Points leave no rest to compare with: give the other group.')
    is_given = isinstance(a, Tensor) and isinstance(b, Tensor)
    lattice = torch.empty(0, 2) if is_given else land_lattice(spacing_km)
    first = _points_of(a, lattice)
    second = lattice[~_inside(lattice, a)] if b is None else _points_of(b, lattice)
    for some, name in zip((first, second), names, strict=True):
        if not len(some):
            raise ValueError(
                f'{name} has no point of the lattice over land, one in each square of '
                f'{spacing_km:g} km. {EMPTY_HINT}'
            )
    if isinstance(a, Tensor) != isinstance(b, Tensor) and b is not None:
        given, region = (first, b) if isinstance(a, Tensor) else (second, a)
        common = int(_inside(given, region).sum())
    else:
        # Points of one lattice are the same, number for number.
        common = len({*map(tuple, first.tolist())} & {*map(tuple, second.tolist())})
    _refuse_common(common, names)
    return first, second


def _points_of(group: Group, lattice: Tensor) -> Tensor:
    if isinstance(group, Tensor):
        return check_points(group)
    return lattice[_inside(lattice, group)]


def _inside(points: Tensor, group: Group) -> Tensor:
    assert not isinstance(group, Tensor)
    return torch.from_numpy(in_region(points, group))


def _rows(
    a: Group, b: Group | None, points: Tensor, names: tuple[str, str]
) -> tuple[Tensor, Tensor]:
    """Return the rows of both groups."""
    first = _mask(a, points)
    second = ~first if b is None else _mask(b, points)
    for mask, name in zip((first, second), names, strict=True):
        if not mask.any():
            raise ValueError(
                f'{name} has none of the {len(points)} points. {EMPTY_HINT}'
            )
    _refuse_common(int((first & second).sum()), names)
    return first.nonzero().flatten(), second.nonzero().flatten()


def _mask(group: Group, points: Tensor) -> Tensor:
    if not isinstance(group, Tensor):
        return _inside(points, group)
    if group.dtype != torch.bool or group.shape != (len(points),):
        raise ValueError(
            f'Rows of scores are a boolean tensor of shape ({len(points)},), not of '
            f'{tuple(group.shape)} in {group.dtype}.'
        )
    return group


def _refuse_common(number: int, names: tuple[str, str]) -> None:
    if number:
        raise ValueError(
            f'{names[0]} and {names[1]} overlap: {number:,} points are in both. Take '
            'groups without common points; without b, A is compared with all others.'
        )


def _describe(group: Group | None, letter: str) -> str:
    if group is None:
        return 'all others'
    if isinstance(group, Tensor):
        return f'group {letter}'
    text = ' and '.join(
        f'a {part.geom_type}' if isinstance(part, BaseGeometry) else str(part)
        for part in ([group] if isinstance(group, str | Path | BaseGeometry) else group)
    )
    return text if len(text) <= MAX_SHOWN else f'{text[: MAX_SHOWN - 3]}...'


# What is compared ----------------------------------------------------------------------


def _kind_of(encoder: nn.Module, kind: ScoreKind | None) -> ScoreKind:
    """Settle what to ask of an encoder."""
    has = {
        'scores': hasattr(encoder, 'concepts'),
        'projections': hasattr(encoder, 'project'),
    }
    if not any(has.values()) or not hasattr(encoder, 'bank'):
        raise ValueError(f'{type(encoder).__name__} has no concepts to compare.')
    if kind is None:
        return 'scores' if has['scores'] else 'projections'
    if kind not in has:
        raise ValueError(f'kind must be one of {tuple(has)}, not {kind!r}.')
    if not has[kind]:
        raise ValueError(f'{type(encoder).__name__} has no {kind}.')
    return kind


def _encode(encoder: Any, points: Tensor, kind: ScoreKind) -> Tensor:
    method = encoder.concepts if kind == 'scores' else encoder.project
    parameter = next(encoder.parameters(), None)
    if parameter is not None:
        points = points.to(parameter.device)
    with torch.no_grad(), evaluating(encoder):
        scores: Tensor = torch.cat([method(some) for some in points.split(BATCH)])
    return scores.cpu()
