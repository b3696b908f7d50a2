# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Registration of models with TorchGeo.

TorchGeo has no public function that adds a model, so this module writes to the two
dictionaries that :func:`torchgeo.models.get_model` and related functions read.
"""

import warnings
from collections.abc import Callable
from typing import Any

import torchgeo
from torch import nn
from torchgeo.models import api
from torchvision.models._api import WeightsEnum

Builder = Callable[..., nn.Module]


def _dictionaries() -> tuple[dict[str, Any], dict[Any, Any]]:
    models = getattr(api, '_model', None)
    weights = getattr(api, '_model_weights', None)
    if not isinstance(models, dict) or not isinstance(weights, dict):
        raise ImportError(
            f'TorchGeo {torchgeo.__version__} has no torchgeo.models.api._model and '
            '_model_weights, where torchgeo-concepts adds its models. Upgrade '
            'torchgeo-concepts, or install torchgeo 0.10.'
        )
    return models, weights


def _is_ours(registered: object) -> bool:
    package = __name__.partition('.')[0]
    return getattr(registered, '__module__', '').partition('.')[0] == package


def register_model(name: str, builder: Builder, weights: type[WeightsEnum]) -> None:
    """Add a model and its weights to TorchGeo's registry.

    A second registration replaces the first. If TorchGeo itself has a model or weights
    of that name, they are kept, and a warning is issued.

    Args:
        name: Name of the model.
        builder: Function that builds the model.
        weights: Weights of the model.
    """
    models, known_weights = _dictionaries()
    if _is_ours(models.get(name, builder)) and _is_ours(
        known_weights.get(name, weights)
    ):
        models[name] = builder
        known_weights[name] = known_weights[builder] = weights
        return
    warnings.warn(
        f'TorchGeo {torchgeo.__version__} ships {name!r} itself, so get_model({name!r}) '
        f"builds TorchGeo's model. Use torchgeo_concepts.models.{name} for the model of "
        'this package.',
        stacklevel=2,
    )
