# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from matplotlib import pyplot as plt
from torch import Tensor, nn

from torchgeo_concepts.concepts import ConceptBank
from torchgeo_concepts.explain import SmallestChange, intervene, rerank, smallest_change
from torchgeo_concepts.models import ConceptEarth, concept_earth
from torchgeo_concepts.retrieval.gallery import Gallery

# La Paz, Moscow, Singapore and Cairo.
POINTS = torch.tensor([[-68.1, -16.5], [37.6, 55.8], [103.8, 1.3], [31.2, 30.0]])


@pytest.fixture(scope='module')
def encoder() -> ConceptEarth:
    return concept_earth('GROUNDED')


@pytest.fixture(scope='module')
def scores(encoder: ConceptEarth) -> Tensor:
    with torch.no_grad():
        return encoder.concepts(POINTS)


@pytest.fixture(scope='module')
def projections(encoder: ConceptEarth) -> Tensor:
    with torch.no_grad():
        return encoder.project(POINTS)


class TestIntervene:
    def test_named_concepts_change_and_no_other(
        self, encoder: ConceptEarth, scores: Tensor
    ) -> None:
        before = scores.clone()
        names = ('elevation', 'cropland')
        changed = intervene(scores, {'elevation': 1.5, 'cropland': -1}, encoder.bank)
        positions = [encoder.bank.index(name) for name in names]
        assert changed[:, positions].tolist() == [[1.5, -1.0]] * 4
        same = torch.ones(len(encoder.bank), dtype=torch.bool)
        same[positions] = False
        assert changed[:, same].equal(scores[:, same])
        assert scores.equal(before)

    def test_units_and_probabilities(
        self, encoder: ConceptEarth, scores: Tensor
    ) -> None:
        wanted = {
            'elevation': 120.0,
            'population density': 250.0,
            'cropland': 0.4,
            'hot desert climate': 1.0,
        }
        changed = intervene(scores, wanted, encoder.bank, encoder=encoder)
        values = encoder.calibrate(changed)
        for name, value in wanted.items():
            told = values[:, encoder.bank.index(name)].tolist()
            assert told == pytest.approx([value] * 4, rel=1e-3, abs=1e-4)

    def test_contribution_to_a_linear_head_is_exact(
        self, encoder: ConceptEarth, scores: Tensor
    ) -> None:
        weight = torch.linspace(-1, 1, len(encoder.bank))
        number = encoder.bank.index('elevation')
        changed = intervene(scores, {'elevation': 0.0}, encoder.bank)
        expected = -weight[number] * scores[:, number]
        torch.testing.assert_close(
            (changed - scores) @ weight, expected, atol=1e-5, rtol=0
        )

    @pytest.mark.parametrize('with_encoder', [False, True])
    def test_double_precision(
        self, encoder: ConceptEarth, scores: Tensor, with_encoder: bool
    ) -> None:
        number = encoder.bank.index('elevation')
        changed = intervene(
            scores.double(),
            {'elevation': 0.1},
            encoder.bank,
            encoder=encoder if with_encoder else None,
        )
        expected = torch.tensor(0.1, dtype=torch.float64)
        if with_encoder:
            expected = (expected - encoder.mean[number].double()) / encoder.std[number]
        assert changed.dtype == torch.float64
        assert changed[0, number].item() == pytest.approx(expected.item(), rel=1e-12)

    def test_nothing_to_set(self, encoder: ConceptEarth, scores: Tensor) -> None:
        assert intervene(scores, {}, encoder.bank).equal(scores)

    @pytest.mark.parametrize(
        ('values', 'message'),
        [
            ({'elevatoin': 1.0}, "No concept 'elevatoin'. Did you mean 'elevation'"),
            ({'elevation': 1.0, 'Elevation': 2.0}, "'elevation' is set twice"),
            ({'elevation': np.nan}, "'elevation' cannot be nan"),
            ({'cropland': 1.2}, 'from 0 to 1, not to 1.2'),
            ({'population density': -3.0}, 'cannot be less than 0, as -3 is'),
        ],
    )
    def test_bad_values(
        self, encoder: ConceptEarth, scores: Tensor, values: Any, message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            intervene(scores, values, encoder.bank, encoder=encoder)

    def test_what_does_not_belong_together(
        self, encoder: ConceptEarth, scores: Tensor
    ) -> None:
        other = encoder.bank[:5]
        with pytest.raises(ValueError, match=r'has 5 concepts, the scores have shape'):
            intervene(scores, {}, other)
        name = other[0].name
        with pytest.raises(ValueError, match='The encoder has another bank'):
            intervene(scores[:, :5], {name: 0.5}, other, encoder=encoder)
        broken = scores.clone()
        broken[2, 7] = torch.nan
        with pytest.raises(ValueError, match='Row 2 of the scores, counted from 0'):
            intervene(broken, {}, encoder.bank)


class TestRerank:
    def test_climate_of_another_place(
        self, encoder: ConceptEarth, projections: Tensor
    ) -> None:
        gallery = Gallery.build(encoder, POINTS, space='z', progress=False)
        # With all concepts of Singapore, Moscow is Singapore.
        values = dict(zip(encoder.bank.names, projections[2].tolist(), strict=True))
        found = rerank(gallery, projections[1:2], values, encoder.bank, top_k=2)
        assert found.before.points[0, 0].tolist() == POINTS[1].tolist()
        assert found.after.points[0, 0].tolist() == POINTS[2].tolist()
        assert found.rank_of_first.tolist() > [1]
        assert 8_000 < found.moved_km.item() < 9_000
        frame = found.to_frame()
        assert frame['concepts'].tolist() == ['before', 'before', 'after', 'after']
        assert frame['rank'].tolist() == [1, 2, 1, 2]
        assert 'With 297 concepts set' in str(found)
        assert '(37.60, 55.80) -> (103.80, 1.30)' in str(found)
        figure = found.plot()
        assert figure.axes[0].get_title() == 'With 297 concepts set'
        plt.close(figure)

    def test_similarities_are_those_of_the_changed_vector(
        self, encoder: ConceptEarth, projections: Tensor
    ) -> None:
        gallery = Gallery.build(
            encoder, POINTS, space='z', dtype='float32', progress=False
        )
        found = rerank(gallery, projections, {'desert': 0.3}, encoder.bank, top_k=1)
        changed = intervene(projections, {'desert': 0.3}, encoder.bank)
        cosine = F.normalize(changed, dim=1) @ torch.from_numpy(gallery.vectors).T
        torch.testing.assert_close(
            found.after.similarity[:, 0], cosine.amax(dim=1), atol=1e-5, rtol=0
        )
        assert 'With desert at 0.3' in str(found)

    def test_wrong_gallery(self, encoder: ConceptEarth, projections: Tensor) -> None:
        in_x = Gallery.build(encoder, POINTS, progress=False)
        with pytest.raises(ValueError, match="space 'x', where no number has a name"):
            rerank(in_x, projections, {}, encoder.bank)
        small = Gallery(POINTS.numpy(), np.ones((4, 3), np.float32), 'z')
        with pytest.raises(ValueError, match='3 features, the bank 297 concepts'):
            rerank(small, projections, {}, encoder.bank)


@pytest.fixture
def reference() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(400, 5, generator=generator) * torch.tensor([1.0, 1, 2, 1, 0])


def plain(weight: list[float]) -> nn.Linear:
    head = nn.Linear(5, 1)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([weight]))
        head.bias.zero_()
    return head


