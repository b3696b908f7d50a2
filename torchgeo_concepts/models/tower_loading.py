# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Image towers by the names that configurations give them."""

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ..utils.modes import evaluating
from ..utils.names import near_matches
from ..utils.open_clip_weights import load_clip
from .efficientnet import EfficientNetLite0_Weights
from .geoclip import geoclip_image_mlp
from .image_towers import ImageTower, image_tower
from .patch_cnn import PatchCNN

# Side of the image that a backbone is tried with, which most of them take.
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
    """Build an image tower from a library and the name of a backbone in it.

    Args:
        name: ``open_clip/NAME``, ``timm/NAME`` or ``torchgeo/NAME`` for a backbone of
            that library that makes one vector of an image, ``patch_cnn/SIZE`` for a
            small one for patches that many pixels wide, or ``features/NUMBER`` for
            images that come as that many cached features, without any backbone.
        weights: Weights of the backbone: a tag of open_clip, full name of weights of
            TorchGeo, ``'pretrained'`` for the default ones of timm, or a file of any
            of the three. ``EfficientNetLite0_Weights.IMAGENET1K``, for
            ``timm/tf_efficientnet_lite0``, come with the extra ``imagery``. None for
            random weights.
        head_weights: Weights of GeoCLIP's head, such as
            ``GeoCLIPImageMLP_Weights.MP16``, for 768 features. None for a fresh head.
        embed_dim: Number of features of an embedding, if the head is fresh.
        in_chans: Number of channels of an image.
        frozen: Keep the backbone as it is and train the head alone.
        download: Download weights if they are not on this machine.

    Returns:
        The tower.

    Raises:
        ValueError: If there is no such library, backbone or weights.
        FileNotFoundError: If weights are not on this machine and *download* is false.
    """
    library, _, model = name.partition('/')
    if library not in BACKBONES or not model:
        raise ValueError(
            f'image_tower must be one of {sorted(BACKBONES)}, a slash and a name, such '
            f"as 'timm/resnet18', not {name!r}."
        )
    backbone, num_features = BACKBONES[library](model, weights, in_chans, download)
    num_features = num_features or getattr(backbone, 'num_features', None)
    if num_features is None:
        num_features = _count_features(name, backbone, in_chans)
    if head_weights is None:
        return image_tower(backbone, embed_dim, frozen, num_features)
    if (num_features, embed_dim) != (768, 512):
        raise ValueError(
            f"GeoCLIP's head takes 768 features to 512; {name} has {num_features}, and "
            f'{embed_dim} are asked for. Leave out head_weights for a fresh head.'
        )
    head = geoclip_image_mlp(head_weights, download=download)
    return ImageTower(backbone, head.train(), frozen)


def _open_clip(
    model: str, weights: str | None, in_chans: int, download: bool
) -> tuple[nn.Module, int | None]:
    if in_chans != 3:
        raise ValueError(f'Models of open_clip take 3 channels, not {in_chans}.')
    visual = load_clip(model, weights, download=download).visual
    if not isinstance(visual, nn.Module):
        raise ValueError(f'{model} has no image tower.')
    dim = getattr(visual, 'output_dim', None)
    return visual, dim if isinstance(dim, int) else None


def _timm(
    model: str, weights: str | None, in_chans: int, download: bool
) -> tuple[nn.Module, int | None]:
    import timm

    if model not in timm.list_models():
        hint = near_matches(model, timm.list_models())
        raise ValueError(f'timm has no model {model!r}. {hint}')
    if weights is not None and weights.startswith(EfficientNetLite0_Weights.__name__):
        return _efficientnet(model, weights, in_chans, download), None
    pretrained = weights == 'pretrained'
    if pretrained and not download:
        raise FileNotFoundError(
            f'timm fetches the weights of {model}. Pass download=True to allow it, or '
            'the path of a checkpoint as weights.'
        )
    backbone = timm.create_model(
        model, pretrained=pretrained, in_chans=in_chans, num_classes=0
    )
    if weights is not None and not pretrained:
        _load_file(backbone, weights)
    return backbone, None


def _efficientnet(model: str, weights: str, in_chans: int, download: bool) -> nn.Module:
    import timm

    member = EfficientNetLite0_Weights.verify(weights)
    if (model, in_chans) != (member.meta['model'], 3):
        raise ValueError(
            f'{member} are of timm/{member.meta["model"]} and 3 channels, not of '
            f'timm/{model} and {in_chans}.'
        )
    state = member.get_state_dict(download=download)
    backbone: nn.Module = timm.create_model(model, num_classes=0)
    backbone.load_state_dict(
        {name: x for name, x in state.items() if not name.startswith('classifier.')}
    )
    return backbone


def _torchgeo(
    model: str, weights: str | None, in_chans: int, download: bool
) -> tuple[nn.Module, int | None]:
    from torchgeo.models import get_model, list_models

    from .loading import load_encoder

    if model not in list_models():
        hint = near_matches(model, list_models())
        raise ValueError(f'TorchGeo has no model {model!r}. {hint}')
    if weights is not None and not Path(weights).is_file():
        return load_encoder(model, weights, download=download).train(), None
    try:
        backbone: nn.Module = get_model(model, weights=None, in_chans=in_chans)
    except TypeError as error:
        if 'unexpected keyword' not in str(error):
            raise
        # Not all builders take a number of channels; trying tells whether it fits.
        backbone = get_model(model)
    if weights is not None:
        _load_file(backbone, weights)
    return backbone, None


@torch.no_grad()
def _count_features(name: str, backbone: nn.Module, in_chans: int) -> int:
    """Count the features of a backbone that does not say, by trying an image."""
    try:
        with evaluating(backbone):
            features = backbone(torch.zeros(1, in_chans, SIZE, SIZE))
    except (AssertionError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(
            f'{name} does not take images of {in_chans} channels alone: {error}'
        ) from error
    if not isinstance(features, Tensor) or features.ndim != 2:
        raise ValueError(f'{name} does not make one vector of an image.')
    return features.shape[1]


def _features(
    number: str, weights: str | None, in_chans: int, download: bool
) -> tuple[nn.Module, int | None]:
    if not number.isdecimal() or not int(number):
        raise ValueError(f"'features/' needs a number of features, not {number!r}.")
    return nn.Identity(), int(number)


def _patch_cnn(
    size: str, weights: str | None, in_chans: int, download: bool
) -> tuple[nn.Module, int | None]:
    if not size.isdecimal():
        raise ValueError(f"'patch_cnn/' needs a size in pixels, not {size!r}.")
    backbone = PatchCNN(int(size), in_chans)
    if weights is not None:
        _load_file(backbone, weights)
    return backbone, None


def _load_file(backbone: nn.Module, file: str) -> None:
    """Load a state dict whose classifier, if it has one, is left out."""
    if not Path(file).is_file():
        raise FileNotFoundError(f'No file {file} with weights.')
    if Path(file).suffix == '.safetensors':
        state = load_file(file)
    else:
        state = torch.load(file, map_location='cpu', weights_only=True)
    missing, unexpected = backbone.load_state_dict(state, strict=False)
    if missing:
        raise ValueError(
            f'{file} lacks {len(missing)} of the weights of the backbone, such as '
            f'{missing[0]!r}, and has {len(unexpected)} others.'
        )


Loader = Callable[[str, str | None, int, bool], tuple[nn.Module, int | None]]

BACKBONES: dict[str, Loader] = {
    'features': _features,
    'open_clip': _open_clip,
    'patch_cnn': _patch_cnn,
    'timm': _timm,
    'torchgeo': _torchgeo,
}
