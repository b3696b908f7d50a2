# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

from pathlib import Path
from typing import Any

import open_clip
import pytest
import timm
import torch
from safetensors.torch import save_file

from torchgeo_concepts.models import geoclip_image_mlp, load_image_tower


class TestLibraries:
    def test_open_clip(self) -> None:
        tower = load_image_tower('open_clip/RN50', embed_dim=7)
        assert tower(torch.rand(1, 3, 224, 224)).shape == (1, 7)
        assert tower.frozen

    def test_timm(self) -> None:
        tower = load_image_tower(
            'timm/test_resnet', embed_dim=7, in_chans=5, frozen=False
        )
        assert tower(torch.rand(2, 5, 32, 32)).shape == (2, 7)
        assert all(p.requires_grad for p in tower.parameters())

    def test_torchgeo(self) -> None:
        tower = load_image_tower('torchgeo/resnet18', embed_dim=7, in_chans=13)
        assert tower(torch.rand(1, 13, 64, 64)).shape == (1, 7)

    def test_backbone_that_does_not_say_its_size(self) -> None:
        tower = load_image_tower('torchgeo/swin_v2_t', embed_dim=7)
        assert tower(torch.rand(1, 3, 64, 64)).shape == (1, 7)

    def test_backbone_that_takes_more_than_images(self) -> None:
        with pytest.raises(ValueError, match='dofa_small_patch16_224 does not accept'):
            load_image_tower('torchgeo/dofa_small_patch16_224')

    def test_features(self) -> None:
        tower = load_image_tower(
            'features/768', head_weights='GeoCLIPImageMLP_Weights.MP16'
        )
        features = torch.rand(2, 768)
        expected = geoclip_image_mlp('MP16')(features)
        torch.testing.assert_close(tower(features), expected)
        assert tower.head.training


class TestWeights:
    @pytest.mark.parametrize('suffix', ['safetensors', 'pth'])
    def test_file(self, tmp_path: Path, suffix: str) -> None:
        torch.manual_seed(1)
        model: Any = timm.create_model('test_resnet', num_classes=10)
        file = tmp_path / f'weights.{suffix}'
        if suffix == 'pth':
            torch.save(model.state_dict(), file)
        else:
            save_file(model.state_dict(), file)
        tower = load_image_tower('timm/test_resnet', str(file))
        images = torch.rand(2, 3, 32, 32)
        model.eval()
        tower.eval()
        expected = model.forward_features(images).mean(dim=(2, 3))
        torch.testing.assert_close(tower.features(images), expected.detach())

    def test_file_of_another_backbone(self, tmp_path: Path) -> None:
        save_file({'a': torch.zeros(1)}, tmp_path / 'other.safetensors')
        with pytest.raises(
            ValueError, match=r'\d+ weights are missing, .* 1 are unknown'
        ):
            load_image_tower('timm/test_resnet', str(tmp_path / 'other.safetensors'))
        with pytest.raises(FileNotFoundError, match='No file nowhere'):
            load_image_tower('timm/test_resnet', 'nowhere.pth')

    def test_nothing_is_downloaded(self, hub_dir: Path) -> None:
        with pytest.raises(FileNotFoundError, match='download=True'):
            load_image_tower('timm/test_resnet', 'pretrained')
        with pytest.raises(FileNotFoundError, match='download=True'):
            load_image_tower('open_clip/ViT-L-14-quickgelu', 'openai')
        with pytest.raises(FileNotFoundError, match='download=True'):
            load_image_tower('torchgeo/resnet18', 'ResNet18_Weights.SENTINEL2_ALL_MOCO')


class TestNames:
    @pytest.mark.parametrize('name', ['resnet18', 'keras/resnet18', 'timm/'])
    def test_no_library(self, name: str) -> None:
        with pytest.raises(ValueError, match="such as 'timm/resnet18'"):
            load_image_tower(name)

    def test_near_matches(self) -> None:
        with pytest.raises(ValueError, match="timm has no model 'resnet81'.*resnet"):
            load_image_tower('timm/resnet81')
        with pytest.raises(ValueError, match="TorchGeo has no model 'resnet81'"):
            load_image_tower('torchgeo/resnet81')
        with pytest.raises(ValueError, match="open_clip has no model 'ViT-L'"):
            load_image_tower('open_clip/ViT-L')

    @pytest.mark.parametrize('name', ['features/many', 'features/0'])
    def test_no_number(self, name: str) -> None:
        with pytest.raises(ValueError, match='needs a number of features'):
            load_image_tower(name)

    def test_head_of_another_size(self) -> None:
        with pytest.raises(ValueError, match='maps 768 features to 512; features/5'):
            load_image_tower('features/5', head_weights='MP16')
        with pytest.raises(ValueError, match='embed_dim is 32'):
            load_image_tower('features/768', head_weights='MP16', embed_dim=32)

    def test_open_clip_takes_three_channels(self) -> None:
        assert 'RN50' in open_clip.list_models()
        with pytest.raises(ValueError, match='take 3 channels, not 12'):
            load_image_tower('open_clip/RN50', in_chans=12)
