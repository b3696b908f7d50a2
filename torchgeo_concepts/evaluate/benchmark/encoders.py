# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Encoders that the benchmark scores, and what is known of them."""

import hashlib
import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from torch import nn
from torchgeo.models import get_model_weights, list_models
from torchvision.models._api import WeightsEnum

from ...embed.points import embed_points
from ...models import ConceptEarth, ConceptEarth_Weights
from ...models._weights import DistributionWeights, PackagedWeights, sha256
from ...models.loading import load_encoder, resolve_weights
from ...utils.hashing import hash_state
from ...utils.names import near_matches

# Stands for all encoders below among names of encoders.
RELEASED = 'released'
RELEASED_NAMES = (
    'geoclip_location',
    'satclip',
    *(
        f'concept_earth:{n}'
        for n in ConceptEarth_Weights.__members__
        if n != 'HELD_OUT'
    ),
)

# Learned from images alone, so that no map of a target taught them.
TAUGHT_BY_IMAGES = ('geoclip_location', 'concept_geoclip', 'satclip')

# Names and versions of layers.
type Layers = Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Named:
    """An encoder and what is known of it.

    Attributes:
        name: What tables and figures call it.
        identity: A text that changes whenever its weights do.
        encoder: The encoder.
        layers: Maps that taught it, None if that is not known.
        megabytes: Size of the weights on disk, None if there are none.
    """

    name: str
    identity: str
    encoder: nn.Module
    layers: Layers | None
    megabytes: float | None


def load_named(name: str) -> Named:
    """Load an encoder by what a user calls it.

    Args:
        name: A model of TorchGeo's registry, with a colon and the name of weights if
            not the first; a safetensors file of ConceptEarth; or the path of a class,
            such as ``'package.module.Class'``, that is built without arguments.

    Returns:
        The encoder.

    Raises:
        ValueError: If there is no such encoder, or it cannot embed a point.
        FileNotFoundError: If its weights are missing.
    """
    model, _, weights = name.partition(':')
    if name.endswith('.safetensors'):
        named = _from_file(Path(name))
    elif model in list_models():
        named = _from_registry(name, model, weights or None)
    elif '.' in name and not {'/', ':'} & set(name):
        named = _from_class(name)
    else:
        known = (RELEASED, *RELEASED_NAMES, 'concept_earth:HELD_OUT', 'concept_geoclip')
        raise ValueError(
            f'No encoder {name!r}. {near_matches(name, known)} Others are models of '
            "TorchGeo's registry, safetensors files of ConceptEarth, and classes such "
            'as package.module.Class.'
        )
    _check_embeds(named)
    return named


def _from_file(file: Path) -> Named:
    if not file.is_file():
        raise FileNotFoundError(f'No file {file}.')
    encoder = ConceptEarth.load(file)
    return Named(
        file.stem,
        sha256(file),
        encoder,
        encoder.provenance.get('layers'),
        file.stat().st_size / 1e6,
    )


def _from_registry(name: str, model: str, weights: str | None) -> Named:
    member = (
        next(iter(get_model_weights(model)))
        if weights is None
        else resolve_weights(model, weights)
    )
    encoder = load_encoder(model, str(member))
    file = _weights_file(member)
    if isinstance(encoder, ConceptEarth):
        name = f'{model}:{member.name}'
    return Named(
        name,
        f'{model} {member} {sha256(file) if file else hash_state(encoder.state_dict())}',
        encoder,
        {} if model in TAUGHT_BY_IMAGES else _layers_of(encoder),
        file.stat().st_size / 1e6 if file else None,
    )


def _weights_file(member: WeightsEnum) -> Path | None:
    """Find the file of weights that were just loaded."""
    if isinstance(member, PackagedWeights | DistributionWeights):
        return member.path()
    url = urlparse(member.url)
    cached = Path(torch.hub.get_dir(), 'checkpoints', Path(url.path).name)
    return cached if cached.is_file() else None


def _from_class(path: str) -> Named:
    module, _, name = path.rpartition('.')
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError as error:
        raise ValueError(
            f'No encoder {path!r}: {error}. If it is a module of your own, put its '
            'folder on PYTHONPATH.'
        ) from error
    if found is None:
        known = vars(importlib.import_module(module))
        raise ValueError(f'{module} has no {name!r}. {near_matches(name, known)}')
    try:
        encoder = found()
    except TypeError as error:
        raise ValueError(
            f'{path} cannot be built without arguments ({error}). Write a class or '
            'function that can.'
        ) from error
    if not isinstance(encoder, nn.Module):
        raise ValueError(f'{path} makes a {type(encoder).__name__}, no torch module.')
    state = hash_state(encoder.state_dict(), f'{path} {_source_of(found)}')
    return Named(name, state, encoder.eval(), _layers_of(encoder), None)


def _source_of(found: Any) -> str:
    """Hash the code of what was found, empty if it has no file."""
    try:
        file = inspect.getsourcefile(found)
        return hashlib.sha256(Path(file or '').read_bytes()).hexdigest()
    except (TypeError, OSError):
        return ''


def _layers_of(encoder: nn.Module) -> Layers | None:
    """Return the maps that an encoder says it was taught by."""
    provenance = getattr(encoder, 'provenance', None)
    layers = provenance.get('layers') if isinstance(provenance, Mapping) else None
    return layers if isinstance(layers, Mapping) else None


def _check_embeds(named: Named) -> None:
    try:
        x = embed_points(named.encoder, torch.zeros(3, 2), device='cpu', progress=False)
    except (AttributeError, IndexError, RuntimeError, TypeError) as error:
        raise ValueError(
            f'{named.name} is no location encoder: it cannot embed points of shape '
            f'(N, 2) ({error}).'
        ) from error
    if x.ndim != 2 or len(x) != 3:
        raise ValueError(
            f'{named.name} makes {tuple(x.shape)} of 3 points; a location encoder makes '
            '(3, d).'
        )
