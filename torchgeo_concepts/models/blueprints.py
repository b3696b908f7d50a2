# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""How location encoders are built again, for checkpoints that have their weights."""

import inspect
from dataclasses import asdict
from typing import Any

from torch import nn
from torchgeo.models import get_model
from torchvision.models._api import WeightsEnum

from ..concepts.bank import ConceptBank
from .alignment import ConceptBasis
from .concept_earth import ConceptEarth
from .concept_geoclip import ConceptGeoCLIP
from .geoclip import GeoCLIPLocation
from .loading import find_encoder, load_encoder

# Weights by this name leave an encoder as it is initialised.


def named_encoder(
    model: str,
    weights: str | None,
    model_kwargs: dict[str, Any] | None = None,
    *,
    truncate_dim: int | None = None,
    download: bool = False,
) -> tuple[nn.Module, dict[str, Any] | None]:
    """Build an encoder by its name, and say how to build it again.

    Args:
        model: Name of the model in TorchGeo's registry.
        weights: Name of the weights, a safetensors file of this package, or None for
            random weights.
        model_kwargs: Arguments of a model with random weights.
        truncate_dim: Number of principal components of the embedding to return.
        download: Download the weights if they are not on this machine.

    Returns:
        The encoder, and its blueprint for :func:`build_encoder`.

    Raises:
        ValueError: If weights are given and arguments too.
    """
    kwargs = dict(model_kwargs or {})
    name = find_encoder(model, weights)
    encoder = load_encoder(name, truncate_dim=truncate_dim, download=download, **kwargs)
    if isinstance(name.weights, WeightsEnum):
        # Weights tell the sizes of the models that they belong to.
        meta = name.weights.meta
        known = inspect.signature(type(encoder)).parameters
        kwargs = {name: value for name, value in meta.items() if name in known}
    own = encoder_blueprint(encoder)
    return encoder, own or {'kind': 'registry', 'model': name.model, 'kwargs': kwargs}


def encoder_blueprint(encoder: nn.Module) -> dict[str, Any] | None:
    """Say how to build an encoder of this package again.

    Args:
        encoder: The encoder.

    Returns:
        Plain values for :func:`build_encoder`, or None for an encoder of others.
    """
    if isinstance(encoder, ConceptEarth):
        return {
            'kind': 'ConceptEarth',
            'architecture': {
                name: list(value) if isinstance(value, tuple) else value
                for name, value in asdict(encoder.architecture).items()
            },
            'bank': encoder.bank.to_json(),
            'basis_source': encoder.basis.source,
            'provenance': encoder.provenance,
            'truncate_dim': encoder.truncate_dim,
        }
    if isinstance(encoder, ConceptGeoCLIP):
        return {
            'kind': 'ConceptGeoCLIP',
            'encoder': encoder.encoder.config,
            'bank': encoder.bank.to_json(),
            'basis_source': encoder.basis.source,
            'unit': encoder.basis.unit,
        }
    if isinstance(encoder, GeoCLIPLocation):
        return {'kind': 'GeoCLIPLocation', 'encoder': encoder.config}
    return None


def build_encoder(blueprint: dict[str, Any]) -> nn.Module:
    """Build an encoder whose weights are loaded next.

    Args:
        blueprint: What :func:`encoder_blueprint` or :func:`named_encoder` said.

    Returns:
        The encoder.
    """
    kind = blueprint['kind']
    if kind == 'registry':
        encoder: nn.Module = get_model(blueprint['model'], **blueprint['kwargs'])
        return encoder
    if kind == 'GeoCLIPLocation':
        return GeoCLIPLocation(**blueprint['encoder'])
    bank = ConceptBank.from_json(blueprint['bank'])
    if kind == 'ConceptGeoCLIP':
        geoclip = GeoCLIPLocation(**blueprint['encoder'])
        basis = ConceptBasis.random(bank, geoclip.embed_dim, blueprint['unit'])
        basis.source = blueprint['basis_source']
        return ConceptGeoCLIP(geoclip, basis)
    earth = ConceptEarth(bank, **blueprint['architecture'])
    earth.basis.source = blueprint['basis_source']
    earth.provenance = blueprint['provenance']
    return earth.truncate(blueprint['truncate_dim'])
