# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import importlib
import warnings
from types import ModuleType

import pytest
import torchgeo.models
from torch import nn
from torchgeo.models import api
from torchvision.models._api import Weights, WeightsEnum

import torchgeo_concepts.models
from torchgeo_concepts.models import (
    ConceptEarth_Weights,
    ConceptGeoCLIP_Weights,
    EfficientNetLite0_Weights,
    GeoCLIPImageMLP_Weights,
    GeoCLIPLocation,
    GeoCLIPLocation_Weights,
    _registry,
    geoclip_image_mlp,
    geoclip_location,
    geoclip_logit_scale,
)
from torchgeo_concepts.models.geoclip import (
    GeoCLIPGallery_Weights,
    GeoCLIPLogitScale_Weights,
)


class Fake_Weights(WeightsEnum):
    V1 = Weights(url='https://example.com/v1.pth', transforms=nn.Identity, meta={})


def fake_model() -> nn.Module:
    return nn.Identity()


# As if TorchGeo had written them.
fake_model.__module__ = Fake_Weights.__module__ = 'torchgeo.models.fake'


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, '_model', dict(api._model))
    monkeypatch.setattr(api, '_model_weights', dict(api._model_weights))


def test_get_model() -> None:
    model = torchgeo.models.get_model(
        'geoclip_location', weights=GeoCLIPLocation_Weights.MP16
    )
    assert isinstance(model, GeoCLIPLocation)


def test_get_model_weights() -> None:
    for name in ('geoclip_location', geoclip_location):
        assert torchgeo.models.get_model_weights(name) is GeoCLIPLocation_Weights


@pytest.mark.parametrize(
    'member',
    [GeoCLIPLocation_Weights.MP16, ConceptGeoCLIP_Weights.MP16, *ConceptEarth_Weights],
)
def test_get_weight(member: WeightsEnum) -> None:
    assert torchgeo.models.get_weight(str(member)) is member


@pytest.mark.parametrize(
    'member',
    [
        EfficientNetLite0_Weights.IMAGENET1K,
        GeoCLIPGallery_Weights.MP16_100K,
        GeoCLIPImageMLP_Weights.MP16,
        GeoCLIPLogitScale_Weights.MP16,
    ],
)
def test_other_weights_are_not_registered(member: WeightsEnum) -> None:
    with pytest.raises(ValueError, match=member.name):
        torchgeo.models.get_weight(str(member))


def test_their_builders_accept_names() -> None:
    assert geoclip_logit_scale('GeoCLIPLogitScale_Weights.MP16').ndim == 0
    assert not geoclip_image_mlp('GeoCLIPImageMLP_Weights.MP16').training


def test_list_models() -> None:
    models = torchgeo.models.list_models()
    assert 'satclip' in models
    ours = {name for name in models if _registry._is_ours(api._model[name])}
    assert ours == {'geoclip_location', 'concept_geoclip', 'concept_earth'}


def test_registering_again_changes_nothing() -> None:
    before = dict(api._model), dict(api._model_weights)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        _registry.register_model(
            'geoclip_location', geoclip_location, GeoCLIPLocation_Weights
        )
        importlib.reload(torchgeo_concepts.models)
    assert (api._model, api._model_weights) == before


def test_torchgeo_wins_with_a_warning() -> None:
    api._model['geoclip_location'] = fake_model
    api._model_weights['geoclip_location'] = Fake_Weights
    with pytest.warns(UserWarning, match="ships 'geoclip_location' itself"):
        _registry.register_model(
            'geoclip_location', geoclip_location, GeoCLIPLocation_Weights
        )
    assert api._model['geoclip_location'] is fake_model
    assert torchgeo.models.get_model_weights('geoclip_location') is Fake_Weights


def test_torchgeo_wins_with_weights_alone() -> None:
    api._model.pop('geoclip_location')
    api._model_weights['geoclip_location'] = Fake_Weights
    with pytest.warns(UserWarning, match='itself'):
        _registry.register_model(
            'geoclip_location', geoclip_location, GeoCLIPLocation_Weights
        )
    assert 'geoclip_location' not in api._model


@pytest.mark.parametrize('missing', ['_model', '_model_weights'])
def test_moved_dictionaries_fail_loudly(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = ModuleType('api')
    for name in {'_model', '_model_weights'} - {missing}:
        setattr(moved, name, {})
    monkeypatch.setattr(_registry, 'api', moved)
    with pytest.raises(ImportError, match='Upgrade torchgeo-concepts'):
        _registry.register_model('fake', fake_model, Fake_Weights)


def test_names_leave_room_for_torchgeo() -> None:
    assert not {'satclip', 'geoclip', 'climplicit'} & {
        name for name, model in api._model.items() if _registry._is_ours(model)
    }
