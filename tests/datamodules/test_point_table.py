# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import torch
from jsonargparse import ArgumentParser
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from torch import Tensor, nn

from torchgeo_concepts.datamodules import PointTableDataModule
from torchgeo_concepts.datasets import PointTable

pytestmark = [
    pytest.mark.filterwarnings('ignore:.*does not have many workers'),
    pytest.mark.filterwarnings('ignore:.*`isinstance.treespec'),
    pytest.mark.filterwarnings('ignore:The number of training batches'),
    # There are no points to validate on.
    pytest.mark.filterwarnings('ignore:Total length of `list`'),
]


def frame(number: int = 200) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(-180, 180, number), rng.uniform(-60, 70, number)
    return pd.DataFrame(
        {
            'lon': lon,
            'lat': lat,
            'y': lat * 2 + 30,
            'kind': np.where(lat > 0, 'north', 'south'),
            'height': lon,
            'part': np.where(lon > 100, 'test', 'train'),
        }
    )


def points_of(datamodule: PointTableDataModule, split: str) -> set[tuple[float, ...]]:
    loader = getattr(datamodule, f'{split}_dataloader')()
    return {tuple(point.tolist()) for batch in loader for point in batch['point']}


def held_out(datamodule: PointTableDataModule) -> PointTable:
    dataset = datamodule.test_dataset
    assert dataset is not None
    return dataset


