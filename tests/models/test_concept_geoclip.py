# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

from pathlib import Path

import pytest
import torch
import torchgeo.models
from safetensors.torch import save_file
from torch import Tensor, nn

from torchgeo_concepts.concepts import ConceptBank
from torchgeo_concepts.models import (
    ConceptBasis,
    ConceptGeoCLIP,
    ConceptGeoCLIP_Weights,
    GeoCLIPLocation,
    concept_geoclip,
    features,
)


@pytest.fixture
def model(bank: ConceptBank) -> ConceptGeoCLIP:
    torch.manual_seed(0)
    model = concept_geoclip(
        None, bank, torch.randn(5, 6), num_frequencies=4, hidden_dim=8, embed_dim=6
    )
    nn.init.normal_(model.basis.offset)
    return model.eval()


@pytest.fixture
def points() -> Tensor:
    return torch.tensor([[2.35, 48.86], [151.2, -33.87], [180.0, 90.0]])


class TestModel:
    def test_embedding_and_projection(
        self, model: ConceptGeoCLIP, points: Tensor, bank: ConceptBank
    ) -> None:
        assert model(points).equal(model.encoder(points))
        assert model.project(points).equal(model.basis(model(points)))
        assert model.project(points).shape == (3, 5)
        assert model.bank == bank
        assert model.basis.source == 'text embeddings'
        assert model.embed_dim == 6

    def test_projections_are_no_concept_scores(
        self, model: ConceptGeoCLIP, points: Tensor
    ) -> None:
        assert features(model, points, 'x').equal(model(points))
        with pytest.raises(ValueError, match='no concept scores'):
            features(model, points, 'z')

    def test_empty(self, model: ConceptGeoCLIP) -> None:
        assert model.project(torch.zeros(0, 2)).shape == (0, 5)

    def test_sizes_must_agree(self, bank: ConceptBank) -> None:
        with pytest.raises(ValueError, match='has 6 features, but the basis has 7'):
            ConceptGeoCLIP(GeoCLIPLocation(embed_dim=6), ConceptBasis.random(bank, 7))

    def test_autocast(self, model: ConceptGeoCLIP, points: Tensor) -> None:
        with torch.autocast('cpu', torch.bfloat16):
            half = model.project(points)
        torch.testing.assert_close(
            half.float(), model.project(points), atol=0.05, rtol=0
        )

    def test_compiles_whole(self, model: ConceptGeoCLIP, points: Tensor) -> None:
        compiled = torch.compile(model.project, fullgraph=True, backend='aot_eager')
        torch.testing.assert_close(compiled(points), model.project(points))

    def test_exports(self, model: ConceptGeoCLIP, points: Tensor) -> None:
        class Project(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.model = model

            def forward(self, points: Tensor) -> Tensor:
                return self.model.project(points)

        batch = torch.export.Dim('batch')
        program = torch.export.export(
            Project(), (torch.rand(7, 2),), dynamic_shapes=({0: batch},)
        )
        torch.testing.assert_close(program.module()(points), model.project(points))


class TestFiles:
    def test_reloads_alone(
        self, model: ConceptGeoCLIP, points: Tensor, tmp_path: Path
    ) -> None:
        model.save(tmp_path / 'model.safetensors')
        loaded = ConceptGeoCLIP.load(tmp_path / 'model.safetensors')
        assert loaded(points).equal(model(points))
        assert loaded.project(points).equal(model.project(points))
        assert loaded.basis.drift().equal(model.basis.drift())
        assert loaded.bank == model.bank
        assert loaded.basis.source == model.basis.source
        assert not loaded.training

    def test_raw_basis_stays_raw(
        self, bank: ConceptBank, points: Tensor, tmp_path: Path
    ) -> None:
        model = concept_geoclip(None, bank, torch.randn(5, 512), unit=False).eval()
        model.save(tmp_path / 'model.safetensors')
        loaded = ConceptGeoCLIP.load(tmp_path / 'model.safetensors')
        assert loaded.project(points).equal(model.project(points))

    def test_other_files(self, tmp_path: Path) -> None:
        save_file({'a': torch.zeros(1)}, tmp_path / 'other.safetensors')
        with pytest.raises(ValueError, match='holds no concept_geoclip model'):
            ConceptGeoCLIP.load(tmp_path / 'other.safetensors')


class TestBuilder:
    def test_registry(self, geoclip: GeoCLIPLocation, points: Tensor) -> None:
        weights = torchgeo.models.get_weight('ConceptGeoCLIP_Weights.MP16')
        assert weights is ConceptGeoCLIP_Weights.MP16
        assert torchgeo.models.get_model_weights('concept_geoclip') is type(weights)
        with pytest.warns(UserWarning, match='basis is random'):
            model = torchgeo.models.get_model('concept_geoclip', weights=weights)
        assert not model.training
        assert model(points).equal(geoclip(points))
        assert model.bank == ConceptBank.default()
        assert model.basis.source == 'random, seed 0'

    def test_text_embeddings_need_no_warning(self, bank: ConceptBank) -> None:
        model = concept_geoclip('MP16', bank, torch.randn(5, 512))
        assert model.basis.source == 'text embeddings'

    def test_state_dict_fits_the_model(self, bank: ConceptBank) -> None:
        model = concept_geoclip(None, bank, torch.randn(5, 512))
        state = ConceptGeoCLIP_Weights.MP16.get_state_dict(progress=True)
        missing, unexpected = model.load_state_dict(state, strict=False)
        assert set(missing) == {'basis.initial', 'basis.offset'}
        assert unexpected == []

    def test_text_embeddings_of_half_precision(self, bank: ConceptBank) -> None:
        model = concept_geoclip('MP16', bank, torch.randn(5, 512).half())
        assert model.project(torch.tensor([[2.35, 48.86]])).dtype == torch.float32
        with pytest.raises(ValueError, match='must be finite'):
            concept_geoclip('MP16', bank, torch.full((5, 512), torch.nan))

    def test_arguments_beside_weights(self, bank: ConceptBank) -> None:
        with pytest.raises(ValueError, match=r"determine \['hidden_dim'\]"):
            concept_geoclip('MP16', bank, torch.randn(5, 512), hidden_dim=8)