class TestSmallestChange:
    def test_one_concept_moves_no_farther_than_it_must(
        self, bank: ConceptBank, reference: Tensor
    ) -> None:
        head = plain([1.0, 3.0, 0.5, 0.0, 100.0])
        found = smallest_change(torch.zeros(5), head, bank, reference, by=2, unit='K')
        assert found.reached
        [step] = found.steps
        assert step.concept == 'c1'
        assert step.after == pytest.approx(2 / 3, abs=1e-4)
        assert step.outcome == pytest.approx(2, abs=1e-4)
        assert step.cost == pytest.approx(
            step.after / reference[:, 1].std().item(), rel=0.01
        )
        assert found.cost == step.cost
        assert head(found.scores).item() == pytest.approx(2, abs=1e-4)
        # What never varies cannot be moved.
        assert found.allowed == 4
        assert 'prediction up by 2 K from 0 K: reached' in str(found)
        assert found.to_frame().columns[-1] == 'prediction [K]'

    def test_several_concepts_down(self, bank: ConceptBank, reference: Tensor) -> None:
        head = plain([1.0, 3.0, 0.1, 0.1, 0.0])
        found = smallest_change(torch.zeros(5), head, bank, reference, by=-6)
        assert found.reached
        assert [step.concept for step in found.steps] == ['c1', 'c0']
        low = np.quantile(reference[:, 1].numpy(), 0.05)
        assert found.steps[0].after == pytest.approx(low)
        outcomes = [step.outcome for step in found.steps]
        assert outcomes == pytest.approx([3 * low, -6], abs=1e-4)
        assert found.to_frame()['cost'].sum() == pytest.approx(found.cost)

    def test_cheapest_of_those_that_reach(
        self, bank: ConceptBank, reference: Tensor
    ) -> None:
        # c2 is spread twice as far, so that a step of it costs half.
        head = plain([1.0, 1.0, 1.0, 0.0, 0.0])
        found = smallest_change(torch.zeros(5), head, bank, reference, by=1)
        assert [step.concept for step in found.steps] == ['c2']

    def test_not_reached(self, bank: ConceptBank, reference: Tensor) -> None:
        head = plain([1.0, 3.0, 0.5, 0.1, 0.0])
        found = smallest_change(torch.zeros(5), head, bank, reference, by=50, most=2)
        assert not found.reached
        assert len(found.steps) == 2
        assert 'not reached' in str(found)
        assert 'No set that the search tried reaches it' in str(found)
        idle = smallest_change(torch.zeros(5), plain([0.0] * 5), bank, reference, by=1)
        assert idle.steps == ()
        assert idle.to_frame().empty
        assert idle.cost == 0

    def test_only_allowed_concepts(self, bank: ConceptBank, reference: Tensor) -> None:
        head = plain([1.0, 3.0, 0.5, 0.1, 0.0])
        found = smallest_change(
            torch.zeros(5), head, bank, reference, by=1, concepts=['c0', 'c3']
        )
        assert [step.concept for step in found.steps] == ['c0']
        assert found.allowed == 2
        one = smallest_change(
            torch.zeros(5), head, bank, reference, by=1, concepts='c3'
        )
        assert [step.concept for step in one.steps] == ['c3']
        assert one.allowed == 1

    @pytest.mark.parametrize('bad', [torch.nan, torch.inf])
    def test_head_that_is_not_finite(
        self, bank: ConceptBank, reference: Tensor, bad: float
    ) -> None:
        with pytest.raises(ValueError, match=rf'gives \[{bad}\] .* not finite'):
            smallest_change(
                torch.zeros(5), lambda z: z[:, 0] + bad, bank, reference, by=1
            )
        with pytest.raises(ValueError, match=rf'gives \[0.0, {bad}\] .* not finite'):
            smallest_change(
                torch.zeros(5), lambda z: z[:, :2] * 0 + torch.tensor([0, bad]), bank,
                reference,
            )  # fmt: skip

    def test_where_the_head_is_not_defined(
        self, bank: ConceptBank, reference: Tensor
    ) -> None:
        # Each concept is NaN at one of its ends or at both.
        def head(z: Tensor) -> Tensor:
            return (1 - z[:, 0]).sqrt() + (0.1 - z[:, 1].abs()).sqrt()

        found = smallest_change(torch.zeros(5), head, bank, reference, by=0.2)
        assert found.reached
        [step] = found.steps
        assert step.concept == 'c0'
        assert step.after == pytest.approx(1 - 1.2**2, abs=1e-4)
        lost = smallest_change(
            torch.zeros(5), head, bank, reference, by=0.2, concepts='c1'
        )
        assert not lost.reached
        assert lost.steps == ()

    @pytest.mark.parametrize('to', [None, 'B', 1])
    def test_class(self, to: Any, bank: ConceptBank, reference: Tensor) -> None:
        weight = torch.tensor([[0.0, 0, 0, 0, 0], [0, 2, 0, 0, 0], [0, 0, 0, 0, 0]])
        bias = torch.tensor([1.0, 0.0, -9.0])
        found = smallest_change(
            torch.zeros(5),
            lambda scores: scores @ weight.T + bias,
            bank,
            reference,
            to=to,
            classes=['A', 'B', 'C'],
        )
        assert found.reached
        [step] = found.steps
        assert step.after == pytest.approx(0.5, abs=1e-4)
        assert step.after > 0.5
        assert found.start == -1
        words = 'another class than A' if to is None else 'B instead of A'
        assert words in found.goal
        figure = found.plot()
        assert 'lead' in figure.axes[1].get_xlabel()
        plt.close(figure)

    def test_head_that_is_not_linear(
        self, bank: ConceptBank, reference: Tensor
    ) -> None:
        found = smallest_change(
            torch.zeros(1, 5), lambda scores: scores[:, 3] ** 2, bank, reference, by=1
        )
        assert abs(found.steps[0].after) == pytest.approx(1, abs=1e-3)

    def test_units(self, encoder: ConceptEarth, scores: Tensor) -> None:
        number = encoder.bank.index('elevation')
        found = smallest_change(
            scores[0], lambda z: -z[:, number], encoder.bank, scores, by=2.0,
            encoder=encoder,
        )  # fmt: skip
        [step] = found.steps
        assert step.unit == 'm'
        assert step.values is not None
        assert step.values[0] > 3000 > step.values[1]
        assert ' m)' in str(found)
        assert found.to_frame()['unit'].tolist() == ['m']
        assert isinstance(found, SmallestChange)

    @pytest.mark.parametrize(
        ('options', 'message'),
        [
            ({}, 'one output: say with by= how much'),
            ({'by': 0.0}, 'not by=0.0'),
            ({'by': 1.0, 'to': 1}, 'not by=1.0, to=1'),
            ({'by': 1.0, 'quantiles': (0.9, 0.1)}, 'quantiles must ascend'),
            ({'by': 1.0, 'most': 0}, 'most must be at least 1, not 0'),
            ({'by': 1.0, 'concepts': ['c9']}, "No concept 'c9'"),
        ],
    )
    def test_bad_options(
        self, bank: ConceptBank, reference: Tensor, options: Any, message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            smallest_change(
                torch.zeros(5), plain([1.0] * 5), bank, reference, **options
            )

    @pytest.mark.parametrize(
        ('options', 'message'),
        [
            ({'by': 1.0}, 'by= is for heads with one output; this one has 3 classes'),
            ({'to': 'Bb', 'classes': ['Aa', 'Bbb', 'Cc']}, "'Bb'. Did you mean 'Bbb'"),
            ({'to': 7}, 'No class 7: there are 3'),
            ({'to': 'A', 'classes': ['A', 'B', 'C']}, "'A' is what the head predicts"),
            ({'classes': ['A', 'B']}, '3 classes, and there are 2 names'),
        ],
    )
    def test_bad_classes(
        self, bank: ConceptBank, reference: Tensor, options: Any, message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            smallest_change(
                torch.zeros(5),
                lambda scores: torch.tensor([[1.0, 0, 0]]).expand(len(scores), 3),
                bank,
                reference,
                **options,
            )

    def test_what_does_not_belong_together(
        self, encoder: ConceptEarth, bank: ConceptBank, reference: Tensor
    ) -> None:
        head = plain([1.0] * 5)
        with pytest.raises(ValueError, match='bank has 5 concepts, the scores'):
            smallest_change(torch.zeros(4), head, bank, reference, by=1)
        with pytest.raises(ValueError, match='the reference scores have shape'):
            smallest_change(torch.zeros(5), head, bank, reference[:, :3], by=1)
        with pytest.raises(ValueError, match='not of 2 and of 400'):
            smallest_change(torch.zeros(2, 5), head, bank, reference, by=1)
        with pytest.raises(ValueError, match='another bank'):
            smallest_change(
                torch.zeros(5), head, bank, reference, by=1, encoder=encoder
            )
        with pytest.raises(ValueError, match=r'of shape \(N,\), \(N, 1\)'):
            smallest_change(torch.zeros(5), lambda z: z.sum(), bank, reference, by=1)
