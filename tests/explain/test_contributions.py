# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import time
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from torchgeo_concepts.concepts import Concept, ConceptBank
from torchgeo_concepts.evaluate.probes import LinearFit
from torchgeo_concepts.explain import (
    alignment_contributions,
    concept_head,
    contributions,
    explain,
    similarity_contributions,
)
from torchgeo_concepts.models import (
    ConceptBasis,
    ConceptEarth,
    ConceptGeoCLIP,
    GeoCLIPLocation,
    ImageLocationAlignment,
    ImageLocationModel,
    ImageTower,
    concept_earth,
)

SAHARA, ARABIA, TOKYO = (10.0, 24.0), (45.0, 24.0), (139.7, 35.7)
PLACES = torch.tensor([SAHARA, ARABIA, TOKYO])


@pytest.fixture(scope='module')
def earth() -> ConceptEarth:
    return concept_earth('FAST')


def world(number: int) -> Tensor:
    unit = torch.rand(number, 2, generator=torch.Generator().manual_seed(0))
    return unit * torch.tensor([360.0, 170.0]) - torch.tensor([180.0, 85.0])


def image_model(
    bank: ConceptBank, encoder: GeoCLIPLocation, unit: bool = True, **options: Any
) -> ImageLocationModel:
    torch.manual_seed(1)
    basis = ConceptBasis.random(bank, 6, unit)
    nn.init.normal_(basis.offset, std=0.3)
    alignment = ImageLocationAlignment(basis, **options)
    tower = ImageTower(nn.Flatten(), nn.Linear(48, 6))
    return ImageLocationModel(tower, encoder, alignment).eval()


class TestPoints:
    def test_sum_to_the_cosine_of_projections(self, earth: ConceptEarth) -> None:
        with torch.no_grad():
            projections = earth.project(PLACES).double()
        found = contributions(earth, PLACES, others=[SAHARA])
        cosine = torch.cosine_similarity(projections, projections[:1])
        assert found.values.shape == (3, 297)
        torch.testing.assert_close(
            found.values.sum(dim=1), found.score, atol=1e-12, rtol=0
        )
        torch.testing.assert_close(found.score, cosine, atol=1e-6, rtol=0)
        assert found.score[0] == pytest.approx(1)
        assert found.titles[1] == 'similarity of (45.00, 24.00) to (10.00, 24.00)'

    def test_one_pair_has_names_that_hold_there(self, earth: ConceptEarth) -> None:
        names = {'name': 'Arabia', 'other_name': 'Sahara'}
        explanation = explain(earth, ARABIA, other=SAHARA, **names)  # type: ignore[arg-type]
        assert explanation.title == 'similarity of Arabia to Sahara'
        assert explanation.named_share == 1
        assert explanation.total == pytest.approx(explanation.score, abs=1e-12)
        assert 'desert' in [name for name, _ in explanation.top(5)]
        same = contributions(earth, PLACES, others=PLACES[[0, 0, 0]])[1]
        assert explanation.contributions == pytest.approx(same.contributions, abs=1e-6)

    @pytest.mark.parametrize('unit', [True, False])
    def test_as_the_basis_compares(
        self, unit: bool, bank: ConceptBank, small_encoder: GeoCLIPLocation
    ) -> None:
        encoder = ConceptGeoCLIP(small_encoder, ConceptBasis.random(bank, 6, unit))
        with torch.no_grad():
            first, second, _ = encoder.project(PLACES).double()
        explanation = explain(encoder, SAHARA, other=ARABIA)
        expected = first @ second
        if unit:
            expected /= first.norm() * second.norm()
        assert explanation.score == pytest.approx(float(expected), abs=1e-6)
        # An image model without images compares its points in the same way.
        model = image_model(bank, small_encoder, unit)
        model.alignment.basis = encoder.basis
        again = explain(model, SAHARA, other=ARABIA)
        assert again.contributions == pytest.approx(explanation.contributions, abs=1e-6)

    def test_leave_training_as_it_was(self, earth: ConceptEarth) -> None:
        earth.train()
        found = contributions(earth, PLACES, others=[SAHARA])
        assert earth.training
        assert not found.values.requires_grad
        earth.eval()

    def test_frame(self, earth: ConceptEarth) -> None:
        frame = contributions(earth, PLACES, others=[SAHARA]).to_frame()
        assert list(frame.columns[:5]) == ['title', 'score', 'base', 'unnamed', 'gap']
        assert tuple(frame.columns[5:]) == earth.bank.ids
        sums = frame.iloc[:, 2:].sum(axis=1)
        assert sums.tolist() == pytest.approx(frame['score'].tolist(), abs=1e-12)


