# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

from torchgeo_concepts.io.tables import OpenedTable, open_table

LON = [2.3522, 151.2093, -77.0428]
LAT = [48.8566, -33.8688, -12.0464]


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame({'city': ['Paris', 'Sydney', 'Lima'], 'lon': LON, 'lat': LAT})


@pytest.fixture
def cities(frame: pd.DataFrame) -> gpd.GeoDataFrame:
    geometry = gpd.points_from_xy(LON, LAT)
    return gpd.GeoDataFrame(frame[['city']], geometry=geometry, crs='EPSG:4326')


def points_of(table: OpenedTable) -> Any:
    return np.concatenate([batch.points for batch in table] or [np.zeros((0, 2))])


def problems_of(table: OpenedTable) -> dict[int, str]:
    return {
        batch.first_row + row: reason
        for batch in table
        for row, reason in batch.problems.items()
    }


def write_csv(path: Path, text: str) -> Path:
    path.write_text(text, encoding='utf-8')
    return path


class TestFrames:
    def test_columns(self, frame: pd.DataFrame) -> None:
        table = open_table(frame, batch_rows=2)
        np.testing.assert_allclose(points_of(table), np.column_stack((LON, LAT)))
        assert [len(batch.points) for batch in table] == [2, 1]
        assert next(iter(table)).rows.column('city').to_pylist() == ['Paris', 'Sydney']

    @pytest.mark.parametrize('crs', ['EPSG:4326', 'EPSG:3857'])
    def test_geometry(self, cities: gpd.GeoDataFrame, crs: str) -> None:
        table = open_table(cities.to_crs(crs).rename_geometry('place'))
        np.testing.assert_allclose(points_of(table), np.column_stack((LON, LAT)))
        assert shapely.get_x(cities.geometry.to_numpy())[0] == LON[0]

    def test_columns_of_geopandas_points(self, cities: gpd.GeoDataFrame) -> None:
        cities = cities.assign(e=[0.0, 1.0, 2.0], n=0.0)
        table = open_table(cities, lon='e', lat='n')
        assert points_of(table).tolist() == [[0, 0], [1, 0], [2, 0]]

    def test_errors(self, frame: pd.DataFrame, cities: gpd.GeoDataFrame) -> None:
        with pytest.raises(ValueError, match='The table: .*city'):
            open_table(frame.assign(city=np.array(['Paris', 3, {}], dtype=object)))
        with pytest.raises(ValueError, match='have no CRS'):
            open_table(gpd.GeoDataFrame(geometry=gpd.points_from_xy(LON, LAT)))


