# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Temperature and rain, from the monthly maps of ITU-R in the distribution itur."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from operator import methodcaller
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .base import Layer, RasterLayer, Source
from .grid import Floats, Registration, bilinear, cell_centres
from .rasters import read_npz
from .terrain import TOPOGRAPHY, heights

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

# Decrease with height in the standard atmosphere in °C per m, ISO 2533:1975.
LAPSE = 0.0065

# Distance between nodes of temperature.
NODE_DEGREES = 0.75

type Months = Floats


def _temperature(file: int) -> Floats:
    """Read a map in °C on nodes 0.75° apart, of shape (241, 480): the year, or a month."""
    kelvin = read_npz(TEMPERATURE.paths()[file], (241, 481))
    # The file begins in the south, and has the dateline twice.
    celsius: Floats = kelvin[::-1, :-1] - KELVIN
    return celsius


def _monthly_temperature() -> Months:
    return np.stack([_temperature(month) for month in range(1, 13)])


def _rain(month: int) -> Floats:
    """Read the sum of a month in mm in cells of 0.25°, of shape (720, 1440)."""
    # The file begins in the south, and has a margin of one cell on each side.
    inner: Floats = read_npz(RAIN.paths()[month], (722, 1442))[-2:0:-1, 1:-1]
    return inner


def _monthly_rain() -> Months:
    return np.stack([_rain(month) for month in range(12)])


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
    """Return Walsh and Lawler's index: 0 for equal months, 1.83 if one has all rain."""
    total = rain.sum(axis=0)
    uneven = np.abs(rain - total / 12).sum(axis=0)
    return np.where(total > 1, uneven / np.maximum(total, 1), np.nan)


def _two_seasons(rain: Months) -> Floats:
    """Return the amplitude of the half-yearly wave of rain over that of the yearly one."""
    waves = np.abs(np.fft.rfft(rain, axis=0))
    return np.where(waves[0] > 1, waves[2] / np.maximum(waves[1], 1e-3), np.nan)


def _de_martonne(rain: Months) -> Floats:
    """Return annual rain over mean temperature plus 10, above -9 °C."""
    # Cells of rain have their centres between the nodes of temperature.
    mean = _at(_temperature(0), *cell_centres(*rain.shape[1:]), 'node')
    cold = mean <= -9
    return np.where(cold, np.nan, rain.sum(axis=0) / np.where(cold, 1, mean + 10))


def _at(
    grid: Floats, lon: Floats, lat: Floats, registration: Registration
) -> NDArray[np.float32]:
    """Interpolate a grid where meridians and parallels cross."""
    lons, lats = np.meshgrid(lon, lat)
    values = bilinear(grid, lons.ravel(), lats.ravel(), registration)
    return values.reshape(lons.shape)


def _range(months: Months) -> Floats:
    return months.max(axis=0) - months.min(axis=0)


def _count_above_10(months: Months) -> Floats:
    return (months >= 10).sum(axis=0).astype(np.float64)


def _count_below_0(months: Months) -> Floats:
    return (months < 0).sum(axis=0).astype(np.float64)


_minimum, _maximum = methodcaller('min', axis=0), methodcaller('max', axis=0)

type Summary = tuple[str, str, Callable[[Months], Floats]]

# Title, unit and function of each summary of the twelve months.
TEMPERATURES: dict[str, Summary] = {
    'coldest-month': ('mean of the coldest month', '°C', _minimum),
    'warmest-month': ('mean of the warmest month', '°C', _maximum),
    'range': ('warmest less coldest month', '°C', _range),
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
        'rain of the half-year of high sun less the other',
        'mm/day',
        _summer_excess,
    ),
    'two-seasons': ('half-yearly over yearly wave of rain', '1', _two_seasons),
    'aridity': ('de Martonne index, rain / (temperature + 10)', 'mm/°C', _de_martonne),
}

_layer = partial(RasterLayer, group='climate')


def temperature(what: str) -> Layer:
    """Return a layer of air temperature 2 m above the ground.

    Args:
        what: ``'mean'``, a month, or a key of :data:`TEMPERATURES`.
    """
    read: Callable[[], Floats] = _monthly_temperature
    if what in TEMPERATURES:
        title, unit, summary = TEMPERATURES[what]
    else:
        title = 'annual mean' if what == 'mean' else f'mean of {what.capitalize()}'
        unit, summary = '°C', np.asarray
        read = partial(_temperature, ['mean', *MONTHS].index(what))
    return _layer(
        f'temperature-{what}',
        partial(_summarise, summary, read),
        registration='node',
        title=f'temperature: {title}',
        unit=unit,
        resolution_km=83,
        source=TEMPERATURE,
    )


def rain(what: str) -> Layer:
    """Return a layer of rain and melted snow.

    Args:
        what: A month or a key of :data:`RAINS`.
    """
    read: Callable[[], Floats] = _monthly_rain
    if what in RAINS:
        title, unit, summary = RAINS[what]
    else:
        title, unit, summary = f'rain of {what.capitalize()}', 'mm', np.asarray
        read = partial(_rain, MONTHS.index(what))
    make = partial(_summarise, summary, read)
    info: dict[str, Any] = {'resolution_km': 28, 'source': RAIN}
    return _layer(f'rain-{what}', make, title=title, unit=unit, **info)


def _summarise(
    summary: Callable[[Floats], Floats], read: Callable[[], Floats]
) -> NDArray[np.float32]:
    return summary(read()).astype(np.float32)


def temperature_at_height() -> Layer:
    """Return the layer of the annual mean temperature at the height of the place.

    The map has the temperature at the mean height of each cell of 0.75°. Within a cell,
    temperature decreases with height as in the standard atmosphere.
    """
    return _layer(
        'temperature-at-height',
        _temperature_at_height,
        title='temperature: annual mean, brought to the height of the place',
        unit='°C',
        resolution_km=9.3,
        source=replace(
            TEMPERATURE,
            files=(*TEMPERATURE.files, *TOPOGRAPHY.files),
            citation=f'{TEMPERATURE.citation}, {TOPOGRAPHY.citation}',
        ),
    )


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
