# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""The layers of published maps, by name."""

from collections.abc import Callable
from functools import partial

from ..utils.names import check_known
from .base import Layer
from .coast import LandMask, LandmassLayer, distance_to_coast, inland_distance
from .geometry import FORMULAS, formula
from .imagery import blue_marble, shaded_relief
from .koppen import koppen_geiger
from .land_cover import KINDS, igbp, land_cover_share, ndvi
from .population import KERNEL_ROWS, population, population_density, settlement_count
from .settlements import continent, country, distance_to_megacity, distance_to_place
from .terrain import coarse_elevation, elevation, relative_height, relief, slope
from .turbidity import turbidity
from .weather import (
    MONTHS,
    RAINS,
    TEMPERATURES,
    rain,
    temperature,
    temperature_at_height,
)

# Minimum number of inhabitants of the places that layers measure the distance to.
PLACES = {
    'distance-to-settlement': 500,
    'distance-to-town': 15_000,
    'distance-to-city': 100_000,
    'distance-to-metropolis': 1_000_000,
}

# Builders of all layers; building a layer reads no data.
LAYERS: dict[str, Callable[[], Layer]] = {
    'koppen-geiger': koppen_geiger,
    **{
        f'temperature-{what}': partial(temperature, what)
        for what in ('mean', *TEMPERATURES, *MONTHS)
    },
    'temperature-at-height': temperature_at_height,
    **{f'rain-{what}': partial(rain, what) for what in (*RAINS, *MONTHS)},
    'turbidity-mean': partial(turbidity, 'mean'),
    'turbidity-maximum': partial(turbidity, 'maximum'),
    'elevation': elevation,
    'elevation-mapzen': coarse_elevation,
    'relief-25-km': partial(relief, 25),
    'relief-100-km': partial(relief, 100),
    'height-above-25-km': partial(relative_height, 25),
    'height-above-100-km': partial(relative_height, 100),
    'slope': slope,
    'igbp': igbp,
    **{f'{kind}-share-25-km': partial(land_cover_share, kind) for kind in KINDS},
    'ndvi-maximum': partial(ndvi, 'maximum'),
    'ndvi-minimum': partial(ndvi, 'minimum'),
    'land': LandMask,
    'distance-to-coast': distance_to_coast,
    'inland-distance': inland_distance,
    'landmass-area': LandmassLayer,
    **{name: partial(distance_to_place, name, size) for name, size in PLACES.items()},
    'distance-to-megacity': distance_to_megacity,
    **{f'population-{km}-km': partial(population, km) for km in KERNEL_ROWS},
    'population-density': population_density,
    'settlements-25-km': partial(settlement_count, 25),
    'country': country,
    'continent': continent,
    **{
        f'blue-marble-{what}': partial(blue_marble, what)
        for what in ('brightness', 'greenness', 'redness')
    },
    'shaded-relief': shaded_relief,
    **{name: partial(formula, name) for name in FORMULAS},
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
    return LAYERS[name]()
