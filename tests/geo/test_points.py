# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import math
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pyproj import Transformer
from torch import Tensor

from torchgeo_concepts.geo.points import (
    as_points,
    check_points,
    find_coordinate_columns,
    wrap_longitude,
)

LATITUDES = st.floats(-90, 90)
FLOATS = st.sampled_from([torch.float32, torch.float64])

PARIS, SYDNEY = (2.3522, 48.8566), (151.2093, -33.8688)


def unit_vectors(points: Tensor) -> Tensor:
    lon, lat = torch.deg2rad(points.double()).T
    return torch.stack((lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()), dim=1)


class TestWrapLongitude:
    @given(st.floats(-180, 180, width=32), FLOATS)
    def test_leaves_the_range_bit_for_bit(self, lon: float, dtype: torch.dtype) -> None:
        tensor = torch.tensor([lon], dtype=dtype)
        assert wrap_longitude(tensor).equal(tensor)

    @given(st.floats(allow_nan=False, allow_infinity=False))
    def test_any_finite_value_lands_in_the_range(self, lon: float) -> None:
        assert wrap_longitude(torch.tensor([lon], dtype=torch.float64)).abs() <= 180

    @given(st.floats(allow_nan=False, allow_infinity=False, width=32))
    def test_any_finite_float32_lands_in_the_range(self, lon: float) -> None:
        assert wrap_longitude(torch.tensor([lon])).abs() <= 180

    @given(st.floats(-180, 180), st.integers(-50, 50), LATITUDES)
    def test_turns_do_not_move_a_point(
        self, lon: float, turns: int, lat: float
    ) -> None:
        here = torch.tensor([[lon, lat]], dtype=torch.float64)
        there = torch.tensor([[lon + 360 * turns, lat]], dtype=torch.float64)
        torch.testing.assert_close(
            unit_vectors(check_points(there)), unit_vectors(here), atol=1e-12, rtol=0
        )

    @given(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5), LATITUDES)
    def test_continuous_over_the_antimeridian(
        self, west: float, east: float, lat: float
    ) -> None:
        points = torch.tensor(
            [[180 + west, lat], [180 + east, lat]], dtype=torch.float64
        )
        first, second = unit_vectors(check_points(points))
        assert (first - second).norm() <= math.radians(abs(west - east)) + 1e-12

    @pytest.mark.parametrize('lon', [180.0, -180.0])
    def test_both_names_of_the_antimeridian_stay(self, lon: float) -> None:
        assert wrap_longitude(torch.tensor([lon])).item() == lon


