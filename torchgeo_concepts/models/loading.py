# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Location encoders by name, as in configurations and on command lines."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from torch import nn
from torchgeo.models import get_model, get_model_weights, list_models
from torchvision.models._api import WeightsEnum

from ..utils.names import check_known, near_matches
from ._weights import DistributionWeights
from .concept_earth import ConceptEarth
from .concept_geoclip import ConceptGeoCLIP
from .concept_model import ConceptModel, read_metadata

# Defaults of all commands and tasks.
DEFAULT_MODEL = 'concept_earth'
DEFAULT_WEIGHTS = 'ConceptEarth_Weights.GROUNDED'

# Models that files of this package can contain, by the name in the metadata.
CONCEPT_MODELS: dict[str, type[ConceptModel]] = {
    model.model_name: model for model in (ConceptEarth, ConceptGeoCLIP)
}


@dataclass(frozen=True)
class EncoderName:
    """Model and weights, found by their names.

    Attributes:
        model: Name of the model in TorchGeo's registry.
        weights: Its weights, a safetensors file of this package, or None for random
            weights.
    """

    model: str
    weights: WeightsEnum | Path | None

    @property
    def weights_name(self) -> str:
        """Name of the weights, for reports and metadata."""
        if isinstance(self.weights, Path):
            return self.weights.name
        return 'random' if self.weights is None else str(self.weights)


def resolve_weights(model: str, weights: str) -> WeightsEnum:
    """Find the weights of a registered model by their name.

    Args:
        model: Name of the model.
        weights: Full name of the weights, such as ``GeoCLIPLocation_Weights.MP16``, or
            of the member alone.

    Returns:
        The weights.

    Raises:
        ValueError: If there is no such model or there are no such weights; the
            message lists near matches.
    """
    check_known('No model', model, list_models())
    try:
        known = list(get_model_weights(model))
    except KeyError:
        raise ValueError(f'{model} has no pre-trained weights.') from None
    for member in known:
        if weights in (str(member), member.name):
            return member
    hint = near_matches(weights, map(str, known))
    raise ValueError(f'{model} has no weights {weights!r}. {hint}')


def find_encoder(
    model: str | Path = DEFAULT_MODEL, weights: str | Path | None = DEFAULT_WEIGHTS
) -> EncoderName:
    """Find a model and its weights by their names.

    Args:
        model: Name of a model in TorchGeo's registry, or a safetensors file of this
            package, which holds model and weights.
        weights: Name of the weights, a safetensors file of this package, or None for
            random weights.

    Returns:
        The model and its weights.

    Raises:
        ValueError: If there is no such model or weights, or the file holds another
            model; the message lists near matches.
        FileNotFoundError: If there is no such file.
    """
    if Path(model).suffix == '.safetensors':
        if weights not in (None, DEFAULT_WEIGHTS):
            raise ValueError(f'{model} contains its own weights. Leave out weights.')
        return EncoderName(_model_in(Path(model)), Path(model))
    model = str(model)
    if weights is None:
        check_known('No model', model, list_models())
        return EncoderName(model, None)
    if Path(weights).suffix == '.safetensors':
        held = _model_in(Path(weights))
        if held != model:
            raise ValueError(f'{weights} contains {held} weights. Pass model={held!r}.')
        return EncoderName(model, Path(weights))
    return EncoderName(model, resolve_weights(model, str(weights)))


def load_encoder(
    model: str | Path | EncoderName = DEFAULT_MODEL,
    weights: str | Path | None = DEFAULT_WEIGHTS,
    *,
    truncate_dim: int | None = None,
    download: bool = False,
    **kwargs: Any,
) -> nn.Module:
    """Load a location encoder, of this package or of TorchGeo.

    Args:
        model: Name of a model in TorchGeo's registry, a safetensors file of this
            package, or the result of :func:`find_encoder`.
        weights: Name of the weights, a safetensors file of this package, or None for
            random weights.
        truncate_dim: Number of principal components of the embedding to return, for
            models that have them; see :meth:`ConceptEarth.truncate`.
        download: Download the weights if they are not on this machine.
        **kwargs: Arguments of a model with random weights.

    Returns:
        The encoder, in eval mode unless its weights are random.

    Raises:
        ValueError: If there is no such model or weights, or the model cannot be
            truncated; the message lists near matches.
        FileNotFoundError: If the weights are not on this machine and *download* is
            false.
    """
    name = model if isinstance(model, EncoderName) else find_encoder(model, weights)
    if name.weights is not None and kwargs:
        raise ValueError(
            f'The weights determine {sorted(kwargs)}; leave them out, or pass '
            'weights=None to start from random weights.'
        )
    encoder = _load(name, download, kwargs)
    if truncate_dim is None:
        return encoder
    if not isinstance(encoder, ConceptEarth):
        raise ValueError(f'{name.model} cannot be truncated; leave out truncate_dim.')
    return encoder.truncate(truncate_dim)


def _load(name: EncoderName, download: bool, kwargs: dict[str, Any]) -> nn.Module:
    member = name.weights
    if member is None:
        encoder: nn.Module = get_model(name.model, **kwargs)
        return encoder
    if isinstance(member, Path):
        return CONCEPT_MODELS[name.model].load(member)
    if isinstance(member, DistributionWeights):
        encoder = get_model(name.model, weights=member, download=download)
        return encoder.eval()
    url = urlparse(member.url)
    cached = Path(torch.hub.get_dir(), 'checkpoints', Path(url.path).name)
    # TorchGeo's builders download without asking, unless the file is there.
    if url.scheme != 'file' and not download and not cached.is_file():
        raise FileNotFoundError(
            f'{member} is not on this machine. Pass download=True to fetch '
            f'{member.url}.'
        )
    encoder = get_model(name.model, weights=member)
    return encoder.eval()


def _model_in(path: Path) -> str:
    """Return the name of the model that a file holds."""
    name = read_metadata(path).get('model', '')
    if name not in CONCEPT_MODELS:
        known = ' or '.join(CONCEPT_MODELS)
        raise ValueError(f'The metadata of {path} must name its model, {known}.')
    return name
