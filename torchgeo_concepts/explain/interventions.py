# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Interventions: set concepts to other values, and search a gallery again."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from ..concepts.bank import ConceptBank
from ..evaluate.metrics import geodesic_km
from ..models.concept_earth import ConceptEarth
from ..plot.bars import LESS, MORE
from ..plot.point_maps import draw_points, point_map
from ..retrieval.gallery import Gallery, Locations
from ._scores import check_bank, check_scores

# Maximum number of concepts in a title, and inverse temperature of the softmax.
FEW, SCALE = 3, 100.0


@dataclass(frozen=True, eq=False)
class Reranked:
    """Candidates of a gallery before and after an intervention.

    Attributes:
        values: New value of each concept that was set.
        before: The best candidates before the intervention.
        after: The best candidates after the intervention.
        rank_of_first: New rank of the candidate that was best, of shape ``(N,)``.
    """

    values: Mapping[str, float]
    before: Locations
    after: Locations
    rank_of_first: Tensor

    @property
    def moved_km(self) -> Tensor:
        """Distances between the first candidates before and after, of shape ``(N,)``."""
        return geodesic_km(self.before.points[:, 0], self.after.points[:, 0])

    def __str__(self) -> str:
        """Return the first candidates before and after."""
        lines = [f'With {_described(self.values)}, the first candidates are']
        old, new = (some.points[:, 0].tolist() for some in (self.before, self.after))
        numbers = self.moved_km.tolist(), self.rank_of_first.tolist()
        pairs = zip(old, new, *numbers, strict=True)
        for query, (was, now, km, rank) in enumerate(pairs):
            lines.append(
                f'  query {query}: ({was[0]:.2f}, {was[1]:.2f}) -> ({now[0]:.2f}, '
                f'{now[1]:.2f}), {km:,.0f} km away; the old one has rank {rank:,}'
            )
        return '\n'.join(lines)

    def plot(self, query: int = 0) -> Figure:
        """Draw the candidates of a query, before and after, on a map.

        Args:
            query: Index of the query.

        Returns:
            The figure.
        """
        old, new = self.before.points[query], self.after.points[query]
        figure, axes = point_map(torch.cat((old, new)))
        for points, label, marker, colour in (
            (old, 'before', 'o', LESS),
            (new, 'after', '^', MORE),
        ):
            label = f'best {len(points)} {label}'
            style = {'s': 45, 'marker': marker, 'color': colour, 'alpha': 0.8}
            style |= {'edgecolors': 'white', 'linewidths': 0.5}
            draw_points(axes, points.numpy(), label=label, **style)
        axes.set_title(f'With {_described(self.values)}')
        axes.legend(loc='best')
        return figure


def intervene(
    scores: Tensor,
    values: Mapping[str, float],
    bank: ConceptBank,
    *,
    encoder: ConceptEarth | None = None,
) -> Tensor:
    """Set some concepts to given values and keep all others.

    The result can be used like any scores, in a head or in a gallery of projections.
    Correlated concepts keep their values, so the result may resemble no real place.

    Args:
        scores: Scores or projections of shape ``(N, k)``.
        values: New value of each concept to set, by id, name or alias, on the scale of the
            scores.
        bank: The concepts, in the order of the scores.
        encoder: The encoder of the scores. If given, values are probabilities of
            classes, and quantities in their units.

    Returns:
        New scores of the same shape.

    Raises:
        ValueError: If a concept is unknown (with near matches), set twice or set to an
            invalid value, or if scores, bank and encoder do not match.
    """
    check_scores(scores, bank)
    positions = [bank.index(name) for name in values]
    for name, position in zip(values, positions, strict=True):
        if positions.count(position) > 1:
            raise ValueError(
                f'{name!r} names {bank[position].name!r}, which is set twice.'
            )
        if not np.isfinite(values[name]):
            raise ValueError(
                f'{name!r} cannot be {values[name]}; pass a finite number.'
            )
    targets = torch.tensor(list(values.values()), dtype=torch.float64)
    if encoder is not None:
        targets = _standardised(targets, positions, bank, encoder)
    changed = scores.clone()
    changed[:, positions] = targets.to(changed)
    return changed


def rerank(
    gallery: Gallery,
    projections: Tensor,
    values: Mapping[str, float],
    bank: ConceptBank,
    top_k: int = 5,
) -> Reranked:
    """Search a gallery before and after setting some concepts to given values.

    Args:
        gallery: A gallery in space ``'z'``.
        projections: Projections of images or of points, of shape ``(N, k)``.
        values: New value of each concept to set, on the scale of the projections.
        bank: The concepts, in the order of the projections.
        top_k: Number of candidates for each query.

    Returns:
        The best candidates before and after.

    Raises:
        ValueError: As for :func:`intervene`, or if the gallery is not in space ``'z'`` or
            has another number of concepts.
    """
    if gallery.space != 'z':
        raise ValueError(
            f'The gallery is in space {gallery.space!r}, whose features have no names; '
            "build one with space='z'."
        )
    if gallery.vectors.shape[1] != len(bank):
        raise ValueError(
            f'The gallery has vectors of {gallery.vectors.shape[1]} features, but the '
            f'bank has {len(bank)} concepts.'
        )
    changed = intervene(projections, values, bank)
    before = gallery.search(projections, top_k, SCALE)
    after = gallery.search(changed, top_k, SCALE)
    ranks = gallery.ranks(changed, before.points[:, 0])
    return Reranked(dict(values), before, after, ranks)


def _standardised(
    values: Tensor, positions: list[int], bank: ConceptBank, encoder: ConceptEarth
) -> Tensor:
    """Convert probabilities and quantities of some concepts to scores."""
    check_bank(bank, encoder)
    for value, position in zip(values.tolist(), positions, strict=True):
        name = bank[position].name
        if encoder.is_class[position] and not 0 <= value <= 1:
            raise ValueError(
                f'{name!r} must be a probability from 0 to 1, not {value:g}.'
            )
        if encoder.is_log[position] and value < 0:
            raise ValueError(f'{name!r} must be at least 0, not {value:g}.')
    whole = torch.zeros(1, len(bank), dtype=values.dtype)
    whole[0, positions] = values
    return encoder.standardise(whole.to(encoder.mean.device))[0, positions]


def _described(values: Mapping[str, float]) -> str:
    if len(values) > FEW:
        return f'{len(values)} concepts set'
    return ', '.join(f'{name} at {value:.3g}' for name, value in values.items())