class TestCheckPoints:
    @given(
        hnp.arrays(np.float64, (7,), elements=st.floats(-1e4, 1e4)),
        hnp.arrays(np.float64, (7,), elements=LATITUDES),
        FLOATS,
    )
    def test_keeps_type_and_latitude(
        self, lon: Any, lat: Any, dtype: torch.dtype
    ) -> None:
        points = torch.from_numpy(np.stack((lon, lat), axis=1)).to(dtype)
        checked = check_points(points)
        assert checked.dtype == dtype
        assert checked[:, 1].equal(points[:, 1])

    def test_integers_become_floats(self) -> None:
        checked = check_points(torch.tensor([[190, 45]]))
        assert checked.dtype == torch.float32
        assert checked.tolist() == [[-170, 45]]

    def test_empty(self) -> None:
        assert check_points(torch.zeros(0, 2)).shape == (0, 2)

    def test_gradients_flow(self) -> None:
        points = torch.tensor([[200.0, 10.0], [-30.0, 89.9]], dtype=torch.float64)
        points.requires_grad_()
        assert torch.autograd.gradcheck(check_points, (points,))

    @pytest.mark.parametrize(
        ('shape', 'hint'),
        [
            ((2,), r'\[\[lon, lat\]\]'),
            ((2, 5), 'transpose'),
            ((5, 3), r'\(5, 3\)'),
            ((), r'\(\)'),
            ((1, 5, 2), r'\(1, 5, 2\)'),
        ],
    )
    def test_wrong_shape(self, shape: tuple[int, ...], hint: str) -> None:
        with pytest.raises(ValueError, match=hint):
            check_points(torch.zeros(shape))

    @pytest.mark.parametrize('pole', [90.0, -90.0])
    @pytest.mark.parametrize('dtype', [np.float32, np.float64])
    def test_poles_are_the_last_latitudes(self, pole: float, dtype: Any) -> None:
        check_points(torch.from_numpy(np.array([[0, pole]], dtype=dtype)))
        beyond = np.nextafter(dtype(pole), dtype(pole * 2))
        with pytest.raises(ValueError, match='latitude'):
            check_points(torch.from_numpy(np.array([[0, beyond]], dtype=dtype)))

    @pytest.mark.parametrize(
        ('bad', 'reason'),
        [
            ((10, 91), 'latitude 91 is outside'),
            ((math.nan, 10), 'longitude is nan'),
            ((10, math.nan), 'latitude is nan'),
            ((math.inf, 10), 'longitude is inf'),
            ((10, -math.inf), 'latitude is -inf'),
        ],
    )
    def test_first_bad_row_is_named(
        self, bad: tuple[float, float], reason: str
    ) -> None:
        points = torch.tensor([PARIS, PARIS, bad, SYDNEY, bad])
        with pytest.raises(
            ValueError, match=rf'Row 2 .*{reason}.*2 of 5 rows'
        ) as error:
            check_points(points)
        assert 'swapped' not in str(error.value)

    def test_swapped_columns_are_recognised(self) -> None:
        swapped = torch.tensor([PARIS, SYDNEY]).flip(1)
        with pytest.raises(ValueError, match='Row 1 .* swapped?'):
            check_points(swapped)

    @pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
    def test_half_precision_is_too_coarse(self, dtype: torch.dtype) -> None:
        with pytest.raises(ValueError, match='half a degree'):
            check_points(torch.zeros(1, 2, dtype=dtype))

    @pytest.mark.parametrize('dtype', [torch.complex64, torch.bool])
    def test_no_real_numbers(self, dtype: torch.dtype) -> None:
        with pytest.raises(ValueError, match='real numbers'):
            check_points(torch.zeros(1, 2, dtype=dtype))

    def test_values_of_meta_tensors_are_not_looked_at(self) -> None:
        assert check_points(torch.zeros(3, 2, device='meta')).shape == (3, 2)

    def test_values_are_not_looked_at_in_a_compiled_graph(self) -> None:
        compiled = torch.compile(check_points, fullgraph=True, backend='eager')
        points = torch.tensor([[0.0, 91.0], [370.0, 45.0]])
        assert compiled(points).tolist() == [[0, 91], [10, 45]]


