# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Encoders by the names that configurations and command lines give them."""

import inspect
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlparse

import torch
from torch import nn
from torchgeo.models import get_model, get_model_weights, list_models
from torchvision.models._api import WeightsEnum

from ..utils.names import near_matches
from ._registry import find_builder

__all__ = ('load_encoder', 'resolve_weights')


def resolve_weights(model: str, weights: str | None = None) -> WeightsEnum:
    """Find the weights of a registered model by their name.

    Args:
        model: Name of the model.
        weights: Full name of the weights, such as ``GeoCLIPLocation_Weights.MP16``, or
            that of the member alone. By default, the first weights of the model.

    Returns:
        The weights.

    Raises:
        ValueError: If there is no such model or there are no such weights; the
            message lists near matches.
    """
    if model not in list_models():
        raise ValueError(f'No model {model!r}. {near_matches(model, list_models())}')
    try:
        known = list(get_model_weights(model))
    except KeyError:
        raise ValueError(f'{model} has no pre-trained weights.') from None
    if weights is None:
        return known[0]
    for member in known:
        if weights in (str(member), member.name):
            return member
    hint = near_matches(weights, map(str, known))
    raise ValueError(f'{model} has no weights {weights!r}. {hint}')


def load_encoder(
    model: str, weights: str | None = None, *, download: bool = False
) -> nn.Module:
    """Load a pre-trained location encoder, of this package or of TorchGeo.

    Args:
        model: Name of the model in TorchGeo's registry.
        weights: Name of the weights. By default, the first weights of the model.
        download: Download the weights if they are not on this machine.

    Returns:
        The encoder in eval mode.

    Raises:
        ValueError: If there is no such model or there are no such weights; the
            message lists near matches.
        FileNotFoundError: If the weights are not on this machine and *download* is
            false.
    """
    member = resolve_weights(model, weights)
    if _asks_before_download(find_builder(model)):
        encoder: nn.Module = get_model(model, weights=member, download=download)
        return encoder.eval()
    url = urlparse(member.url)
    cached = Path(torch.hub.get_dir(), 'checkpoints', Path(url.path).name)
    # Weights that are files already, such as those of this package, need no download.
    if url.scheme != 'file' and not download and not cached.is_file():
        raise FileNotFoundError(
            f'{member} is not on this machine. Pass download=True to fetch '
            f'{member.url}.'
        )
    encoder = get_model(model, weights=member)
    return encoder.eval()


def _asks_before_download(builder: Callable[..., nn.Module]) -> bool:
    return 'download' in inspect.signature(builder).parameters
