# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Temperature and rain of the months, as ITU-R maps them and itur carries them."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from operator import methodcaller
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .base import Layer, RasterLayer, Source
from .grid import bilinear
from .rasters import read_npz
from .terrain import TOPOGRAPHY, heights

MONTHS = [
    'january',
    'february',
    'march',
    'april',
    'may',
    'june',
    'july',
    'august',
    'september',
    'october',
    'november',
    'december',
]

_TERMS = (
    'The package is under the MIT licence; ITU-R publishes its digital maps with its '
    'Recommendations, whose terms could not be verified offline.'
)

TEMPERATURE = Source(
    distribution='itur',
    files=(
        'itur/data/1510/v1_t_annual.npz',
        *(f'itur/data/1510/v1_t_month{month:02d}.npz' for month in range(1, 13)),
    ),
    terms=_TERMS,
    citation='Recommendation ITU-R P.1510-1 (2017)',
)

RAIN = Source(
    distribution='itur',
    files=tuple(f'itur/data/837/v7_mt_month{month:02d}.npz' for month in range(1, 13)),
    terms=_TERMS,
    citation='Recommendation ITU-R P.837-7 (2017)',
)

KELVIN = 273.15

# Degrees a metre in the standard atmosphere, ISO 2533:1975.
LAPSE = 0.0065

# Distance of the nodes of temperature.
NODE_DEGREES = 0.75

type Months = NDArray[np.float64]


def annual_temperature() -> NDArray[np.float64]:
    """Read the annual mean in °C on nodes 0.75° apart, north first, of shape (241, 480)."""
    return _temperature(0)


def _temperature(file: int) -> NDArray[np.float64]:
    kelvin = read_npz(TEMPERATURE.paths()[file], (241, 481))
    # South comes first, and the dateline twice.
    celsius: NDArray[np.float64] = kelvin[::-1, :-1] - KELVIN
    return celsius


def monthly_temperature() -> Months:
    """Read monthly means in °C of shape (12, 241, 480)."""
    return np.stack([_temperature(month) for month in range(1, 13)])


def monthly_rain() -> Months:
    """Read monthly sums in mm on cells of 0.25°, north first, of shape (12, 720, 1440)."""
    # South comes first, and a cell more on each side than the Earth has.
    return np.stack(
        [read_npz(path, (722, 1442))[-2:0:-1, 1:-1] for path in RAIN.paths()]
    )


