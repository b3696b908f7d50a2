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
    GeoCLIPGallery_Weights,
    GeoCLIPLocation,
    GeoCLIPLocation_Weights,
    _registry,
    geoclip_location,
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
    'member', [GeoCLIPLocation_Weights.MP16, GeoCLIPGallery_Weights.MP16_100K]
)
def test_get_weight(member: WeightsEnum) -> None:
    assert torchgeo.models.get_weight(str(member)) is member


def test_list_models() -> None:
    models = torchgeo.models.list_models()
    assert {'geoclip_location', 'geoclip_image_mlp', 'satclip'} <= set(models)


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
        added = _registry.register_model(
            'geoclip_location', geoclip_location, GeoCLIPLocation_Weights
        )
    assert not added
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
