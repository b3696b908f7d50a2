# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""The layers of published maps, by name."""

from collections.abc import Callable

from ..utils.names import check_known
from . import climate, coast, geometry, imagery, land_cover, settlements, terrain
from .base import Layer

# Builders of all layers, which take the name; building a layer reads no data.
LAYERS: dict[str, Callable[[str], Layer]] = {
    **climate.LAYERS,
    **terrain.LAYERS,
    **land_cover.LAYERS,
    **coast.LAYERS,
    **settlements.LAYERS,
    **imagery.LAYERS,
    **geometry.LAYERS,
}


def get_layer(name: str) -> Layer:
    """Return a layer by name. No data are read before the layer is called.

    Args:
        name: A key of :data:`LAYERS`.

    Returns:
        The layer.

    Raises:
        ValueError: If there is no such layer; the message lists near matches.
    """
    check_known('No layer', name, LAYERS)
    return LAYERS[name](name)
