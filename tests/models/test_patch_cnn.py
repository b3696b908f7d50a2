# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import pytest
import torch

from torchgeo_concepts.models import load_image_tower
from torchgeo_concepts.models.patch_cnn import PatchCNN


@pytest.mark.parametrize(('size', 'number'), [(16, 256), (32, 1024), (48, 2304)])
def test_sizes(size: int, number: int) -> None:
    network = PatchCNN(size, in_chans=4)
    assert network.num_features == number
    assert network(torch.rand(2, 4, size, size)).shape == (2, number)


@pytest.mark.parametrize('size', [0, 8, 24, 33])
def test_sizes_that_cannot_be_halved(size: int) -> None:
    with pytest.raises(ValueError, match=f'a multiple of 16, not {size}'):
        PatchCNN(size)


def test_images_of_another_size() -> None:
    with pytest.raises(ValueError, match=r'32 pixels wide and high, not \(32, 16\)'):
        PatchCNN()(torch.rand(1, 3, 32, 16))


@torch.no_grad()
def test_keeps_where_things_are() -> None:
    torch.manual_seed(0)
    network = PatchCNN().eval()
    image = torch.zeros(1, 3, 32, 32)
    image[..., :16, :] = torch.rand(3, 16, 32)
    swapped = image.roll(16, dims=2)
    one, other = (network(x).view(256, 2, 2) for x in (image, swapped))
    assert (one - other).norm() > 0.1 * one.norm()
    # What was above is below.
    assert (one - other.flip(1)).norm() < (one - other).norm()


class TestTower:
    def test_is_one(self) -> None:
        tower = load_image_tower('patch_cnn/16', embed_dim=7, in_chans=5, frozen=False)
        assert tower(torch.rand(2, 5, 16, 16)).shape == (2, 7)
        assert all(p.requires_grad for p in tower.parameters())

    @pytest.mark.parametrize('size', ['large', '-32', '1.5'])
    def test_size_that_is_none(self, size: str) -> None:
        with pytest.raises(ValueError, match=f"needs a size in pixels, not '{size}'"):
            load_image_tower(f'patch_cnn/{size}')

    def test_size_that_does_not_fit(self) -> None:
        with pytest.raises(ValueError, match='a multiple of 16, not 20'):
            load_image_tower('patch_cnn/20')

    def test_weights_that_are_not_there(self) -> None:
        with pytest.raises(FileNotFoundError, match=r'No file none\.pth'):
            load_image_tower('patch_cnn/32', 'none.pth')
