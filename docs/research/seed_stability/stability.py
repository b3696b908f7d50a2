# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Whether encoders that were trained alike explain alike.

Training starts at random, and so does what explanations are made of. Two encoders may
tell the same concepts and predict the same, by other contributions.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from torchgeo_concepts.concepts.bank import ConceptBank
from torchgeo_concepts.embed.points import embed_points
from torchgeo_concepts.evaluate.agreement import Floats
from torchgeo_concepts.explain.faithfulness import fit_head
from torchgeo_concepts.explain.heads import device_of
from torchgeo_concepts.geo.points import PointsLike, as_points


@dataclass(frozen=True, eq=False)
class ModelPair:
    """How alike two encoders score places, and how alike they explain predictions.

    Attributes:
        names: What the two are called.
        scores: Pearson's correlation of the scores of each concept, of shape ``(k,)``;
            NaN for a concept that is the same everywhere.
        contributions: That of what each concept adds to the prediction: the same, but
            negative where the two heads weigh a concept with other signs.
        top_scores: Share of the highest scores of a point that both name, on average.
        first_score: Share of the points at which the highest is the same.
        top_contributions: Share of the largest contributions, of either sign, that both
            name.
        first_contribution: Share of the points at which the largest is the same.
        explanations: Correlation of the contributions of all concepts at all points.
        predictions: Correlation of the predictions.
        ranking: Spearman's correlation of the mean sizes of contributions.
    """

    names: tuple[str, str]
    scores: Floats
    contributions: Floats
    top_scores: float
    first_score: float
    top_contributions: float
    first_contribution: float
    explanations: float
    predictions: float
    ranking: float


