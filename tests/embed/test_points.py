# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import json
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import torchgeo_concepts
from torchgeo_concepts.embed.points import embed_file, embed_points
from torchgeo_concepts.models import GeoCLIPLocation, concept_earth

GEOCLIP = 'geoclip_location', 'MP16'


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            'id': np.arange(1000),
            'lon': generator.uniform(-180, 180, 1000),
            'lat': generator.uniform(-90, 90, 1000),
        }
    )
    path = tmp_path / 'points.csv'
    frame.to_csv(path, index=False)
    return path


def stacked(frame: pd.DataFrame) -> Any:
    return np.stack(frame['embedding'].to_list())


class TestEmbedPoints:
    def test_batches_do_not_show(self, small_encoder: GeoCLIPLocation) -> None:
        points = torch.rand(10, 2)
        embedding = embed_points(small_encoder, points, batch_size=3)
        torch.testing.assert_close(embedding, small_encoder(points).detach())
        assert not embedding.requires_grad

    def test_empty(self, small_encoder: GeoCLIPLocation) -> None:
        assert embed_points(small_encoder, []).shape == (0, 6)

    def test_half_precision_is_near_and_float32(
        self, small_encoder: GeoCLIPLocation
    ) -> None:
        points = torch.rand(10, 2)
        half = embed_points(small_encoder, points, precision='bfloat16')
        exact = embed_points(small_encoder, points)
        assert half.dtype == torch.float32
        assert not half.equal(exact)
        torch.testing.assert_close(half, exact, atol=0.01, rtol=0.01)

    def test_can_be_trained_on(self, small_encoder: GeoCLIPLocation) -> None:
        embedding = embed_points(small_encoder, [[1.0, 2.0]])
        head = torch.nn.Linear(6, 1)
        [gradient] = torch.autograd.grad(head(embedding).sum(), head.weight)
        assert gradient.equal(embedding)

    def test_modes_are_restored(self, small_encoder: GeoCLIPLocation) -> None:
        small_encoder.train()
        small_encoder.capsules[0].eval()
        embed_points(small_encoder, [[1.0, 2.0]])
        assert small_encoder.training
        assert not small_encoder.capsules[0].training
        assert small_encoder.capsules[1].training

    def test_progress_on_request(
        self, small_encoder: GeoCLIPLocation, capsys: pytest.CaptureFixture[str]
    ) -> None:
        embed_points(small_encoder, torch.rand(10, 2))
        assert capsys.readouterr().err == ''
        embed_points(small_encoder, torch.rand(10, 2), progress=True)
        assert '10.0/10.0' in capsys.readouterr().err

    def test_bad_arguments(self, small_encoder: GeoCLIPLocation) -> None:
        with pytest.raises(ValueError, match='batch_size'):
            embed_points(small_encoder, [], batch_size=0)
        if not torch.cuda.is_available():
            with pytest.raises(ValueError, match='needs a GPU'):
                embed_points(small_encoder, [], device='cuda')