def _summer(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Tell which months belong to the half-year of high sun, of shape (12, H, 1)."""
    may_to_october = np.isin(np.arange(12), range(4, 10))
    is_north = np.arange(shape[1]) < shape[1] / 2
    summer: NDArray[np.bool_] = may_to_october[:, None] == is_north[None, :]
    return summer[:, :, None]


def summer_share(rain: Months) -> NDArray[np.float64]:
    """Return the share of the year's rain that falls in the half-year of high sun."""
    total = rain.sum(axis=0)
    summer = np.where(_summer(rain.shape), rain, 0).sum(axis=0)
    return np.where(total > 1, summer / np.maximum(total, 1), np.nan)


def summer_excess(rain: Months) -> NDArray[np.float64]:
    """Return mean rain in mm a day of the half-year of high sun less that of the other."""
    # Half a year has 182.625 days.
    signed = np.where(_summer(rain.shape), rain, -rain).sum(axis=0)
    return signed / 182.625


def seasonality(rain: Months) -> NDArray[np.float64]:
    """Return Walsh and Lawler's index: 0 if months are equal, 1.83 if one has all rain."""
    total = rain.sum(axis=0)
    uneven = np.abs(rain - total / 12).sum(axis=0)
    return np.where(total > 1, uneven / np.maximum(total, 1), np.nan)


def two_seasons(rain: Months) -> NDArray[np.float64]:
    """Return the amplitude of the half-yearly wave of rain over that of the yearly one."""
    waves = np.abs(np.fft.rfft(rain, axis=0))
    return np.where(waves[0] > 1, waves[2] / np.maximum(waves[1], 1e-3), np.nan)


def de_martonne(rain: Months) -> NDArray[np.float64]:
    """Return annual rain over mean temperature plus 10, where that is warmer than -10 °C."""
    nodes = annual_temperature()
    # Centres of the cells of rain, between the nodes of temperature.
    rows, columns = rain.shape[1:]
    lon, lat = np.meshgrid(
        -180 + (np.arange(columns) + 0.5) * 360 / columns,
        90 - (np.arange(rows) + 0.5) * 180 / rows,
    )
    warmth = bilinear(nodes, lon.ravel(), lat.ravel(), 'node').reshape(rows, columns)
    cold = warmth <= -9
    return np.where(cold, np.nan, rain.sum(axis=0) / np.where(cold, 1, warmth + 10))


def _range(months: Months) -> NDArray[np.float64]:
    return months.max(axis=0) - months.min(axis=0)


def _at_least(degrees: float, months: Months) -> NDArray[np.float64]:
    return (months >= degrees).sum(axis=0).astype(np.float64)


def _below(degrees: float, months: Months) -> NDArray[np.float64]:
    return (months < degrees).sum(axis=0).astype(np.float64)


type Summary = tuple[str, str, Callable[[Months], NDArray[np.float64]]]

# What is made of the twelve months: title, unit, how.
TEMPERATURES: dict[str, Summary] = {
    'coldest-month': ('mean of the coldest month', '°C', methodcaller('min', axis=0)),
    'warmest-month': ('mean of the warmest month', '°C', methodcaller('max', axis=0)),
    'range': ('warmest less coldest month', '°C', _range),
    'months-below-0': ('months with a mean below 0 °C', 'months', partial(_below, 0)),
    'months-above-10': (
        'months with a mean of 10 °C or more',
        'months',
        partial(_at_least, 10),
    ),
}
RAINS: dict[str, Summary] = {
    'annual': ('rain of the year', 'mm', methodcaller('sum', axis=0)),
    'driest-month': ('rain of the driest month', 'mm', methodcaller('min', axis=0)),
    'wettest-month': ('rain of the wettest month', 'mm', methodcaller('max', axis=0)),
    'seasonality': ('seasonality of rain (Walsh and Lawler)', '1', seasonality),
    'summer-share': ('share of rain in the half-year of high sun', '1', summer_share),
    'summer-excess': (
        'rain of the half-year of high sun less the other',
        'mm/day',
        summer_excess,
    ),
    'two-seasons': ('half-yearly over yearly wave of rain', '1', two_seasons),
    'aridity': ('de Martonne index, rain / (temperature + 10)', 'mm/°C', de_martonne),
}


def temperature(what: str) -> Layer:
    """Return a layer of air temperature 2 m above the ground.

    Args:
        what: ``'mean'``, a month, or a key of :data:`TEMPERATURES`.
    """
    if what == 'mean':
        title, unit, make = 'annual mean', '°C', annual_temperature
    elif what in MONTHS:
        title, unit = f'mean of {what.capitalize()}', '°C'
        make = partial(_temperature, MONTHS.index(what) + 1)
    else:
        title, unit, summary = TEMPERATURES[what]
        make = partial(_summary, summary, monthly_temperature)
    return RasterLayer(
        f'temperature-{what}',
        partial(_single, make),
        registration='node',
        title=f'temperature: {title}',
        group='climate',
        unit=unit,
        resolution_km=83,
        source=TEMPERATURE,
    )


def rain(what: str) -> Layer:
    """Return a layer of rain and melted snow.

    Args:
        what: A month or a key of :data:`RAINS`.
    """
    if what in MONTHS:
        title, unit = f'rain of {what.capitalize()}', 'mm'
        make = partial(_rain_of, MONTHS.index(what))
    else:
        title, unit, summary = RAINS[what]
        make = partial(_summary, summary, monthly_rain)
    return RasterLayer(
        f'rain-{what}',
        partial(_single, make),
        title=title,
        group='climate',
        unit=unit,
        resolution_km=28,
        source=RAIN,
    )


def temperature_at_height() -> Layer:
    """Return the annual mean of air temperature, brought to the height of the place.

    The map has the temperature at the mean height of each cell of 0.75°. In between it
    falls by as much as in the standard atmosphere.
    """
    return RasterLayer(
        'temperature-at-height',
        _temperature_at_height,
        title='temperature: annual mean, brought to the height of the place',
        group='climate',
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
    nodes = annual_temperature()
    lon, lat = np.meshgrid(
        -180 + NODE_DEGREES * np.arange(nodes.shape[1]),
        90 - NODE_DEGREES * np.arange(nodes.shape[0]),
    )
    mean_height = bilinear(smooth, lon.ravel(), lat.ravel(), 'cell')
    at_sea_level = nodes + LAPSE * mean_height.reshape(nodes.shape)
    lon, lat = np.meshgrid(
        -180 + (np.arange(ground.shape[1]) + 0.5) * 360 / ground.shape[1],
        90 - (np.arange(ground.shape[0]) + 0.5) * 180 / ground.shape[0],
    )
    warmth = bilinear(at_sea_level, lon.ravel(), lat.ravel(), 'node')
    return (warmth.reshape(ground.shape) - LAPSE * ground).astype(np.float32)


def _rain_of(month: int) -> NDArray[np.float64]:
    grid = read_npz(RAIN.paths()[month], (722, 1442))
    inner: NDArray[np.float64] = grid[-2:0:-1, 1:-1]
    return inner


def _summary(
    summary: Callable[[Months], NDArray[np.float64]], read: Callable[[], Months]
) -> NDArray[np.float64]:
    return summary(read())


def _single(make: Callable[[], NDArray[Any]]) -> NDArray[np.float32]:
    return make().astype(np.float32)