class TestImages:
    @pytest.mark.parametrize('align', ['z', 'both'])
    @pytest.mark.parametrize('unit', [True, False])
    @pytest.mark.parametrize('projection', ['mlp', 'tied'])
    def test_sum_to_the_similarity_of_the_model(
        self,
        align: str,
        unit: bool,
        projection: str,
        bank: ConceptBank,
        small_encoder: GeoCLIPLocation,
    ) -> None:
        options = {'align': align, 'image_projection': projection}
        model = image_model(bank, small_encoder, unit, **options)
        images = torch.rand(3, 3, 4, 4)
        found = contributions(model, PLACES, images=images)
        with torch.no_grad():
            expected = model.alignment.similarity(model(images, PLACES)).diagonal()
        torch.testing.assert_close(found.score.float(), expected, atol=1e-5, rtol=0)
        for row, explanation in enumerate(found):
            total = sum(explanation.contributions) + explanation.unnamed
            assert total == pytest.approx(float(expected[row]), abs=1e-5)
            assert explanation.title.startswith(f'similarity of ({PLACES[row, 0]:.2f}')
            assert explanation.title.endswith(f'to image {row}')
            assert (explanation.unnamed != 0) == (align == 'both')
            assert (explanation.unnamed_share > 0) == (align == 'both')
        one = explain(model, SAHARA, image=images[0])
        assert one.contributions == pytest.approx(found[0].contributions, abs=1e-6)
        assert len(contributions(model, PLACES, images=images[:1])) == 3

    def test_embeddings_have_no_names(
        self, bank: ConceptBank, small_encoder: GeoCLIPLocation
    ) -> None:
        model = image_model(bank, small_encoder, align='x')
        image = torch.rand(3, 4, 4)
        with pytest.raises(
            ValueError, match="space 'x' are sums .* space='z' explains"
        ):
            explain(model, SAHARA, image=image)
        found = explain(model, SAHARA, image=image, space='z')
        assert found.unnamed == 0
        assert found.total == pytest.approx(found.score)

    def test_of_embeddings(self, bank: ConceptBank) -> None:
        alignment = ImageLocationAlignment(ConceptBasis.random(bank, 6))
        with torch.no_grad():
            aligned = alignment(torch.rand(2, 6), torch.rand(2, 6))
            expected = alignment.similarity(aligned).diagonal().double()
        found = alignment_contributions(alignment, aligned)
        torch.testing.assert_close(found.values.sum(1), expected, atol=1e-6, rtol=0)
        assert found.titles == ('similarity of pair 0', 'similarity of pair 1')
        basis = alignment.basis
        with torch.no_grad():
            pair = basis(torch.rand(4, 6)), basis(torch.rand(1, 6))
        values = similarity_contributions(*pair, unit=False)
        torch.testing.assert_close(values.sum(1), (pair[0] @ pair[1].T)[:, 0].double())


