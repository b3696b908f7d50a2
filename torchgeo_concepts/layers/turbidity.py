# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Linke turbidity, which measures how haze and dust dim the sun, from pvlib."""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .base import Layer, RasterLayer, Source
from .rasters import read_raster

LINKE = Source(
    distribution='pvlib',
    files=('pvlib/data/LinkeTurbidities.h5',),
    terms='The package is under BSD-3-Clause; terms of the SoDa maps that it carries '
    'could not be verified offline.',
    citation='Remund, Wald, Lefèvre, Ranchin and Page (2003), Worldwide Linke turbidity '
    'information',
)


def turbidity(which: str) -> Layer:
    """Return the layer of the Linke turbidity of the clear sky, about 2 in clean air.

    Args:
        which: ``'mean'`` or ``'maximum'`` of the months.
    """
    return RasterLayer(
        f'turbidity-{which}',
        partial(_read, which),
        title=f'Linke turbidity, {which} of the months',
        group='climate',
        unit='1',
        resolution_km=9.3,
        source=LINKE,
    )


def _read(which: str) -> NDArray[Any]:
    # GDAL reads the last axis, months, as columns. Values are 20 times the turbidity.
    months = read_raster(LINKE.paths()[0], (2160, 4320, 12))
    if which == 'mean':
        return (months.sum(axis=2, dtype=np.float32) / 240).astype(np.float16)
    return (months.max(axis=2) / np.float32(20)).astype(np.float16)
