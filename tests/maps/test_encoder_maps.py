# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rasterio
import torch
from lightning.pytorch import Trainer
from rasterio.enums import ColorInterp
from rasterio.io import DatasetWriter
from safetensors.torch import save_file
from torch import Tensor

import torchgeo_concepts
from torchgeo_concepts.cli import main
from torchgeo_concepts.concepts import Concept, ConceptBank
from torchgeo_concepts.datamodules import PointTableDataModule
from torchgeo_concepts.datasets import PointTable
from torchgeo_concepts.geo.raster_grid import RasterGrid
from torchgeo_concepts.io import geotiff
from torchgeo_concepts.io.geotiff import Band, BandKind
from torchgeo_concepts.layers import get_layer
from torchgeo_concepts.maps import encoder_maps as maps
from torchgeo_concepts.maps.bands import ConceptScores, PrincipalColours
from torchgeo_concepts.maps.encoder_maps import map_encoder, map_values
from torchgeo_concepts.models import GeoCLIPLocation
from torchgeo_concepts.models.concept_earth import ConceptEarth, ConceptScale
from torchgeo_concepts.tasks import LocationClassification, LocationRegression

SIZES: dict[str, Any] = {
    'embed_dim': 6,
    'hidden_dim': 8,
    'rows': (6, 30),
    'grid_features': (4, 2),
    'table_size': 512,
    'num_waves': 4,
}
BANDS = [Band('longitude', '°'), Band('latitude', '°')]


def coordinates(points: Tensor) -> Tensor:
    return points


def read(path: Path) -> Any:
    with rasterio.open(path) as dataset:
        return dataset.read()


