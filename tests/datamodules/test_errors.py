# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image
from torchgeo.main import main

MODEL = {
    'class_path': 'torchgeo_concepts.tasks.ConceptAlignment',
    'init_args': {'image_tower': 'patch_cnn/32', 'freeze': []},
}


def image_points(root: Path) -> dict[str, Any]:
    (root / 'photos').mkdir()
    Image.new('RGB', (8, 6)).save(root / 'photos' / 'no-position.jpg')
    return {
        'class_path': 'torchgeo_concepts.datasets.ImagePoints',
        'init_args': {'root': str(root / 'photos')},
    }


def point_table(root: Path) -> dict[str, Any]:
    (root / 'points.csv').write_text('lon,lat,height\n200,95,3\n0,0,1\n')
    return {
        'class_path': 'torchgeo_concepts.datasets.PointTable',
        'init_args': {'table': str(root / 'points.csv'), 'targets': 'height'},
    }


@pytest.mark.filterwarnings("ignore:LightningCLI's args parameter")
@pytest.mark.parametrize(
    ('module', 'argument', 'dataset', 'message'),
    [
        (
            'ImagePointsDataModule',
            argument,
            image_points,
            r'no-position\.jpg has no position in its Exif data',
        )
        for argument in ('train', 'val', 'test', 'predict')
    ]
    + [('PointTableDataModule', 'dataset', point_table, 'row 0.* has no point')],
)
def test_dataset_states_what_is_wrong(
    module: str, argument: str, dataset: Any, message: str, tmp_path: Path
) -> None:
    arguments = {argument: dataset(tmp_path)}
    config = {
        'model': MODEL,
        'data': {
            'class_path': f'torchgeo_concepts.datamodules.{module}',
            'init_args': arguments,
        },
        'trainer': {'accelerator': 'cpu', 'logger': False},
    }
    (tmp_path / 'config.yaml').write_text(yaml.safe_dump(config))
    with pytest.raises(ValueError, match=message) as raised:
        main(['fit', '--config', str(tmp_path / 'config.yaml')])
    error: BaseException = raised.value
    while error.__cause__ is not None:
        error = error.__cause__
    # The dataset's own error, which Python shows first.
    assert str(error).startswith(str(tmp_path))
