# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Location encoders for TorchGeo with named concepts.

Importing this package adds its models to TorchGeo's registry, next to TorchGeo's own. The
names below are imported when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import models as models
from .utils.version import VERSION as __version__

if TYPE_CHECKING:
    from .concepts.bank import ConceptBank
    from .datasets.point_table import PointTable
    from .embed.location_features import LocationFeatures
    from .embed.points import embed_file, embed_points
    from .evaluate.probes import ridge_probe
    from .explain.contributions import contributions
    from .geo.points import as_points
    from .layers import get_layer
    from .maps.encoder_maps import map_encoder
    from .models.features import features
    from .models.loading import load_encoder

__all__ = (
    'ConceptBank',
    'LocationFeatures',
    'PointTable',
    '__version__',
    'as_points',
    'contributions',
    'embed_file',
    'embed_points',
    'features',
    'get_layer',
    'load_encoder',
    'map_encoder',
    'ridge_probe',
)

_MODULES = {
    'ConceptBank': 'concepts.bank',
    'LocationFeatures': 'embed.location_features',
    'PointTable': 'datasets.point_table',
    'as_points': 'geo.points',
    'contributions': 'explain.contributions',
    'embed_file': 'embed.points',
    'embed_points': 'embed.points',
    'features': 'models.features',
    'get_layer': 'layers',
    'load_encoder': 'models.loading',
    'map_encoder': 'maps.encoder_maps',
    'ridge_probe': 'evaluate.probes',
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(import_module(f'.{_MODULES[name]}', __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
