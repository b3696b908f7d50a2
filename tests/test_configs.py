# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import re
import runpy
from pathlib import Path

import geopandas as gpd
import pytest
from torchgeo.main import main

ROOT = Path(__file__).parents[1]
CONFIGS = sorted((ROOT / 'docs' / 'configs').glob('*.yaml'))

pytestmark = pytest.mark.filterwarnings("ignore:LightningCLI's args parameter")


@pytest.mark.parametrize('config', CONFIGS, ids=lambda p: p.name)
@pytest.mark.parametrize('command', ['fit', 'test', 'predict'])
def test_is_valid(
    config: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([command, '--config', str(config), '--print_config'])
    assert exit_.value.code == 0
    assert 'torchgeo_concepts' in capsys.readouterr().out


def test_shown_configuration_is_valid(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (ROOT / 'docs' / 'predict.md').read_text()
    [shown] = re.findall(
        r'^```\{code-block\} yaml\n(.*?)^```$', page, re.MULTILINE | re.DOTALL
    )
    (tmp_path / 'shown.yaml').write_text(shown)
    with pytest.raises(SystemExit) as exit_:
        main(['fit', '--config', str(tmp_path / 'shown.yaml'), '--print_config'])
    assert exit_.value.code == 0
    assert 'image_model: timm/resnet50' in capsys.readouterr().out


@pytest.mark.filterwarnings('ignore:.*does not have many workers')
@pytest.mark.filterwarnings('ignore:.*tensorboard')
@pytest.mark.filterwarnings('ignore:The dirpath has changed')
@pytest.mark.filterwarnings('ignore:.*concept basis is random')
@pytest.mark.filterwarnings('ignore:.*`isinstance.treespec')
def test_photos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    create = runpy.run_path(str(ROOT / 'tests/data/regional_photos/data.py'))['create']
    create(tmp_path / 'photos')
    monkeypatch.chdir(tmp_path)
    config = str(ROOT / 'docs' / 'configs' / 'align_photos.yaml')
    main(['fit', '--config', config])
    (checkpoint,) = tmp_path.rglob('*.ckpt')
    main(['test', '--config', config, '--ckpt_path', str(checkpoint)])
    rows = [line for line in capsys.readouterr().out.splitlines() if ' km |' in line]
    assert len(rows) == 2
    country = float(rows[1].split('|')[4])
    assert country > 90


SMALLER = {
    'temperature': ['trainer.max_epochs=3', 'model.init_args.search_trials=1'],
    'population': ['data.init_args.dataset.init_args.min_population=200000'],
    'country': [
        'trainer.max_epochs=2',
        'data.init_args.dataset.init_args.min_population=200000',
    ],
}
WRITTEN = {
    'temperature': ['annual_c', 'annual_c_lower', 'annual_c_upper'],
    'population': ['population', 'population_lower', 'population_upper'],
    'country': ['prediction', 'class', 'probability'],
}
BASELINE = r'\| R² by coordinates .*\n.*\n'
SCORED = {
    'temperature': BASELINE + r'\| annual_c \[°C\] \| -?\d\S* \| -?\d',
    'population': BASELINE + r'\| population \[people\] \| -?\d\S* \| -?\d',
    'country': r'\| this model \| \d.*\n\| coordinates \| \d',
}


@pytest.mark.filterwarnings('ignore:.*does not have many workers')
@pytest.mark.filterwarnings('ignore:.*tensorboard')
@pytest.mark.filterwarnings('ignore:The dirpath has changed')
@pytest.mark.filterwarnings('ignore:The number of training batches')
@pytest.mark.filterwarnings('ignore:.*module.s. in eval mode')
@pytest.mark.filterwarnings('ignore:.*`isinstance.treespec')
# Blocks that are held out have whole countries.
@pytest.mark.filterwarnings('ignore:.* have classes that no training row has')
@pytest.mark.parametrize('name', SMALLER)
def test_locations(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    options = ['--config', str(ROOT / 'docs' / 'configs' / f'{name}.yaml')]
    options += [f'--{option}' for option in SMALLER[name]]
    main(['fit', *options, '--trainer.accelerator=cpu'])
    (checkpoint,) = tmp_path.rglob('*.ckpt')
    options += ['--trainer.accelerator=cpu', '--ckpt_path', str(checkpoint)]
    capsys.readouterr()
    main(['test', *options])
    shown = capsys.readouterr().out
    assert re.search(SCORED[name], shown), shown
    [number] = re.findall(r'On (\S+) test points', shown)
    assert len(list(tmp_path.rglob('test_errors_*.png'))) == 1
    main(['predict', *options])
    written = gpd.read_parquet(f'{name}.parquet')
    assert list(written.columns) == ['row', *WRITTEN[name], 'geometry']
    assert len(written) == int(number.replace(',', ''))
    assert written['row'].is_monotonic_increasing
    assert not written.isna().any(axis=None)
