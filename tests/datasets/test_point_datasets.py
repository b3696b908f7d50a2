# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import math
import runpy
import shutil
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torchgeo.datasets import DatasetNotFoundError

from torchgeo_concepts.datasets import (
    CityClimate,
    CityPopulation,
    CoordBench,
    CountryOfCity,
    GlobalAirTemperature,
    MOSAIKSLabels,
    PointTable,
    USCensusTracts,
)
from torchgeo_concepts.utils.distributions import required_file

DATA = Path(__file__).parents[1] / 'data'
NAMED = (GlobalAirTemperature, MOSAIKSLabels, USCensusTracts, CoordBench)


def make(name: str, root: Path, **kwargs: Any) -> Path:
    runpy.run_path(str(DATA / name / 'data.py'))['create'](root, **kwargs)
    return root


def fake_download(monkeypatch: pytest.MonkeyPatch, source: Path) -> list[str]:
    """Serve downloads from a folder; return the list of what is asked for."""
    urls: list[str] = []

    def download(url: str, root: Path, filename: str, sha256: str = '') -> None:
        assert len(sha256) == (64 if filename.endswith('split.txt') else 0)
        urls.append(url)
        root.mkdir(exist_ok=True)
        shutil.copy(source / filename, root / filename)

    module = 'torchgeo_concepts.datasets._published.download_url'
    monkeypatch.setattr(module, download)
    return urls


@pytest.mark.parametrize('dataset', NAMED)
def test_not_found(dataset: type[PointTable], tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / 'nowhere'):
        with pytest.raises(DatasetNotFoundError, match='Dataset not found in `root='):
            dataset(root)