class TestErrors:
    def test_what_to_compare_with(self, earth: ConceptEarth) -> None:
        for options in ({}, {'others': PLACES, 'images': torch.rand(3, 3, 4, 4)}):
            with pytest.raises(ValueError, match='Pass others= or images=, one of'):
                contributions(earth, PLACES, **options)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match='3 points are compared .* not with 2'):
            contributions(earth, PLACES, others=PLACES[:2])
        with pytest.raises(ValueError, match='compares points with points'):
            contributions(earth, PLACES, images=torch.rand(3, 3, 4, 4))
        with pytest.raises(ValueError, match='compares points with points'):
            contributions(earth, PLACES, others=PLACES, space='both')

    def test_number_of_images(
        self, bank: ConceptBank, small_encoder: GeoCLIPLocation
    ) -> None:
        model = image_model(bank, small_encoder)
        with pytest.raises(ValueError, match='3 points are compared .* not with 2'):
            contributions(model, PLACES, images=torch.rand(2, 3, 4, 4))

    def test_no_projections(self, small_encoder: GeoCLIPLocation) -> None:
        bank = ConceptBank([Concept('a', 'a', 'a')])
        with pytest.raises(ValueError, match='GeoCLIPLocation has no bank'):
            explain(small_encoder, SAHARA, other=ARABIA)
        with pytest.raises(ValueError, match='GeoCLIPLocation has no project'):
            explain(small_encoder, SAHARA, other=ARABIA, bank=bank)

    def test_bank_of_another_encoder(
        self, earth: ConceptEarth, bank: ConceptBank, small_encoder: GeoCLIPLocation
    ) -> None:
        with pytest.raises(ValueError, match='bank has 5 concepts, that of .* 297'):
            explain(earth, SAHARA, other=ARABIA, bank=bank)
        names = list(earth.bank)
        swapped = ConceptBank([names[1], names[0], *names[2:]])
        with pytest.raises(ValueError, match='Concept 0, counted from 0, is '):
            explain(earth, SAHARA, other=ARABIA, bank=swapped)
        model = image_model(bank, small_encoder)
        with pytest.raises(ValueError, match='that of ConceptBasis 5'):
            explain(model, SAHARA, other=ARABIA, bank=earth.bank)

        class Nameless(nn.Module):
            def project(self, points: Tensor) -> Tensor:
                return points

        with pytest.raises(ValueError, match='projections have 2 numbers, the bank 5'):
            explain(Nameless(), SAHARA, other=ARABIA, bank=bank)

    def test_arguments_of_the_other_kind(self, earth: ConceptEarth) -> None:
        with pytest.raises(ValueError, match='A similarity has no target='):
            explain(earth, SAHARA, other=ARABIA, target='warm')
        fit = LinearFit(torch.ones(1, 297), torch.zeros(1), (1.0,))
        head = concept_head(fit, encoder=earth)
        with pytest.raises(ValueError, match='A prediction has no others='):
            explain(head, SAHARA, other=ARABIA)

    def test_points_and_names(self, earth: ConceptEarth) -> None:
        with pytest.raises(ValueError, match='Row 0 is no point on Earth'):
            explain(earth, (10.0, 95.0), other=SAHARA)
        with pytest.raises(ValueError, match='2 names for 3'):
            contributions(earth, PLACES, others=PLACES, names=['a', 'b'])
        with pytest.raises(
            ValueError, match=r'point must be one \(lon, lat\), not .*\(3, 2\)'
        ):
            explain(earth, PLACES, other=SAHARA)
        assert len(contributions(earth, PLACES[:0], others=PLACES[:1])) == 0


def test_explaining_many_points_takes_little_beside_encoding_them(
    earth: ConceptEarth,
) -> None:
    points = world(5_000)
    fit = LinearFit(torch.rand(1, 297), torch.zeros(1), (1.0,))
    head = concept_head(fit, encoder=earth)

    def seconds(function: Any) -> float:
        start = time.perf_counter()
        function()
        return time.perf_counter() - start

    # The best of some, as other work on the machine slows each of them at random.
    encoding = min(seconds(lambda: head.source.inputs(points)) for _ in range(2))
    whole = min(seconds(lambda: contributions(head, points)) for _ in range(2))
    assert whole < 3 * encoding
