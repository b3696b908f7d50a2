# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from torchgeo_concepts.concepts import ConceptBank
from torchgeo_concepts.models import ConceptBasis, ImageLocationAlignment
from torchgeo_concepts.tasks.losses import info_nce


@pytest.fixture
def basis(bank: ConceptBank) -> ConceptBasis:
    torch.manual_seed(0)
    return ConceptBasis(bank, torch.randn(5, 8), 'a test')


@pytest.fixture
def images() -> Tensor:
    return torch.randn(6, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def locations() -> Tensor:
    return torch.randn(6, 8, generator=torch.Generator().manual_seed(2))


class TestConceptBasis:
    def test_projections_are_cosines(self, basis: ConceptBasis, images: Tensor) -> None:
        expected = F.cosine_similarity(images[:, None], basis.initial.T[None], dim=2)
        torch.testing.assert_close(basis(images), expected)

    def test_raw_projections_are_those_of_the_paper(
        self, bank: ConceptBank, basis: ConceptBasis, images: Tensor
    ) -> None:
        raw = ConceptBasis(bank, basis.initial.T, 'a test', unit=False)
        torch.testing.assert_close(raw(images), images @ basis.initial)

    def test_only_the_offset_is_trained(self, basis: ConceptBasis) -> None:
        assert [name for name, _ in basis.named_parameters()] == ['offset']
        assert basis.offset.count_nonzero() == 0

    def test_drift(self, bank: ConceptBank, basis: ConceptBasis) -> None:
        torch.testing.assert_close(basis.drift(), torch.ones(5))
        assert basis.drift_penalty().item() == pytest.approx(0, abs=1e-6)
        with torch.no_grad():
            basis.offset[:, 3] = -2 * basis.initial[:, 3]
        torch.testing.assert_close(basis.drift(), torch.tensor([1, 1, 1, -1.0, 1]))
        assert basis.drift_penalty().item() == pytest.approx(0.4)

    def test_penalty_pulls_directions_back(self, basis: ConceptBasis) -> None:
        with torch.no_grad():
            basis.offset.normal_()
        before = basis.drift_penalty().item()
        optimizer = torch.optim.SGD([basis.offset], lr=1)
        for _ in range(50):
            optimizer.zero_grad()
            basis.drift_penalty().backward()
            optimizer.step()
        assert basis.drift_penalty().item() < before / 2

    def test_random(self, bank: ConceptBank) -> None:
        basis = ConceptBasis.random(bank, 8)
        assert basis.initial.equal(ConceptBasis.random(bank, 8).initial)
        assert not basis.initial.equal(ConceptBasis.random(bank, 8, seed=1).initial)
        assert basis.source == 'random, seed 0'

    @pytest.mark.parametrize('shape', [(4, 8), (8, 5), (5,)])
    def test_one_direction_for_each_concept(
        self, bank: ConceptBank, shape: tuple[int, ...]
    ) -> None:
        with pytest.raises(ValueError, match=r'shape \(5, d\)'):
            ConceptBasis(bank, torch.zeros(shape), 'a test')


class TestImageLocationAlignment:
    def test_tied_starts_at_the_projection_of_the_image(
        self, basis: ConceptBasis, images: Tensor, locations: Tensor
    ) -> None:
        aligned = ImageLocationAlignment(basis, 'tied')(images, locations)
        torch.testing.assert_close(aligned.z_image, basis(images))
        torch.testing.assert_close(aligned.z_location, basis(locations))

    def test_mlp_never_touches_the_basis(
        self, basis: ConceptBasis, images: Tensor, locations: Tensor
    ) -> None:
        aligned = ImageLocationAlignment(basis, 'mlp')(images, locations)
        assert aligned.z_image.shape == (6, 5)
        [gradient] = torch.autograd.grad(
            aligned.z_image.sum(), [basis.offset], allow_unused=True
        )
        assert gradient is None

    def test_in_the_embedding_space_it_is_geoclip(
        self, basis: ConceptBasis, images: Tensor, locations: Tensor
    ) -> None:
        model = ImageLocationAlignment(basis, align='x')
        expected = F.normalize(images, dim=1) @ F.normalize(locations, dim=1).T
        aligned = model(images, locations)
        torch.testing.assert_close(model.similarity(aligned), expected)
        [pair] = model.pairs(aligned)
        torch.testing.assert_close(
            info_nce(*pair, 14), F.cross_entropy(14 * expected, torch.arange(6))
        )

    @pytest.mark.parametrize('projection', ['mlp', 'tied'])
    def test_similarity_is_a_sum_over_concepts(
        self, basis: ConceptBasis, images: Tensor, locations: Tensor, projection: Any
    ) -> None:
        model = ImageLocationAlignment(basis, projection, 'z')
        aligned = model(images, locations)
        units = [F.normalize(z, dim=1) for z in (aligned.z_image, aligned.z_location)]
        contributions = units[0][:, None] * units[1][None]
        torch.testing.assert_close(model.similarity(aligned), contributions.sum(2))

    def test_both_is_the_mean(
        self, basis: ConceptBasis, images: Tensor, locations: Tensor
    ) -> None:
        model = ImageLocationAlignment(basis, 'tied', 'both')
        aligned = model(images, locations)
        assert len(model.pairs(aligned)) == 2
        similarities = []
        for align in ('x', 'z'):
            model.align = align
            similarities.append(model.similarity(aligned))
        model.align = 'both'
        torch.testing.assert_close(
            model.similarity(aligned), (similarities[0] + similarities[1]) / 2
        )

    def test_raw_similarity_is_that_of_the_paper(
        self, bank: ConceptBank, basis: ConceptBasis, images: Tensor, locations: Tensor
    ) -> None:
        raw = ConceptBasis(bank, basis.initial.T, 'a test', unit=False)
        model = ImageLocationAlignment(raw, 'mlp', 'z')
        aligned = model(images, locations)
        torch.testing.assert_close(
            model.similarity(aligned), aligned.z_image @ aligned.z_location.T
        )

    def test_images_and_locations_of_different_number(
        self, basis: ConceptBasis, images: Tensor, locations: Tensor
    ) -> None:
        model = ImageLocationAlignment(basis)
        assert model.similarity(model(images[:2], locations)).shape == (2, 6)

    def test_unknown_choices(self, basis: ConceptBasis) -> None:
        with pytest.raises(
            ValueError, match="image_projection must be one of .*not 'text'"
        ):
            ImageLocationAlignment(basis, cast(Any, 'text'))
        with pytest.raises(ValueError, match="align must be one of .*not 'y'"):
            ImageLocationAlignment(basis, align=cast(Any, 'y'))
