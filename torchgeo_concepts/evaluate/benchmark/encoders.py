# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Encoders of the benchmark, by the names that users give them."""

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
from ...models.loading import find_encoder, load_encoder
from ...utils.hashing import hash_state
from ...utils.names import near_matches

# Name that stands for all encoders of RELEASED_NAMES.
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

# Models that were trained on images and not on any map.
TRAINED_ON_IMAGES = ('geoclip_location', 'concept_geoclip', 'satclip')

# Names and versions of the maps that an encoder was trained on.
type TrainingMaps = Mapping[str, str]


@dataclass(frozen=True, eq=False)
class NamedEncoder:
    """Encoder with its name and training maps.

    Attributes:
        name: Name in tables and figures.
        identity: Text that changes whenever the weights change.
        encoder: The encoder.
        layers: Maps that it was trained on, None if unknown.
        megabytes: Size of the weights on disk, None if there are none.
    """

    name: str
    identity: str
    encoder: nn.Module
    layers: TrainingMaps | None
    megabytes: float | None


def load_named(name: str) -> NamedEncoder:
    """Load an encoder by its name.

    Args:
        name: A model of TorchGeo's registry, as ``'model'`` for its first weights or
            ``'model:weights'``; a safetensors file of this package; or the path of a
            class, such as ``'package.module.Class'``, that is called without arguments.

    Returns:
        The encoder.

    Raises:
        ValueError: If there is no such encoder, or it cannot embed points.
        FileNotFoundError: If its weights are missing.
    """
    is_file = name.endswith('.safetensors')
    if is_file or name.partition(':')[0] in list_models():
        named = _from_names(name, is_file)
    elif '.' in name and not {'/', ':'} & set(name):
        named = _from_class(name)
    else:
        known = (RELEASED, *RELEASED_NAMES, 'concept_earth:HELD_OUT', 'concept_geoclip')
        raise ValueError(
            f'No encoder {name!r}. {near_matches(name, known)} Or name a model of '
            "TorchGeo's registry, a safetensors file of this package, or a class such "
            'as package.module.Class.'
        )
    check_embeds(named.encoder, named.name)
    return named


def _from_names(name: str, is_file: bool) -> NamedEncoder:
    """Load an encoder of a safetensors file, or of the registry."""
    model, _, weights = name.partition(':')
    if is_file:
        found = find_encoder(name)
    else:
        found = find_encoder(
            model, weights or str(next(iter(get_model_weights(model))))
        )
    encoder = load_encoder(found)
    file: Path | None
    if isinstance(found.weights, Path):
        title, file, identity = found.weights.stem, found.weights, ''
    else:
        assert found.weights is not None
        # Weights of ConceptEarth differ in their training maps.
        is_earth = isinstance(encoder, ConceptEarth)
        title = f'{model}:{found.weights.name}' if is_earth else name
        file, identity = _weights_file(found.weights), f'{model} {found.weights} '
    return NamedEncoder(
        title,
        identity + (sha256(file) if file else hash_state(encoder.state_dict())),
        encoder,
        {} if not is_file and model in TRAINED_ON_IMAGES else _training_maps(encoder),
        file.stat().st_size / 1e6 if file else None,
    )


def _weights_file(member: WeightsEnum) -> Path | None:
    """Return the file of weights that were just loaded."""
    if isinstance(member, PackagedWeights | DistributionWeights):
        return member.path()
    url = urlparse(member.url)
    cached = Path(torch.hub.get_dir(), 'checkpoints', Path(url.path).name)
    return cached if cached.is_file() else None


def _from_class(path: str) -> NamedEncoder:
    module, _, name = path.rpartition('.')
    try:
        imported = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ValueError(
            f'No encoder {path!r}: {error}. If the module is your own, put its '
            'folder on PYTHONPATH.'
        ) from error
    build = getattr(imported, name, None)
    if build is None:
        hint = near_matches(name, vars(imported))
        raise ValueError(f'{module} has no {name!r}. {hint}')
    try:
        encoder = build()
    except TypeError as error:
        raise ValueError(
            f'{path} cannot be built without arguments ({error}). Write a class or '
            'function that can.'
        ) from error
    if not isinstance(encoder, nn.Module):
        raise ValueError(
            f'{path} returns a {type(encoder).__name__}; expected a torch.nn.Module.'
        )
    state = hash_state(encoder.state_dict(), f'{path} {_source_of(build)}')
    return NamedEncoder(name, state, encoder.eval(), _training_maps(encoder), None)


def _source_of(found: Any) -> str:
    """Return a hash of the file that defines a class, empty if there is none."""
    try:
        file = inspect.getsourcefile(found)
        return hashlib.sha256(Path(file or '').read_bytes()).hexdigest()
    except (TypeError, OSError):
        return ''


def _training_maps(encoder: nn.Module) -> TrainingMaps | None:
    """Return the maps that an encoder lists as its training data."""
    provenance = getattr(encoder, 'provenance', None)
    layers = provenance.get('layers') if isinstance(provenance, Mapping) else None
    return layers if isinstance(layers, Mapping) else None


def check_embeds(encoder: nn.Module, name: str) -> None:
    """Validate that a model is a location encoder, by embedding three points.

    Args:
        encoder: The model.
        name: Its name, for errors.

    Raises:
        ValueError: If it does not return embeddings of shape ``(3, d)``.
    """
    try:
        x = embed_points(encoder, torch.zeros(3, 2), device='cpu', progress=False)
    except (AttributeError, IndexError, RuntimeError, TypeError) as error:
        raise ValueError(
            f'{name} is not a location encoder: it cannot embed points of shape '
            f'(N, 2) ({error}).'
        ) from error
    if x.ndim != 2 or len(x) != 3:
        raise ValueError(
            f'{name} is not a location encoder: it returns shape {tuple(x.shape)} for 3 '
            'points; expected (3, d).'
        )