class TestFormats:
    @pytest.mark.parametrize(
        ('name', 'write'),
        [
            ('a.csv', lambda frame, path: frame.to_csv(path, index=False)),
            ('a.tsv', lambda frame, path: frame.to_csv(path, index=False, sep='\t')),
            ('a.CSV', lambda frame, path: frame.to_csv(path, index=False, sep=';')),
            ('a.csv.gz', lambda frame, path: frame.to_csv(path, index=False)),
            ('a.parquet', lambda frame, path: frame.to_parquet(path)),
        ],
    )
    def test_columns(
        self,
        tmp_path: Path,
        frame: pd.DataFrame,
        name: str,
        write: Callable[[pd.DataFrame, Path], None],
    ) -> None:
        write(frame, tmp_path / name)
        table = open_table(tmp_path / name)
        assert points_of(table).tolist() == np.column_stack((LON, LAT)).tolist()
        [batch] = table
        assert batch.rows.to_pandas().equals(frame)

    @pytest.mark.parametrize('crs', ['EPSG:4326', 'EPSG:3857'])
    @pytest.mark.parametrize(
        'name', ['a.gpkg', 'a.geojson', 'a.shp', 'a.fgb', 'a.parquet', 'a.geoparquet']
    )
    def test_geometries(
        self, tmp_path: Path, cities: gpd.GeoDataFrame, name: str, crs: str
    ) -> None:
        cities = cities.to_crs(crs)
        if 'parquet' in name:
            cities.to_parquet(tmp_path / name)
        else:
            cities.to_file(tmp_path / name)
        table = open_table(tmp_path / name)
        points = points_of(table)
        expected = np.column_stack((LON, LAT))
        order = np.argsort(points[:, 0])
        np.testing.assert_allclose(points[order], expected[[2, 0, 1]], atol=1e-6)
        assert set(table.schema.names) == {'city', 'geometry'}

    def test_native_geoparquet_points(
        self, tmp_path: Path, cities: gpd.GeoDataFrame
    ) -> None:
        cities.to_parquet(tmp_path / 'a.parquet', geometry_encoding='geoarrow')
        points = points_of(open_table(tmp_path / 'a.parquet'))
        assert points.tolist() == np.column_stack((LON, LAT)).tolist()

    def test_columns_of_a_geoparquet_file_on_request(
        self, tmp_path: Path, cities: gpd.GeoDataFrame
    ) -> None:
        cities.assign(e=1.0, n=2.0).to_parquet(tmp_path / 'a.parquet')
        table = open_table(tmp_path / 'a.parquet', lon='e', lat='n')
        assert points_of(table).tolist() == [[1, 2]] * 3

    def test_attribute_called_geometry(
        self, tmp_path: Path, cities: gpd.GeoDataFrame
    ) -> None:
        named = cities.rename_geometry('geom').assign(geometry='text')
        named.to_file(tmp_path / 'a.gpkg')
        with pytest.raises(ValueError, match=r"several columns named \['geometry'\]"):
            open_table(tmp_path / 'a.gpkg')

    def test_columns_of_a_layer_without_geometries(self, tmp_path: Path) -> None:
        geometry = gpd.GeoSeries(np.array([None]), crs=4326)
        frame = gpd.GeoDataFrame({'e': [1.0], 'n': [2.0]}, geometry=geometry)
        frame.to_file(tmp_path / 'a.gpkg')
        table = open_table(tmp_path / 'a.gpkg', lon='e', lat='n')
        assert points_of(table).tolist() == [[1, 2]]

    def test_projected_columns(self, tmp_path: Path, cities: gpd.GeoDataFrame) -> None:
        xy = cities.to_crs(3857).geometry
        path = tmp_path / 'a.csv'
        pd.DataFrame({'x': xy.x, 'y': xy.y}).to_csv(path, index=False)
        points = points_of(open_table(path, crs='EPSG:3857'))
        np.testing.assert_allclose(points, np.column_stack((LON, LAT)), atol=1e-9)

    def test_layers(self, tmp_path: Path, cities: gpd.GeoDataFrame) -> None:
        path = tmp_path / 'a.gpkg'
        cities.to_file(path, layer='all')
        cities[:1].to_file(path, layer='first')
        with pytest.raises(ValueError, match="layers .'all', 'first'.*layer="):
            open_table(path)
        with pytest.raises(ValueError, match="no layer 'last'"):
            open_table(path, layer='last')
        assert len(points_of(open_table(path, layer='first'))) == 1

    def test_longitudes_are_wrapped(self, tmp_path: Path) -> None:
        path = write_csv(tmp_path / 'a.csv', 'lon,lat\n190,5\n180,5\n-540.5,5\n')
        assert points_of(open_table(path))[:, 0].tolist() == [-170, 180, 179.5]


class TestBatches:
    @pytest.mark.parametrize('name', ['a.csv', 'a.parquet', 'a.gpkg'])
    def test_rows_keep_their_number_and_order(self, tmp_path: Path, name: str) -> None:
        lon = np.linspace(-180, 180, 1000)
        frame = pd.DataFrame({'id': range(1000), 'lon': lon, 'lat': lon / 2})
        path = tmp_path / name
        if name == 'a.csv':
            frame.to_csv(path, index=False)
        elif name == 'a.parquet':
            frame.to_parquet(path)
        else:
            geometry = gpd.points_from_xy(frame.lon, frame.lat)
            gpd.GeoDataFrame(frame[['id']], geometry=geometry, crs=4326).to_file(path)
        batches = list(open_table(path, batch_rows=64))
        assert len(batches) >= 1000 / 64
        assert max(len(batch.points) for batch in batches) <= 64
        for batch in batches:
            assert batch.rows['id'][0].as_py() == batch.first_row
        points = np.concatenate([batch.points for batch in batches])
        np.testing.assert_allclose(points, frame[['lon', 'lat']], atol=1e-12)

    def test_can_be_read_twice(self, tmp_path: Path, frame: pd.DataFrame) -> None:
        frame.to_csv(tmp_path / 'a.csv')
        table = open_table(tmp_path / 'a.csv')
        assert points_of(table).tolist() == points_of(table).tolist()


