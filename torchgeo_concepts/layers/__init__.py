# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Layers: global maps that label points with concepts.

:func:`get_layer` returns layers of published maps by name. :class:`FileLayer` and
:class:`PolygonLayer` are layers of your own files.
"""

from .base import GROUPS, Layer, RasterLayer
from .files import FileLayer, PolygonLayer
from .grounding import Groundings, load_groundings
from .registry import LAYERS, get_layer

__all__ = (
    'GROUPS',
    'LAYERS',
    'FileLayer',
    'Groundings',
    'Layer',
    'PolygonLayer',
    'RasterLayer',
    'get_layer',
    'load_groundings',
)
