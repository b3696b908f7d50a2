# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torchgeo.models import SatCLIP, SatCLIP_Weights

from torchgeo_concepts.concepts import ConceptBank
from torchgeo_concepts.models import (
    ConceptEarth,
    ConceptEarth_Weights,
    ConceptGeoCLIP,
    GeoCLIPLocation,
    GeoCLIPLocation_Weights,
    load_encoder,
)
from torchgeo_concepts.models.alignment import ConceptBasis
from torchgeo_concepts.models.loading import (
    DEFAULT_MODEL,
    DEFAULT_WEIGHTS,
    find_encoder,
    resolve_weights,
)

POINTS = torch.tensor([[2.35, 48.86], [-58.4, -34.6]])


@pytest.fixture(scope='module')
def earth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """File of a small ConceptEarth with random weights."""
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp('files') / 'earth.safetensors'
    model = ConceptEarth(
        ConceptBank.default()[:3], embed_dim=6, hidden_dim=4, table_size=50
    )
    model.save(path, half=False)
    return path


@pytest.fixture
def geoclip(small_encoder: GeoCLIPLocation, tmp_path: Path) -> Path:
    """File of a small ConceptGeoCLIP with random weights."""
    basis = ConceptBasis.random(ConceptBank.default()[:3], small_encoder.embed_dim)
    ConceptGeoCLIP(small_encoder, basis).save(tmp_path / 'geoclip.safetensors')
    return tmp_path / 'geoclip.safetensors'


class TestNames:
    def test_defaults(self) -> None:
        name = find_encoder()
        assert (name.model, name.weights) == (
            'concept_earth',
            ConceptEarth_Weights.GROUNDED,
        )
        assert name.weights_name == DEFAULT_WEIGHTS
        assert find_encoder(DEFAULT_MODEL, 'GROUNDED') == name

    @pytest.mark.parametrize('name', ['MP16', 'GeoCLIPLocation_Weights.MP16'])
    def test_weights_by_name(self, name: str) -> None:
        assert resolve_weights('geoclip_location', name) is GeoCLIPLocation_Weights.MP16
        encoder = load_encoder('geoclip_location', name)
        assert isinstance(encoder, GeoCLIPLocation)
        assert not encoder.training

    def test_no_weights_are_random(self) -> None:
        assert find_encoder('geoclip_location', None).weights_name == 'random'
        small: dict[str, Any] = {'num_frequencies': 3, 'hidden_dim': 4, 'embed_dim': 5}
        first, second = (
            load_encoder('geoclip_location', None, **small) for _ in range(2)
        )
        assert first(POINTS).shape == (2, 5)
        assert not first(POINTS).equal(second(POINTS))
        assert first.training

    def test_weights_determine_the_arguments(self) -> None:
        with pytest.raises(ValueError, match=r"determine \['embed_dim'\]; leave them"):
            load_encoder('geoclip_location', 'MP16', embed_dim=5)

    def test_near_matches(self) -> None:
        for weights in (None, 'MP16'):
            with pytest.raises(
                ValueError, match="'geoclip_lokation'. Did you mean 'geoclip_l"
            ):
                load_encoder('geoclip_lokation', weights)
        with pytest.raises(ValueError, match='you mean .GeoCLIPLocation_Weights.MP16'):
            load_encoder('geoclip_location', 'GeoCLIPLocation_Weights.MP61')

    def test_all_names_where_none_is_near(self) -> None:
        with pytest.raises(ValueError, match="Known names: .*'satclip'"):
            load_encoder('0123456789')

    def test_model_without_weights(self) -> None:
        with pytest.raises(ValueError, match='no pre-trained weights'):
            load_encoder('dofa_small_patch16_224')