class TestCSVTypes:
    def test_first_type_that_all_rows_read_as(self, tmp_path: Path) -> None:
        rows = ['1,1,true,2020-01-01,2020-01-01T10:00:00,007,1,x'] * 500
        rows += ['2,2.5,false,2021-02-03,2021-02-03 11:30:00,123,abc,']
        path = write_csv(
            tmp_path / 'a.csv',
            'i,f,b,d,t,code,late,s,lon,lat\n'
            + '\n'.join(f'{row},10,50' for row in rows),
        )
        schema = open_table(path, batch_rows=16).schema
        assert schema.types == [
            pa.int64(),
            pa.float64(),
            pa.bool_(),
            pa.date32(),
            pa.timestamp('us'),
            pa.string(),
            pa.string(),
            pa.string(),
            pa.float64(),
            pa.float64(),
        ]
        batches = list(open_table(path, batch_rows=16))
        assert batches[0].rows['code'][0].as_py() == '007'
        assert batches[-1].rows['s'][-1].as_py() is None

    def test_namibia_is_not_missing(self, tmp_path: Path) -> None:
        path = write_csv(tmp_path / 'a.csv', 'iso,lon,lat\nNA,17,-22\nFR,2,48\n')
        [batch] = open_table(path)
        assert batch.rows['iso'].to_pylist() == ['NA', 'FR']

    def test_quoted_newlines_and_delimiters(self, tmp_path: Path) -> None:
        path = write_csv(tmp_path / 'a.csv', 'name,lon,lat\n"A\nb, c",1,2\n')
        [batch] = open_table(path)
        assert batch.rows['name'].to_pylist() == ['A\nb, c']

    def test_byte_order_mark(self, tmp_path: Path) -> None:
        path = tmp_path / 'a.csv'
        path.write_text('lon,lat\n1,2\n', encoding='utf-8-sig')
        assert points_of(open_table(path)).tolist() == [[1, 2]]

    def test_long_identifiers_keep_their_digits(self, tmp_path: Path) -> None:
        path = write_csv(
            tmp_path / 'a.csv',
            'u,digits,hex,lon,lat\n'
            '9749618446378729472,12345678901234567890123,0x1F,1,2\n'
            '9749618446378729473,1,0x20,1,2\n',
        )
        [batch] = open_table(path)
        assert batch.rows['u'].to_pylist() == [9749618446378729472, 9749618446378729473]
        assert batch.rows['digits'][0].as_py() == '12345678901234567890123'
        assert batch.rows['hex'][0].as_py() == '0x1F'

    def test_columns_stay_text_on_request(self, tmp_path: Path) -> None:
        path = write_csv(tmp_path / 'a.csv', 'id,lon,lat\n1,2,3\n')
        table = open_table(path, infer_types=False)
        assert table.schema.types == [pa.string()] * 3
        [batch] = table
        assert batch.rows['id'].to_pylist() == ['1']
        assert batch.points.tolist() == [[2, 3]]

    def test_record_longer_than_a_block(self, tmp_path: Path) -> None:
        polygon = 'POLYGON ((' + '0 0, ' * 1_000_000 + '0 0))'
        path = write_csv(tmp_path / 'a.csv', f'lon,lat,wkt\n1,2,"{polygon}"\n3,4,x\n')
        assert points_of(open_table(path, batch_rows=64)).tolist() == [[1, 2], [3, 4]]


class TestBadRows:
    def test_columns(self, tmp_path: Path) -> None:
        path = write_csv(
            tmp_path / 'a.csv',
            'lon,lat\n1,2\nabc,2\n1,91\n,2\nnan,2\n1,inf\n1, 2 \n"1,5",2\n1_0,2\n',
        )
        table = open_table(path)
        assert problems_of(table) == {
            1: "lon is 'abc', not a number",
            2: 'latitude 91 is outside [-90, 90]',
            3: 'lon is missing',
            4: 'longitude is nan',
            5: 'latitude is inf',
            7: "lon is '1,5', not a number",
            8: "lon is '1_0', not a number",
        }
        points = points_of(table)
        assert np.isnan(points).all(axis=1).nonzero()[0].tolist() == [
            1,
            2,
            3,
            4,
            5,
            7,
            8,
        ]
        assert points[6].tolist() == [1, 2]

    def test_columns_of_parquet(self, tmp_path: Path) -> None:
        frame = pd.DataFrame({'lon': [1, None, 3], 'lat': ['1', '2', 'x']})
        frame.to_parquet(tmp_path / 'a.parquet')
        assert problems_of(open_table(tmp_path / 'a.parquet')) == {
            1: 'lon is missing',
            2: "lat is 'x', not a number",
        }

    def test_geometries(self, tmp_path: Path) -> None:
        geometry = [shapely.Point(1, 2), None, shapely.box(0, 0, 1, 1), shapely.Point()]
        frame = gpd.GeoDataFrame(geometry=np.array(geometry), crs=4326)
        frame.to_parquet(tmp_path / 'a.parquet')
        assert problems_of(open_table(tmp_path / 'a.parquet')) == {
            1: 'geometry is missing',
            2: 'geometry is a Polygon, not a point; take its '
            'representative_point() first',
            3: 'geometry is missing',
        }

    def test_outside_of_the_crs(self, tmp_path: Path) -> None:
        path = write_csv(tmp_path / 'a.csv', 'x,y\n5e5,5e6\n1e30,1e30\n')
        problems = problems_of(open_table(path, crs='EPSG:32631'))
        assert list(problems) == [1]
        assert 'lies outside WGS 84 / UTM zone 31N' in problems[1]


