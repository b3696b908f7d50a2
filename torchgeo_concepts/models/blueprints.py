# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Blueprints, from which a checkpoint rebuilds its location encoder."""

import inspect
from typing import Any

from torch import nn
from torchgeo.models import get_model
from torchvision.models._api import WeightsEnum

from .concept_earth import ConceptEarth
from .concept_model import ConceptModel
from .geoclip import GeoCLIPLocation
from .loading import CONCEPT_MODELS, find_encoder, load_encoder


def named_encoder(
    model: str,
    weights: str | None,
    model_kwargs: dict[str, Any] | None = None,
    *,
    truncate_dim: int | None = None,
    download: bool = False,
) -> tuple[nn.Module, dict[str, Any]]:
    """Build a named encoder and its blueprint.

    Args:
        model: Name of a model in TorchGeo's registry, or a safetensors file of this
            package.
        weights: Name of the weights, a safetensors file of this package, or None for
            random weights.
        model_kwargs: Arguments of a model with random weights.
        truncate_dim: Number of principal components of the embedding to return.
        download: Download the weights if they are not on this machine.

    Returns:
        The encoder, and its blueprint for :func:`build_encoder`.

    Raises:
        ValueError: If both weights and arguments are given.
    """
    kwargs = dict(model_kwargs or {})
    name = find_encoder(model, weights)
    encoder = load_encoder(name, truncate_dim=truncate_dim, download=download, **kwargs)
    if isinstance(name.weights, WeightsEnum):
        # In TorchGeo, the meta of the weights holds the arguments that the weights
        # determine.
        known = inspect.signature(type(encoder)).parameters
        kwargs = {
            key: value for key, value in name.weights.meta.items() if key in known
        }
    own = encoder_blueprint(encoder)
    return encoder, own or {'model': name.model, 'kwargs': kwargs}


def encoder_blueprint(encoder: nn.Module) -> dict[str, Any] | None:
    """Describe an encoder of this package.

    Args:
        encoder: The encoder.

    Returns:
        Plain values for :func:`build_encoder`, or None for any other encoder.
    """
    if isinstance(encoder, ConceptEarth):
        return {**encoder.metadata(), 'truncate_dim': encoder.truncate_dim}
    if isinstance(encoder, ConceptModel):
        return encoder.metadata()
    if isinstance(encoder, GeoCLIPLocation):
        return {'model': 'geoclip_location', 'kwargs': encoder.config}
    return None


def build_encoder(blueprint: dict[str, Any]) -> nn.Module:
    """Build an encoder, without loading its weights.

    Args:
        blueprint: Returned by :func:`encoder_blueprint` or :func:`named_encoder`.

    Returns:
        The encoder.
    """
    if 'kwargs' in blueprint:
        encoder: nn.Module = get_model(blueprint['model'], **blueprint['kwargs'])
        return encoder
    model = CONCEPT_MODELS[blueprint['model']].from_metadata(blueprint)
    if isinstance(model, ConceptEarth):
        model.truncate(blueprint['truncate_dim'])
    return model
