# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import runpy
from pathlib import Path

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