class TestBadFiles:
    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match='No file'):
            open_table(tmp_path / 'a.csv')

    @pytest.mark.parametrize('name', ['a.csv', 'a.parquet', 'a.gpkg'])
    def test_empty_file(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).touch()
        with pytest.raises(ValueError, match='is empty'):
            open_table(tmp_path / name)

    @pytest.mark.parametrize('name', ['a.parquet', 'a.gpkg', 'a.geojson', 'a.csv.gz'])
    def test_no_such_format(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).write_bytes(b'This is something else entirely.')
        with pytest.raises(ValueError, match=f'Cannot read .*{name}'):
            points_of(open_table(tmp_path / name))

    def test_unknown_ending(self, tmp_path: Path) -> None:
        write_csv(tmp_path / 'a.xlsx', 'lon,lat\n')
        with pytest.raises(ValueError, match='no known suffix. Use one of .csv'):
            open_table(tmp_path / 'a.xlsx')

    def test_not_utf8(self, tmp_path: Path) -> None:
        (tmp_path / 'a.csv').write_bytes(
            'city,lon,lat\nMálaga,-4,36\n'.encode('latin-1')
        )
        with pytest.raises(
            ValueError, match='is not UTF-8: byte 14 .*Save it as UTF-8'
        ):
            points_of(open_table(tmp_path / 'a.csv'))

    def test_ragged_rows(self, tmp_path: Path) -> None:
        path = write_csv(tmp_path / 'a.csv', 'lon,lat\n1,2\n1,2,3\n')
        with pytest.raises(ValueError, match='row 1 .* has 3 cells, the header has 2'):
            open_table(path)

    def test_row_of_a_ragged_record_counts_records_not_lines(
        self, tmp_path: Path
    ) -> None:
        lines = '"two\nlines",1,2\n' * 3000 + '\n'
        path = write_csv(tmp_path / 'a.csv', f'name,lon,lat\n{lines}x,1\n')
        for infer_types in (True, False):
            with pytest.raises(ValueError, match='row 3000 .counted from 0. has 2 cel'):
                points_of(open_table(path, batch_rows=64, infer_types=infer_types))

    def test_not_utf8_after_many_rows(self, tmp_path: Path) -> None:
        text = b'city,lon,lat\n' + b'Rome,12,42\n' * 5000
        (tmp_path / 'a.csv').write_bytes(text + b'M\xe1laga,-4,36\n')
        with pytest.raises(ValueError, match=f'not UTF-8: byte {len(text) + 1} cannot'):
            open_table(tmp_path / 'a.csv', batch_rows=64)

    def test_repeated_columns(self, tmp_path: Path) -> None:
        path = write_csv(tmp_path / 'a.csv', 'lon,lat,lat\n1,2,3\n')
        with pytest.raises(ValueError, match=r"several columns named \['lat'\]"):
            open_table(path)

    def test_truncated_gzip(self, tmp_path: Path) -> None:
        whole = gzip.compress(b'lon,lat\n' + b'1.25,2.5\n' * 10_000)
        (tmp_path / 'a.csv.gz').write_bytes(whole[:-50])
        with pytest.raises(ValueError, match='Cannot read .*a.csv.gz'):
            points_of(open_table(tmp_path / 'a.csv.gz'))

    def test_header_alone(self, tmp_path: Path) -> None:
        path = write_csv(tmp_path / 'a.csv', 'name,lon,lat\n')
        table = open_table(path)
        assert points_of(table).shape == (0, 2)
        assert table.schema.names == ['name', 'lon', 'lat']

    def test_no_rows(self, tmp_path: Path, cities: gpd.GeoDataFrame) -> None:
        cities[:0].to_parquet(tmp_path / 'a.parquet')
        assert points_of(open_table(tmp_path / 'a.parquet')).shape == (0, 2)


