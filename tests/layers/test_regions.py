# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
import torch
from pyproj import Geod

from torchgeo_concepts.geo.polygons import check_polygon
from torchgeo_concepts.layers import get_layer
from torchgeo_concepts.layers.regions import (
    in_region,
    region_of,
    sample_area,
    us_states,
)

GEOD = Geod(ellps='WGS84')


class TestStates:
    def test_areas(self) -> None:
        states = us_states()
        assert len(states) == 48
        assert list(states) == sorted(states)
        # Land and water in km², as the Census Bureau has them; shores differ.
        for code, km2 in (('CO', 269_601), ('KS', 213_100), ('WY', 253_335)):
            area = abs(GEOD.geometry_area_perimeter(states[code])[0]) / 1e6
            assert area == pytest.approx(km2, rel=1e-3)

    def test_points(self) -> None:
        points = [[-105.0, 39.7], [-97.7, 30.3], [-122.3, 47.6], [-79.4, 43.7]]
        names, number = region_of(points, us_states())
        assert [names[i] for i in number[:3]] == ['CO', 'TX', 'WA']
        assert number[3] == -1


class TestRegionOf:
    def test_beyond_the_antimeridian(self) -> None:
        regions = {
            'b': shapely.box(170, -5, 190, 5),
            'c': shapely.box(-190, 5, -170, 9),
        }
        points = np.array([[175.0, 0], [-175, 0], [175, 7], [-175, 7], [0, 0]])
        names, number = region_of(points, regions)
        assert names == ['b', 'c']
        assert number.tolist() == [0, 0, 1, 1, -1]

    def test_the_first_counts(self) -> None:
        regions = {'a': shapely.box(0, 0, 2, 2), 'b': shapely.box(1, 1, 3, 3)}
        _, number = region_of([[1.5, 1.5], [2.5, 2.5], [1, 1]], regions)
        assert number.tolist() == [0, 1, 0]

    def test_a_frame_in_another_crs(self) -> None:
        frame = gpd.GeoDataFrame(
            geometry=[shapely.box(5, 45, 6, 46), shapely.box(6, 45, 7, 46)],
            index=['west', 'east'],
            crs='EPSG:4326',
        )
        points = [[5.5, 45.5], [6.5, 45.5]]
        for given in (frame, frame.to_crs('EPSG:3857')):
            names, number = region_of(points, given)
            assert [names[i] for i in number] == ['west', 'east']

    def test_a_frame_that_has_a_name_twice(self) -> None:
        boxes = [shapely.box(x, 45, x + 1, 46) for x in range(5)]
        frame = gpd.GeoDataFrame(geometry=boxes, index=['a', 'b', 'a', 1, '1'])
        with pytest.raises(
            ValueError, match=r"has the names \['a', '1'\] more than once"
        ):
            region_of([[0.5, 45.5]], frame)

    def test_a_layer(self) -> None:
        names, number = region_of([[2.3, 48.8], [-30, 30]], get_layer('country'))
        assert names[number[0]] == 'FR'
        assert number[1] == -1

    def test_a_layer_of_quantities(self) -> None:
        with pytest.raises(ValueError, match="'elevation' measures a quantity"):
            region_of([[0.0, 0]], get_layer('elevation'))


class TestPolygons:
    @pytest.mark.parametrize(
        ('polygon', 'message'),
        [
            (shapely.Point(0, 0), 'must be a polygon, not a Point'),
            ('box', 'must be a polygon, not a str'),
            (shapely.Polygon(), 'is empty'),
            (shapely.box(0, 80, 10, 91), 'has coordinates out of range'),
            (shapely.box(4e5, 5e6, 5e5, 6e6), 'longitude first'),
            (
                shapely.Polygon([(177, -19), (-179, -19), (-179, -16), (177, -16)]),
                'an edge that spans 356 degrees of longitude.*antimeridian',
            ),
            (
                shapely.Polygon([(-180, 70), (-90, 70), (0, 70), (90, 70)]),
                'edge that spans 270 degrees.*Around a pole, add corners at the pole',
            ),
            (
                shapely.Polygon([(-180, 70), (0, 70), (180, 70)]),
                'not a valid polygon.*corners at the pole',
            ),
            (shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)]), 'Self-intersection'),
        ],
    )
    def test_refused(self, polygon: Any, message: str) -> None:
        with pytest.raises(ValueError, match=f'^The area.*{message}'):
            check_polygon(polygon, 'The area')

    @pytest.mark.parametrize(
        'polygon',
        [
            shapely.box(-180, 60, 180, 90),
            shapely.Polygon([(-180, 70), (0, 75), (180, 70), (180, 90), (-180, 90)]),
            shapely.box(170, -20, 190, -10),
            shapely.MultiPolygon(
                [shapely.box(177, -19, 180, -16), shapely.box(-180, -19, -179, -16)]
            ),
        ],
    )
    def test_accepted(self, polygon: Any) -> None:
        assert check_polygon(polygon, 'The area') is polygon
        points = sample_area(polygon, 500)
        assert 400 < len(points) < 600
        assert in_region(points, polygon).all()


class TestSample:
    @pytest.mark.parametrize(
        'area',
        [
            None,
            (170, -50, -170, -10),
            shapely.box(-100, 30, -99, 31),
            'POLYGON ((0 0, 30 0, 30 30, 0 0))',
            'Africa',
            ['NZ', 'Fiji'],
        ],
    )
    def test_has_the_size(self, area: Any) -> None:
        points = sample_area(area, 2000)
        assert 1850 < len(points) < 2200
        torch.testing.assert_close(points, sample_area(area, 2000))
        if area is not None and not isinstance(area, tuple):
            assert in_region(points, area).all()

    def test_bounds_across_the_antimeridian(self) -> None:
        lon, lat = sample_area((170, -50, -170, -10), 300).T
        assert (lon.abs() >= 170).all()
        assert ((lat >= -50) & (lat <= -10)).all()

    def test_is_even(self) -> None:
        lon, lat = sample_area((0, -60, 40, 60), 10_000).numpy().T
        height = np.sin(np.deg2rad(lat))
        edges = np.sin(np.deg2rad([-60, 60]))
        counts, _, _ = np.histogram2d(
            lon, height, bins=(10, 10), range=((0, 40), tuple(edges))
        )
        # Points at random would differ by ten on average.
        assert counts.std() < 3

    def test_land(self) -> None:
        points = sample_area((-10, 36, 30, 60), 500, land_only=True)
        assert 450 < len(points) < 550
        assert (get_layer('land')(points) == 1).all()

    @pytest.mark.parametrize(
        ('area', 'message'),
        [
            ((0, 0, 1), 'bounds are west, south, east and north'),
            (shapely.Polygon(), 'The area is empty'),
            ('Atlantis', "'Atlantis' is not a continent"),
            ('Monaco', 'has none of 100,000 points'),
        ],
    )
    def test_no_area(self, area: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            sample_area(area, 100)

    def test_no_land(self) -> None:
        with pytest.raises(ValueError, match='The area .* has no point on land'):
            sample_area((-40, 30, -39, 31), 100, land_only=True)

    def test_no_points(self) -> None:
        with pytest.raises(ValueError, match='number must be at least 1, not 0'):
            sample_area(number=0)
