# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from torchgeo_concepts.layers import Layer, RasterLayer
from torchgeo_concepts.layers.grid import Registration

ROWS, COLUMNS = 18, 36
# A point of every kind: inside pixels, on their edges, at the dateline, at the poles.
LAT = [90.0, 89.9, 45.0, 12.34, 0.0, -5.0, -80.0, -89.9, -90.0]
LON = [-180.0, -179.9, -170.0, -3.3, 0.0, 5.0, 175.0, 179.9, 180.0]


def centres() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    lon = -180 + (np.arange(COLUMNS) + 0.5) * 360 / COLUMNS
    lat = 90 - (np.arange(ROWS) + 0.5) * 180 / ROWS
    return np.meshgrid(lon, lat)


def numbers() -> NDArray[np.float64]:
    return np.arange(ROWS * COLUMNS, dtype=np.float64).reshape(ROWS, COLUMNS)


def quantity(
    grid: NDArray[np.float64], registration: Registration = 'cell'
) -> RasterLayer:
    return RasterLayer('test', lambda: grid, registration=registration, unit='m')


def classes(grid: NDArray[np.float64]) -> RasterLayer:
    return RasterLayer('test', lambda: grid, classes={0: 'a', 1: 'b'})


def at(layer: Layer, lon: float, lat: float) -> float:
    return float(layer([[lon, lat]])[0])


class TestNearest:
    def test_value_is_that_of_the_pixel_around(self) -> None:
        layer = classes(numbers())
        for lon in LON[:-1]:
            for lat in LAT[1:-1]:
                row = min(int((90 - lat) / 180 * ROWS), ROWS - 1)
                column = int((lon + 180) / 360 * COLUMNS)
                assert at(layer, lon, lat) == row * COLUMNS + column

    def test_north_and_west_edges_belong_to_a_pixel(self) -> None:
        # Edges of these pixels are no binary fractions.
        rows, columns = 6480, 12960
        layer = classes(np.arange(rows)[:, None] + np.zeros(4))
        edges = 90 - np.arange(rows) * 180 / rows
        points = np.stack((np.full(rows, 10.0), edges), axis=1)[1:]
        np.testing.assert_array_equal(layer(points), np.arange(1, rows))
        layer = classes(np.zeros((2, 1)) + np.arange(columns))
        edges = -180 + np.arange(columns) * 360 / columns
        points = np.stack((edges, np.full(columns, 10.0)), axis=1)
        np.testing.assert_array_equal(layer(points), np.arange(columns))

    def test_dateline_is_one_meridian(self) -> None:
        layer = classes(numbers())
        assert at(layer, 180, 12) == at(layer, -180, 12) == at(layer, 540, 12)

    def test_pole_is_one_point(self) -> None:
        layer = classes(numbers())
        for lat in (-90, 90):
            assert len({at(layer, lon, lat) for lon in LON}) == 1


