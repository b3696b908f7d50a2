# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.transform import from_origin
from shapely.geometry import MultiPolygon, Point, Polygon, box

from torchgeo_concepts.layers import FileLayer, PolygonLayer, RasterLayer, files
from torchgeo_concepts.layers.grounding import load_groundings


def write(path: Path, array: NDArray[Any], transform: Any, **profile: Any) -> Path:
    height, width = array.shape
    with rasterio.open(
        path,
        'w',
        driver='GTiff',
        height=height,
        width=width,
        count=1,
        dtype=array.dtype,
        transform=transform,
        **profile,
    ) as file:
        file.write(array, 1)
    return path


@pytest.fixture
def utm(tmp_path: Path) -> Path:
    """A raster of 100 m in UTM zone 33N whose values are eastings in km."""
    east = 400_000 + (np.arange(300) + 0.5) * 100
    values = np.repeat(east[None] / 1000, 200, axis=0).astype(np.float32)
    values[50:60, 50:60] = -9999
    transform = from_origin(400_000, 5_200_000, 100, 100)
    return write(tmp_path / 'utm.tif', values, transform, crs=32633, nodata=-9999)


def lonlat(x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.float64]:
    lon, lat = Transformer.from_crs(32633, 4326, always_xy=True).transform(x, y)
    return np.stack((lon, lat), axis=1)