class Regression(LightningModule):
    """A linear model of longitude and latitude."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(2, 1)
        self.steps = 0
        self.seen = list[list[list[float]]]()

    def training_step(self, batch: dict[str, Tensor]) -> Tensor:
        self.steps += 1
        self.seen.append(batch['point'].tolist())
        loss: Tensor = (self.head(batch['point'] / 90) - batch['label']).square().mean()
        return loss

    def validation_step(self, batch: dict[str, Tensor]) -> None:
        self.log('val_loss', (batch['label']).mean())

    def predict_step(self, batch: dict[str, Tensor]) -> Tensor:
        return cast(Tensor, self.head(batch['point']))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)


def trainer(tmp_path: Path, **kwargs: Any) -> Trainer:
    return Trainer(
        accelerator='cpu',
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
        **kwargs,
    )


class TestSplits:
    def test_parts(self) -> None:
        datamodule = PointTableDataModule(
            PointTable(frame(), 'y', extra=['height']), split='random', batch_size=32
        )
        for stage in ('fit', 'validate', 'test', 'predict'):
            datamodule.setup(stage)
        train = points_of(datamodule, 'train')
        assert len(train) == 160
        assert len(points_of(datamodule, 'val')) == 20
        assert not train & points_of(datamodule, 'test')
        assert points_of(datamodule, 'predict') == points_of(datamodule, 'test')
        batch = next(iter(datamodule.train_dataloader()))
        assert {name: tuple(value.shape) for name, value in batch.items()} == {
            'point': (32, 2),
            'row': (32,),
            'label': (32, 1),
            'extra': (32, 1),
        }

    def test_blocks_are_the_default(self) -> None:
        datamodule = PointTableDataModule(PointTable(frame(), 'y'), batch_size=8)
        datamodule.setup('test')
        blocks = [
            {tuple(block) for block in np.floor(dataset.points.numpy() / 10)}
            for dataset in (datamodule.train_dataset, held_out(datamodule))
        ]
        assert not blocks[0] & blocks[1]

    def test_region_and_buffer(self) -> None:
        datamodule = PointTableDataModule(
            PointTable(frame(), 'y'), split='region', region='Africa', buffer_km=1000
        )
        datamodule.setup('fit')
        split = datamodule.split
        assert 0 < len(split.test) < 40
        assert sum(map(len, (split.train, split.val, split.test))) < 200
        with pytest.raises(ValueError, match='needs region='):
            PointTableDataModule(PointTable(frame(), 'y'), split='region')
        with pytest.raises(ValueError, match='other splits do not use it'):
            PointTableDataModule(PointTable(frame(), 'y'), region='Africa')

    def test_column(self) -> None:
        dataset = PointTable(frame(), 'y', split_column='part')
        datamodule = PointTableDataModule(dataset, split='column')
        datamodule.setup('fit')
        test = held_out(datamodule)
        assert (test.points[:, 0] > 100).all()
        assert len(test) == (dataset.points[:, 0] > 100).sum()
        with pytest.raises(ValueError, match='a dataset with a split_column'):
            PointTableDataModule(PointTable(frame(), 'y'), split='column')

    @pytest.mark.parametrize('split', ['random', 'blocks'])
    def test_folds(self, split: Any) -> None:
        tested = []
        for fold in range(4):
            datamodule = PointTableDataModule(
                PointTable(frame(), 'y'), split=split, folds=4, fold=fold
            )
            datamodule.setup('fit')
            tested += datamodule.split.test.tolist()
        assert sorted(tested) == list(range(200))
        with pytest.raises(ValueError, match='folds=4 and fold=4'):
            PointTableDataModule(PointTable(frame(), 'y'), folds=4, fold=4)
        with pytest.raises(ValueError, match="'random' or 'blocks', not 'region'"):
            PointTableDataModule(
                PointTable(frame(), 'y'), split='region', region='Asia', folds=4
            )

    def test_errors(self) -> None:
        dataset = PointTable(frame(), 'y')
        with pytest.raises(ValueError, match="'random', 'blocks'.*not 'block'"):
            PointTableDataModule(dataset, split='block')  # type: ignore[arg-type]
        with pytest.raises(ValueError, match='sum to 1'):
            PointTableDataModule(dataset, fractions=(0.5, 0.1, 0.1))
        with pytest.raises(ValueError, match='no targets'):
            PointTableDataModule(PointTable(frame()))
        datamodule = PointTableDataModule(dataset, fractions=(0.8, 0.2, 0.0))
        datamodule.setup('fit')
        with pytest.raises(ValueError, match='leaves no points for test'):
            datamodule.setup('test')


class TestTargets:
    def test_standardised_by_training_rows(self) -> None:
        dataset = PointTable(frame(), 'y', target_transform='standardise')
        datamodule = PointTableDataModule(dataset, split='region', region='Europe')
        datamodule.setup('fit')
        train = datamodule.train_dataset
        assert train.labels.mean() == pytest.approx(0, abs=1e-5)
        assert train.labels.std(correction=0) == pytest.approx(1, abs=1e-5)
        # All of Europe lies north of the mean.
        assert held_out(datamodule).labels.min() > 0
        back = datamodule.dataset.inverse_transform(held_out(datamodule).labels)
        latitude = held_out(datamodule).points[:, 1]
        torch.testing.assert_close(back[:, 0], latitude * 2 + 30, rtol=1e-4, atol=1e-3)
        assert dataset.labels.mean() == pytest.approx(0, abs=1e-5)

    def test_classes_that_training_rows_lack(self) -> None:
        datamodule = PointTableDataModule(
            PointTable(frame(), 'kind'),
            split='region',
            region=['Oceania', 'Antarctica'],
        )
        datamodule.setup('fit')
        assert datamodule.train_dataset.classes == ('north', 'south')
        assert set(held_out(datamodule).labels.tolist()) <= {0, 1}
        assert next(iter(datamodule.val_dataloader()))['label'].shape[1:] == ()

    def test_missing_labels_stay(self) -> None:
        table = frame().assign(y=lambda f: f['y'].where(f['lat'] > 0))
        datamodule = PointTableDataModule(PointTable(table, 'y'), split='random')
        datamodule.setup('fit')
        assert len(datamodule.train_dataset) == 160
        assert datamodule.train_dataset.labels.isnan().any()


class TestTraining:
    @pytest.mark.parametrize(('rows', 'steps'), [(200, 5), (10, 1), (3, 1)])
    def test_small_tables_train(self, tmp_path: Path, rows: int, steps: int) -> None:
        datamodule = PointTableDataModule(
            PointTable(frame(rows), 'y', target_transform='standardise'),
            split='random',
            fractions=(0.8, 0.0, 0.2),
            batch_size=32,
        )
        task = Regression()
        trainer(tmp_path, max_epochs=1).fit(task, datamodule)
        assert task.steps == steps

    def test_fit_and_predict(self, tmp_path: Path) -> None:
        elsewhere = PointTable(frame(7))
        datamodule = PointTableDataModule(PointTable(frame(), 'y'), elsewhere)
        run = trainer(tmp_path, max_epochs=1)
        task = Regression()
        run.fit(task, datamodule)
        assert 'val_loss' in run.callback_metrics
        [predicted] = run.predict(task, datamodule)  # type: ignore[misc]
        assert cast(Tensor, predicted).shape == (7, 1)

    def test_order_depends_on_seed_and_epoch(self, tmp_path: Path) -> None:
        seen = []
        for global_seed, seed in ((0, 1), (9, 1), (9, 2)):
            torch.manual_seed(global_seed)
            datamodule = PointTableDataModule(
                PointTable(frame(), 'y'), split='random', batch_size=40, seed=seed
            )
            task = Regression()
            trainer(tmp_path, max_epochs=2).fit(task, datamodule)
            seen.append(task.seen)
        assert seen[0] == seen[1] != seen[2]
        assert seen[0][0] != seen[0][4]

    def test_resumes_with_the_next_epoch(self) -> None:
        def first_batch(epoch: int) -> list[list[float]]:
            datamodule = PointTableDataModule(PointTable(frame(), 'y'), batch_size=16)
            datamodule.load_state_dict({'epoch': epoch})
            datamodule.setup('fit')
            points: list[list[float]] = next(iter(datamodule.train_dataloader()))[
                'point'
            ].tolist()
            return points

        assert first_batch(2) == first_batch(2) != first_batch(0)

    def test_more_processes_than_points(self) -> None:
        datamodule = PointTableDataModule(
            PointTable(frame(4), 'y'), split='random', fractions=(0.5, 0.0, 0.5)
        )
        datamodule.trainer = cast(Any, SimpleNamespace(world_size=3))
        with pytest.raises(
            ValueError, match='3 processes need at least 3 training points, got 2'
        ):
            datamodule.setup('fit')


def test_configuration(tmp_path: Path) -> None:
    frame().to_csv(tmp_path / 'table.csv', index=False)
    (tmp_path / 'config.yaml').write_text(f"""
