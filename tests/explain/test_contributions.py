# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from torchgeo_concepts.concepts import ConceptBank
from torchgeo_concepts.evaluate.probes import LinearFit
from torchgeo_concepts.explain import concept_head, contributions, explain
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
        explanation = explain(
            earth, ARABIA, other=SAHARA, name='Arabia', other_name='Sahara'
        )
        assert explanation.title == 'similarity of Arabia to Sahara'
        assert explanation.unnamed_share == 0
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
        with pytest.raises(ValueError, match="space 'x' are sums .* Use space='z'"):
            explain(model, SAHARA, image=image)
        found = explain(model, SAHARA, image=image, space='z')
        assert found.unnamed == 0
        assert found.total == pytest.approx(found.score)


class TestErrors:
    def test_what_to_compare_with(self, earth: ConceptEarth) -> None:
        both: dict[str, Any] = {'others': PLACES, 'images': torch.rand(3, 3, 4, 4)}
        for options in ({}, both):
            with pytest.raises(ValueError, match='Pass either others= or images='):
                contributions(earth, PLACES, **options)
        with pytest.raises(ValueError, match='Expected 3 points or images .* got 2'):
            contributions(earth, PLACES, others=PLACES[:2])
        with pytest.raises(ValueError, match='compares points with points'):
            contributions(earth, PLACES, images=torch.rand(3, 3, 4, 4))
        with pytest.raises(ValueError, match='compares points with points'):
            contributions(earth, PLACES, others=PLACES, space='both')

    def test_number_of_images(
        self, bank: ConceptBank, small_encoder: GeoCLIPLocation
    ) -> None:
        model = image_model(bank, small_encoder)
        with pytest.raises(ValueError, match='Expected 3 points or images .* got 2'):
            contributions(model, PLACES, images=torch.rand(2, 3, 4, 4))

    def test_no_projections(self, small_encoder: GeoCLIPLocation) -> None:
        with pytest.raises(ValueError, match='GeoCLIPLocation has no projection'):
            explain(small_encoder, SAHARA, other=ARABIA)

    def test_encoder_with_another_number_of_projections(
        self, bank: ConceptBank
    ) -> None:
        class Short(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.bank = bank

            def forward(self, points: Tensor) -> Tensor:
                return points

            project = forward

        with pytest.raises(
            ValueError, match=r'projections have shape \(1, 2\), but .* 5'
        ):
            explain(Short(), SAHARA, other=ARABIA)

    def test_arguments_of_the_other_kind(self, earth: ConceptEarth) -> None:
        with pytest.raises(
            ValueError, match='`target` cannot be used when explaining a simil'
        ):
            explain(earth, SAHARA, other=ARABIA, target='warm')
        fit = LinearFit(torch.ones(1, 297), torch.zeros(1), (1.0,))
        head = concept_head(fit, encoder=earth)
        with pytest.raises(
            ValueError, match='`others` cannot be used when explaining a predi'
        ):
            explain(head, SAHARA, other=ARABIA)

    def test_points_and_names(self, earth: ConceptEarth) -> None:
        with pytest.raises(ValueError, match='Row 0 is not a point on Earth'):
            explain(earth, (10.0, 95.0), other=SAHARA)
        with pytest.raises(ValueError, match='Expected 3 names, got 2'):
            contributions(earth, PLACES, others=PLACES, names=['a', 'b'])
        with pytest.raises(
            ValueError, match=r'one point \(lon, lat\), got shape \(3, 2\)'
        ):
            explain(earth, PLACES, other=SAHARA)
        assert len(contributions(earth, PLACES[:0], others=PLACES[:1])) == 0
