# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Compare the concept scores and the explanations of encoders."""

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
from torchgeo_concepts.models.protocols import GroundedEncoder, check_encoder


@dataclass(frozen=True, eq=False)
class ModelPair:
    """Agreement of two encoders in concept scores and in explanations of predictions.

    Attributes:
        names: Names of the two encoders.
        scores: Pearson's correlation of the scores of each concept, of shape ``(k,)``;
            NaN for a constant concept.
        contributions: The same of contributions to the prediction; negative where the
            weights of the two heads differ in sign.
        top_scores: Share of the highest scores of a point that both have in common.
        first_score: Share of the points at which the highest score is the same.
        top_contributions: Share of the largest contributions, of either sign, that both
            have in common.
        first_contribution: Share of the points at which the largest is the same.
        explanations: Correlation of the contributions of all concepts at all points.
        predictions: Correlation of the predictions.
        ranking: Spearman's correlation of the mean absolute contributions.
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
    """Agreement of all pairs of several encoders.

    Attributes:
        pairs: The pairs.
        concepts: Names of the compared concepts, which all encoders share.
        num_concepts: Number of concepts of each encoder.
        num_points: Number of points to compare at.
        top: Number of top concepts of a point.
    """

    pairs: tuple[ModelPair, ...]
    concepts: tuple[str, ...]
    num_concepts: dict[str, int]
    num_points: int
    top: int

    @property
    def chance(self) -> float:
        """Share of top concepts in common by chance."""
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
        """Return a row for each concept and pair, the lowest agreement first."""
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
        """Return a summary, with a few lines for each pair."""
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
    """Scores and contributions of one encoder, of shape ``(N, k)`` each."""

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
    """Compare concept scores and explanations of encoders, such as those of other seeds.

    A linear head of each encoder is trained at the same points on the same values. Its
    contributions are compared elsewhere. All points have equal weight, so spread them
    evenly over an area.

    Args:
        encoders: Two or more grounded encoders by name. Concepts that not all of them
            have are left out.
        points: Points to compare at, in any form that
            :func:`~torchgeo_concepts.geo.points.as_points` takes.
        known: Points of the values to predict, in any such form.
        values: Values of shape ``(n,)``.
        top: Number of top concepts of a point.

    Returns:
        The comparison of each pair, in the order of the encoders.

    Raises:
        ValueError: If there are fewer than two encoders or points, one has no concept
            scores, they share fewer than two concepts or than ``top``, or a value is
            missing or not finite.
    """
    if len(encoders) < 2:
        raise ValueError(f'Expected at least 2 encoders, got {len(encoders)}.')
    grounded = {n: check_encoder(e, GroundedEncoder) for n, e in encoders.items()}
    banks = {name: encoder.bank for name, encoder in grounded.items()}
    columns = _shared_columns(banks)
    first = next(iter(encoders))
    shared = len(columns[first])
    if not 1 <= top <= shared:
        raise ValueError(
            f'top must be from 1 to the {shared} shared concepts, not {top}.'
        )
    places, fitted = as_points(points), as_points(known)
    if len(places) < 2:
        raise ValueError(f'Expected at least 2 points, got {len(places)}.')
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


def _shared_columns(banks: Mapping[str, ConceptBank]) -> dict[str, list[int]]:
    """Return the columns of the concepts that all banks have, in one order."""
    ids = {
        name: {concept: column for column, concept in enumerate(bank.ids)}
        for name, bank in banks.items()
    }
    common = set.intersection(*map(set, ids.values()))
    if len(common) < 2:
        counts = ', '.join(f'{name!r} has {len(own)}' for name, own in ids.items())
        raise ValueError(
            f'Encoders must share at least 2 concepts by identifier, not {len(common)}: '
            f'{counts}.'
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
            encoder, own, features='z', device=device_of(encoder), progress=False
        )[:, columns].double()
        for own in (places, known)
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
    """Compute Pearson's correlation of each column, NaN for a constant one."""
    a, b = one - one.mean(axis=0), other - other.mean(axis=0)
    spread = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    constant = (np.ptp(one, axis=0) == 0) | (np.ptp(other, axis=0) == 0)
    spread[constant] = np.nan
    return np.asarray((a * b).sum(axis=0) / spread)


def _in_common(one: Floats, other: Floats, top: int) -> tuple[float, float]:
    """Return the agreement of the top columns of each row, and of the first one."""
    first, second = (
        torch.from_numpy(values).topk(top, dim=1).indices for values in (one, other)
    )
    common = (first[:, :, None] == second[:, None]).sum(dim=(1, 2)) / top
    same = first[:, 0] == second[:, 0]
    return float(common.mean()), float(same.double().mean())
