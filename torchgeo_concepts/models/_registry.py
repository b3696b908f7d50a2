# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""The one place that touches TorchGeo's model registry.

TorchGeo has no public call that adds a model, so this adds to the two dictionaries
behind :func:`torchgeo.models.get_model` and its neighbours.
"""

import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torchgeo
from torch import nn
from torchgeo.models import api
from torchvision.models._api import WeightsEnum

Builder = Callable[..., nn.Module]


def _dictionaries(module: ModuleType) -> tuple[dict[str, Any], dict[Any, Any]]:
    models = getattr(module, '_model', None)
    weights = getattr(module, '_model_weights', None)
    if not isinstance(models, dict) or not isinstance(weights, dict):
        raise ImportError(
            f'TorchGeo {torchgeo.__version__} keeps its models elsewhere than '
            'torchgeo.models.api._model and _model_weights, where torchgeo-concepts '
            'adds its own. Upgrade torchgeo-concepts, or install torchgeo 0.10.'
        )
    return models, weights


def _is_ours(registered: object) -> bool:
    package = __name__.partition('.')[0]
    return getattr(registered, '__module__', '').partition('.')[0] == package


def find_builder(name: str) -> Builder:
    """Find the function that builds a registered model.

    Args:
        name: Name of the model.

    Returns:
        The builder.
    """
    known_models, _ = _dictionaries(api)
    builder: Builder = known_models[name]
    return builder


def register_weights(name: str, weights: type[WeightsEnum]) -> bool:
    """Make weights known to ``get_weight`` and ``get_model_weights``.

    Args:
        name: Name under which ``get_model_weights`` finds them.
        weights: The weights.

    Returns:
        False, with a warning, if TorchGeo has weights of that name of its own.
    """
    _, known_weights = _dictionaries(api)
    if not _is_ours(known_weights.get(name, weights)):
        _warn_taken(name)
        return False
    known_weights[name] = weights
    return True


def register_model(name: str, builder: Builder, weights: type[WeightsEnum]) -> bool:
    """Add a model and its weights to TorchGeo's registry.

    Registering again replaces what this package registered before. A model of that
    name that TorchGeo ships is left alone.

    Args:
        name: Name of the model.
        builder: Function that builds it.
        weights: Its weights.

    Returns:
        False, with a warning, if TorchGeo has a model of that name of its own.
    """
    known_models, known_weights = _dictionaries(api)
    if not _is_ours(known_models.get(name, builder)):
        _warn_taken(name)
        return False
    if not register_weights(name, weights):
        return False
    known_models[name] = builder
    known_weights[builder] = weights
    return True


def _warn_taken(name: str) -> None:
    warnings.warn(
        f'TorchGeo {torchgeo.__version__} ships {name!r} itself, so get_model({name!r})'
        f' builds its model. That of torchgeo-concepts is torchgeo_concepts.models.'
        f'{name}.',
        stacklevel=3,
    )