@pytest.fixture
def earth(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    bank = ConceptBank(
        (
            Concept(
                'mean-temperature',
                'annual mean temperature',
                'climate',
                kind='quantity',
                unit='°C',
            ),
            Concept('mangrove', 'mangrove', 'vegetation'),
        )
    )
    scale = ConceptScale([10.0, 0.5], [15.0, 0.4], [False, False], [False, True])
    model = ConceptEarth(bank, scale, **SIZES)
    for table in model.grids.parameters():
        torch.nn.init.normal_(table)
    path = tmp_path / 'earth.safetensors'
    model.save(path)
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / 'map.tif'


class TestValues:
    @pytest.mark.parametrize(
        ('bounds', 'crs'),
        [
            (None, 'EPSG:4326'),
            ((170, -25, -170, -15), 'EPSG:4326'),
            (None, 'EPSG:6933'),
            ((5, 40, 11, 50), 'EPSG:32632'),
            ((-180, 60, 180, 90), 'EPSG:3413'),
        ],
    )
    def test_pixels_have_the_values_at_their_centres(
        self, out: Path, bounds: Any, crs: str
    ) -> None:
        grid = RasterGrid.over(bounds, crs, width=12)
        map_values(coordinates, out, grid, BANDS)
        with rasterio.open(out) as dataset:
            values = dataset.read()
            assert rasterio.CRS.from_user_input(crs) == dataset.crs
            for row, column in ((0, 0), (dataset.height - 1, 7), (1, 11)):
                x, y = dataset.xy(row, column)
                [lon], [lat] = rasterio.warp.transform(
                    dataset.crs, 'EPSG:4326', [x], [y]
                )
                # Longitudes may go on beyond 180, and have no value at a pole.
                apart = (values[0, row, column] - lon + 180) % 360 - 180
                assert abs(apart) < 1e-3 or abs(lat) > 89.9
                assert values[1, row, column] == pytest.approx(lat, abs=1e-4)

    def test_an_encoder_is_mapped_exactly(self, out: Path, earth: Path) -> None:
        grid = RasterGrid.over((-10, -90, 20, 90), width=20)
        names = ['mangrove', 'mean-temperature']
        map_encoder(out, weights=str(earth), concept=names, png=False,
                    bounds=(-10, -90, 20, 90), width=20, batch_size=100)  # fmt: skip
        model = ConceptEarth.load(earth)
        with torch.no_grad():
            points = torch.from_numpy(grid.points()[0])
            parts = [model.concepts(p, calibrated=True) for p in points.split(100)]
        expected = torch.cat(parts)[:, [1, 0]].T.reshape(2, grid.height, grid.width)
        np.testing.assert_array_equal(read(out), expected.numpy())

    def test_off_the_earth_is_nodata(self, out: Path) -> None:
        grid = RasterGrid.over(None, 'ESRI:54009', width=40)
        map_values(coordinates, out, grid, BANDS)
        with rasterio.open(out) as dataset:
            assert math.isnan(dataset.nodata)
            values = dataset.read()
            masked = dataset.read_masks(1) == 0
        assert np.isnan(values[:, 0, 0]).all()
        assert values[1, grid.height // 2, 20] == pytest.approx(0, abs=10)
        assert 0.2 < np.isnan(values[0]).mean() < 0.24
        assert (masked == np.isnan(values[0])).all()

    def test_one_pixel(self, out: Path) -> None:
        map_values(coordinates, out, RasterGrid.over(width=1), BANDS)
        assert read(out).tolist() == [[[0.0]], [[0.0]]]

    def test_numpy_and_one_band(self, out: Path) -> None:
        grid = RasterGrid.over(width=4)
        map_values(lambda points: points[:, 1].numpy(), out, grid, BANDS[1:])
        assert read(out)[0, :, 0].tolist() == [45, -45]

    def test_only_land(self, out: Path) -> None:
        seen = []

        def function(points: Tensor) -> Tensor:
            seen.append(points)
            return points

        grid = RasterGrid.over((-10, 35, 20, 60), width=30)
        map_values(function, out, grid, BANDS, land_only=True)
        is_land = get_layer('land')(grid.points()[0]) == 1
        assert (np.isnan(read(out)[0]).ravel() == ~is_land).all()
        assert sum(map(len, seen)) == is_land.sum()

    @pytest.mark.parametrize(
        ('function', 'message'),
        [
            (lambda points: points[:, :1], r'shape \(8, 2\) .* got \(8, 1\)'),
            (lambda points: points[:3], r'shape \(8, 2\) .* got \(3, 2\)'),
        ],
    )
    def test_wrong_shape(
        self, out: Path, function: Callable[[Tensor], Tensor], message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            map_values(function, out, RasterGrid.over(width=4), BANDS)
        assert list(out.parent.iterdir()) == []

    def test_wrong_arguments(self, out: Path) -> None:
        grid = RasterGrid.over(width=4)
        with pytest.raises(ValueError, match='at least one band'):
            map_values(coordinates, out, grid, [])
        with pytest.raises(ValueError, match='batch_size must be at least 1'):
            map_values(coordinates, out, grid, BANDS, batch_size=0)


class TestFile:
    def test_cloud_optimised(self, out: Path) -> None:
        grid = RasterGrid.over(width=1500)
        bands = [Band('forest', kind='probability', id='forest'), BANDS[1]]
        map_values(coordinates, out, grid, bands, tags={'encoder': 'none'})
        with rasterio.open(out) as dataset:
            assert dataset.tags(ns='IMAGE_STRUCTURE')['LAYOUT'] == 'COG'
            assert dataset.tags(ns='IMAGE_STRUCTURE')['PREDICTOR'] == '3'
            assert dataset.profile['tiled']
            assert dataset.profile['compress'] == 'deflate'
            assert dataset.block_shapes == [(512, 512)] * 2
            assert dataset.overviews(1) == [2, 4]
            assert dataset.descriptions == ('forest', 'latitude')
            assert dataset.units == (None, '°')
            assert dataset.tags(1)['kind'] == 'probability'
            assert geotiff.read_bands(dataset) == bands
            tags = dataset.tags()
            small = dataset.read(2, out_shape=(3, 4))
        assert tags['encoder'] == 'none'
        assert tags['torchgeo_concepts'] == torchgeo_concepts.__version__
        assert tags['date'].endswith('+00:00')
        np.testing.assert_allclose(small[:, 0], (60, 0, -60), atol=0.5)
        assert list(out.parent.iterdir()) == [out]

    def test_calls_and_writes_do_not_grow(
        self, out: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        calls: list[int] = []
        writes: list[int] = []
        write = DatasetWriter.write

        def function(points: Tensor) -> Tensor:
            calls.append(len(points))
            return points

        def count(self: Any, values: Any, **options: Any) -> None:
            writes.append(values.size)
            write(self, values, **options)

        monkeypatch.setattr(geotiff, 'BLOCK', 16)
        monkeypatch.setattr(maps, 'BLOCK', 16)
        monkeypatch.setattr(DatasetWriter, 'write', count)
        for width in (20, 100, 200):
            grid = RasterGrid.over(width=width)
            map_values(function, out, grid, BANDS, batch_size=50)
            assert sum(calls) == width * width // 2
            assert max(calls) == 50
            assert max(writes) <= 2 * 16 * 16
            lat = grid.points()[0][:, 1].reshape(grid.height, grid.width)
            np.testing.assert_allclose(read(out)[1], lat, rtol=1e-6)
            calls.clear()
            writes.clear()

    @pytest.mark.parametrize('error', [RuntimeError, KeyboardInterrupt, SystemExit])
    def test_failure_leaves_what_was_there(
        self, out: Path, error: type[BaseException]
    ) -> None:
        def fail(points: Tensor) -> Tensor:
            raise error('no')

        out.write_text('before')
        with pytest.raises(error, match='no'):
            map_values(fail, out, RasterGrid.over(width=4), BANDS)
        assert out.read_text() == 'before'
        assert list(out.parent.iterdir()) == [out]

    def test_classes(self, out: Path) -> None:
        bands = [Band('zone', kind='class', classes=('south', 'nörth'))]
        grid = RasterGrid.over(width=1024)
        map_values(lambda p: (p[:, 1] > 0).float(), out, grid, bands)
        with rasterio.open(out) as dataset:
            assert geotiff.read_bands(dataset) == bands
            codes = np.unique(dataset.read(1, out_shape=(64, 128)))
        assert codes.tolist() == [0, 1]

    @pytest.mark.parametrize(
        ('path', 'message'),
        [('map.png', 'must end in .tif'), ('nowhere/map.tif', 'no folder')],
    )
    def test_unwritable(self, tmp_path: Path, path: str, message: str) -> None:
        with pytest.raises((ValueError, OSError), match=message):
            map_values(coordinates, tmp_path / path, RasterGrid.over(width=1), BANDS)


class TestColours:
    def test_components(self, small_encoder: GeoCLIPLocation) -> None:
        grid = RasterGrid.over((-10, 35, 20, 60), width=8)
        colours = PrincipalColours.fit(small_encoder, grid)
        # Their order is that of their variance, and their sign is that of one entry.
        assert colours.variance == sorted(colours.variance, reverse=True)
        largest = colours.axes.gather(0, colours.axes.abs().argmax(0, keepdim=True))
        assert (largest > 0).all()
        torch.testing.assert_close(
            colours.axes.T @ colours.axes, torch.eye(3), atol=1e-5, rtol=0
        )
        with torch.no_grad():
            values = colours(torch.from_numpy(grid.points()[0]).float())
        assert -1 < values.min() < 0.5 < values.max() < 2

    def test_do_not_depend_on_pixels(self, small_encoder: GeoCLIPLocation) -> None:
        bounds = (170, -25, -170, -15)
        first, second = (
            PrincipalColours.fit(small_encoder, RasterGrid.over(bounds, width=width))
            for width in (3, 40)
        )
        assert first.axes.equal(second.axes)
        assert first.low.equal(second.low)

    def test_what_does_not_vary_is_dark(self, small_encoder: GeoCLIPLocation) -> None:
        colours = PrincipalColours(small_encoder, torch.zeros(5, 6))
        assert colours.high.equal(colours.low + 1)

    def test_too_few(self, small_encoder: GeoCLIPLocation) -> None:
        with pytest.raises(ValueError, match='Three colours need embeddings'):
            PrincipalColours(small_encoder, torch.zeros(5, 2))
        grid = RasterGrid.over((-30, -30, -20, -20), width=4)
        with pytest.raises(ValueError, match='only 0 points'):
            PrincipalColours.fit(small_encoder, grid, lambda p: p[:, 0] > 0)

    def test_sample_is_of_equal_area_and_seen(
        self, small_encoder: GeoCLIPLocation
    ) -> None:
        seen: list[Tensor] = []
        handle = small_encoder.register_forward_pre_hook(
            lambda _, inputs: seen.append(inputs[0])
        )
        PrincipalColours.fit(small_encoder, RasterGrid.over(width=2))
        lat = torch.cat(seen)[:, 1]
        assert (lat.abs() < 30).float().mean() == pytest.approx(0.5, abs=0.03)
        seen.clear()
        ortho = RasterGrid.over(None, '+proj=ortho +lat_0=90', width=2)
        PrincipalColours.fit(small_encoder, ortho)
        handle.remove()
        assert torch.cat(seen)[:, 1].min() >= 0


class TestCommand:
    def test_embedding(self, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
        words = ['map', '-o', str(out), '--bounds', '-10', '35', '20', '60']
        assert main([*words, '--width', '16']) == 0
        shown = capsys.readouterr()
        assert 'by concept_earth (ConceptEarth_Weights.GROUNDED)' in shown.out
        assert shown.out.startswith('embedding, first three principal components by')
        assert '16 x 13 pixels in WGS 84' in shown.out
        assert shown.err == ''
        assert out.with_suffix('.png').read_bytes().startswith(b'\x89PNG')
        with rasterio.open(out) as dataset:
            assert dataset.colorinterp == (
                ColorInterp.red,
                ColorInterp.green,
                ColorInterp.blue,
            )
            assert dataset.bounds == (-10, 35, 20, 60)
            tags = dataset.tags()
        assert tags['weights'] == 'ConceptEarth_Weights.GROUNDED'
        assert tags['feature'].startswith('embedding')

    @pytest.mark.parametrize(
        ('option', 'kind', 'unit'),
        [
            ([], 'quantity', '°C'),
            (['--calibrated'], 'quantity', '°C'),
            (['--no-calibrated'], 'score', ''),
        ],
    )
    def test_concepts(
        self, out: Path, earth: Path, option: list[str], kind: BandKind, unit: str
    ) -> None:
        words = ['map', '-o', str(out), '--weights', str(earth), '--width', '10']
        words += ['--concept', 'Annual mean temperature', 'mangrove', *option]
        assert main([*words, '--crs', 'EPSG:6933', '--no-png']) == 0
        with rasterio.open(out) as dataset:
            bands = geotiff.read_bands(dataset)
            tags = dataset.tags()
        assert bands[0] == Band(
            'annual mean temperature', unit, kind, id='mean-temperature'
        )
        assert [band.id for band in bands] == ['mean-temperature', 'mangrove']
        assert tags['encoder'] == 'concept_earth'
        assert tags['weights'] == 'earth.safetensors'
        assert len(tags['weights_sha256']) == 64
        assert not out.with_suffix('.png').exists()

    def test_concepts_of_the_weights_of_the_package(self, out: Path) -> None:
        words = ['map', '-o', str(out), '--concept', 'cropland', '--width', '8']
        assert main([*words, '--no-png']) == 0
        with rasterio.open(out) as dataset:
            [band] = geotiff.read_bands(dataset)
            assert dataset.tags()['weights'] == 'ConceptEarth_Weights.GROUNDED'
        assert (band.name, band.kind) == ('cropland', 'probability')

    def test_config_round_trip(
        self, out: Path, earth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        words = ['map', '-o', str(out), '--weights', str(earth), '--width', '4']
        words += ['--concept', 'mangrove', '--no-calibrated', '--no-png']
        words += ['--bounds', '-10', '35', '20', '60', '--print_config']
        with pytest.raises(SystemExit) as stop:
            main(words)
        assert stop.value.code == 0
        config = tmp_path / 'config.yaml'
        config.write_text(capsys.readouterr().out)
        assert main(['map', '--config', str(config)]) == 0
        with rasterio.open(out) as dataset:
            assert dataset.bounds == (-10, 35, 20, 60)
            assert geotiff.read_bands(dataset)[0].kind == 'score'
        assert not out.with_suffix('.png').exists()

    def test_land_only_with_a_figure(self, out: Path, earth: Path) -> None:
        words = ['map', '-o', str(out), '--weights', str(earth), '--land-only']
        words += ['--resolution', '1', '--bounds', '170', '-25', '-170', '-10']
        assert main([*words, '--concept', 'mangrove']) == 0
        with rasterio.open(out) as dataset:
            assert dataset.bounds.right == 190
            values = dataset.read(1)
        assert 0 < np.isfinite(values).sum() < 30
        assert 0 <= np.nanmin(values) <= np.nanmax(values) <= 1

    @pytest.mark.parametrize(
        ('options', 'message'),
        [
            (['--concept', 'mangrov', '--weights', 'EARTH'], "Did you mean 'mangrove'"),
            (
                '--model geoclip_location --weights MP16 --concept mangrove'.split(),
                'GeoCLIPLocation has no concept scores',
            ),
            (['--model', 'geoclip_lokation'], "Did you mean 'geoclip_location'"),
            (['--model', 'resnet18', '--weights', 'null'], 'is not a location encoder'),
            (
                ['--model', 'concept_geoclip', '--weights', 'EARTH'],
                'contains concept_earth',
            ),
            (['--weights', 'none.safetensors'], 'No file none.safetensors'),
            (['--bounds', '0', '10', '1', '5'], 'south must be less than north'),
            (['--crs', 'EPSG:nil'], 'not a coordinate reference system'),
            (['--width', '3', '--resolution', '1'], 'Give --resolution or --width'),
            (['--output', 'map.png'], 'must end in .tif'),
            (['--output', '/nowhere/map.tif'], 'no folder'),
        ],
    )
    def test_errors_are_one_message(
        self,
        out: Path,
        earth: Path,
        options: list[str],
        message: str,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        options = [str(earth) if word == 'EARTH' else word for word in options]
        assert main(['map', '-o', str(out), *options]) == 1
        error = capsys.readouterr().err
        assert error.startswith('torchgeo-concepts map: ')
        assert message in error
        assert not out.exists()

    def test_files_that_hold_something_else(self, out: Path, tmp_path: Path) -> None:
        path = tmp_path / 'other.safetensors'
        save_file({'a': torch.zeros(1)}, path)
        with pytest.raises(ValueError, match='must name its model'):
            map_encoder(out, weights=str(path))
        path.write_text('no weights at all')
        with pytest.raises(ValueError, match='Cannot read .* as safetensors'):
            map_encoder(out, weights=str(path))

    def test_a_progress_bar_counts_all_pixels(
        self, out: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        grid = RasterGrid.over(None, 'ESRI:54009', width=20)
        map_values(coordinates, out, grid, BANDS, progress=True)
        assert '200/200' in capsys.readouterr().err


@pytest.mark.filterwarnings('ignore:.*does not have many workers')
@pytest.mark.filterwarnings('ignore:.*`isinstance.treespec')
@pytest.mark.filterwarnings('ignore:.*module.s. in eval mode')
@pytest.mark.filterwarnings('ignore:The number of training batches')
class TestCheckpoint:
    def fit(self, task: Any, folder: Path, targets: Any, **options: Any) -> Path:
        rng = np.random.default_rng(0)
        lon, lat = rng.uniform(-180, 180, 80), rng.uniform(-80, 80, 80)
        table = {'lon': lon, 'lat': lat, 'warm': 90 - abs(lat), 'wet': np.exp(lat / 40)}
        table['side'] = np.where(lat > 0, 'north', 'south')
        dataset = PointTable(pd.DataFrame(table), targets, **options)
        trainer = Trainer(
            accelerator='cpu',
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            max_epochs=1,
        )
        trainer.fit(task, PointTableDataModule(dataset, split='random'))
        trainer.save_checkpoint(folder / 'task.ckpt')
        return folder / 'task.ckpt'

    @pytest.mark.parametrize('conformal', [None, 0.5])
    def test_quantities(
        self,
        out: Path,
        tmp_path: Path,
        conformal: float | None,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        task = LocationRegression(
            features='coordinates', head='ridge', conformal=conformal
        )
        path = self.fit(
            task,
            tmp_path,
            ['warm', 'wet'],
            units={'warm': '°C'},
            target_transform='log1p',
        )
        words = ['map', '--checkpoint', str(path), '-o', str(out), '--width', '10']
        assert main(words) == 0
        made_by = 'by LocationRegression (task.ckpt)'
        assert made_by in capsys.readouterr().out
        assert out.with_suffix('.png').is_file()
        with rasterio.open(out) as dataset:
            bands, values = geotiff.read_bands(dataset), dataset.read()
            tags = dataset.tags()
        assert tags['checkpoint'] == 'task.ckpt'
        assert len(tags['checkpoint_sha256']) == 64
        names = ['warm', 'wet']
        if conformal is not None:
            names = [
                n + b for n in names for b in ('', ', lower bound', ', upper bound')
            ]
        assert [band.name for band in bands] == names
        assert {band.unit for band in bands if 'warm' in band.name} == {'°C'}
        points = torch.from_numpy(RasterGrid.over(width=10).points()[0])
        with torch.no_grad():
            direct = task.eval().predict_step({'point': points}, 0)
        keys = (
            ('prediction',) if conformal is None else ('prediction', 'lower', 'upper')
        )
        expected = torch.stack([direct[key] for key in keys], dim=-1).flatten(1).T
        found = values.reshape(len(bands), -1)
        np.testing.assert_array_equal(found, expected.float().numpy())

    def test_classes(self, out: Path, tmp_path: Path) -> None:
        task = LocationClassification(features='coordinates', head='logistic')
        path = self.fit(task, tmp_path, 'side')
        report = map_encoder(out, checkpoint=path, width=4)
        assert report.bands == (
            Band('class', kind='class', classes=('north', 'south')),
        )
        assert read(out).tolist() == [[[0.0] * 4, [1.0] * 4]]

    def test_what_pixels_do_not_have(self, out: Path, tmp_path: Path) -> None:
        task = LocationRegression(features='coordinates', head='ridge')
        path = self.fit(task, tmp_path, 'warm', extra=['wet'])
        with pytest.raises(ValueError, match="needs the columns 'wet' besides points"):
            map_encoder(out, checkpoint=path)
        saved = torch.load(path, weights_only=True)
        saved['location']['extra_names'] = []
        saved['hyper_parameters']['image_model'] = 'features/3'
        torch.save(saved, path)
        with pytest.raises(ValueError, match='needs images besides points'):
            map_encoder(out, checkpoint=path)

    @pytest.mark.parametrize(
        ('options', 'message'),
        [
            ({'model': 'geoclip_location'}, 'cannot be used with checkpoint='),
            ({'weights': 'HELD_OUT'}, 'cannot be used with checkpoint='),
            ({'concept': ['cropland']}, 'cannot be used with checkpoint='),
            ({'truncate_dim': 8}, 'cannot be used with checkpoint='),
            ({'calibrated': False}, 'cannot be used with checkpoint='),
            ({'checkpoint': 'none.ckpt'}, 'No checkpoint none.ckpt'),
            ({'checkpoint': 'text.ckpt'}, 'cannot be read as a checkpoint'),
            ({}, 'is not a checkpoint of LocationRegression or'),
        ],
    )
    def test_errors(
        self,
        out: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        options: dict[str, Any],
        message: str,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        Path('text.ckpt').write_text('no checkpoint')
        torch.save({'state_dict': {}}, 'other.ckpt')
        with pytest.raises((ValueError, OSError), match=message):
            map_encoder(out, **({'checkpoint': Path('other.ckpt')} | options))
        assert not out.exists()

    def test_code_in_a_checkpoint_does_not_run(self, out: Path, tmp_path: Path) -> None:
        torch.save({'location': Path('code')}, tmp_path / 'task.ckpt')
        with pytest.raises(ValueError, match='cannot be read as a checkpoint'):
            map_encoder(out, checkpoint=tmp_path / 'task.ckpt')


def test_scores_are_those_of_the_bank(earth: Path) -> None:
    scores = ConceptScores(ConceptEarth.load(earth), ['mangrove'], calibrated=False)
    assert scores.bands == [Band('mangrove', kind='score', id='mangrove')]
    points = torch.tensor([[1.0, 2.0]])
    with torch.no_grad():
        assert scores(points).equal(scores.encoder.concepts(points)[:, [1]])
