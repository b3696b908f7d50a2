# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Image towers by name, as in configurations."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torchgeo.models import get_model, list_models

from ..utils.modes import evaluating
from ..utils.names import check_known
from ..utils.open_clip_weights import load_clip
from .efficientnet import EfficientNetLite0_Weights
from .geoclip import geoclip_image_mlp
from .image_towers import ImageTower, count_features, image_tower
from .loading import load_encoder
from .patch_cnn import PatchCNN

LIBRARIES = ('features', 'open_clip', 'patch_cnn', 'timm', 'torchgeo')

# Side of a test image in pixels, which most backbones accept.
SIZE = 224


def load_image_tower(
    name: str,
    weights: str | None = None,
    *,
    head_weights: str | None = None,
    embed_dim: int = 512,
    in_chans: int = 3,
    frozen: bool = True,
    download: bool = False,
) -> ImageTower:
    """Build an image tower from the name of its backbone.

    Args:
        name: ``open_clip/NAME``, ``timm/NAME`` or ``torchgeo/NAME`` for a backbone of
            that library that returns one feature vector per image; ``patch_cnn/SIZE``
            for a small network on patches of that size in pixels; or
            ``features/NUMBER`` for that many cached features, without a backbone.
        weights: Weights of the backbone: a tag of open_clip, the full name of TorchGeo
            weights, ``'pretrained'`` for the default weights of timm, or a file.
            ``EfficientNetLite0_Weights.IMAGENET1K``, for
            ``timm/tf_efficientnet_lite0``, come with the extra ``imagery``. None for
            random weights.
        head_weights: Weights of GeoCLIP's head, such as
            ``GeoCLIPImageMLP_Weights.MP16``, for 768 features. None for a new head.
        embed_dim: Number of features of an embedding of a new head.
        in_chans: Number of channels of an image.
        frozen: Train only the head.
        download: Download weights if they are not on this machine.

    Returns:
        The tower.

    Raises:
        ValueError: If there is no such library, backbone or weights.
        FileNotFoundError: If weights are not on this machine and *download* is false.
    """
    library, _, model = name.partition('/')
    if library not in LIBRARIES or not model:
        raise ValueError(
            f'image_tower must be one of {LIBRARIES}, a slash and a name, such '
            f"as 'timm/resnet18', not {name!r}."
        )
    backbone = _load_backbone(library, model, weights, in_chans, download)
    num_features = count_features(backbone) or _try_image(name, backbone, in_chans)
    if head_weights is None:
        return image_tower(backbone, embed_dim, frozen, num_features)
    if (num_features, embed_dim) != (768, 512):
        raise ValueError(
            f"GeoCLIP's head maps 768 features to 512; {name} has {num_features}, and "
            f'embed_dim is {embed_dim}. Leave out head_weights for a new head.'
        )
    head = geoclip_image_mlp(head_weights, download=download)
    return ImageTower(backbone, head.train(), frozen)


def _load_backbone(
    library: str, model: str, weights: str | None, in_chans: int, download: bool
) -> nn.Module:
    if library == 'timm':
        return _timm(model, weights, in_chans, download)
    if library == 'torchgeo':
        return _torchgeo(model, weights, in_chans, download)
    if library == 'open_clip':
        if in_chans != 3:
            raise ValueError(f'Models of open_clip take 3 channels, not {in_chans}.')
        return load_clip(model, weights, download=download).get_submodule('visual')
    if library == 'patch_cnn':
        if not model.isdecimal():
            raise ValueError(f"'patch_cnn/' needs a size in pixels, not {model!r}.")
        return _with_file(PatchCNN(int(model), in_chans), weights)
    if not model.isdecimal() or not int(model):
        raise ValueError(f"'features/' needs a number of features, not {model!r}.")
    return _CachedFeatures(int(model))


def _timm(model: str, weights: str | None, in_chans: int, download: bool) -> nn.Module:
    import timm

    check_known('timm has no model', model, timm.list_models())
    is_pretrained = weights == 'pretrained'
    if is_pretrained and not download:
        raise FileNotFoundError(
            f'timm downloads the weights of {model}. Pass download=True to allow it, or '
            'the path of a checkpoint as weights.'
        )
    backbone: nn.Module = timm.create_model(
        model, pretrained=is_pretrained, in_chans=in_chans, num_classes=0
    )
    if weights is None or is_pretrained:
        return backbone
    if not weights.startswith(EfficientNetLite0_Weights.__name__):
        return _with_file(backbone, weights)
    member = EfficientNetLite0_Weights.verify(weights)
    if (model, in_chans) != (member.meta['model'], 3):
        raise ValueError(
            f'{member} belong to timm/{member.meta["model"]} with 3 channels, not to '
            f'timm/{model} with {in_chans}.'
        )
    # The backbone has no classifier.
    backbone.load_state_dict(member.get_state_dict(download=download), strict=False)
    return backbone


def _torchgeo(
    model: str, weights: str | None, in_chans: int, download: bool
) -> nn.Module:
    check_known('TorchGeo has no model', model, list_models())
    if weights is not None and not Path(weights).is_file():
        return load_encoder(model, weights, download=download).train()
    try:
        backbone: nn.Module = get_model(model, weights=None, in_chans=in_chans)
    except TypeError:
        # Some builders have a fixed number of channels, which _try_image checks later.
        backbone = get_model(model)
    return _with_file(backbone, weights)


@torch.no_grad()
def _try_image(name: str, backbone: nn.Module, in_chans: int) -> int:
    """Count the features that a backbone returns for an image."""
    try:
        with evaluating(backbone):
            features = backbone(torch.zeros(1, in_chans, SIZE, SIZE))
    except (AssertionError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(
            f'{name} does not accept images of {in_chans} channels without further '
            f'inputs: {error}'
        ) from error
    if not isinstance(features, Tensor) or features.ndim != 2:
        raise ValueError(f'{name} does not return one feature vector for an image.')
    return features.shape[1]


class _CachedFeatures(nn.Identity):
    """Backbone of a tower that takes features instead of images."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features


def _with_file(backbone: nn.Module, file: str | None) -> nn.Module:
    """Load a state dict into a backbone, without the classifier."""
    if file is None:
        return backbone
    if not Path(file).is_file():
        raise FileNotFoundError(f'No file {file} with weights.')
    if Path(file).suffix == '.safetensors':
        state = load_file(file)
    else:
        state = torch.load(file, map_location='cpu', weights_only=True)
    missing, unexpected = backbone.load_state_dict(state, strict=False)
    if missing:
        raise ValueError(
            f'{file} does not fit the backbone: {len(missing)} weights are missing, such '
            f'as {missing[0]!r}, and {len(unexpected)} are unknown.'
        )
    return backbone