class TestFileLayer:
    def test_raster_in_metres(self, utm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        layer = FileLayer(utm, name='easting', unit='km')
        generator = np.random.default_rng(0)
        x = generator.uniform(407_000, 429_900, 500)
        y = generator.uniform(5_180_100, 5_193_000, 500)
        values = layer(lonlat(x, y))
        np.testing.assert_allclose(values, x / 1000, atol=1e-3)
        monkeypatch.setattr(files, 'TILE', 16)
        np.testing.assert_array_equal(layer(lonlat(x, y)), values)
        assert layer.resolution_km == pytest.approx(0.1)
        assert layer.version.startswith('utm.tif ')

    def test_outside_and_without_data_is_unknown(self, utm: Path) -> None:
        layer = FileLayer(utm, name='easting', unit='km')
        x = np.array([405_500, 399_900, 410_000, 430_010])
        y = np.array([5_194_500, 5_190_000, 5_200_010, 5_190_000])
        assert np.isnan(layer(lonlat(x, y))).all()
        assert np.isnan(layer([[-100, -40], [15, 90]])).all()
        edge = layer(lonlat(np.array([400_010]), np.array([5_190_000])))
        assert edge == pytest.approx(400.05)

    def test_classes_are_never_interpolated(self, tmp_path: Path) -> None:
        codes = np.array([[1, 5], [5, 1]], dtype=np.uint8)
        file = write(tmp_path / 'c.tif', codes, from_origin(0, 2, 1, 1), crs=4326)
        layer = FileLayer(file, name='cover', classes={1: 'rice', 5: 'maize'})
        points = np.random.default_rng(0).uniform(0, 2, (100, 2))
        assert set(layer(points)) == {1, 5}
        assert layer([[2, 0], [0, 2]]).tolist() == [1, 1]

    def test_scale_and_offset_are_applied(self, tmp_path: Path) -> None:
        file = write(
            tmp_path / 's.tif',
            np.full((2, 2), 10, dtype=np.int16),
            from_origin(0, 2, 1, 1),
            crs=4326,
        )
        with rasterio.open(file, 'r+') as raster:
            raster.scales, raster.offsets = (0.5,), (1.0,)
        assert FileLayer(file, name='a', unit='m')([[1, 1]]) == 6

    def test_longitudes_may_count_from_zero(self, tmp_path: Path) -> None:
        lon = (np.arange(360, dtype=np.float32) + 0.5)[None].repeat(180, axis=0)
        file = write(tmp_path / 'g.tif', lon, from_origin(0, 90, 1, 1), crs=4326)
        layer = FileLayer(file, name='lon', unit='degree')
        np.testing.assert_allclose(layer([[-90, 0], [90, 0]]), [270, 90])

    @pytest.mark.parametrize('west', [-180, 0])
    def test_no_seam_at_the_dateline_and_the_poles(
        self, tmp_path: Path, west: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        grid = np.random.default_rng(0).normal(size=(18, 36)).astype(np.float32)
        turned = np.roll(grid, west // 10 - 18, axis=1)
        file = write(
            tmp_path / 'g.tif', turned, from_origin(west, 90, 10, 10), crs=4326
        )
        layer = FileLayer(file, name='g', unit='m')
        whole = RasterLayer('w', lambda: grid, unit='m')
        seams = [[180, 3], [179.9999, 3], [-179.9999, 3], [0.0001, 3], [-0.0001, 3]]
        poles = [[50, 89.9999], [-130, 89.9999], [50, -89.9999], [-130, -89.9999]]
        random = np.random.default_rng(1).uniform((-180, -90), (180, 90), (500, 2))
        points = np.array([*seams, *poles, *random, [0, 90], [0, -90]])
        np.testing.assert_allclose(layer(points), whole(points), atol=1e-5)
        values = layer(points)
        assert np.ptp(values[:3]) < 1e-4
        assert np.ptp(values[3:5]) < 1e-4
        assert np.ptp(values[5:7]) < 1e-4
        assert np.ptp(values[7:9]) < 1e-4
        monkeypatch.setattr(files, 'TILE', 5)
        np.testing.assert_array_equal(layer(points), values)

    def test_rounded_steps_go_around_as_well(self, tmp_path: Path) -> None:
        grid = np.arange(8, dtype=np.float32)[None].repeat(4, axis=0)
        steps = from_origin(-180, 90, 44.99, 44.99)
        layer = FileLayer(
            write(tmp_path / 'g.tif', grid, steps, crs=4326), name='g', unit='m'
        )
        values = layer([[179.99, 0], [180, 0], [-180, 0], [0, -89.99]])
        np.testing.assert_allclose(values[:3], 3.5, atol=1e-2)
        assert values[3] == pytest.approx(3.5, abs=1e-2)

    def test_raster_of_a_part_does_not_go_around(self, tmp_path: Path) -> None:
        grid = np.arange(4, dtype=np.float32)[None].repeat(2, axis=0)
        file = write(tmp_path / 'g.tif', grid, from_origin(176, 2, 1, 1), crs=4326)
        layer = FileLayer(file, name='g', unit='m')
        np.testing.assert_allclose(
            layer([[179.9, 1], [176.1, 1], [-179, 1]]), [3, 0, np.nan]
        )

    def test_version_tells_bands_and_contents_apart(self, tmp_path: Path) -> None:
        path = tmp_path / 'b.tif'
        with rasterio.open(
            path,
            'w',
            driver='GTiff',
            height=2,
            width=2,
            count=2,
            dtype='uint8',
            crs=4326,
            transform=from_origin(0, 2, 1, 1),
        ) as file:
            file.write(np.zeros((2, 2, 2), np.uint8))
        first, second = (FileLayer(path, 'a', unit='m', band=x) for x in (1, 2))
        assert first.version != second.version
        copy = path.with_name('copy')
        copy.mkdir()
        (copy / 'b.tif').write_bytes(path.read_bytes())
        same = FileLayer(copy / 'b.tif', 'a', unit='m')
        before = first.version
        assert same.version == before
        content = bytearray(path.read_bytes())
        content[-1] += 1
        path.write_bytes(content)
        assert path.stat().st_size == len(content)
        assert first.version != before

    def test_points_without_a_place_in_the_projection(self, utm: Path) -> None:
        generator = np.random.default_rng(0)
        points = generator.uniform((-180, -90), (180, 90), (20_000, 2))
        assert np.isnan(FileLayer(utm, name='a', unit='km')(points)).all()

    def test_what_is_wrong_is_said(self, utm: Path, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="No group 'peple'. Did you mean 'people'"):
            FileLayer(utm, name='a', unit='m', group='peple')
        with pytest.raises(ValueError, match='has no band 2: it has 1'):
            FileLayer(utm, name='a', unit='m', band=2)
        with pytest.raises(ValueError, match='cannot be read as a raster'):
            FileLayer(tmp_path / 'none.tif', name='a', unit='m')
        plain = write(
            tmp_path / 'p.tif', np.zeros((2, 2), np.uint8), from_origin(0, 2, 1, 1)
        )
        with pytest.raises(ValueError, match='have no CRS'):
            FileLayer(plain, name='a', unit='m')
        assert FileLayer(plain, name='a', unit='m', crs=4326)([[1, 1]]) == 0

    def test_corrupt_raster(self, utm: Path) -> None:
        layer = FileLayer(utm, name='a', unit='m')
        content = utm.read_bytes()
        utm.write_bytes(content[: len(content) // 4])
        with pytest.raises(ValueError, match='is damaged'):
            layer(lonlat(np.array([420_000]), np.array([5_181_000])))


class TestPolygonLayer:
    def save(self, path: Path, crs: Any = 4326, **columns: Any) -> Path:
        gpd.GeoDataFrame(columns, crs=crs).to_file(path)
        return path

    def test_inside_is_1(self, tmp_path: Path) -> None:
        file = self.save(tmp_path / 'a.gpkg', geometry=[box(0, 0, 10, 10)])
        layer = PolygonLayer(file, name='a')
        assert layer([[5, 5], [11, 5], [10, 5]]).tolist() == [1, 0, 1]
        unknown = PolygonLayer(file, name='a', outside=np.nan)([[5, 5], [11, 5]])
        np.testing.assert_array_equal(unknown, [1, np.nan])

    def test_polygons_across_the_dateline(self, tmp_path: Path) -> None:
        split = MultiPolygon([box(170, -20, 180, -10), box(-180, -20, -170, -10)])
        beyond = box(170, 10, 190, 20)
        file = self.save(tmp_path / 'a.gpkg', geometry=[split, beyond])
        layer = PolygonLayer(file, name='a')
        lons = np.array([169, 171, 179.99, 180, -180, -179.99, -171, -169])
        for lat in (-15, 15):
            points = np.stack((lons, np.full(8, lat)), axis=1)
            assert layer(points).tolist() == [0, 1, 1, 1, 1, 1, 1, 0], lat

    def test_values_and_other_crs(self, tmp_path: Path) -> None:
        shapes = [Point(0, 0).buffer(1e5), Point(0, 5e5).buffer(1e5)]
        file = self.save(tmp_path / 'a.gpkg', crs=3857, geometry=shapes, d=[2.5, 7.0])
        layer = PolygonLayer(file, name='a', column='d', unit='m')
        values = layer([[0, 0], [0, 4.5], [30, 30]])
        np.testing.assert_array_equal(values, [2.5, 7, np.nan])

    def test_names_become_classes(self, tmp_path: Path) -> None:
        shapes = [box(0, 0, 1, 1), box(1, 0, 2, 1), box(2, 0, 3, 1)]
        file = self.save(tmp_path / 'a.gpkg', geometry=shapes, n=['b', 'a', None])
        layer = PolygonLayer(file, name='soil', column='n')
        assert layer.classes == {1: 'a', 2: 'b'}
        values = layer([[0.5, 0.5], [1.5, 0.5], [2.5, 0.5], [9, 9]])
        np.testing.assert_array_equal(values, [2, 1, np.nan, np.nan])

    def test_first_of_several_polygons_counts(self, tmp_path: Path) -> None:
        shapes = [box(0, 0, 2, 2), box(1, 1, 3, 3)]
        file = self.save(tmp_path / 'a.gpkg', geometry=shapes, n=[1, 2])
        layer = PolygonLayer(file, name='a', column='n')
        assert layer([[1.5, 1.5], [2.5, 2.5]]).tolist() == [1, 2]

    def test_version_tells_what_was_read(self, tmp_path: Path) -> None:
        shapes = [box(0, 0, 1, 1), box(1, 0, 2, 1)]
        file = self.save(tmp_path / 'a.shp', geometry=shapes, m=[1, 2], n=[2, 1])
        options: list[dict[str, Any]] = [
            {},
            {'column': 'm', 'unit': 'm'},
            {'column': 'n', 'unit': 'm'},
            {'column': 'n', 'unit': 'm', 'outside': 0},
        ]
        before = [PolygonLayer(file, 'a', **option).version for option in options]
        assert len(set(before)) == 4
        assert before == [PolygonLayer(file, 'a', **x).version for x in options]
        size = file.stat().st_size
        self.save(file, geometry=shapes, m=[1, 3], n=[2, 1])
        assert file.stat().st_size == size
        after = [PolygonLayer(file, 'a', **option).version for option in options]
        changed = [old != new for old, new in zip(before, after, strict=True)]
        assert changed == [False, True, False, False]

    def test_what_is_wrong_is_said(self, tmp_path: Path) -> None:
        file = self.save(tmp_path / 'a.gpkg', geometry=[box(0, 0, 1, 1)], height=[1])
        with pytest.raises(ValueError, match="'Bad Name' .*Did you mean 'bad-name'"):
            PolygonLayer(file, name='Bad Name')
        with pytest.raises(ValueError, match='joined by hyphens.$'):
            PolygonLayer(file, name='')
        with pytest.raises(ValueError, match="No group 'mine'. Known names: 'climate'"):
            PolygonLayer(file, name='a', group='mine')
        with pytest.raises(
            ValueError, match="no column 'hight'. Did you mean 'height'"
        ):
            PolygonLayer(file, name='a', column='hight', unit='m')
        with pytest.raises(ValueError, match='cannot be read as polygons'):
            PolygonLayer(tmp_path / 'none.gpkg', name='a')
        points = self.save(tmp_path / 'p.gpkg', geometry=[Point(0, 0)])
        with pytest.raises(ValueError, match='has no polygons'):
            PolygonLayer(points, name='a')


class TestOwnConcepts:
    def test_a_layer_adds_what_it_measures(self, tmp_path: Path) -> None:
        lat = (90 - np.arange(180) - 0.5)[:, None].repeat(360, axis=1)
        file = write(
            tmp_path / 'l.tif',
            lat.astype(np.float32),
            from_origin(-180, 90, 1, 1),
            crs=4326,
        )
        grounding = load_groundings(layers=[FileLayer(file, name='warmth', unit='°C')])
        assert grounding.bank['warmth'].unit == '°C'
        assert grounding.units == ('°C',)
        assert grounding.labels([[3, 47.25]]).item() == pytest.approx(47.25)
        assert grounding.versions['warmth'].startswith('l.tif ')

    def test_local_layers_are_kept(self, tmp_path: Path, utm: Path) -> None:
        city = gpd.GeoDataFrame(geometry=[box(13.2, 52.4, 13.6, 52.6)], crs=4326)
        city.to_crs(32633).to_file(tmp_path / 'city.gpkg')
        layers = [
            FileLayer(utm, name='easting', unit='km'),
            PolygonLayer(tmp_path / 'city.gpkg', name='berlin'),
        ]
        grounding = load_groundings(layers=layers, probes=1000)
        assert grounding.bank.ids == ('easting', 'berlin')
        report = grounding.report.set_index('concept')
        # Shares are those of the Earth, limits those of the layer.
        assert report.loc['berlin', 'share'] == 0
        assert report.loc['easting', 'known'] == 0
        limits = report.loc[['easting'], ['low', 'high']].to_numpy(np.float64)
        np.testing.assert_allclose(limits, [[400, 430]], atol=1)

    def test_local_layer_without_contrast_is_dropped_aloud(
        self, tmp_path: Path
    ) -> None:
        file = tmp_path / 'city.gpkg'
        gpd.GeoDataFrame(geometry=[box(13.2, 52.4, 13.6, 52.6)], crs=4326).to_file(file)
        layer = PolygonLayer(file, name='berlin', outside=np.nan)
        with pytest.warns(
            UserWarning, match="'berlin': it holds at 4,096 of 4,096 .* l"
        ):
            assert len(load_groundings(layers=[layer], probes=1000)) == 0

    def test_classes_add_a_concept_each(self, tmp_path: Path) -> None:
        shapes = [Polygon([(-60, -60), (60, -60), (0, 60)]), box(100, -50, 160, 50)]
        frame = gpd.GeoDataFrame({'n': ['sand', 'clay']}, geometry=shapes, crs=4326)
        frame.to_file(tmp_path / 'soil.gpkg')
        layer = PolygonLayer(tmp_path / 'soil.gpkg', name='soil', column='n')
        grounding = load_groundings(layers=[layer])
        assert grounding.bank.ids == ('soil-clay', 'soil-sand')
        labels = grounding.labels([[0, 0], [120, 0], [-120, 0]])
        np.testing.assert_array_equal(labels, [[0, 1], [1, 0], [np.nan, np.nan]])