class TestEmbedFile:
    def test_output_is_what_the_encoder_says(
        self, csv: Path, tmp_path: Path, geoclip: GeoCLIPLocation
    ) -> None:
        output = tmp_path / 'out.parquet'
        report = embed_file(csv, output, *GEOCLIP)
        assert (report.num_points, report.num_skipped, report.dim) == (1000, 0, 512)
        frame = gpd.read_parquet(output)
        assert list(frame) == ['id', 'lon', 'lat', 'geometry', 'embedding']
        given = pd.read_csv(csv)
        pd.testing.assert_frame_equal(
            pd.DataFrame(frame[['id', 'lon', 'lat']]), given, check_exact=True
        )
        assert frame.crs is not None
        assert frame.crs.equals('EPSG:4326', ignore_axis_order=True)
        np.testing.assert_array_equal(frame.geometry.x, given['lon'])
        np.testing.assert_array_equal(frame.geometry.y, given['lat'])
        expected = embed_points(geoclip, given[['lon', 'lat']])
        np.testing.assert_array_equal(stacked(frame), expected)
        assert not output.with_suffix('.skipped.csv').exists()
        assert '1,000 points embedded by geoclip_location' in str(report)

    def test_float16_and_metadata(self, csv: Path, tmp_path: Path) -> None:
        output = tmp_path / 'out.geoparquet'
        embed_file(csv, output, *GEOCLIP, dtype='float16', column='x')
        schema = pq.read_schema(output)
        assert schema.field('x').type == pa.list_(pa.float16(), 512)
        assert json.loads(schema.metadata[b'torchgeo_concepts']) == {
            'model': 'geoclip_location',
            'weights': 'GeoCLIPLocation_Weights.MP16',
            'features': 'x',
            'precision': 'float32',
            'torchgeo_concepts': torchgeo_concepts.__version__,
            'torchgeo': torchgeo_concepts.embed.points.torchgeo.__version__,
            'column': 'x',
            'dim': 512,
        }
        geo = json.loads(schema.metadata[b'geo'])
        assert geo['version'] == '1.1.0'
        assert geo['columns']['geometry']['geometry_types'] == ['Point']

    @pytest.mark.parametrize('features', ['z', 'xz'])
    def test_metadata_names_concepts(
        self, csv: Path, tmp_path: Path, features: Any
    ) -> None:
        output = tmp_path / 'out.parquet'
        embed_file(csv, output, model='concept_earth', features=features)
        known = json.loads(pq.read_schema(output).metadata[b'torchgeo_concepts'])
        encoder = concept_earth('GROUNDED')
        points = pd.read_csv(csv)[['lon', 'lat']]
        scores = embed_points(encoder, points, features='z').numpy()
        column = known['concepts'].index('annual-mean-temperature')
        start = known['dim'] - len(known['concepts'])
        stored = stacked(gpd.read_parquet(output))[:, start + column]
        np.testing.assert_array_equal(
            stored, scores[:, encoder.bank.index('annual mean temperature')]
        )

    def test_default_is_grounded_and_can_be_truncated(
        self, csv: Path, tmp_path: Path
    ) -> None:
        output, file = tmp_path / 'out.parquet', tmp_path / 'own.safetensors'
        assert embed_file(csv, output).weights == 'ConceptEarth_Weights.GROUNDED'
        concept_earth('FAST').save(file)
        report = embed_file(csv, output, weights=str(file), truncate_dim=8)
        assert (report.weights, report.dim) == ('own.safetensors', 8)
        expected = embed_points(
            concept_earth('FAST', truncate_dim=8), pd.read_csv(csv)[['lon', 'lat']]
        )
        np.testing.assert_allclose(
            stacked(gpd.read_parquet(output)), expected, atol=1e-4
        )

    @pytest.mark.parametrize('encoding', ['WKB', 'geoarrow'])
    def test_geometries_keep_their_crs(
        self, tmp_path: Path, encoding: Any, geoclip: GeoCLIPLocation
    ) -> None:
        geometry = gpd.GeoSeries.from_xy([2.35, 151.2], [48.85, -33.87], crs=4326)
        cities = gpd.GeoDataFrame({'id': [1, 2]}, geometry=geometry).to_crs(3857)
        cities.to_parquet(tmp_path / 'in.parquet', geometry_encoding=encoding)
        embed_file(tmp_path / 'in.parquet', tmp_path / 'out.parquet', *GEOCLIP)
        frame = gpd.read_parquet(tmp_path / 'out.parquet')
        assert frame.crs == cities.crs
        assert frame.geometry.geom_equals_exact(cities.geometry, 0).all()
        np.testing.assert_allclose(
            stacked(frame), embed_points(geoclip, cities), atol=1e-5
        )

    @pytest.mark.parametrize('name', ['in.parquet', 'in.gpkg'])
    def test_columns_take_the_place_of_geometries(
        self, tmp_path: Path, name: str
    ) -> None:
        geometry = gpd.GeoSeries.from_xy([2.35], [48.85], crs=4326)
        frame = gpd.GeoDataFrame({'e': [3.0], 'n': [4.0]}, geometry=geometry)
        if name == 'in.gpkg':
            frame.to_file(tmp_path / name)
        else:
            frame.to_parquet(tmp_path / name)
        embed_file(tmp_path / name, tmp_path / 'out.parquet', lon='e', lat='n')
        [point] = gpd.read_parquet(tmp_path / 'out.parquet').geometry
        assert point.wkt == 'POINT (3 4)'

    def test_other_geometries_stay_geometries(self, tmp_path: Path) -> None:
        points = gpd.GeoSeries.from_wkt(['POINT Z (1 2 3)'], crs=4326)
        frame = gpd.GeoDataFrame(geometry=points)
        frame['area'] = frame.to_crs(3857).buffer(1)
        frame.to_parquet(tmp_path / 'in.parquet')
        embed_file(tmp_path / 'in.parquet', tmp_path / 'out.parquet')
        written = gpd.read_parquet(tmp_path / 'out.parquet')
        assert written['area'].crs == 3857
        assert written.geometry.has_z.all()
        geo = json.loads(pq.read_schema(tmp_path / 'out.parquet').metadata[b'geo'])
        assert geo['columns']['geometry']['geometry_types'] == ['Point Z']
        assert 'bbox' not in geo['columns']['geometry']

    def test_link_stays_a_link(self, csv: Path, tmp_path: Path) -> None:
        (tmp_path / 'target.parquet').touch()
        (tmp_path / 'link.parquet').symlink_to(tmp_path / 'target.parquet')
        embed_file(csv, tmp_path / 'link.parquet')
        assert (tmp_path / 'link.parquet').is_symlink()
        assert len(gpd.read_parquet(tmp_path / 'target.parquet')) == 1000

    def test_paths_may_be_text(self, csv: Path, tmp_path: Path) -> None:
        paths: Any = str(csv), str(tmp_path / 'out.parquet')
        report = embed_file(*paths)
        assert report.output == tmp_path / 'out.parquet'

    def test_result_replaces_an_older_one(self, csv: Path, tmp_path: Path) -> None:
        output = tmp_path / 'out.parquet'
        output.write_text('older')
        embed_file(csv, output)
        assert len(gpd.read_parquet(output)) == 1000

    def test_table_without_rows(self, tmp_path: Path) -> None:
        (tmp_path / 'in.csv').write_text('name,lon,lat\n')
        report = embed_file(tmp_path / 'in.csv', tmp_path / 'out.parquet')
        assert report.num_points == 0
        schema = pq.read_schema(tmp_path / 'out.parquet')
        assert schema.names == ['name', 'lon', 'lat', 'geometry', 'embedding']


