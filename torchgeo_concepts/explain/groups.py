# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Concepts that distinguish one group of places from another."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry
from torch import Tensor, nn

from ..concepts.bank import ConceptBank
from ..evaluate.bootstrap import CONFIDENCE, intervals
from ..geo.points import check_points
from ..geo.splits import block_numbers
from ..layers.regions import Region, in_region
from ..models.protocols import ConceptEncoder, GroundedEncoder, check_encoder
from ..plot.bars import LESS, MORE, draw_named_bars
from ..retrieval.candidates import land_lattice
from ..utils.names import check_choice
from ._scores import check_rows, check_scores, in_batches
from .cliffs_delta import cliffs_delta

type Group = Region | Tensor

ScoreKind = Literal['scores', 'projections']

# Maximum number of points of a group, drawn at random.
MOST_POINTS = 2000

# With fewer blocks, intervals may be too narrow.
FEW_BLOCKS = 10

# Maximum length of the name of a group, and number of concepts in the text.
MAX_SHOWN, SHOWN = 40, 10


@dataclass(frozen=True, eq=False)
class GroupComparison:
    """Effect of each concept between group A and group B.

    Attributes:
        bank: The concepts.
        names: Names of the two groups.
        kind: ``'scores'`` or ``'projections'``.
        effect: Cliff's delta of each concept, of shape ``(k,)``. Over all pairs of a
            point of A and a point of B, it is the share in which A has the higher
            score, minus the share in which B has the higher score. It is 1 if all
            scores of A are above all scores of B.
        interval: Lower and upper ends of the 95% confidence interval, of shape ``(2, k)``;
            NaN if all points of a group lie in one block.
        medians: Median score in each group, of shape ``(2, k)``.
        num_points: Number of points in each group.
        num_blocks: Number of blocks with points of each group.
        block_km: Side of a block in kilometres.
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

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each concept, the largest effects first.

        Concepts with the same effect are sorted by the difference of their medians.
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
        """Remark on the confidence intervals."""
        fewest = min(self.num_blocks)
        if fewest == 1:
            name = self.names[self.num_blocks.index(1)]
            return (
                f'There is no interval: {name} lies in one block of '
                f'{self.block_km:g} km. Use smaller blocks or a larger group.'
            )
        few = f' With {fewest} blocks in a group they may be too narrow.'
        return (
            f'{CONFIDENCE:.0%} intervals from resampled blocks of '
            f'{self.block_km:g} km, not corrected for the number of concepts.'
            f'{few if fewest < FEW_BLOCKS else ""}'
        )

    def __str__(self) -> str:
        """Return the groups and the concepts with the largest effects."""
        groups = zip('AB', self.names, self.num_points, self.num_blocks, strict=True)
        lines = [
            f'{letter}, {name}: {points:,} points in {blocks:,} blocks'
            for letter, name, points, blocks in groups
        ]
        lines.append(f"Cliff's delta of {self.kind}, and its interval")
        columns = ['concept', 'effect', 'lower', 'upper']
        frame = self.to_frame()[columns].head(SHOWN)
        lines.append(frame.to_string(index=False, float_format='{:+.2f}'.format))
        return '\n'.join([*lines, self.remark])

    def plot(self, number: int = 8) -> Figure:
        """Draw the largest positive and the largest negative effects.

        Args:
            number: Maximum number of concepts of either sign.

        Returns:
            The figure, with bars and their intervals.
        """
        frame = self.to_frame()
        above, below = frame[frame['effect'] > 0], frame[frame['effect'] < 0]
        shown = pd.concat((above.head(number), below.head(number).iloc[::-1]))
        effect = shown['effect'].to_numpy()
        figure, axes = plt.subplots(
            figsize=(8, 1.6 + 0.3 * len(shown)), layout='constrained'
        )
        colours = [MORE if value > 0 else LESS for value in effect]
        draw_named_bars(axes, shown['concept'].tolist(), effect.tolist(), colours)
        # A percentile interval may exclude the effect itself.
        reach = (shown[['lower', 'upper']].to_numpy().T - effect) * [[-1], [1]]
        axes.errorbar(
            effect, range(len(shown)), xerr=reach.clip(min=0), fmt='none', ecolor='0.1',
            capsize=3,
        )  # fmt: skip
        axes.axvline(0, color='0.3', linewidth=0.8)
        axes.set_xlim(-1.05, 1.05)
        axes.set_xlabel(
            f"higher in {self.names[1]}  \N{LEFTWARDS ARROW}  Cliff's delta of "
            f'{self.kind}  \N{RIGHTWARDS ARROW}  higher in {self.names[0]}'
        )
        remark = f'bars with {CONFIDENCE:.0%} intervals'
        if min(self.num_blocks) == 1:
            remark = 'no intervals, one block only'
        axes.set_title(f'{self.names[0]} and {self.names[1]}: {remark}')
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
    block_km: float = 300,
    seed: int = 0,
) -> GroupComparison:
    """Find the concepts that distinguish two groups of places.

    The effect is Cliff's delta. It compares ranks, so it depends neither on the
    distribution nor on the scale of the scores. A standardised mean difference would
    be huge for rare classes, whose scores are almost constant elsewhere.

    If you use this in your research, please cite the following papers:

    * https://doi.org/10.1037/0033-2909.114.3.494
    * https://doi.org/10.48550/arXiv.2509.01910

    Args:
        source: An encoder, or the scores of points, of shape ``(N, k)``.
        a: A region, as :func:`~torchgeo_concepts.layers.regions.in_region` accepts it:
            names of continents or countries, polygons, WKT or a file. With an encoder,
            also points of shape ``(n, 2)`` as ``(longitude, latitude)`` in degrees. With
            scores, also a boolean mask of shape ``(N,)``.
        b: The other group. By default, all other land or rows.
        kind: ``'scores'`` or ``'projections'`` of an encoder. By default, scores if the
            encoder has them.
        points: Points of the scores, of shape ``(N, 2)``. For scores only.
        bank: The concepts of the scores. For scores only.
        names: Names of the groups.
        spacing_km: Distance between the points on land, in kilometres. For encoders only.
        block_km: Side of the blocks of the bootstrap in kilometres.
        seed: Seed of points and bootstrap samples.

    Returns:
        The comparison.

    Raises:
        ValueError: If a region is unknown (with near matches) or has no points, if the
            groups overlap, or if scores, points and bank do not match.
        ImportError: If a region needs the extra ``layers``, which is not installed.
    """
    named = names or (_describe(a, 'A'), _describe(b, 'B'))
    rng = np.random.default_rng(seed)
    if isinstance(source, Tensor):
        if points is None or bank is None:
            raise ValueError('Pass the points= and the bank= of the scores.')
        check_scores(source, bank)
        check_rows(scores=source, points=points)
        rows = _draw_rows(a, b, points, named, rng)
        scores = [source[drawn] for drawn in rows]
    else:
        if points is not None or bank is not None:
            raise ValueError('Pass points= and bank= with scores, not with an encoder.')
        kind, bank, method = _method_of(source, kind)
        points, a, b = _lattice_points(a, b, spacing_km, named)
        rows = _draw_rows(a, b, points, named, rng)
        scores = [in_batches(source, method, points[drawn]) for drawn in rows]
    scores_a, scores_b = (part.double().cpu().numpy() for part in scores)
    blocks_a, blocks_b = (block_numbers(points[drawn], km=block_km) for drawn in rows)
    effect, samples = cliffs_delta(scores_a, scores_b, blocks_a, blocks_b, rng)
    num_blocks = int(blocks_a.max()) + 1, int(blocks_b.max()) + 1
    ends = intervals(samples)
    return GroupComparison(
        bank,
        named,
        kind or 'scores',
        effect,
        ends if min(num_blocks) > 1 else np.full_like(ends, np.nan),
        np.stack((np.median(scores_a, axis=0), np.median(scores_b, axis=0))),
        (len(scores_a), len(scores_b)),
        num_blocks,
        block_km,
    )


# Points of the groups ------------------------------------------------------------------


def _lattice_points(
    a: Group, b: Group | None, spacing_km: float, names: tuple[str, str]
) -> tuple[Tensor, Group, Group | None]:
    """Join a lattice over land with given points, and turn given points into masks."""
    given = [check_points(group) for group in (a, b) if isinstance(group, Tensor)]
    if given and b is None:
        raise ValueError('Points have no complement; pass the other group as b.')
    if len(given) == 2:
        first, second = ({*map(tuple, group.tolist())} for group in given)
        _check_overlap(len(first & second), names)
    lattice = torch.empty(0, 2) if len(given) == 2 else land_lattice(spacing_km)
    parts = torch.cat(
        [torch.full((len(p),), n) for n, p in enumerate([lattice, *given])]
    )
    masks = iter(parts == number for number in (1, 2))
    one = next(masks) if isinstance(a, Tensor) else a
    two = next(masks) if isinstance(b, Tensor) else b
    return torch.cat([lattice, *given]), one, two


def _draw_rows(
    a: Group,
    b: Group | None,
    points: Tensor,
    names: tuple[str, str],
    rng: np.random.Generator,
) -> list[Tensor]:
    """Draw rows of both groups at random."""
    first = _mask(a, points)
    second = ~first if b is None else _mask(b, points)
    for mask, name in zip((first, second), names, strict=True):
        if not mask.any():
            raise ValueError(
                f'{name} has none of the {len(points):,} points. Use a smaller '
                'spacing_km for a small region, or your own points for one at sea. A '
                'polygon around a pole must extend to latitude 90 or -90.'
            )
    _check_overlap(int((first & second).sum()), names)
    rows = [mask.nonzero().flatten() for mask in (first, second)]
    return [each[np.sort(rng.permutation(len(each))[:MOST_POINTS])] for each in rows]


def _mask(group: Group, points: Tensor) -> Tensor:
    if not isinstance(group, Tensor):
        return torch.from_numpy(in_region(points, group))
    if group.dtype != torch.bool or group.shape != (len(points),):
        raise ValueError(
            f'Expected a boolean mask of shape ({len(points)},) for the rows of scores, '
            f'got {tuple(group.shape)} in {group.dtype}.'
        )
    return group


def _check_overlap(number: int, names: tuple[str, str]) -> None:
    if number:
        raise ValueError(
            f'{names[0]} and {names[1]} overlap: {number:,} points are in both. Use '
            'groups without common points, or leave out b to compare A with all others.'
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


def _method_of(
    encoder: nn.Module, kind: ScoreKind | None
) -> tuple[ScoreKind, ConceptBank, Callable[[Tensor], Tensor]]:
    """Return the kind of scores, the bank, and the method that computes the scores."""
    if kind is not None:
        check_choice('kind', kind, ScoreKind)
    if kind == 'scores' or (kind is None and isinstance(encoder, GroundedEncoder)):
        grounded = check_encoder(encoder, GroundedEncoder)
        return 'scores', grounded.bank, grounded.concepts
    projecting = check_encoder(encoder, ConceptEncoder)
    return 'projections', projecting.bank, projecting.project
