# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import pytest
import torch

from torchgeo_concepts.models.image_transforms import ColourJitter


def test_factors() -> None:
    images = torch.rand(5, 3, 4, 6) * 60 + 90
    torch.manual_seed(3)
    changed = ColourJitter(0.2)({'image': images, 'point': torch.zeros(5, 2)})
    assert changed['point'].shape == (5, 2)
    torch.manual_seed(3)
    factors = torch.empty(5, 6).uniform_(-0.2, 0.2)
    for image, result, drawn in zip(images, changed['image'], factors, strict=True):
        brightness, contrast, saturation = 1 + drawn[:3]
        bright = image * brightness * (1 + drawn[3:, None, None] / 4)
        grey = bright.mean(dim=0)
        mixed = grey + saturation * (bright - grey)
        expected = mixed.mean() + contrast * (mixed - mixed.mean())
        torch.testing.assert_close(result, expected, atol=1e-3, rtol=1e-5)


def test_strength() -> None:
    images = torch.rand(64, 3, 5, 5) * 255
    same = ColourJitter(0)({'image': images})['image']
    torch.testing.assert_close(same, images)
    strong = ColourJitter(1)({'image': images})['image']
    assert 0 <= strong.min() < strong.max() <= 255
    # Each image has its own factors.
    assert strong.mean(dim=(1, 2, 3)).unique().numel() > 60
    assert repr(ColourJitter(0.4)) == 'ColourJitter(strength=0.4)'


@pytest.mark.parametrize('strength', [-0.1, 1.5, float('nan')])
def test_what_is_wrong_is_said(strength: float) -> None:
    with pytest.raises(ValueError, match=r'strength must lie in \[0, 1\], not'):
        ColourJitter(strength)
