# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr
from seed_stability.stability import ModelStability, stability_over_models
from torch import Tensor, nn

from torchgeo_concepts.concepts import Concept, ConceptBank
from torchgeo_concepts.explain import contributions, fit_head
from torchgeo_concepts.explain.heads import LinearHead, Outputs, ScoreSource
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

    def concepts(self, points: Tensor) -> Tensor:
        return (points.float() @ self.frequencies + self.phases).sin()


class Reordered(nn.Module):
    """Another encoder whose concepts stand in another order."""

    def __init__(self, encoder: ConceptEarth, order: Sequence[int]) -> None:
        super().__init__()
        self.encoder, self.order = encoder, list(order)
        self.bank = ConceptBank([encoder.bank[column] for column in self.order])

    def forward(self, points: Tensor) -> Tensor:
        return self.concepts(points)

    def concepts(self, points: Tensor) -> Tensor:
        return self.encoder.concepts(points)[:, self.order]


class Swapped(nn.Module):
    """The same scores under the names of other concepts."""

    def __init__(self, encoder: ConceptEarth) -> None:
        super().__init__()
        self.encoder, self.bank = encoder, encoder.bank
        generator = torch.Generator().manual_seed(1)
        self.order = torch.randperm(len(self.bank), generator=generator)

    def forward(self, points: Tensor) -> Tensor:
        return self.concepts(points)

    def concepts(self, points: Tensor) -> Tensor:
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


class TestAlike:
    @pytest.fixture(scope='class')
    def same(
        self, encoder: ConceptEarth, points: Tensor, known: tuple[Tensor, Tensor]
    ) -> ModelStability:
        # Half of the concepts, in the reverse order.
        part = Reordered(encoder, range(150, 0, -2))
        return stability_over_models({'whole': encoder, 'part': part}, points, *known)

    def test_agree_in_all(self, same: ModelStability) -> None:
        [pair] = same.pairs
        assert pair.names == ('whole', 'part')
        assert pair.scores == pytest.approx(1)
        assert pair.contributions == pytest.approx(1)
        for value in (pair.explanations, pair.predictions, pair.ranking):
            assert value == pytest.approx(1)
        shares = (pair.top_scores, pair.first_score)
        assert (*shares, pair.top_contributions, pair.first_contribution) == (1,) * 4

    def test_only_what_is_shared_counts(
        self, same: ModelStability, encoder: ConceptEarth
    ) -> None:
        assert len(same.concepts) == 75
        assert same.concepts == tuple(encoder.bank.names[2:151:2])
        assert same.num_concepts == {'whole': 152, 'part': 75}
        assert same.chance == pytest.approx(10 / 75)
        assert str(same).startswith('75 concepts shared of 152 of whole, 75 of part\n')


def test_other_names_agree_by_chance(
    encoder: ConceptEarth, points: Tensor, known: tuple[Tensor, Tensor]
) -> None:
    models = {'true': encoder, 'swapped': Swapped(encoder)}
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


