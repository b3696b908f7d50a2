# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer
from rasterio.windows import Window

from torchgeo_concepts.geo.raster_grid import RasterGrid

ORTHO = '+proj=ortho +lat_0=30 +lon_0=10'


class TestGeographic:
    def test_whole_earth(self) -> None:
        grid = RasterGrid.over()
        assert (grid.width, grid.height) == (720, 360)
        assert grid.extent == (-180, -90, 180, 90)

    def test_longer_side(self) -> None:
        grid = RasterGrid.over((0, 0, 10, 40))
        assert (grid.width, grid.height) == (180, 720)

    def test_points_are_centres_from_the_top_left(self) -> None:
        grid = RasterGrid.over((10, 40, 14, 42), width=4)
        points, on_earth = grid.points()
        assert on_earth.all()
        np.testing.assert_allclose(points[0], (10.5, 41.5))
        np.testing.assert_allclose(points[3], (13.5, 41.5))
        np.testing.assert_allclose(points[-1], (13.5, 40.5))

    def test_antimeridian(self) -> None:
        grid = RasterGrid.over((170, -25, -170, -15), resolution=5)
        np.testing.assert_array_equal(grid.extent, (170, -25, 190, -15))
        points, on_earth = grid.points()
        assert on_earth.all()
        np.testing.assert_allclose(points[:4, 0], (172.5, 177.5, 182.5, 187.5))
        assert grid.contains(points).all()

    def test_resolution_is_kept_and_covers_the_area(self) -> None:
        grid = RasterGrid.over((0, 0, 1, 1), resolution=0.3)
        assert (grid.width, grid.height) == (4, 4)
        assert grid.transform.a == 0.3
        assert RasterGrid.over((0, 0, 0.3, 0.1), resolution=0.1).width == 3

    def test_beyond_a_pole_is_not_on_earth(self) -> None:
        _, on_earth = RasterGrid.over((0, -90, 10, 90), resolution=150).points()
        assert on_earth.tolist() == [True, False]

    def test_one_pixel(self) -> None:
        grid = RasterGrid.over(width=1)
        assert (grid.width, grid.height) == (1, 1)
        points, on_earth = grid.points()
        assert points.tolist() == [[0, 0]]
        assert on_earth.all()

    def test_another_datum(self) -> None:
        points, _ = RasterGrid.over((-100, 40, -99, 41), 'EPSG:4267', width=1).points()
        distance = np.abs(points[0] - (-99.5, 40.5))
        assert 1e-7 < distance.max() < 1e-2


class TestProjected:
    def test_equal_area(self) -> None:
        grid = RasterGrid.over(None, 'EPSG:6933', width=60)
        west, south, east, north = grid.extent
        np.testing.assert_allclose((west, east), (-17367530.45, 17367530.45), atol=0.01)
        assert south == pytest.approx(-north)
        points, on_earth = grid.points()
        assert on_earth.all()
        lat = points[:: grid.width, 1]
        widths = np.diff(np.sin(np.deg2rad(lat)))
        np.testing.assert_allclose(widths, widths[0], rtol=0.02)

    @pytest.mark.parametrize(
        'crs', ['EPSG:6933', 'EPSG:32632', 'EPSG:3035', 'EPSG:3031']
    )
    def test_points_are_centres_of_pixels(self, crs: str) -> None:
        grid = RasterGrid.over(None, crs, width=7)
        points, on_earth = grid.points()
        assert on_earth.all()
        to_crs = Transformer.from_crs('EPSG:4326', crs, always_xy=True)
        x, y = to_crs.transform(*points.T)
        west, _, _, north = grid.extent
        column, row = np.meshgrid(np.arange(grid.width), np.arange(grid.height))
        size_x, size_y = grid.transform.a, -grid.transform.e
        np.testing.assert_allclose((x - west) / size_x, column.ravel() + 0.5, atol=1e-4)
        np.testing.assert_allclose((north - y) / size_y, row.ravel() + 0.5, atol=1e-4)

    @pytest.mark.parametrize(
        ('crs', 'share'),
        [
            ('ESRI:54009', np.pi / 4),
            (ORTHO, np.pi / 4),
            ('ESRI:54008', 2 / np.pi),
            ('ESRI:54030', 0.873),
        ],
    )
    def test_pixels_off_the_earth(self, crs: str, share: float) -> None:
        grid = RasterGrid.over(None, crs, width=200)
        points, on_earth = grid.points()
        assert on_earth.mean() == pytest.approx(share, abs=0.01)
        corners = np.array([0, grid.width - 1, -grid.width, -1])
        assert not on_earth[corners].any()
        assert np.isfinite(points[on_earth]).all()
        assert grid.contains(points[on_earth]).all()

    def test_far_side_is_not_on_the_grid(self) -> None:
        grid = RasterGrid.over(None, ORTHO, width=10)
        assert grid.contains(np.array([[10.0, 30], [-170, -30]])).tolist() == [
            True,
            False,
        ]

    def test_pole_in_the_middle(self) -> None:
        grid = RasterGrid.over((-180, 60, 180, 90), 'EPSG:3413', width=5)
        points, on_earth = grid.points()
        assert on_earth.all()
        assert points[12, 1] == pytest.approx(90)

    def test_antimeridian_in_a_crs_of_the_pacific(self) -> None:
        grid = RasterGrid.over((170, -25, -170, -15), 'EPSG:3832', width=4)
        points, _ = grid.points()
        np.testing.assert_allclose(points[:4, 0], (172.5, 177.5, -177.5, -172.5))