class TestFiles:
    @pytest.mark.parametrize('as_weights', [False, True])
    @pytest.mark.parametrize('kind', [str, Path])
    def test_earth(self, earth: Path, as_weights: bool, kind: type) -> None:
        given = ('concept_earth', kind(earth)) if as_weights else (kind(earth),)
        name = find_encoder(*given)
        assert (name.model, name.weights) == ('concept_earth', earth)
        assert name.weights_name == 'earth.safetensors'
        encoder = load_encoder(*given)
        assert isinstance(encoder, ConceptEarth)
        assert not encoder.training
        assert encoder(POINTS).equal(ConceptEarth.load(earth)(POINTS))

    @pytest.mark.parametrize('as_weights', [False, True])
    def test_geoclip(
        self, geoclip: Path, small_encoder: GeoCLIPLocation, as_weights: bool
    ) -> None:
        given = ('concept_geoclip', geoclip) if as_weights else (geoclip,)
        encoder = load_encoder(*given)
        assert isinstance(encoder, ConceptGeoCLIP)
        assert encoder(POINTS).equal(small_encoder(POINTS))

    def test_truncate_dim(self, earth: Path) -> None:
        short = load_encoder(earth, truncate_dim=2)
        assert short(POINTS).equal(load_encoder(earth, truncate_dim=4)(POINTS)[:, :2])

    def test_what_cannot_be_truncated(self, geoclip: Path) -> None:
        with pytest.raises(ValueError, match='concept_geoclip cannot be truncated'):
            load_encoder(geoclip, truncate_dim=2)
        with pytest.raises(ValueError, match='1 to 128 components, not 129'):
            load_encoder(truncate_dim=129)

    def test_file_and_weights(self, earth: Path) -> None:
        with pytest.raises(
            ValueError, match='contains its own weights. Leave out weights'
        ):
            load_encoder(earth, 'ConceptEarth_Weights.FAST')

    def test_file_and_arguments(self, earth: Path) -> None:
        with pytest.raises(ValueError, match=r"determine \['hidden_dim'\]"):
            load_encoder(earth, hidden_dim=4)

    def test_file_of_another_model(self, geoclip: Path) -> None:
        with pytest.raises(
            ValueError,
            match="contains concept_geoclip weights. Pass model='concept_geoclip'",
        ):
            load_encoder('concept_earth', geoclip)

    def test_no_file(self, tmp_path: Path) -> None:
        for given in (('none.safetensors',), ('concept_earth', 'none.safetensors')):
            with pytest.raises(FileNotFoundError, match=r'No file none\.safetensors'):
                load_encoder(*given)

    def test_file_without_a_model(self, tmp_path: Path) -> None:
        save_file({'a': torch.zeros(1)}, tmp_path / 'a.safetensors')
        with pytest.raises(
            ValueError, match='must name its model, concept_earth or concept_g'
        ):
            load_encoder(tmp_path / 'a.safetensors')

    def test_damaged_file(self, earth: Path, tmp_path: Path) -> None:
        (tmp_path / 'a.safetensors').write_bytes(earth.read_bytes()[:100])
        with pytest.raises(ValueError, match='as safetensors: '):
            load_encoder(tmp_path / 'a.safetensors')

    def test_missing_tensor(self, earth: Path, tmp_path: Path) -> None:
        model = ConceptEarth.load(earth)
        state = {k: v.contiguous() for k, v in model.state_dict().items()}
        del state['embedding.bias']
        save_file(state, tmp_path / 'a.safetensors', model.metadata())
        with pytest.raises(RuntimeError, match=r'Missing key.* "embedding\.bias"'):
            load_encoder(tmp_path / 'a.safetensors')


class TestTorchGeo:
    def test_nothing_is_downloaded_unasked(self, hub_dir: Path) -> None:
        with pytest.raises(
            FileNotFoundError, match='SatCLIP_Weights.SATCLIP_VIT16_L40'
        ):
            load_encoder('satclip', 'SATCLIP_VIT16_L40')
        assert not hub_dir.exists()

    def test_weights_on_this_machine(
        self, hub_dir: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        member = SatCLIP_Weights.SATCLIP_VIT16_L40
        (hub_dir / 'checkpoints').mkdir(parents=True)
        (hub_dir / 'checkpoints' / Path(member.url).name).touch()
        satclip = SatCLIP(legendre_polys=4, capacity=8, embed_dim=6)
        state = {f'model.location.{k}': v for k, v in satclip.state_dict().items()}
        monkeypatch.setattr(
            SatCLIP_Weights, 'get_state_dict', lambda *_, **__: {'state_dict': state}
        )
        for name, value in {'legendre_polys': 4, 'capacity': 8, 'embed_dim': 6}.items():
            monkeypatch.setitem(member.meta, name, value)
        encoder = load_encoder('satclip', 'SATCLIP_VIT16_L40')
        points = torch.rand(3, 2)
        assert encoder(points).equal(satclip.eval()(points))