class TestCRS:
    def test_missing(self, tmp_path: Path, cities: gpd.GeoDataFrame) -> None:
        nowhere = gpd.GeoDataFrame(cities[['city']], geometry=list(cities.geometry))
        nowhere.to_parquet(tmp_path / 'a.parquet')
        with pytest.warns(UserWarning, match='crs'):
            nowhere.to_file(tmp_path / 'a.shp')
        for name in ('a.parquet', 'a.shp'):
            with pytest.raises(ValueError, match="no CRS.*crs='EPSG:4326'"):
                open_table(tmp_path / name)
            assert len(points_of(open_table(tmp_path / name, crs='EPSG:4326'))) == 3

    def test_parquet_without_a_crs_is_longitude_and_latitude(
        self, tmp_path: Path
    ) -> None:
        geo = '{"primary_column": "g", "columns": {"g": {"encoding": "WKB"}}}'
        wkb = pa.array([shapely.Point(1, 2).wkb])
        table = pa.table({'g': wkb}).replace_schema_metadata({'geo': geo})
        pq.write_table(table, tmp_path / 'a.parquet')
        assert points_of(open_table(tmp_path / 'a.parquet')).tolist() == [[1, 2]]

    def test_contradiction(self, tmp_path: Path, cities: gpd.GeoDataFrame) -> None:
        cities.to_parquet(tmp_path / 'a.parquet')
        with pytest.raises(ValueError, match='are in WGS 84, not in WGS 84 / Pseudo'):
            open_table(tmp_path / 'a.parquet', crs='EPSG:3857')

    def test_broken_metadata(self, tmp_path: Path) -> None:
        table = pa.table({'g': pa.array([shapely.Point(1, 2).wkb])})
        for geo, message in (
            ('{', 'broken GeoParquet'),
            ('{"columns": {}}', 'broken GeoParquet'),
            ('{"columns": {}, "primary_column": "h"}', "no column 'h'"),
        ):
            pq.write_table(
                table.replace_schema_metadata({'geo': geo}), tmp_path / 'a.parquet'
            )
            with pytest.raises(ValueError, match=message):
                open_table(tmp_path / 'a.parquet')

    @pytest.mark.parametrize('crs', ['EPSG:5773', 'EPSG:4978'])
    def test_no_map(self, tmp_path: Path, crs: str) -> None:
        path = write_csv(tmp_path / 'a.csv', 'x,y\n1,2\n')
        with pytest.raises(ValueError, match='geographic or projected'):
            open_table(path, crs=crs)

    def test_northing_first(self, tmp_path: Path, cities: gpd.GeoDataFrame) -> None:
        # Gauss-Krueger zone 3, whose first axis points north.
        paris = cities[:1].to_crs('EPSG:31467')
        paris.to_parquet(tmp_path / 'a.parquet')
        points = points_of(open_table(tmp_path / 'a.parquet'))
        np.testing.assert_allclose(points, [[LON[0], LAT[0]]], atol=1e-5)

    def test_no_crs_at_all(self, tmp_path: Path) -> None:
        path = write_csv(tmp_path / 'a.csv', 'x,y\n1,2\n')
        with pytest.raises(ValueError, match="'EPSG:nil' is not a coordinate"):
            open_table(path, crs='EPSG:nil')

    def test_projected_columns_are_not_called_lon(self, tmp_path: Path) -> None:
        path = write_csv(tmp_path / 'a.csv', 'lon,lat,x,y\n2,48,261845,6250564\n')
        points = points_of(open_table(path, crs='EPSG:3857'))
        np.testing.assert_allclose(points, [[2.3522, 48.8566]], atol=1e-3)
        with pytest.raises(ValueError, match='clearly the eastings and northings'):
            open_table(write_csv(path, 'lon,lat\n1,2\n'), crs='EPSG:3857')

    def test_no_points(self, tmp_path: Path) -> None:
        lines = gpd.GeoDataFrame(
            geometry=[shapely.LineString([(0, 0), (1, 1)])], crs=4326
        )
        lines.to_parquet(tmp_path / 'a.parquet', geometry_encoding='geoarrow')
        with pytest.raises(
            ValueError, match='linestring geometries; points are needed'
        ):
            open_table(tmp_path / 'a.parquet')
