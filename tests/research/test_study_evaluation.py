# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import runpy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from alignment_study.arms import load_arm
from alignment_study.evaluation import Evaluation, PatchFormat, truth_digest
from alignment_study.runs import Settings, all_groundings

from torchgeo_concepts.datamodules import BlueMarbleDataModule
from torchgeo_concepts.datamodules.blue_marble import MEAN, STD
from torchgeo_concepts.datasets import EARTH_PICTURES
from torchgeo_concepts.evaluate.benchmark.tasks import Table, Target
from torchgeo_concepts.layers.grounding import Groundings
from torchgeo_concepts.models import EfficientNetLite0_Weights

FAKE = runpy.run_path(str(Path(__file__).parents[1] / 'data/bluemarble/data.py'))
PRETRAINED = ['pretrained-plain', 'pretrained-heads-1', 'pretrained-grounded-1']


@pytest.fixture(scope='module')
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evaluation]:
    """An evaluation on a small picture in the place of the real one."""
    folder = tmp_path_factory.mktemp('pictures')
    small = FAKE['create'](folder)['july']
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(EARTH_PICTURES, 'july', small)
        yield Evaluation(Settings(folder, 'truth', patches=20), ('july',), (), seed=3)


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


def test_patch_formats() -> None:
    assert PatchFormat.of_arm(load_arm('plain')) == PatchFormat(
        32, 4.27, 7.5, MEAN, STD
    )
    for name in PRETRAINED:
        cut = PatchFormat.of_arm(load_arm(name))
        assert (cut.size, cut.degrees, cut.pixels_per_degree) == (64, 4.27, 7.5)


def test_patch_format_is_that_of_training() -> None:
    arm = load_arm('pretrained-plain')
    data = BlueMarbleDataModule(**arm.data)
    cut = PatchFormat.of_arm(arm)
    assert data.options['size'] == cut.size
    assert not {'degrees', 'pixels_per_degree'} & set(data.options)
    batch = {'image': torch.rand(1, 3, 2, 2) * 255}
    expected = EfficientNetLite0_Weights.IMAGENET1K.transforms()(batch)['image']
    torch.testing.assert_close(data.aug(batch)['image'], expected)


def test_all_arms_have_patches_of_the_same_places(evaluation: Evaluation) -> None:
    plain = evaluation.data(load_arm('plain'))
    assert evaluation.data(load_arm('heads-1')) is plain
    pretrained = evaluation.data(load_arm('pretrained-plain'))
    assert evaluation.data(load_arm('pretrained-heads-1')) is pretrained
    torch.testing.assert_close(pretrained.labels, plain.labels, equal_nan=True)
    assert [q.where for q in pretrained.patch_sets] == ['seen', 'held-out']
    for one, other in zip(plain.patch_sets, pretrained.patch_sets, strict=True):
        assert one.points.equal(other.points)
        assert one.images.shape == (20, 3, 32, 32)
        assert other.images.shape == (20, 3, 64, 64)
        # The same windows, but for how they are normalised and how fine they are.
        mean, std = (torch.tensor(x).view(3, 1, 1) for x in (MEAN, STD))
        coarse = torch.nn.functional.avg_pool2d(other.images, 2) * 128 + 127
        difference = (one.images * std + mean) * 255 - coarse
        assert difference.abs().mean() < 3