@dataclass(frozen=True, eq=False)
class ModelStability:
    """How alike encoders explain, two by two.

    Attributes:
        pairs: The pairs.
        concepts: Names of the concepts that all share, and that are compared.
        num_concepts: Number of concepts of each encoder.
        num_points: Number of points that they are compared at.
        top: Number of concepts of a point that count as its first.
    """

    pairs: tuple[ModelPair, ...]
    concepts: tuple[str, ...]
    num_concepts: dict[str, int]
    num_points: int
    top: int

    @property
    def chance(self) -> float:
        """What concepts at random would have in common."""
        return self.top / len(self.concepts)

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each pair, with the median of the scores of concepts."""
        rows = [
            {
                'first': pair.names[0],
                'second': pair.names[1],
                'scores': np.nanmedian(pair.scores),
                'top scores': pair.top_scores,
                'first score': pair.first_score,
                'predictions': pair.predictions,
                'explanations': pair.explanations,
                'top contributions': pair.top_contributions,
                'first contribution': pair.first_contribution,
                'ranking': pair.ranking,
            }
            for pair in self.pairs
        ]
        return pd.DataFrame(rows)

    def by_concept(self) -> pd.DataFrame:
        """Return a row for each concept and pair, those that agree least first."""
        tables = [
            pd.DataFrame(
                {
                    'first': pair.names[0],
                    'second': pair.names[1],
                    'concept': self.concepts,
                    'scores': pair.scores,
                    'contributions': pair.contributions,
                }
            )
            for pair in self.pairs
        ]
        table = pd.concat(tables, ignore_index=True)
        return table.sort_values('scores', kind='stable', ignore_index=True)

    def __str__(self) -> str:
        """Return what is compared, and a few lines for each pair."""
        known = ', '.join(f'{n} of {name}' for name, n in self.num_concepts.items())
        lines = [f'{len(self.concepts)} concepts shared of {known}']
        lines.append(
            f'{self.num_points:,} points; of the first {self.top} concepts, chance has '
            f'{self.chance:.2f} in common'
        )
        for pair in self.pairs:
            lines.append(f'{pair.names[0]} and {pair.names[1]}')
            lines.append(
                f'  scores: median correlation {np.nanmedian(pair.scores):.2f}, first '
                f'{self.top} {pair.top_scores:.2f} in common, the first the same at '
                f'{pair.first_score:.0%}'
            )
            lines.append(f'  predictions: correlation {pair.predictions:.2f}')
            lines.append(
                f'  contributions: correlation {pair.explanations:.2f}, first '
                f'{self.top} {pair.top_contributions:.2f} in common, the first the same '
                f'at {pair.first_contribution:.0%}'
            )
            lines.append(f'  ranking of concepts: {pair.ranking:.2f}')
        return '\n'.join(lines)


@dataclass(frozen=True, eq=False)
class _Explained:
    """What one encoder says of the points, of shape ``(N, k)`` each."""

    scores: Floats
    contributions: Floats


def stability_over_models(
    encoders: Mapping[str, nn.Module],
    points: PointsLike,
    known: PointsLike,
    values: Tensor,
    *,
    top: int = 10,
) -> ModelStability:
    """Compare scores and explanations of encoders, such as those of other seeds.

    A linear head is fitted to the scores of each, at the same points with the same
    values, and its contributions are compared elsewhere, relative to the average of the
    points that it was fitted to. Each point counts alike, so that points should be
    spread evenly over an area, as :func:`~torchgeo_concepts.explain.sample_area` does.

    Args:
        encoders: Two or more location encoders with concept scores, by name. Concepts
            that not all of them have are left out.
        points: Where to compare, in any form that
            :func:`~torchgeo_concepts.geo.points.as_points` takes.
        known: Where the values to predict are known, in any such form.
        values: The values, of shape ``(n,)``.
        top: Number of concepts of a point that count as its first.

    Returns:
        The comparison of each pair, in the order of the encoders.

    Raises:
        ValueError: If there are fewer than two encoders or points, one has no bank, they
            share fewer than two concepts or than ``top``, or there is not one finite
            value for each of the points where it is known.
    """
    banks = _banks(encoders)
    columns = _shared(banks)
    first = next(iter(encoders))
    shared = len(columns[first])
    if not 1 <= top <= shared:
        raise ValueError(
            f'top must be from 1 to the {shared} shared concepts, not {top}.'
        )
    places, fitted = as_points(points), as_points(known)
    if len(places) < 2:
        raise ValueError(f'There are {len(places)} points; correlations need two.')
    if not values.isfinite().all():
        row = int((~values.isfinite()).nonzero()[0, 0])
        raise ValueError(f'Value {row}, counted from 0, is not finite.')
    explained = {
        name: _explained(encoder, columns[name], places, fitted, values)
        for name, encoder in encoders.items()
    }
    return ModelStability(
        tuple(
            _compared(pair, explained[pair[0]], explained[pair[1]], top)
            for pair in itertools.combinations(encoders, 2)
        ),
        tuple(banks[first].names[column] for column in columns[first]),
        {name: len(bank) for name, bank in banks.items()},
        len(places),
        top,
    )


def _banks(encoders: Mapping[str, nn.Module]) -> dict[str, ConceptBank]:
    if len(encoders) < 2:
        raise ValueError(
            f'Encoders are compared by pairs, but there is {len(encoders)}.'
        )
    banks = {}
    for name, encoder in encoders.items():
        bank: ConceptBank | None = getattr(encoder, 'bank', None)
        if bank is None:
            raise ValueError(
                f'Encoder {name!r} has no bank: its concepts have no names.'
            )
        banks[name] = bank
    return banks


def _shared(banks: Mapping[str, ConceptBank]) -> dict[str, list[int]]:
    """Find the columns of the concepts that are in all banks, in one order."""
    ids = {
        name: {concept: column for column, concept in enumerate(bank.ids)}
        for name, bank in banks.items()
    }
    common = set.intersection(*map(set, ids.values()))
    if len(common) < 2:
        counts = ', '.join(f'{name!r} has {len(own)}' for name, own in ids.items())
        raise ValueError(
            f'Encoders must share two concepts at least, by identifier, not '
            f'{len(common)}: {counts}.'
        )
    order = [concept for concept in next(iter(ids.values())) if concept in common]
    return {name: [own[concept] for concept in order] for name, own in ids.items()}


def _explained(
    encoder: nn.Module,
    columns: list[int],
    places: Tensor,
    known: Tensor,
    values: Tensor,
) -> _Explained:
    here, there = (
        embed_points(
            encoder, some, features='z', device=device_of(encoder), progress=False
        )[:, columns].double()
        for some in (places, known)
    )
    head, mean, std = fit_head(there, values, known)
    parts = (here - mean) / std * head.weight[0]
    return _Explained(here.numpy(), parts.numpy())


def _compared(
    names: tuple[str, str], one: _Explained, other: _Explained, top: int
) -> ModelPair:
    parts = one.contributions, other.contributions
    sizes = np.abs(parts[0]), np.abs(parts[1])
    return ModelPair(
        names,
        _correlations(one.scores, other.scores),
        _correlations(*parts),
        *_in_common(one.scores, other.scores, top),
        *_in_common(*sizes, top),
        float(_correlations(parts[0].reshape(-1, 1), parts[1].reshape(-1, 1))[0]),
        float(
            _correlations(
                parts[0].sum(axis=1, keepdims=True), parts[1].sum(axis=1, keepdims=True)
            )[0]
        ),
        float(spearmanr(sizes[0].mean(axis=0), sizes[1].mean(axis=0)).statistic),
    )


def _correlations(one: Floats, other: Floats) -> Floats:
    """Compute Pearson's correlation of each column, NaN of one that does not vary."""
    a, b = one - one.mean(axis=0), other - other.mean(axis=0)
    spread = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    constant = (np.ptp(one, axis=0) == 0) | (np.ptp(other, axis=0) == 0)
    spread[constant] = np.nan
    return np.asarray((a * b).sum(axis=0) / spread)


def _in_common(one: Floats, other: Floats, top: int) -> tuple[float, float]:
    """Compare the columns of the highest values of each row, and that of the highest."""
    first, second = (
        torch.from_numpy(values).topk(top, dim=1).indices for values in (one, other)
    )
    common = (first[:, :, None] == second[:, None]).sum(dim=(1, 2)) / top
    same = first[:, 0] == second[:, 0]
    return float(common.mean()), float(same.double().mean())