data:
  class_path: torchgeo_concepts.datamodules.PointTableDataModule
  init_args:
    dataset:
      class_path: torchgeo_concepts.datasets.PointTable
      init_args:
        table: {tmp_path / 'table.csv'}
        targets: [y, height]
        target_transform: {{y: standardise}}
        split_column: part
    predict:
      class_path: torchgeo_concepts.datasets.CityPopulation
      init_args: {{min_population: 5000000}}
    split: blocks
    block_km: 1000
    buffer_km: 50
    fractions: [0.7, 0.1, 0.2]
    batch_size: 16
""")
    parser = ArgumentParser()
    parser.add_argument('--config', action='config')
    parser.add_argument('--data', type=LightningDataModule)
    config = parser.parse_args(['--config', str(tmp_path / 'config.yaml')])
    datamodule = parser.instantiate(config).data
    datamodule.setup('fit')
    batch = next(iter(datamodule.train_dataloader()))
    assert batch['label'].shape == (16, 2)
    assert len(datamodule.test_dataset) == pytest.approx(40, abs=10)


def test_file_beside_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path('table.csv').write_text('lon,lat,y\n1,2,3\n4,5,6\n')
    Path('config.yaml').write_text("""
data:
  class_path: torchgeo_concepts.datamodules.PointTableDataModule
  init_args:
    dataset:
      class_path: torchgeo_concepts.datasets.PointTable
      init_args: {table: table.csv, targets: y}
""")
    parser = ArgumentParser()
    parser.add_argument('--config', action='config')
    parser.add_subclass_arguments(LightningDataModule, 'data')
    config = parser.parse_args(['--config', 'config.yaml'])
    datamodule = parser.instantiate(config).data
    assert len(datamodule.source) == 2


BOX = 'POLYGON ((0 -60, 90 -60, 90 70, 0 70, 0 -60))'


@pytest.mark.parametrize('region', [BOX, f'["{BOX}", Oceania]', 'box.gpkg'])
def test_polygons_in_a_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, region: str
) -> None:
    monkeypatch.chdir(tmp_path)
    frame().to_csv('table.csv', index=False)
    box = gpd.GeoSeries.from_wkt([BOX], crs=4326)
    box.to_crs(3857).to_file('box.gpkg')
    Path('config.yaml').write_text(f"""
data:
  class_path: torchgeo_concepts.datamodules.PointTableDataModule
  init_args:
    dataset:
      class_path: torchgeo_concepts.datasets.PointTable
      init_args: {{table: table.csv, targets: y}}
    split: region
    region: {region}
""")
    parser = ArgumentParser()
    parser.add_argument('--config', action='config')
    parser.add_subclass_arguments(LightningDataModule, 'data')
    config = parser.parse_args(['--config', 'config.yaml'])
    datamodule = parser.instantiate(config).data
    datamodule.setup('fit')
    lon = held_out(datamodule).points[:, 0]
    inside = (lon >= 0) & (lon <= 90)
    assert inside.sum() == (frame()['lon'].between(0, 90)).sum()
    assert inside.all() == ('Oceania' not in region)