def test_windows_are_the_whole() -> None:
    grid = RasterGrid.over(None, 'ESRI:54009', width=50)
    points, on_earth = grid.points()
    rows, columns = np.divmod(np.arange(grid.width * grid.height), grid.width)
    seen = np.zeros(len(points), dtype=int)
    for window in grid.windows(16):
        part, part_on_earth = grid.points(window)
        assert len(part) <= 256
        inside = (
            (rows >= window.row_off)
            & (rows < window.row_off + window.height)
            & (columns >= window.col_off)
            & (columns < window.col_off + window.width)
        )
        seen += inside
        assert (on_earth[inside] == part_on_earth).all()
        np.testing.assert_array_equal(
            part[part_on_earth], points[inside][part_on_earth]
        )
    assert (seen == 1).all()


@settings(max_examples=30, deadline=None)
@given(
    st.floats(-180, 180), st.floats(-180, 180), st.floats(-89, 89), st.integers(1, 40)
)
def test_any_bounds(west: float, east: float, south: float, width: int) -> None:
    if abs(east - west) < 1e-3 or (west, east) == (180, -180):
        return
    if west > east and east + 360 - west < 1e-3:
        return
    grid = RasterGrid.over((west, south, east, 90), width=width)
    points, on_earth = grid.points(Window(0, 0, grid.width, 1))
    assert on_earth.all()
    assert len(points) == width
    step = ((east - west) % 360 or 360) / width
    np.testing.assert_allclose(points[0, 0], west + step / 2, atol=1e-9)


@pytest.mark.parametrize(
    ('bounds', 'message'),
    [
        ((0, 0, 1), 'four numbers, not 3'),
        ((0, 10, 1, 10), 'south must be less than north'),
        ((0, -91, 1, 10), r'latitudes, within \[-90, 90\]'),
        ((5, 0, 5, 10), 'at most 360 degrees'),
        ((-180, 0, 200, 10), 'at most 360 degrees'),
        ((0, 0, 400, 10), 'longitudes, within'),
        ((0, float('nan'), 1, 10), 'must be finite'),
    ],
)
def test_bad_bounds(bounds: tuple[float, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RasterGrid.over(bounds)


@pytest.mark.parametrize(
    ('crs', 'bounds', 'message'),
    [
        ('EPSG:nil', None, 'not a coordinate reference system'),
        ('EPSG:4978', None, 'geographic or projected'),
        ('EPSG:4807', None, 'not in degrees from Greenwich'),
        (ORTHO, (-175, -40, -165, -30), 'not on the map of'),
        ('EPSG:6933', (170, -25, -170, -15), "both ends.*'EPSG:3832'"),
    ],
)
def test_bad_crs(crs: str, bounds: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RasterGrid.over(bounds, crs)


@pytest.mark.parametrize(
    ('size', 'message'),
    [
        ({'resolution': 1, 'width': 3}, 'not both'),
        ({'resolution': 0}, 'must be positive'),
        ({'resolution': float('nan')}, 'must be positive'),
        ({'width': 0}, 'at least 1'),
    ],
)
def test_bad_size(size: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RasterGrid.over(**size)
