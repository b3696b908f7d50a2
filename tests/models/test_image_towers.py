# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

from collections.abc import Mapping

import open_clip
import pytest
import timm
import torch
import torchgeo.models
from torch import Tensor, nn

from torchgeo_concepts.models import geoclip_image_mlp
from torchgeo_concepts.models.image_towers import ImageTower, image_tower

# Layers that are compared, of 24 equal ones.
LAYERS = 4


def to_open_clip(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Translate the vision part of a CLIP of transformers into open_clip's layout."""
    vision = 'vision_model.'
    plain = {
        f'{vision}embeddings.class_embedding': 'class_embedding',
        f'{vision}embeddings.patch_embedding.weight': 'conv1.weight',
        f'{vision}embeddings.position_embedding.weight': 'positional_embedding',
    }
    translated = {new: state[old] for old, new in plain.items()}
    translated['proj'] = state['visual_projection.weight'].T
    for kind in ('weight', 'bias'):
        # The spelling is that of transformers.
        translated[f'ln_pre.{kind}'] = state[f'{vision}pre_layrnorm.{kind}']
        translated[f'ln_post.{kind}'] = state[f'{vision}post_layernorm.{kind}']
        for layer in range(LAYERS):
            old = f'{vision}encoder.layers.{layer}.'
            new = f'transformer.resblocks.{layer}.'
            names = {
                'layer_norm1': 'ln_1',
                'layer_norm2': 'ln_2',
                'mlp.fc1': 'mlp.c_fc',
                'mlp.fc2': 'mlp.c_proj',
                'self_attn.out_proj': 'attn.out_proj',
            }
            for theirs, ours in names.items():
                translated[f'{new}{ours}.{kind}'] = state[f'{old}{theirs}.{kind}']
            translated[f'{new}attn.in_proj_{kind}'] = torch.cat(
                [state[f'{old}self_attn.{part}_proj.{kind}'] for part in 'qkv']
            )
    return translated


@pytest.mark.slow
def test_parity_with_the_image_encoder_of_geoclip() -> None:
    from geoclip import ImageEncoder

    torch.manual_seed(0)
    # Both share the weights of the vision part, and have no others.
    with torch.device('meta'):
        theirs = ImageEncoder(from_pretrained=False).eval()
        clip = open_clip.create_model('ViT-L-14-quickgelu', device='meta')
    encoder = theirs.CLIP.vision_model.encoder
    encoder.layers = encoder.layers[:LAYERS]
    blocks = clip.visual.transformer.resblocks
    clip.visual.transformer.resblocks = blocks[:LAYERS]
    theirs.mlp.to_empty(device='cpu')
    for part in (theirs.CLIP.vision_model, theirs.CLIP.visual_projection):
        part.to_empty(device='cpu')
        for parameter in part.parameters():
            nn.init.normal_(parameter, std=0.05)
    embeddings = theirs.CLIP.vision_model.embeddings
    embeddings.position_ids = torch.arange(257)[None]
    clip.visual.load_state_dict(to_open_clip(theirs.CLIP.state_dict()), assign=True)
    ours = ImageTower(clip.visual, geoclip_image_mlp('MP16')).eval()
    theirs.mlp.load_state_dict(ours.head.state_dict())
    image = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        expected = theirs(image)
        assert expected.std() > 1e-3
        torch.testing.assert_close(ours(image), expected, rtol=0, atol=1e-4)


class TestImageTower:
    @pytest.fixture
    def tower(self) -> ImageTower:
        backbone = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.Dropout())
        return ImageTower(backbone, nn.Linear(5, 4))

    def test_frozen_backbone_stays_as_it_is(self, tower: ImageTower) -> None:
        tower.train()
        assert tower.head.training
        assert not tower.backbone.training
        images = torch.rand(2, 3, 2, 2)
        assert tower(images).equal(tower(images))
        tower(images).sum().backward()
        assert [p.grad for p in tower.backbone.parameters()] == [None, None]
        assert all(p.grad is not None for p in tower.head.parameters())
        assert not tower.features(images).requires_grad

    def test_backbone_can_be_trained(self, tower: ImageTower) -> None:
        tower = ImageTower(tower.backbone, tower.head, frozen=False).train()
        assert tower.backbone.training
        tower(torch.rand(2, 3, 2, 2)).sum().backward()
        assert all(p.grad is not None for p in tower.parameters())


class TestBuilders:
    @pytest.mark.parametrize('name', ['resnet18', 'vit_tiny_patch16_224'])
    def test_any_timm_backbone(self, name: str) -> None:
        backbone = timm.create_model(name, num_classes=10)
        tower = image_tower(backbone, embed_dim=7)
        assert tower(torch.rand(2, 3, 224, 224)).shape == (2, 7)

    def test_any_torchgeo_backbone(self) -> None:
        backbone = torchgeo.models.get_model('resnet18', in_chans=13)
        tower = image_tower(backbone, embed_dim=7)
        assert tower(torch.rand(2, 13, 64, 64)).shape == (2, 7)

    def test_backbone_of_unknown_size(self) -> None:
        with pytest.raises(ValueError, match='Flatten has no attribute num_features'):
            image_tower(nn.Flatten())
        assert image_tower(nn.Flatten(), 7, num_features=12)(
            torch.rand(2, 3, 2, 2)
        ).shape == (2, 7)