class TestAsPoints:
    @pytest.mark.parametrize(
        'data',
        [
            [PARIS, SYDNEY],
            np.array([PARIS, SYDNEY]),
            np.array([PARIS, SYDNEY])[::-1][::-1],
            np.array([PARIS, SYDNEY]).astype('>f8'),
            np.array([PARIS, SYDNEY], dtype=object),
            np.array([PARIS, SYDNEY]).astype(str),
            torch.tensor([PARIS, SYDNEY], dtype=torch.float64),
            pd.DataFrame([PARIS, SYDNEY], columns=['lon', 'lat']),
            pd.DataFrame({'Latitude': [48.8566, -33.8688], 'LNG': [2.3522, 151.2093]}),
            gpd.GeoSeries(
                [shapely.Point(PARIS), shapely.Point(SYDNEY)], crs='EPSG:4326'
            ),
        ],
    )
    def test_all_forms_agree(self, data: Any) -> None:
        points = as_points(data)
        assert points.dtype == torch.float64
        assert points.tolist() == [list(PARIS), list(SYDNEY)]

    @pytest.mark.parametrize('dtype', [np.int8, np.uint16, np.int64])
    def test_integers(self, dtype: Any) -> None:
        points = as_points(np.array([[100, 45]], dtype=dtype))
        assert points.is_floating_point()
        assert points.tolist() == [[100, 45]]

    @pytest.mark.parametrize(
        'empty',
        [
            [],
            np.zeros((0, 2)),
            torch.zeros(0, 2),
            pd.DataFrame({'lon': [], 'lat': []}),
            gpd.GeoSeries([], crs='EPSG:3857'),
        ],
    )
    def test_empty(self, empty: Any) -> None:
        assert as_points(empty).shape == (0, 2)

    def test_dtype(self) -> None:
        assert as_points([PARIS], dtype=torch.float32).dtype == torch.float32

    def test_named_columns(self) -> None:
        frame = pd.DataFrame({'a': [48.8566], 'b': [2.3522]})
        assert as_points(frame, lon='b', lat='a').tolist() == [list(PARIS)]

    @pytest.mark.parametrize('epsg', [3857, 32631, 27700])
    def test_any_crs(self, epsg: int) -> None:
        to_crs = Transformer.from_crs(4326, epsg, always_xy=True)
        series = gpd.GeoSeries.from_xy(*to_crs.transform([2.3522], [48.8566]), crs=epsg)
        frame = gpd.GeoDataFrame({'city': ['Paris']}, geometry=series)
        array = np.column_stack((series.x, series.y))
        for points in (
            as_points(series),
            as_points(frame),
            as_points(array, crs=f'EPSG:{epsg}'),
        ):
            np.testing.assert_allclose(points, [PARIS], atol=1e-6)

    def test_degrees_are_not_touched_by_a_crs(self) -> None:
        points = torch.tensor([PARIS], requires_grad=True)
        assert as_points(points, crs='EPSG:4326').requires_grad

    def test_coordinates_outside_of_their_crs(self) -> None:
        with pytest.raises(ValueError, match='Row 1 .*inf'):
            as_points([[5e5, 5e6], [1e30, 1e30]], crs='EPSG:32631')

    def test_missing_crs(self) -> None:
        with pytest.raises(ValueError, match="no CRS.*crs='EPSG:4326'"):
            as_points(gpd.GeoSeries.from_xy([2], [48]))

    def test_shapely_points(self) -> None:
        points = [shapely.Point(PARIS), shapely.Point(SYDNEY)]
        series = gpd.GeoSeries(points, crs=4326).to_crs(3857)
        assert as_points(points).tolist() == [list(PARIS), list(SYDNEY)]
        assert as_points(np.array(points)).tolist() == [list(PARIS), list(SYDNEY)]
        np.testing.assert_allclose(as_points(series.values), np.array([PARIS, SYDNEY]))

    def test_one_bad_latitude_is_no_swap(self) -> None:
        with pytest.raises(ValueError, match='Row 0') as error:
            check_points(torch.tensor([[1.0, 91.0]] + [[1.0, 2.0]] * 20))
        assert 'swapped' not in str(error.value)

    def test_no_tensor(self) -> None:
        with pytest.raises(TypeError, match=r'must be a tensor, not list\. as_points'):
            check_points([[1, 2]])  # type: ignore[arg-type]

    def test_contradicting_crs(self) -> None:
        series = gpd.GeoSeries.from_xy([2], [48], crs=4326)
        assert as_points(series, crs='EPSG:4326').tolist() == [[2, 48]]
        with pytest.raises(ValueError, match='are in WGS 84, not in WGS 84 / Pseudo'):
            as_points(series, crs=3857)

    @pytest.mark.parametrize('crs', ['EPSG:nil', 'EPSG:5773'])
    def test_no_crs_of_a_map(self, crs: str) -> None:
        with pytest.raises(ValueError, match='coordinate reference system|geographic'):
            as_points([[1, 2]], crs=crs)

    def test_columns_of_a_geodataframe(self) -> None:
        geometry = gpd.GeoSeries.from_xy([2], [48], crs=4326)
        frame = gpd.GeoDataFrame({'e': [3.0], 'n': [4.0]}, geometry=geometry)
        assert as_points(frame).tolist() == [[2, 48]]
        assert as_points(frame, lon='e', lat='n').tolist() == [[3, 4]]

    def test_masked_values_are_missing(self) -> None:
        for dtype in (np.float32, np.int64):
            masked = np.ma.masked_equal(
                np.array([[1, 2], [-9999, 3]], dtype=dtype), -9999
            )
            with pytest.raises(ValueError, match='Row 1 .*longitude is nan'):
                as_points(masked)

    @pytest.mark.parametrize('dtype', ['datetime64[D]', bool, complex])
    def test_no_numbers(self, dtype: Any) -> None:
        with pytest.raises(ValueError, match='real numbers'):
            as_points(np.zeros((1, 2)).astype(dtype))

    def test_types(self) -> None:
        assert as_points(np.zeros((1, 2), np.float32)).dtype == torch.float32
        assert as_points(torch.zeros(1, 2)).dtype == torch.float32
        assert as_points(torch.zeros(1, 2, dtype=torch.int64)).dtype == torch.float64
        assert as_points(np.zeros((1, 2), np.float32), crs=3857).dtype == torch.float32
        with pytest.raises(ValueError, match='half a degree'):
            as_points(np.zeros((1, 2), np.float16))

    def test_polygons_and_missing_geometries(self) -> None:
        with pytest.raises(ValueError, match=r'Row 1 .*Polygon.*representative_point'):
            as_points(
                gpd.GeoSeries([shapely.Point(1, 2), shapely.box(0, 0, 1, 1)], crs=4326)
            )
        with pytest.raises(ValueError, match='Row 0 has no geometry'):
            as_points(gpd.GeoSeries(np.array([None, shapely.Point(1, 2)]), crs=4326))

    def test_empty_geometry(self) -> None:
        with pytest.raises(ValueError, match='Row 0 .*nan'):
            as_points(gpd.GeoSeries([shapely.Point()], crs=4326))

    @pytest.mark.parametrize('text', ['12,5', 'abc', object()])
    def test_text(self, text: Any) -> None:
        with pytest.raises(ValueError, match='Row 1 is not a point.*is not a number'):
            as_points(np.array([[1, 2], [3, text]], dtype=object))

    def test_missing_values(self) -> None:
        frame = pd.DataFrame({'lon': [1, 2, pd.NA], 'lat': [1, None, 3]}, dtype=object)
        with pytest.raises(ValueError, match='Row 1 .*latitude is nan.*2 of 3 rows'):
            as_points(frame)

    def test_ragged_rows(self) -> None:
        with pytest.raises(ValueError, match='rows differ'):
            as_points([[1, 2], [3]])

    def test_gradients_flow(self) -> None:
        points = torch.tensor([PARIS], requires_grad=True)
        [gradient] = torch.autograd.grad(as_points(points).sum(), points)
        assert gradient.tolist() == [[1, 1]]