class TestBadRows:
    @pytest.fixture
    def bad(self, tmp_path: Path) -> Path:
        path = tmp_path / 'bad.csv'
        path.write_text('id,lon,lat\na,1,2\nb,x,2\nc,3,4\nd,5,91\ne,,\n')
        return path

    def test_raise_names_all_and_writes_nothing(
        self, bad: Path, tmp_path: Path
    ) -> None:
        before = set(tmp_path.iterdir())
        with pytest.raises(ValueError, match='3 of 5 rows') as error:
            embed_file(bad, tmp_path / 'out.parquet')
        message = str(error.value)
        assert "row 1: lon is 'x', not a number" in message
        assert 'row 3: latitude 91 is outside [-90, 90]' in message
        assert 'row 4: lon is missing' in message
        assert "on_error='skip'" in message
        assert set(tmp_path.iterdir()) == before

    def test_skip_lists_them(self, bad: Path, tmp_path: Path) -> None:
        with pytest.warns(UserWarning, match='lon and lat swapped'):
            report = embed_file(bad, tmp_path / 'out.parquet', on_error='skip')
        assert (report.num_points, report.num_skipped) == (2, 3)
        assert report.skipped == tmp_path / 'out.skipped.csv'
        assert str(report.skipped) in str(report)
        assert gpd.read_parquet(tmp_path / 'out.parquet')['id'].tolist() == ['a', 'c']
        skipped = pd.read_csv(report.skipped)
        assert skipped['row'].tolist() == [1, 3, 4]
        assert skipped['reason'][1] == 'latitude 91 is outside [-90, 90]'

    def test_nothing_to_skip(self, csv: Path, tmp_path: Path) -> None:
        embed_file(csv, tmp_path / 'out.parquet', on_error='skip')
        assert pd.read_csv(tmp_path / 'out.skipped.csv').empty

    def test_many(self, tmp_path: Path) -> None:
        path = tmp_path / 'in.csv'
        path.write_text('lon,lat\n0,0\n' + '0,91\n' * 100)
        with pytest.raises(ValueError, match='row 20: .*\n  and 80 more'):
            embed_file(path, tmp_path / 'out.parquet')

    def test_swapped_columns(self, tmp_path: Path) -> None:
        path = tmp_path / 'in.csv'
        path.write_text('lon,lat\n48.85,2.35\n-33.87,151.2\n')
        with pytest.raises(ValueError, match='lon and lat swapped'):
            embed_file(path, tmp_path / 'out.parquet')

    def test_no_good_row(self, tmp_path: Path) -> None:
        path = tmp_path / 'in.csv'
        path.write_text('lon,lat\n1,nan\n')
        with pytest.raises(ValueError, match='1 of 1 rows') as error:
            embed_file(path, tmp_path / 'out.parquet', on_error='skip')
        assert 'on_error' not in str(error.value)