class TestBilinear:
    def test_map_that_is_off_by_half_a_pixel_is_seen(self) -> None:
        lon, lat = centres()
        points = np.random.default_rng(0).uniform((-174, -84), (174, 84), (1000, 2))
        np.testing.assert_allclose(quantity(lon)(points), points[:, 0], atol=1e-4)
        np.testing.assert_allclose(quantity(lat)(points), points[:, 1], atol=1e-4)
        # Pixels are 10° wide: the wrong registration is off by five.
        off = quantity(lon, 'node')(points) - points[:, 0]
        assert np.abs(off).min() > 4

    def test_nodes_are_met_exactly(self) -> None:
        lat = np.linspace(90, -90, 19)[:, None] + np.zeros(36)
        layer = quantity(lat, 'node')
        for value in (90, 47, 10, -63, -90):
            assert at(layer, 12, value) == pytest.approx(value)

    @pytest.mark.parametrize('registration', ['cell', 'node'])
    def test_goes_on_across_the_dateline(self, registration: Registration) -> None:
        rows = ROWS if registration == 'cell' else ROWS + 1
        grid = np.random.default_rng(0).normal(size=(rows, COLUMNS))
        layer = quantity(grid, registration)
        for lat in (33.0, -71.5):
            west, east = at(layer, -179.999999, lat), at(layer, 179.999999, lat)
            assert west == pytest.approx(east, abs=1e-5)
            assert at(layer, 180, lat) == at(layer, -180, lat)
        # Between the last and the first column.
        if registration == 'cell':
            middle = (grid[4, 0] + grid[4, -1]) / 2
            assert at(layer, 180, 45) == pytest.approx(middle, abs=1e-5)

    def test_goes_on_across_the_poles(self) -> None:
        lon, lat = centres()
        # A plane over the pole has no kink there.
        x = np.cos(np.deg2rad(lon)) * (90 - lat)
        layer = quantity(x)
        assert at(layer, 0, 90) == pytest.approx(0, abs=1e-4)
        assert at(layer, 5, 89.9) == pytest.approx(0.1, abs=0.01)
        assert at(layer, 175, 89.9) == pytest.approx(-0.1, abs=0.01)
        south = quantity(np.cos(np.deg2rad(lon)) * (90 + lat))
        assert at(south, 5, -89.9) == pytest.approx(0.1, abs=0.01)

    def test_pole_is_one_point(self) -> None:
        layer = quantity(np.random.default_rng(0).normal(size=(ROWS, COLUMNS)))
        assert len({at(layer, lon, 90) for lon in LON}) == 1

    def test_hole_stays_a_hole(self) -> None:
        grid = np.full((ROWS, COLUMNS), 7.0)
        grid[8, 20] = np.nan
        layer = quantity(grid)
        lon, lat = -180 + 20.5 * 10, 90 - 8.5 * 10
        assert np.isnan(at(layer, lon, lat))
        # It has as many pixels as before: half of the weight decides.
        assert np.isnan(at(layer, lon + 4.9, lat))
        assert at(layer, lon + 5.1, lat) == 7
        assert at(layer, lon, lat + 5.1) == 7
        assert at(layer, lon + 10, lat) == 7

    def test_weights_of_the_unknown_are_shared(self) -> None:
        grid = np.full((ROWS, COLUMNS), np.nan)
        grid[8, 20] = 3.0
        assert at(quantity(grid), 25 + 4, 5) == 3.0


class TestPoints:
    def test_any_form_will_do(self) -> None:
        layer = classes(numbers())
        points = [[12.5, 41.9], [-58.4, -34.6]]
        first = layer(points)
        assert first.dtype == np.float32
        for form in (torch.tensor(points), np.array(points), torch.tensor(points) + 0):
            np.testing.assert_array_equal(layer(form), first)

    def test_none(self) -> None:
        assert quantity(numbers())(torch.empty(0, 2)).shape == (0,)
        assert classes(numbers())(torch.empty(0, 2)).shape == (0,)

    def test_gradients_do_not_matter(self) -> None:
        points = torch.tensor([[1.0, 2.0]], requires_grad=True)
        assert quantity(numbers())(points).shape == (1,)

    def test_bad_points_are_named(self) -> None:
        with pytest.raises(ValueError, match='Row 1 is not a point on Earth'):
            quantity(numbers())([[0, 0], [0, 91]])


class TestLayer:
    @pytest.mark.parametrize('info', [{}, {'unit': 'm', 'classes': {0: 'a'}}])
    def test_has_a_unit_or_classes(self, info: dict[str, Any]) -> None:
        with pytest.raises(
            ValueError, match="Layer 'test' needs either classes or a unit"
        ):
            RasterLayer('test', numbers, **info)

    def test_grid_has_two_axes(self) -> None:
        with pytest.raises(ValueError, match=r'must have shape \(H, W\), not \(3,\)'):
            quantity(np.zeros(3))([[0, 0]])

    def test_describes_itself(self) -> None:
        layer = quantity(numbers())
        assert repr(layer) == "RasterLayer('test', m)"
        assert repr(classes(numbers())) == "RasterLayer('test', 2 classes)"
        assert (layer.kind, layer.version, layer.source.terms) == ('quantity', '', '')
        assert layer.is_installed