class TestByHand:
    @pytest.fixture(scope='class')
    def models(self) -> dict[str, Waves]:
        other = Waves(NAMES)
        other.frequencies = other.frequencies * 1.05
        other.frequencies[:, 3], other.phases[3] = 0, 0.5
        return {'a': Waves(NAMES), 'b': other, 'c': Waves(NAMES, seed=1)}

    @pytest.fixture(scope='class')
    def stability(
        self, models: dict[str, Waves], points: Tensor, known: tuple[Tensor, Tensor]
    ) -> ModelStability:
        return stability_over_models(models, points, *known, top=3)

    def test_scores(
        self, stability: ModelStability, models: dict[str, Waves], points: Tensor
    ) -> None:
        a, b = (models[name].concepts(points) for name in 'ab')
        pair = stability.pairs[0]
        assert pair.scores[7] == pytest.approx(pearsonr(a[:, 7], b[:, 7]).statistic)
        assert np.flatnonzero(np.isnan(pair.scores)).tolist() == [3]
        common = [
            len({*one.tolist()} & {*other.tolist()}) / 3
            for one, other in zip(
                a.argsort(descending=True)[:, :3],
                b.argsort(descending=True)[:, :3],
                strict=True,
            )
        ]
        assert pair.top_scores == pytest.approx(np.mean(common))
        same = a.argmax(dim=1) == b.argmax(dim=1)
        assert pair.first_score == pytest.approx(same.double().mean().item())

    def test_contributions_are_those_of_explanations(
        self,
        stability: ModelStability,
        models: dict[str, Waves],
        points: Tensor,
        known: tuple[Tensor, Tensor],
    ) -> None:
        values, predicted = {}, {}
        for name in 'ac':
            z = models[name].concepts(known[0])
            fitted, mean, std = fit_head(z, known[1], known[0])
            weight = fitted.weight / std
            head = LinearHead(
                ScoreSource(models[name], 'z'),
                Outputs(('y',), ('',)),
                mean,
                'average point',
                weight,
                fitted.bias - weight @ mean,
            )
            found = contributions(head, points)
            values[name], predicted[name] = found.values.numpy(), found.score.numpy()
        a, c = values['a'], values['c']
        [pair] = [pair for pair in stability.pairs if pair.names == ('a', 'c')]
        assert pair.explanations == pytest.approx(pearsonr(*map(np.ravel, (a, c)))[0])
        assert pair.contributions[7] == pytest.approx(pearsonr(a[:, 7], c[:, 7])[0])
        assert pair.predictions == pytest.approx(
            pearsonr(predicted['a'], predicted['c'])[0]
        )
        first = [np.abs(one).argmax(axis=1) for one in (a, c)]
        assert pair.first_contribution == np.mean(first[0] == first[1])
        sizes = [np.abs(one).mean(axis=0).argsort().argsort() for one in (a, c)]
        assert pair.ranking == pytest.approx(pearsonr(*sizes)[0])

    def test_tables(self, stability: ModelStability) -> None:
        table = stability.to_frame()
        assert list(zip(table['first'], table['second'], strict=True)) == [
            ('a', 'b'),
            ('a', 'c'),
            ('b', 'c'),
        ]
        assert table['scores'][0] == np.nanmedian(stability.pairs[0].scores)
        assert table['ranking'][2] == stability.pairs[2].ranking
        concepts = stability.by_concept()
        assert len(concepts) == 3 * 40
        least = np.nanmin([pair.scores for pair in stability.pairs])
        assert concepts['scores'][0] == least
        assert concepts['concept'].tail(2).tolist() == ['concept 3'] * 2

    def test_text(self, stability: ModelStability) -> None:
        lines = str(stability).splitlines()
        assert lines[1].endswith('of the first 3 concepts, chance has 0.07 in common')
        assert lines[2::5] == ['a and b', 'a and c', 'b and c']
        assert lines[6] == f'  ranking of concepts: {stability.pairs[0].ranking:.2f}'


class TestErrors:
    def test_one_encoder(self, points: Tensor, known: tuple[Tensor, Tensor]) -> None:
        with pytest.raises(ValueError, match='by pairs, but there is 1'):
            stability_over_models({'a': Waves(NAMES)}, points, *known)

    def test_no_bank(self, points: Tensor, known: tuple[Tensor, Tensor]) -> None:
        models = {'a': Waves(NAMES), 'b': nn.Linear(2, 40)}
        with pytest.raises(ValueError, match="Encoder 'b' has no bank"):
            stability_over_models(models, points, *known)

    def test_nothing_shared(self, points: Tensor, known: tuple[Tensor, Tensor]) -> None:
        models = {'a': Waves(NAMES), 'b': Waves(['desert', 'forest'])}
        with pytest.raises(ValueError, match="not 0: 'a' has 40, 'b' has 2"):
            stability_over_models(models, points, *known)

    @pytest.mark.parametrize('top', [0, 41])
    def test_top(self, points: Tensor, known: tuple[Tensor, Tensor], top: int) -> None:
        models = {'a': Waves(NAMES), 'b': Waves(NAMES)}
        with pytest.raises(ValueError, match=f'the 40 shared concepts, not {top}'):
            stability_over_models(models, points, *known, top=top)

    def test_one_point(self, known: tuple[Tensor, Tensor]) -> None:
        models = {'a': Waves(NAMES), 'b': Waves(NAMES)}
        with pytest.raises(ValueError, match='There are 1 points'):
            stability_over_models(models, torch.zeros(1, 2), *known)

    def test_values(self, points: Tensor, known: tuple[Tensor, Tensor]) -> None:
        models = {'a': Waves(NAMES), 'b': Waves(NAMES)}
        values = known[1].clone()
        with pytest.raises(ValueError, match='rows of scores'):
            stability_over_models(models, points, known[0], values[1:])
        values[4] = torch.nan
        with pytest.raises(ValueError, match='Value 4, counted from 0, is not finite'):
            stability_over_models(models, points, known[0], values)