class TestGlobalAirTemperature:
    def test_temperature(self, tmp_path: Path) -> None:
        dataset = GlobalAirTemperature(make('globalairtemperature', tmp_path))
        assert len(dataset) == 4
        assert dataset.units == ('°C',)
        assert dataset[0]['point'].tolist() == pytest.approx([7.82, 36.83])
        assert dataset[0]['label'].tolist() == pytest.approx([18.025])

    def test_precipitation_and_features(self, tmp_path: Path) -> None:
        dataset = GlobalAirTemperature(
            make('globalairtemperature', tmp_path),
            ['meanT', 'meanP'],
            target_transform={'meanP': 'log1p'},
            extra=['nObs'],
        )
        assert dataset.units == ('°C', 'mm')
        assert dataset.labels[1].tolist() == pytest.approx([23.9416666, 0])
        assert dataset[2]['extra'].tolist() == pytest.approx([0.9])

    def test_download(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        source = make('globalairtemperature', tmp_path / 'source')
        urls = fake_download(monkeypatch, source)
        for _ in range(2):
            assert len(GlobalAirTemperature(tmp_path / 'root', download=True)) == 4
        assert urls == [
            'https://springernature.figshare.com/ndownloader/files/12609182'
        ]

    def test_no_such_column(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"no column 'meanX'\. Did you mean 'mean"):
            GlobalAirTemperature(make('globalairtemperature', tmp_path), 'meanX')


class TestCities:
    def test_population(self) -> None:
        dataset = CityPopulation(1_000_000)
        assert 400 < len(dataset) < 900
        people = dataset.inverse_transform(dataset.labels)
        assert people.min() >= 999_999
        assert dataset.labels.max() == pytest.approx(math.log1p(float(people.max())))
        assert dataset.target_names == ('population',)

    def test_country(self) -> None:
        dataset = CountryOfCity(1_000_000)
        assert dataset.task == 'classification'
        nearest = (dataset.points - torch.tensor([2.35, 48.85])).norm(dim=1).argmin()
        assert dataset.classes[int(dataset[int(nearest)]['label'])] == 'FR'
        # The same number means the same country whatever the cities.
        assert dataset.classes == CountryOfCity(500_000).classes

    def test_no_city_so_large(self) -> None:
        with pytest.raises(ValueError, match='No city has 100,000,000 or more'):
            CityPopulation(100_000_000)

    def test_climate(self) -> None:
        year = CityClimate()
        months = CityClimate('months')
        assert len(year) == len(months) == 270
        assert months.labels.shape == (270, 12)
        # Published to a tenth of a degree.
        assert (months.labels.mean(dim=1) - year.labels[:, 0]).abs().max() < 0.11
        # Lisbon comes first.
        assert year[0]['point'].tolist() == pytest.approx([-9.14, 38.72])
        assert year[0]['label'].item() == pytest.approx(16.3)

    def test_precipitation(self) -> None:
        dataset = CityClimate(['annual_c', 'annual_mm'])
        assert dataset.units == ('°C', 'mm')
        assert dataset[0]['label'].tolist() == pytest.approx([16.3, 665])

    def test_no_such_target(self) -> None:
        with pytest.raises(ValueError, match="No target 'annual_cm'. Did you mean"):
            CityClimate('annual_cm')

    def test_packages_are_not_imported(self) -> None:
        CityClimate()
        CityPopulation(5_000_000)
        assert 'world_temperature_data' not in sys.modules
        assert 'world_rainfall_data' not in sys.modules

    def test_versions_that_do_not_match(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for what in ('temperature', 'rainfall'):
            file = f'world_{what}_data/world-{what}.csv'
            installed = required_file(f'world-{what}-data', file, 'cities')
            lines = installed.read_text().splitlines()
            kept = lines if what == 'rainfall' else lines[:-1]
            (tmp_path / f'{what}.csv').write_text('\n'.join(kept))

        def find(distribution: str, *_: str) -> Path:
            return tmp_path / f'{distribution.split("-")[1]}.csv'

        module = 'torchgeo_concepts.datasets.city_climate.required_file'
        monkeypatch.setattr(module, find)
        with pytest.raises(ValueError, match='list different cities'):
            CityClimate()

    def test_not_installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        module = 'torchgeo_concepts.utils.distributions.installed_file'
        monkeypatch.setattr(module, lambda *_: None)
        with pytest.raises(ImportError, match=r'torchgeo-concepts\[cities\]'):
            CityClimate()


class TestMOSAIKSLabels:
    def test_labels_and_split(self, tmp_path: Path) -> None:
        dataset = MOSAIKSLabels(make('mosaikslabels', tmp_path))
        assert dataset.target_names == ('treecover', 'elevation', 'population')
        assert dataset.points.tolist() == [
            [-97.5, 30.25],
            [-120.25, 47.5],
            [-80.125, 26.75],
        ]
        assert dataset.labels[0].tolist() == [10.5, 150, 0]
        assert dataset.labels[2].isnan().tolist() == [True, False, False]
        assert dataset.split_names is not None
        assert dataset.split_names.tolist() == ['train', 'val', 'test']

    def test_coordinates_of_others(self, tmp_path: Path) -> None:
        root = make('mosaikslabels', tmp_path, splits=False)
        dataset = MOSAIKSLabels(root, ['income', 'housing'])
        assert dataset.points.tolist() == [[-73.5, 40.75], [-80.125, 26.75]]
        assert dataset.labels.tolist() == [[81000, 410], [52000, 199]]
        assert dataset.split_names is None
        for name in ('treecover', 'elevation', 'population', 'nightlights', 'roads'):
            (root / f'{name}.csv').unlink()
        with pytest.raises(DatasetNotFoundError):
            MOSAIKSLabels(root, 'income')

    def test_cells_that_no_other_file_has(self, tmp_path: Path) -> None:
        root = make('mosaikslabels', tmp_path)
        for name in ('nightlights', 'roads'):
            (root / f'{name}.csv').unlink()
        with pytest.warns(UserWarning, match='left out 1 of 2 rows'):
            assert len(MOSAIKSLabels(root, 'income')) == 1

    def test_labels_of_different_cells(self, tmp_path: Path) -> None:
        dataset = MOSAIKSLabels(make('mosaikslabels', tmp_path), ['elevation', 'roads'])
        assert len(dataset) == 4
        assert dataset.labels.isnan().sum() == 3

    def test_names_of_the_paper(self, tmp_path: Path) -> None:
        root = make('mosaikslabels', tmp_path, splits=False)
        name = 'outcomes_sampled_roads_CONTUS_16_640_POP_100000_0.csv'
        (root / 'roads.csv').rename(root / name)
        assert MOSAIKSLabels(root, 'roads').labels.tolist() == [[9000], [4000]]

    def test_download(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        source = make('mosaikslabels', tmp_path / 'source')
        urls = fake_download(monkeypatch, source)
        MOSAIKSLabels(tmp_path / 'root', 'roads', download=True)
        assert [url.rpartition('/')[2] for url in urls] == [
            'train_split.txt',
            'val_split.txt',
            'test_split.txt',
            'roads.csv',
        ]

    def test_unknown_columns(self, tmp_path: Path) -> None:
        root = make('mosaikslabels', tmp_path)
        (root / 'roads.csv').write_text('ID,lon,lat,km\n"1,1",2,3,4\n')
        with pytest.raises(
            ValueError, match=r'roads\.csv has no column roads or length'
        ):
            MOSAIKSLabels(root, 'roads')
        (root / 'roads.csv').write_text('cell,lon,lat,length\n1,2,3,4\n')
        with pytest.raises(ValueError, match="no column 'ID'. Known names: .*'cell'"):
            MOSAIKSLabels(root, 'roads')
        with pytest.raises(ValueError, match="No label 'road'. Did you mean 'roads'"):
            MOSAIKSLabels(root, 'road')


class TestUSCensusTracts:
    @pytest.mark.parametrize(('sign', 'zipped'), [('\t', True), ('|', False)])
    def test_values(self, tmp_path: Path, sign: str, zipped: bool) -> None:
        root = make('uscensustracts', tmp_path, sign=sign, zipped=zipped)
        dataset = USCensusTracts(root)
        assert len(dataset) == 3
        assert dataset.points[0].tolist() == pytest.approx([-86.491338, 32.481959])
        assert dataset.labels[0].tolist() == pytest.approx([60563, 0.15, 0.1])
        assert dataset.labels[1].tolist() == pytest.approx([250001, 0.25, 0.2])
        # Nobody lives on Liberty Island's tract.
        assert dataset.labels[2].isnan().all()

    def test_one_table_is_enough(self, tmp_path: Path) -> None:
        root = make('uscensustracts', tmp_path, year=2023)
        (root / 'acsdt5y2023-b15003.dat').unlink()
        dataset = USCensusTracts(root, 'income', year=2023, target_transform='log1p')
        assert dataset.labels[0].item() == pytest.approx(math.log1p(60563))
        with pytest.raises(DatasetNotFoundError):
            USCensusTracts(root, 'graduate', year=2023)

    def test_download(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        source = make('uscensustracts', tmp_path / 'source')
        urls = fake_download(monkeypatch, source)
        USCensusTracts(tmp_path / 'root', download=True)
        census = 'https://www2.census.gov'
        tables = f'{census}/programs-surveys/acs/summary_file/2021/table-based-SF/data'
        assert urls == [
            f'{census}/geo/docs/maps-data/data/gazetteer/2021_Gazetteer/'
            + '2021_Gaz_tracts_national.zip',
            f'{tables}/5YRData/acsdt5y2021-b19013.dat',
            f'{tables}/5YRData/acsdt5y2021-b15003.dat',
        ]

    def test_errors(self, tmp_path: Path) -> None:
        root = make('uscensustracts', tmp_path)
        with pytest.raises(ValueError, match='year must be 2021 or later, not 2015'):
            USCensusTracts(root, year=2015)
        with pytest.raises(ValueError, match="No target 'bachelors'. Did you mean"):
            USCensusTracts(root, 'bachelors')
        file = root / 'acsdt5y2021-b19013.dat'
        file.write_text(file.read_text().replace('B19013_E001', 'B19013_001E'))
        with pytest.raises(ValueError, match="no column 'B19013_E001'. Did you mean"):
            USCensusTracts(root)


def relabelled(source: Path, root: Path, labels: list[Any]) -> Path:
    """Write a table of CoordBench with other labels."""
    name = 'data/dm_glance/data.parquet'
    table = pd.read_parquet(source / name).iloc[: len(labels)]
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    table.assign(label=labels).to_parquet(root / name)
    return root / name


class TestCoordBench:
    @pytest.fixture(scope='class')
    def root(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        return make('coordbench', tmp_path_factory.mktemp('coordbench'))

    def test_all_benchmarks_of_all_tables(self, root: Path) -> None:
        assert len(CoordBench.benchmarks) == 60
        assert len(list(root.rglob('data.parquet'))) == 40
        for benchmark in CoordBench.benchmarks:
            dataset = CoordBench(root, benchmark)
            assert len(dataset) >= 6
            assert dataset[0].keys() == {'point', 'row', 'label'}

    @pytest.mark.parametrize(
        ('benchmark', 'rows'),
        [
            ('satclip-country', 8),
            ('satclip-ecoregion', 11),
            ('satclip-biome', 11),
            ('mosaiks-roads', 11),
            ('sustainbench-water', 11),
            ('places-copd', 11),
            ('bt-biomass', 11),
            ('bt-landcover', 6),
            ('bt-distroad', 6),
            ('bt-cropharvest', 12),
        ],
    )
    def test_rows_that_stay(self, root: Path, benchmark: str, rows: int) -> None:
        dataset = CoordBench(root, benchmark)
        assert len(dataset) == rows
        assert not dataset.labels.isnan().any()

    def test_targets_that_have_no_list(self, root: Path) -> None:
        pdfm = CoordBench(root, 'pdfm-conus27')
        assert pdfm.target_names == ('Percent_Diabetes', 'ElevationMeters')
        assert CoordBench(root, 'mosaiks-housing').target_names == ('price',)
        assert CoordBench(root, 'mosaiks-nightlights').target_names == ('y',)
        assert len(CoordBench(root, 'bt-bioclim').target_names) == 19

    def test_logarithms(self, root: Path) -> None:
        logged = CoordBench(root, 'mosaiks-income')
        plain = CoordBench(root, 'mosaiks-income', target_transform=None)
        torch.testing.assert_close(logged.labels, plain.labels.log1p())
        assert CoordBench(root, 'mosaiks-elevation').labels[0].item() == 0.25

    def test_tasks(self, root: Path) -> None:
        tasks = {name: CoordBench(root, name).task for name in CoordBench.benchmarks}
        assert tasks['dm-us_trees'] == 'classification'
        assert tasks['dm-openet_ensemble'] == 'regression'
        assert sum(task == 'classification' for task in tasks.values()) == 19
        ecoregion = CoordBench(root, 'ecoregions', 'ecoregion')
        assert ecoregion.target_names == ('ecoregion',)
        assert ecoregion.classes == ('maize', 'rice', 'wheat')

    @pytest.mark.parametrize(
        ('labels', 'task'),
        [
            (['wheat', 'rice', None], 'classification'),
            (['1', '2', '3'], 'classification'),
            (['0.5', '2', '3'], 'regression'),
        ],
    )
    def test_labels_of_text(
        self, root: Path, tmp_path: Path, labels: list[Any], task: str
    ) -> None:
        path = relabelled(root, tmp_path, labels)
        dataset = CoordBench(tmp_path, 'dm-glance')
        assert dataset.task == task
        assert dataset.classes == (
            tuple(sorted(filter(None, labels))) if task == 'classification' else ()
        )
        relabelled(root, tmp_path, ['wheat', '7', 'rice'])
        with pytest.raises(ValueError, match='numbers and words in') as caught:
            CoordBench(tmp_path, 'dm-glance')
        for part in (str(path), "'label'", "'7' and 'wheat'"):
            assert part in str(caught.value)

    def test_official_split(self, root: Path) -> None:
        split_names = CoordBench(root, 'sustainbench-asset').split_names
        assert split_names is not None
        assert split_names.tolist() == ['trainval'] * 7 + ['test'] * 4
        assert CoordBench(root, 'country').split_names is None

    def test_download(
        self, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = []

        def download(repo_id: str, name: str, repo_type: str, local_dir: Path) -> None:
            assert (repo_id, repo_type) == ('taylor-geospatial/coordbench', 'dataset')
            asked.append(name)
            (local_dir / name).parent.mkdir(parents=True)
            shutil.copy(root / name, local_dir / name)

        monkeypatch.setattr('huggingface_hub.hf_hub_download', download)
        for _ in range(2):
            assert len(CoordBench(tmp_path, 'bt-bioclim', download=True)) == 6
        assert asked == [
            'data/bt_bioclim/data.parquet',
            'data/bt_landcover/data.parquet',
        ]

    def test_errors(self, root: Path, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="No benchmark 'dm-descal'. Did you mean"):
            CoordBench(root, 'dm-descal')
        with pytest.raises(ValueError, match="No target 'biom'. Did you mean 'biome'"):
            CoordBench(root, 'ecoregions', 'biom')
        table = pd.read_parquet(root / 'data/soilgrids/data.parquet')
        path = tmp_path / 'data/soilgrids/data.parquet'
        path.parent.mkdir(parents=True)
        table.rename(columns={'soc': 'socs'}).to_parquet(path)
        with pytest.raises(ValueError, match=r"no column 'soc'. Did you mean 'socs'"):
            CoordBench(tmp_path, 'soilgrids-soc')
        target = 'data/usavars_roads/data.parquet'
        (tmp_path / target).parent.mkdir()
        roads = pd.read_parquet(root / target).drop(columns='length')
        roads.to_parquet(tmp_path / target)
        with pytest.raises(ValueError, match='has no column of numbers to predict'):
            CoordBench(tmp_path, 'mosaiks-roads')
        table.drop(columns='lon').to_parquet(path)
        with pytest.raises(ValueError, match=r"data\.parquet has no column 'lon'"):
            CoordBench(tmp_path, 'soilgrids-soc')
