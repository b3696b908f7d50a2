# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

from pathlib import Path

import pytest
import torch
from torchgeo.models import SatCLIP, SatCLIP_Weights

from torchgeo_concepts.models import (
    GeoCLIPLocation,
    GeoCLIPLocation_Weights,
    load_encoder,
    resolve_weights,
)


def test_first_weights_are_the_default() -> None:
    assert resolve_weights('geoclip_location') is GeoCLIPLocation_Weights.MP16
    encoder = load_encoder('geoclip_location')
    assert isinstance(encoder, GeoCLIPLocation)
    assert not encoder.training


@pytest.mark.parametrize('name', ['MP16', 'GeoCLIPLocation_Weights.MP16'])
def test_weights_by_name(name: str) -> None:
    assert resolve_weights('geoclip_location', name) is GeoCLIPLocation_Weights.MP16


def test_near_matches() -> None:
    with pytest.raises(ValueError, match="'geoclip_lokation'. Did you mean 'geoclip_l"):
        load_encoder('geoclip_lokation')
    with pytest.raises(ValueError, match='Did you mean .GeoCLIPLocation_Weights.MP16'):
        load_encoder('geoclip_location', 'GeoCLIPLocation_Weights.MP61')


def test_all_names_where_none_is_near() -> None:
    with pytest.raises(ValueError, match="Known are .*'satclip'"):
        load_encoder('0123456789')


def test_model_without_weights() -> None:
    with pytest.raises(ValueError, match='no pre-trained weights'):
        load_encoder('dofa_small_patch16_224')


def test_nothing_of_torchgeo_is_downloaded_unasked(hub_dir: Path) -> None:
    with pytest.raises(FileNotFoundError, match='SatCLIP_Weights.SATCLIP_VIT16_L40'):
        load_encoder('satclip')
    assert not hub_dir.exists()


def test_torchgeo_weights_that_are_on_this_machine(
    hub_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = SatCLIP_Weights.SATCLIP_VIT16_L40
    (hub_dir / 'checkpoints').mkdir(parents=True)
    (hub_dir / 'checkpoints' / Path(member.url).name).touch()
    satclip = SatCLIP(legendre_polys=4, capacity=8, embed_dim=6)
    state = {f'model.location.{k}': v for k, v in satclip.state_dict().items()}
    monkeypatch.setattr(
        SatCLIP_Weights, 'get_state_dict', lambda *_, **__: {'state_dict': state}
    )
    monkeypatch.setitem(member.meta, 'legendre_polys', 4)
    monkeypatch.setitem(member.meta, 'capacity', 8)
    monkeypatch.setitem(member.meta, 'embed_dim', 6)
    encoder = load_encoder('satclip')
    points = torch.rand(3, 2)
    assert encoder(points).equal(satclip.eval()(points))
