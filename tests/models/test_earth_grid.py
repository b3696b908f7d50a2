# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import math

import pytest
import torch
from torch import Tensor

from torchgeo_concepts.models.earth_grid import EarthGrid, SphericalWaves


def values_at(grid: EarthGrid, lon: float, lat: float) -> Tensor:
    with torch.no_grad():
        features: Tensor = grid(torch.tensor([[lon, lat]]))
    return features[0]


@pytest.fixture
def grid() -> EarthGrid:
    torch.manual_seed(0)
    grid = EarthGrid((6, 24, 90), num_features=2, table_size=4096)
    torch.nn.init.normal_(grid.table)
    return grid


class TestSeams:
    @pytest.mark.parametrize('lat', [-89.9, -30.0, 0.0, 45.5, 89.0])
    def test_dateline(self, grid: EarthGrid, lat: float) -> None:
        east, west = values_at(grid, 180, lat), values_at(grid, -180, lat)
        torch.testing.assert_close(east, west)
        near = values_at(grid, 179.9999, lat)
        torch.testing.assert_close(near, west, atol=2e-3, rtol=0)

    @pytest.mark.parametrize('lat', [-90.0, 90.0])
    def test_poles(self, grid: EarthGrid, lat: float) -> None:
        pole = values_at(grid, 0, lat)
        for lon in (-180, -77.7, 10, 180):
            torch.testing.assert_close(values_at(grid, lon, lat), pole)
            near = values_at(grid, lon, lat - math.copysign(1e-4, lat))
            torch.testing.assert_close(near, pole, atol=2e-3, rtol=0)

    def test_continuous(self, grid: EarthGrid) -> None:
        generator = torch.Generator().manual_seed(1)
        points = torch.rand(5000, 2, generator=generator) * torch.tensor([360, 180])
        points -= torch.tensor([180, 90])
        step = torch.tensor([[1e-4, 1e-4]])
        with torch.no_grad():
            moved = grid((points + step).clamp(max=90)) - grid(points.clamp(max=90))
        # A cell of the finest level is two degrees wide, and values some units apart.
        inside = points[:, 0].abs() < 90
        assert moved[inside].abs().max() < 5e-3


class TestNodes:
    def test_value_of_a_node(self) -> None:
        grid = EarthGrid((2,), num_features=1, table_size=100)
        # A pole, four nodes on the equator, a pole.
        with torch.no_grad():
            grid.table[:, 0] = torch.tensor([10.0, 1, 2, 3, 4, 20])
        assert values_at(grid, 0, 90) == 10
        assert values_at(grid, 0, -90) == 20
        for lon, value in ((-180, 1), (-90, 2), (0, 3), (90, 4), (180, 1)):
            assert values_at(grid, lon, 0) == value
        assert values_at(grid, 135, 0) == 2.5
        assert values_at(grid, 45, 45) == (3.5 + 10) / 2

    def test_levels_share_entries_when_there_are_many_nodes(self) -> None:
        small, large = EarthGrid((900,), table_size=1000), EarthGrid((900,))
        assert len(small.table) == 1000
        assert len(large.table) == 2**18
        exact = EarthGrid((100,))
        # As many as the sphere has: 2 / pi of the rows times the columns at the equator.
        assert len(exact.table) == pytest.approx(100 * 200 * 2 / math.pi, rel=0.01)

    def test_hashed_entries_are_spread(self) -> None:
        grid = EarthGrid((900,), num_features=1, table_size=1000)
        torch.nn.init.normal_(grid.table)
        points = torch.rand(4000, 2) * torch.tensor([360, 180]) - torch.tensor(
            [180, 90]
        )
        grid(points).sum().backward()
        assert grid.table.grad is not None
        assert (grid.table.grad != 0).float().mean() > 0.95

    def test_gradients_reach_the_nodes_around(self) -> None:
        grid = EarthGrid((2,), num_features=1, table_size=100)
        grid(torch.tensor([[45.0, 0.0]])).sum().backward()
        assert grid.table.grad is not None
        assert grid.table.grad.flatten().tolist() == [0, 0, 0, 0.5, 0.5, 0]


class TestSphericalWaves:
    def test_seamless(self) -> None:
        waves = SphericalWaves(16)
        points = torch.tensor([[180.0, 12], [-180, 12], [0, 90], [77, 90]])
        features = waves(points)
        torch.testing.assert_close(features[0], features[1], atol=1e-4, rtol=0)
        torch.testing.assert_close(features[2], features[3], atol=1e-4, rtol=0)
        assert waves.output_dim == features.shape[1] == 32

    def test_wavelengths(self) -> None:
        waves = SphericalWaves(3, shortest_km=400, longest_km=40_000)
        lengths = 2 * math.pi * 6371 / waves.frequencies.norm(dim=0)
        torch.testing.assert_close(
            lengths, torch.tensor([40_000.0, 4000, 400]), rtol=1e-3, atol=0
        )