class TestBadArguments:
    def test_output(self, csv: Path, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r'must end in \.parquet'):
            embed_file(csv, tmp_path / 'out.csv')
        with pytest.raises(FileNotFoundError, match='no folder'):
            embed_file(csv, tmp_path / 'nowhere' / 'out.parquet')
        (tmp_path / 'folder.parquet').mkdir()
        with pytest.raises(IsADirectoryError):
            embed_file(csv, tmp_path / 'folder.parquet')

    def test_output_is_the_input(self, csv: Path, tmp_path: Path) -> None:
        pd.read_csv(csv).to_parquet(tmp_path / 'in.parquet')
        with pytest.raises(ValueError, match='is the input'):
            embed_file(tmp_path / 'in.parquet', tmp_path / 'in.parquet')

    def test_list_of_skipped_rows_is_the_input(self, csv: Path, tmp_path: Path) -> None:
        source = csv.rename(tmp_path / 'out.skipped.csv')
        before = source.read_bytes()
        with pytest.raises(ValueError, match='is the input'):
            embed_file(source, tmp_path / 'out.parquet', on_error='skip')
        assert source.read_bytes() == before

    @pytest.mark.parametrize(
        ('name', 'value'),
        [
            ('features', 'y'),
            ('dtype', 'float64'),
            ('precision', 'float16'),
            ('device', 'gpu'),
            ('on_error', 'ignore'),
        ],
    )
    def test_choices(self, csv: Path, tmp_path: Path, name: str, value: Any) -> None:
        with pytest.raises(ValueError, match=f'{name} must be one of'):
            embed_file(csv, tmp_path / 'out.parquet', **{name: value})

    def test_model_that_is_no_location_encoder(self, csv: Path, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match='resnet18 is not a location encoder'):
            embed_file(csv, tmp_path / 'out.parquet', model='resnet18', weights=None)

    @pytest.mark.parametrize('column', ['id', 'geometry'])
    def test_column_exists(self, csv: Path, tmp_path: Path, column: str) -> None:
        with pytest.raises(ValueError, match=f'a column {column!r}'):
            embed_file(csv, tmp_path / 'out.parquet', column=column)

    def test_geometry_beside_coordinates(self, tmp_path: Path) -> None:
        (tmp_path / 'in.csv').write_text('lon,lat,geometry\n1,2,POINT (1 2)\n')
        with pytest.raises(ValueError, match='Rename the column'):
            embed_file(tmp_path / 'in.csv', tmp_path / 'out.parquet')

    def test_no_concepts(self, csv: Path, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match='no concept scores'):
            embed_file(csv, tmp_path / 'out.parquet', *GEOCLIP, features='z')
        assert [path.name for path in tmp_path.iterdir()] == ['points.csv']

    def test_failure_in_the_middle_leaves_nothing(
        self, csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: Any) -> None:
            raise OSError('No space left on device')

        monkeypatch.setattr(pq.ParquetWriter, 'write_batch', full)
        with pytest.raises(OSError, match='No space left'):
            embed_file(csv, tmp_path / 'out.parquet', on_error='skip')
        assert [path.name for path in tmp_path.iterdir()] == ['points.csv']
