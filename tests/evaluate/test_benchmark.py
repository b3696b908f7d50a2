# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import csv
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import special

from torchgeo_concepts.cli import main
from torchgeo_concepts.concepts import ConceptBank
from torchgeo_concepts.evaluate.benchmark import BenchmarkReport, BenchmarkRow
from torchgeo_concepts.evaluate.benchmark import run as module
from torchgeo_concepts.evaluate.benchmark.inputs import spherical_harmonics
from torchgeo_concepts.evaluate.benchmark.report import LEGEND
from torchgeo_concepts.evaluate.benchmark.scores import ScoreFile, score
from torchgeo_concepts.evaluate.probes import ridge_probe
from torchgeo_concepts.geo.splits import block_folds, random_folds
from torchgeo_concepts.io.pages import processor
from torchgeo_concepts.models import ConceptEarth
from torchgeo_concepts.models.features import coordinate_features

Run = Callable[..., BenchmarkReport]

COORDINATES = 'sin/cos of coordinates'
PLAIN = 4

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


class TestMarks:
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


def test_processor_where_the_system_tells_little(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Path, 'read_text', lambda _: 'processor: 0\n')
    assert processor()

    def fail(_: Path) -> str:
        raise OSError

    monkeypatch.setattr(Path, 'read_text', fail)
    assert processor()
