# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Command line of the measures of impurity and leakage."""

from collections.abc import Iterator

import torch
from research_cli import run

from concept_purity.leakage import label_leakage, oracle_impurity
from concept_purity.niches import niche_impurity
from torchgeo_concepts.concepts import ConceptBank
from torchgeo_concepts.datasets import CityClimate
from torchgeo_concepts.datasets.point_sampling import land_points
from torchgeo_concepts.layers.grounding import Groundings, read_groundings
from torchgeo_concepts.models import concept_earth

# Categories of concepts that name or determine temperature.
DECISIVE = ('climate', 'weather')

# No released weights were trained on points of this seed.
SEED = 30_000_001

# Rarer and more frequent classes are left out.
RARE, FREQUENT = 0.05, 0.95


def measure_purity(
    points: int = 6_000, num_samples: int = 50, steps: int = 10, every: int = 4
) -> str:
    """Measure the information in concept scores of GROUNDED beyond their names.

    Args:
        points: Number of points on land.
        num_samples: Number of resamples of blocks for confidence intervals of impurity.
        steps: Number of thresholds of niche impurity.
        every: Measure the niche impurity of every so many concepts.

    Returns:
        The measures as text.
    """
    return '\n'.join([*_impurities(points, num_samples, steps, every), *_leakages()])


def _labels(bank: ConceptBank, points: torch.Tensor) -> torch.Tensor:
    known = {grounding.concept: grounding for grounding in read_groundings()}
    maps = Groundings(bank, [known[concept] for concept in bank.ids])
    return torch.from_numpy(maps.labels(points))


def _impurities(number: int, num_samples: int, steps: int, every: int) -> Iterator[str]:
    encoder, points = concept_earth('GROUNDED'), land_points(number, seed=SEED)
    labels = _labels(encoder.bank, points)
    with torch.no_grad():
        scores = encoder.concepts(points)
    share = labels.nan_to_num().mean(dim=0)
    chosen = encoder.is_class & (share > RARE) & (share < FREQUENT)
    names = [name for name, own in zip(encoder.bank.names, chosen, strict=True) if own]
    oracle = oracle_impurity(
        scores[:, chosen], labels[:, chosen], points, names, num_samples=num_samples
    )
    yield f'oracle impurity: {oracle.score:.3f} ({oracle.low:.3f} to {oracle.high:.3f})'
    yield str(oracle.worst(3).round(2))
    few = chosen.nonzero()[::every, 0]
    for title, values in (('scores', scores), ('labels', labels.nan_to_num())):
        niche = niche_impurity(
            values[:, chosen],
            labels[:, few],
            points,
            names[::every],
            steps=steps,
            num_samples=num_samples,
        )
        yield (
            f'niche impurity of {title}: {niche.score:.3f} ({niche.low:.3f} to '
            f'{niche.high:.3f}); AUC by threshold {niche.area.mean(axis=0).round(2)}'
        )


def _leakages() -> Iterator[str]:
    """Compare predictions of temperature, without concepts that determine it."""
    cities, full = CityClimate(), concept_earth('GROUNDED').bank
    truth = _labels(full, cities.points)
    for weights in ('GROUNDED', 'NO_CLIMATE'):
        encoder = concept_earth(weights)
        kept = [n for n, c in enumerate(encoder.bank) if c.category not in DECISIVE]
        same = [full.index(encoder.bank[n].id) for n in kept]
        with torch.no_grad():
            scores = encoder.concepts(cities.points)[:, kept]
        y = cities.values[:, 0]
        leak, low, high = label_leakage(scores, truth[:, same], y, cities.points)
        yield (
            f'leakage of {len(kept)} concepts of {weights}: {leak:+.3f} ({low:+.3f} to '
            f'{high:+.3f})'
        )


if __name__ == '__main__':
    run(measure_purity)
