# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from scipy.stats import pearsonr
from seed_stability import page
from seed_stability.stability import stability_over_models
from torch import Tensor, nn

from torchgeo_concepts.concepts import Concept, ConceptBank
from torchgeo_concepts.layers.regions import sample_area
from torchgeo_concepts.models import ConceptEarth, concept_earth

NAMES = [f'concept {number}' for number in range(40)]


class Waves(nn.Module):
    """Scores that are waves over the sphere, which a permutation may mix."""

    def __init__(self, names: Sequence[str], seed: int = 0) -> None:
        super().__init__()
        self.bank = ConceptBank(
            [Concept(name.replace(' ', '-'), name, 'other') for name in names]
        )
        generator = torch.Generator().manual_seed(seed)
        self.frequencies = torch.randn(2, len(names), generator=generator) / 10
        self.phases = torch.randn(len(names), generator=generator)

    def forward(self, points: Tensor) -> Tensor:
        return self.concepts(points)

    def concepts(self, points: Tensor, calibrated: bool = False) -> Tensor:
        return (points.float() @ self.frequencies + self.phases).sin()


class Reordered(nn.Module):
    """The concepts of an encoder in another order, or under other names."""

    def __init__(
        self, encoder: ConceptEarth, order: Sequence[int], swap_names: bool = False
    ) -> None:
        super().__init__()
        self.encoder, self.order = encoder, list(order)
        self.bank = encoder.bank
        if not swap_names:
            self.bank = ConceptBank([encoder.bank[column] for column in self.order])

    def forward(self, points: Tensor) -> Tensor:
        return self.concepts(points)

    def concepts(self, points: Tensor, calibrated: bool = False) -> Tensor:
        return self.encoder.concepts(points)[:, self.order]


@pytest.fixture(scope='module')
def encoder() -> ConceptEarth:
    return concept_earth('NO_CLIMATE')


@pytest.fixture(scope='module')
def points() -> Tensor:
    return sample_area((-180, -60, 180, 85), 1000)


@pytest.fixture(scope='module')
def known() -> tuple[Tensor, Tensor]:
    """Points all over the Earth, and something that changes over it."""
    points = sample_area(number=150)
    return points, (points[:, 0] / 40).sin() + (points[:, 1] / 20).cos()


def test_same_scores_agree(
    encoder: ConceptEarth, points: Tensor, known: tuple[Tensor, Tensor]
) -> None:
    # Half of the concepts, in the reverse order.
    part = Reordered(encoder, range(150, 0, -2))
    same = stability_over_models({'whole': encoder, 'part': part}, points, *known)
    assert same.concepts == tuple(encoder.bank.names[2:151:2])
    assert str(same).startswith('75 concepts shared of 152 of whole, 75 of part\n')
    assert same.chance == pytest.approx(10 / 75)
    [pair] = same.pairs
    assert pair.scores == pytest.approx(1)
    assert pair.contributions == pytest.approx(1)
    values = pair.explanations, pair.predictions, pair.ranking
    assert values == pytest.approx((1, 1, 1))
    assert (pair.top_scores, pair.top_contributions) == (1, 1)


def test_other_names_agree_by_chance(
    encoder: ConceptEarth, points: Tensor, known: tuple[Tensor, Tensor]
) -> None:
    order = torch.randperm(len(encoder.bank), generator=torch.manual_seed(1)).tolist()
    models = {'true': encoder, 'swapped': Reordered(encoder, order, swap_names=True)}
    stability = stability_over_models(models, points, *known)
    [pair] = stability.pairs
    assert abs(np.median(pair.scores)) < 0.15
    assert pair.top_scores == pytest.approx(stability.chance, abs=0.06)
    assert pair.top_contributions == pytest.approx(stability.chance, abs=0.06)
    assert pair.first_score < 0.15
    assert pair.first_contribution < 0.15
    assert abs(pair.explanations) < 0.2
    assert abs(pair.ranking) < 0.25
    # The same numbers under other names predict the same.
    assert pair.predictions == pytest.approx(1)


def test_scores_by_hand(points: Tensor, known: tuple[Tensor, Tensor]) -> None:
    models = {'a': Waves(NAMES), 'b': Waves(NAMES)}
    models['b'].frequencies = models['b'].frequencies * 1.05
    models['b'].frequencies[:, 3], models['b'].phases[3] = 0, 0.5
    [pair] = stability_over_models(models, points, *known, top=3).pairs
    a, b = (model.concepts(points) for model in models.values())
    assert pair.scores[7] == pytest.approx(pearsonr(a[:, 7], b[:, 7]).statistic)
    assert np.flatnonzero(np.isnan(pair.scores)).tolist() == [3]
    top = [x.argsort(descending=True)[:, :3].tolist() for x in (a, b)]
    common = [len({*x} & {*y}) / 3 for x, y in zip(*top, strict=True)]
    assert pair.top_scores == pytest.approx(np.mean(common))
    same = a.argmax(dim=1) == b.argmax(dim=1)
    assert pair.first_score == pytest.approx(same.double().mean().item())


def test_page_of_kept_encoders(tmp_path: Path) -> None:
    grounded = concept_earth('GROUNDED')
    grounded.save(tmp_path / 'seed-3-of-20-steps.safetensors')
    recipe = yaml.safe_load(page.RECIPE.read_text())
    data = page.make_data(recipe, tmp_path / 'points')
    model = page.train(3, recipe, data, 20, tmp_path)
    assert not (tmp_path / 'points').exists()
    assert model.provenance == grounded.provenance
    *_, row, _ = page.encoder_table({'GROUNDED': model})
    assert row.startswith('| GROUNDED | 0 | 8,784 |')
    [(title, stability), _] = page.compare_encoders({'one': model, 'two': model}, 200)
    assert title == 'Annual mean temperature'
    _, _, row, chance, _ = page.pair_table(stability)
    assert row == f'| one, two |{" 1.000 |" * 8}'
    assert chance == '| chance | 0 | 0.034 | | | 0 | 0.034 | | 0 |'
    text = next(page.lowest_agreement(stability))
    assert text.startswith('Scores correlate above 0.9 for 100% of concepts and pairs.')


def test_errors(points: Tensor, known: tuple[Tensor, Tensor]) -> None:
    waves = Waves(NAMES)
    with pytest.raises(ValueError, match='Expected at least 2 encoders, got 1'):
        stability_over_models({'a': waves}, points, *known)
    with pytest.raises(ValueError, match='Linear has no concept scores'):
        stability_over_models({'a': waves, 'b': nn.Linear(2, 40)}, points, *known)
    others = {'a': waves, 'b': Waves(['desert', 'forest'])}
    with pytest.raises(ValueError, match="not 0: 'a' has 40, 'b' has 2"):
        stability_over_models(others, points, *known)
    with pytest.raises(ValueError, match='the 40 shared concepts, not 41'):
        stability_over_models({'a': waves, 'b': waves}, points, *known, top=41)
