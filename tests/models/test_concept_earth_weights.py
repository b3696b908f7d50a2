# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import pickle
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
import torchgeo.models
from torchgeo.models import get_model_weights

from torchgeo_concepts.concepts import Concept, ConceptBank
from torchgeo_concepts.concepts.text import OpenCLIPText, encode_text
from torchgeo_concepts.layers import LAYERS, get_layer
from torchgeo_concepts.models import (
    ConceptBasis,
    ConceptEarth,
    ConceptEarth_Weights,
    GeoCLIPLocation,
    ImageTower,
    concept_earth,
    features,
    geoclip_image_mlp,
    load_encoder,
)

WEIGHTS = list(get_model_weights('concept_earth'))
POINTS = torch.tensor(
    [[10.0, 24.0], [37.62, 55.75], [-60.0, -3.0], [86.9, 28.5], [139.7, 35.7]]
)


@pytest.fixture(scope='module')
def grounded() -> ConceptEarth:
    model = load_encoder('concept_earth')
    assert isinstance(model, ConceptEarth)
    return model


@pytest.mark.parametrize('weights', WEIGHTS, ids=str)
class TestEach:
    def test_loads_offline_by_its_name(self, weights: ConceptEarth_Weights) -> None:
        model = torchgeo.models.get_model('concept_earth', weights=weights)
        assert isinstance(model, ConceptEarth)
        assert not model.training
        with torch.inference_mode():
            x, xz = model(POINTS), features(model, POINTS, 'xz')
        assert x.shape == (5, weights.meta['embed_dim'])
        assert xz.shape == (5, 512 + len(model.bank))
        assert xz.isfinite().all()
        assert torchgeo.models.get_weight(str(weights)) is weights
        assert pickle.loads(pickle.dumps(weights)) is weights

    def test_size(self, weights: ConceptEarth_Weights) -> None:
        limit = 10e6 if weights.name in ('GROUNDED', 'HELD_OUT') else 5e6
        assert 1e6 < weights.path().stat().st_size <= limit

    def test_state(self, weights: ConceptEarth_Weights) -> None:
        model = ConceptEarth.load(weights.path())
        state = weights.get_state_dict()
        model.load_state_dict(state)
        assert all(value.equal(state[n]) for n, value in model.state_dict().items())

    def test_says_how_it_came_about(self, weights: ConceptEarth_Weights) -> None:
        model = concept_earth(weights)
        made = model.provenance
        assert made['teacher'] == weights.meta['teacher']
        assert made['seed'] == 0
        assert made['steps'] > 1000
        assert made['points'] > 1e6
        assert len(made['commit']) == 40
        # In blocks without training, embeddings are those of the surroundings.
        least = 0.5 if weights.meta.get('blocks') == 'train' else 0.7
        assert made['metrics']['val_cosine'] > least
        assert made['training']['hidden_dim'] == weights.meta['hidden_dim']
        # Nothing that was left out taught it.
        groups = {get_layer(name).group for name in made['layers']}
        assert not groups & set(weights.meta['exclude_groups'])
        used = {name for c in model.bank for name in (c.layer or '').split(' & ')}
        assert used == set(made['layers']) <= set(LAYERS)


def test_grounded_is_the_first() -> None:
    assert WEIGHTS[0] is ConceptEarth_Weights.GROUNDED


def test_bank(grounded: ConceptEarth) -> None:
    assert len(grounded.bank) >= 120
    assert len(grounded.bank.categories) >= 8
    curated = set(ConceptBank.default().ids)
    assert sum(concept in curated for concept in grounded.bank.ids) >= 100


def test_facts(grounded: ConceptEarth) -> None:
    with torch.inference_mode():
        values = grounded.concepts(POINTS, calibrated=True)
    said: Any = dict(zip(grounded.bank.ids, values.T.tolist(), strict=True))
    sahara, moscow, amazon, everest, tokyo = range(5)
    assert said['hot-desert-climate'][sahara] > 0.9
    assert said['hot-desert-climate'][amazon] < 0.1
    assert said['tropical-rainforest-climate'][amazon] > 0.5
    assert said['cyrillic-script'][moscow] > 0.9
    assert said['elevation'][everest] > 3000
    assert said['elevation'][amazon] < 300
    assert said['japanese-kana'][tokyo] > 0.9
    assert said['annual-rain'][amazon] > 1500
    assert said['annual-rain'][sahara] < 200
    assert 3 < said['annual-mean-temperature'][moscow] < 9


def test_stays_in_the_space_of_the_teacher(
    grounded: ConceptEarth, geoclip: GeoCLIPLocation
) -> None:
    with torch.inference_mode():
        cosine = torch.cosine_similarity(grounded(POINTS), geoclip(POINTS))
    assert cosine.mean() > 0.7


def test_truncated() -> None:
    whole = concept_earth('GROUNDED')
    short = concept_earth('GROUNDED', truncate_dim=32)
    with torch.inference_mode():
        expected = (whole(POINTS) - whole.embedding_mean) @ whole.components[:, :32]
        torch.testing.assert_close(short(POINTS), expected)
        assert features(short, POINTS, 'xz').shape == (5, 32 + len(short.bank))


def test_without_weights(bank: ConceptBank) -> None:
    model = concept_earth(bank=bank, hidden_dim=8, rows=(6,), grid_features=(2,))
    assert model.training
    assert model.concepts(POINTS).shape == (5, 5)


def test_what_weights_determine(bank: ConceptBank) -> None:
    with pytest.raises(ValueError, match=r"determine \['hidden_dim', 'bank'\]"):
        concept_earth('FAST', bank, hidden_dim=3)


def test_damaged_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = ConceptEarth_Weights.FAST
    copy = tmp_path / 'fast.safetensors'
    copy.write_bytes(weights.path().read_bytes()[:-1])
    monkeypatch.setitem(weights.meta, 'file', copy)
    message = 'does not hold ConceptEarth_Weights.FAST'
    with pytest.raises(ValueError, match=message):
        concept_earth(weights)


class TestOtherModalities:
    """Shapes and paths only: the CLIP is random, so nothing here means anything."""

    @pytest.fixture
    def clip(self) -> open_clip.CLIP:
        torch.manual_seed(0)
        return open_clip.CLIP(
            embed_dim=768,
            vision_cfg={'image_size': 32, 'layers': 1, 'width': 64, 'patch_size': 16},
            text_cfg={'width': 64, 'heads': 2, 'layers': 1},
        ).eval()

    def test_text_bank(self, grounded: ConceptEarth, clip: open_clip.CLIP) -> None:
        bank = ConceptBank(
            Concept(name, name, 'landform') for name in ('mangrove', 'cathedral')
        )
        directions = encode_text(
            bank,
            OpenCLIPText(clip, open_clip.get_tokenizer('ViT-L-14')),
            head=geoclip_image_mlp('MP16'),
            cache=False,
        )
        basis = ConceptBasis(bank, directions, 'random CLIP')
        with torch.inference_mode():
            projections = grounded.project(POINTS, basis)
            expected = torch.cosine_similarity(
                grounded(POINTS)[:, None], directions[None], dim=2
            )
        torch.testing.assert_close(projections, expected)

    def test_images(self, grounded: ConceptEarth, clip: open_clip.CLIP) -> None:
        tower = ImageTower(clip.visual, geoclip_image_mlp('MP16')).eval()
        with torch.inference_mode():
            images = tower(torch.rand(3, 3, 32, 32))
            scores = grounded.basis(images)
        assert scores.shape == (3, len(grounded.bank))
        assert scores.abs().max() <= 1
