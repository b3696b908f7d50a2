# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from torchgeo.main import main

from torchgeo_concepts.tasks.prediction_writer import PredictionWriter

pytestmark = [
    # Lightning's advice on loggers and loaders is not ours to follow in a test.
    pytest.mark.filterwarnings('ignore:.*does not have many workers'),
    pytest.mark.filterwarnings('ignore:.*tensorboard'),
    pytest.mark.filterwarnings('ignore:.*`isinstance.treespec'),
    pytest.mark.filterwarnings('ignore:.*module.s. in eval mode'),
    pytest.mark.filterwarnings('ignore:The dirpath has changed'),
    pytest.mark.filterwarnings('ignore:The number of training batches'),
    pytest.mark.filterwarnings("ignore:LightningCLI's args parameter"),
]


def configuration(folder: Path) -> str:
    """Write a table and what learns and predicts it."""
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(-180, 180, 150), rng.uniform(-80, 80, 150)
    table = {'lon': lon, 'lat': lat, 'warm': 30 - abs(lat), 'wet': np.sin(lon)}
    pd.DataFrame(table).to_csv(folder / 'table.csv', index=False)
    # An odd number of rows, which two processes cannot have as many of.
    pd.DataFrame(table)[:37].to_csv(folder / 'new.csv', index=False)
    path = folder / 'task.yaml'
    path.write_text(f"""
seed_everything: 0
model:
  class_path: torchgeo_concepts.tasks.LocationRegression
  init_args: {{features: xz, head: ridge, conformal: 0.5}}
data:
  class_path: torchgeo_concepts.datamodules.PointTableDataModule
  init_args:
    dataset:
      class_path: torchgeo_concepts.datasets.PointTable
      init_args: {{table: {folder}/table.csv, targets: [warm, wet]}}
    predict:
      class_path: torchgeo_concepts.datasets.PointTable
      init_args: {{table: {folder}/new.csv}}
    fractions: [0.6, 0.2, 0.2]
    batch_size: 8
trainer:
  accelerator: cpu
  max_epochs: 1
  default_root_dir: {folder}
  enable_progress_bar: false
  enable_model_summary: false
  log_every_n_steps: 1
""")
    return str(path)


def fit_and_predict(config: str, folder: Path, *options: str) -> None:
    trainer = ['--config', config, *options]
    main(['fit', *trainer, f'--trainer.default_root_dir={folder}'])
    [checkpoint] = folder.rglob('*.ckpt')
    writer = 'torchgeo_concepts.tasks.PredictionWriter'
    main(
        [
            'predict',
            *trainer,
            f'--ckpt_path={checkpoint}',
            '--trainer.logger=false',
            '--return_predictions=false',
            f'--trainer.callbacks={writer}',
            f'--trainer.callbacks.output={folder}.parquet',
        ]
    )


@pytest.mark.slow
def test_two_processes_fit_and_predict_as_one(tmp_path: Path) -> None:
    config = configuration(tmp_path)
    fit_and_predict(config, tmp_path / '1', '--trainer.devices=1')
    ddp = ['--trainer.devices=2', '--trainer.strategy=ddp']
    command = [sys.executable, __file__, config, str(tmp_path / '2'), *ddp]
    subprocess.run(command, check=True, timeout=500)
    states, metrics, written = {}, {}, {}
    for processes in (1, 2):
        logs = tmp_path / str(processes)
        [checkpoint] = logs.rglob('*.ckpt')
        states[processes] = torch.load(checkpoint, weights_only=True)['state_dict']
        metrics[processes] = pd.read_csv(next(logs.rglob('metrics.csv')))
        written[processes] = gpd.read_parquet(tmp_path / f'{processes}.parquet')
    assert not list(tmp_path.glob('.*'))
    assert states[1].keys() == states[2].keys()
    for name, value in states[1].items():
        torch.testing.assert_close(value, states[2][name], msg=name)
    assert metrics[1]['val_r2'].notna().any()
    scores = [name for name in metrics[1].columns.astype(str) if 'val_' in name]
    pd.testing.assert_frame_equal(metrics[1][scores], metrics[2][scores])

    bounds = ('', '_lower', '_upper')
    names = [n + b for b in bounds for n in ('warm', 'wet')]
    assert list(written[1].columns) == ['row', *names, 'geometry']
    assert written[1]['row'].tolist() == list(range(37))
    np.testing.assert_allclose(
        written[1].geometry.x, pd.read_csv(tmp_path / 'new.csv')['lon'], atol=1e-4
    )
    assert written[1]['geometry'].equals(written[2]['geometry'])
    # Batches of other points round differently.
    one, two = (pd.DataFrame(written[n].drop(columns='geometry')) for n in (1, 2))
    pd.testing.assert_frame_equal(one, two, rtol=1e-4, atol=1e-4)


def write(folder: Path, targets: list[str], *keys: str) -> dict[str, Any]:
    """Write predictions of one point, 0, 1, 2, ... in the order of the keys."""
    trainer: Any = SimpleNamespace(
        is_global_zero=True,
        global_rank=0,
        strategy=SimpleNamespace(barrier=lambda: None),
    )
    task: Any = SimpleNamespace(target_names=targets)
    values = torch.arange(len(keys) * len(targets)).reshape(len(keys), 1, -1)
    batch = {'point': torch.zeros(1, 2), 'row': torch.tensor([5])}
    writer = PredictionWriter(str(folder / 'out.parquet'))
    writer.on_predict_start(trainer, task)
    found = dict(zip(keys, values, strict=True))
    writer.write_on_batch_end(trainer, task, found, None, batch, 0, 0)
    writer.on_predict_end(trainer, task)
    table = pq.read_table(folder / 'out.parquet').drop_columns('geometry')
    return cast(dict[str, Any], table.to_pylist()[0])


@pytest.mark.parametrize(
    ('targets', 'names'),
    [
        (['a', 'b'], ['a', 'b', 'a_lower', 'b_lower']),
        (['a', 'a_lower'], ['a', 'a_lower', 'a_lower_', 'a_lower_lower']),
        (['a_lower', 'a'], ['a_lower', 'a', 'a_lower_lower', 'a_lower_']),
        (
            ['row', 'row_prediction'],
            ['row_prediction_', 'row_prediction', 'row_lower', 'row_prediction_lower'],
        ),
    ],
)
def test_no_column_is_lost(
    tmp_path: Path, targets: list[str], names: list[str]
) -> None:
    expected = {'row': 5} | {name: number for number, name in enumerate(names)}
    assert write(tmp_path, targets, 'prediction', 'lower') == expected


if __name__ == '__main__':
    fit_and_predict(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
