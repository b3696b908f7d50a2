# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

from pathlib import Path

import numpy as np
import pytest
import torch
from pyproj import Geod

from torchgeo_concepts.layers import get_layer
from torchgeo_concepts.models import geoclip_gallery
from torchgeo_concepts.retrieval.candidates import (
    candidate_points,
    land_lattice,
    read_points,
)


class TestLandLattice:
    @pytest.fixture(scope='class')
    def points(self) -> torch.Tensor:
        return land_lattice(100)

    def test_area(self, points: torch.Tensor) -> None:
        # Land, inland water and ice included, has about 149 million square km.
        assert len(points) * 100**2 == pytest.approx(149e6, rel=0.02)

    def test_bands_of_latitude_have_their_share(self) -> None:
        # Antarctica, which has land all around, between two parallels.
        points = land_lattice(50)
        inside = ((points[:, 1] < -82) & (points[:, 1] > -88)).sum()
        lon = np.linspace(-180, 180, 3601)
        geod = Geod(ellps='WGS84')
        areas = [
            abs(geod.polygon_area_perimeter(lon[:-1], np.full(3600, lat))[0])
            for lat in (-82.0, -88.0)
        ]
        expected = (areas[0] - areas[1]) / 1e6 / 50**2
        # The mask has some sea under ice shelves there.
        assert inside == pytest.approx(expected, rel=0.1)

    def test_is_on_land_and_nowhere_twice(self, points: torch.Tensor) -> None:
        # Rounding to 32 bits moves a point by less than a pixel of the mask.
        assert get_layer('land')(points).mean() > 0.999
        assert len(points.unique(dim=0)) == len(points)
        assert points.equal(land_lattice(100))

    @pytest.mark.parametrize('spacing', [0, -1, float('nan')])
    def test_bad_spacing(self, spacing: float) -> None:
        with pytest.raises(ValueError, match='spacing_km must be positive'):
            land_lattice(spacing)


class TestSources:
    def test_geoclip(self) -> None:
        candidates = candidate_points('geoclip')
        assert candidates.points.equal(geoclip_gallery())
        assert candidates.area_km2 is None

    def test_land(self) -> None:
        candidates = candidate_points('land:500')
        assert candidates.area_km2 == 250_000
        assert candidates.points.equal(land_lattice(500))

    def test_land_without_a_number(self) -> None:
        with pytest.raises(ValueError, match="such as 'land:25', not 'land:wide'"):
            candidate_points('land:wide')

    def test_table(self, tmp_path: Path) -> None:
        (tmp_path / 'places.csv').write_text('name,lat,lon\nNairobi,-1.29,36.82\n')
        points = candidate_points(str(tmp_path / 'places.csv')).points
        torch.testing.assert_close(points, torch.tensor([[36.82, -1.29]]))

    def test_no_such_source(self) -> None:
        with pytest.raises(FileNotFoundError, match="'geoclop' is neither"):
            candidate_points('geoclop')

    def test_bad_row(self, tmp_path: Path) -> None:
        (tmp_path / 'places.csv').write_text('lat,lon\n1,2\n95,2\n')
        with pytest.raises(ValueError, match=r'places.csv, row 1: .*95'):
            read_points(tmp_path / 'places.csv')

    def test_empty_table(self, tmp_path: Path) -> None:
        (tmp_path / 'places.csv').write_text('lat,lon\n')
        with pytest.raises(ValueError, match='has no points'):
            read_points(tmp_path / 'places.csv')