class TestFindCoordinateColumns:
    @pytest.mark.parametrize(
        ('names', 'found'),
        [
            (['id', 'lat', 'lon'], ('lon', 'lat')),
            (['Longitude', 'LATITUDE'], ('Longitude', 'LATITUDE')),
            (['x', 'y', 'lon', 'lat'], ('lon', 'lat')),
            ([' lon ', 'lat'], (' lon ', 'lat')),
            (['X', 'Y'], ('X', 'Y')),
            (['longitude', 'x', 'y'], ('x', 'y')),
            (['lat', 'lng', 'x'], ('lng', 'lat')),
            (
                ['decimalLatitude', 'decimalLongitude'],
                ('decimalLongitude', 'decimalLatitude'),
            ),
        ],
    )
    def test_usual_names(self, names: list[str], found: tuple[str, str]) -> None:
        assert find_coordinate_columns(names) == found

    def test_eastings(self) -> None:
        names = ['lon', 'lat', 'Easting', 'Northing']
        assert find_coordinate_columns(names, projected=True) == ('Easting', 'Northing')

    def test_partner_of_a_given_column(self) -> None:
        assert find_coordinate_columns(['a', 'lat'], lon='a') == ('a', 'lat')
        with pytest.raises(ValueError, match='No two columns are clearly'):
            find_coordinate_columns(['a', 'b'], lon='a')

    def test_none(self) -> None:
        with pytest.raises(
            ValueError, match=r"longitudes and latitudes .*\['a', 'lat'"
        ):
            find_coordinate_columns(['a', 'lat'])

    def test_several(self) -> None:
        with pytest.raises(ValueError, match=r"possible: \['y', 'Y'\].*lon= and lat="):
            find_coordinate_columns(['x', 'y', 'Y'])

    def test_given_but_absent(self) -> None:
        with pytest.raises(ValueError, match="No column 'east'; the columns are"):
            find_coordinate_columns(['lon', 'lat'], lon='east')
