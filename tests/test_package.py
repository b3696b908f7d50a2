# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

import torchgeo_concepts

ROOT = Path(__file__).parents[1]


# What only training needs.
TRAINING = {'lightning', 'torchgeo.datamodules', 'torchgeo.tasks', 'torchgeo.trainers'}


def test_import_adds_little_and_names_are_imported_when_used() -> None:
    code = (
        'import sys, torchgeo.models; before = set(sys.modules);'
        'import torchgeo_concepts as t; print(*(set(sys.modules) - before));'
        'import torchgeo_concepts.cli; print(*sys.modules);'
        'names = [getattr(t, name).__name__ for name in t.__all__ if name[0] != "_"];'
        'assert set(names) == set(t.__all__) - {"__version__"} <= set(dir(t)), names'
    )
    process = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=True
    )
    added, by_cli = (set(line.split()) for line in process.stdout.splitlines())
    assert by_cli.isdisjoint(TRAINING)
    rooms = {'torchgeo_concepts.maps', 'torchgeo_concepts.explain'}
    assert added.isdisjoint(rooms)
    packages = {name.partition('.')[0] for name in added}
    assert packages - set(sys.stdlib_module_names) == {'torchgeo_concepts'}
    with pytest.raises(AttributeError, match="no attribute 'embed_point'"):
        torchgeo_concepts.embed_point  # noqa: B018


def test_version_and_entry_point() -> None:
    assert metadata.version('torchgeo-concepts') == torchgeo_concepts.__version__
    [entry] = metadata.entry_points(group='console_scripts', name='torchgeo-concepts')
    assert entry.value == 'torchgeo_concepts.cli:main'


def test_wheel_and_sdist_build_and_the_wheel_works_alone(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, '-m', 'build', '--outdir', tmp_path, ROOT],
        check=True,
        capture_output=True,
    )
    [sdist] = tmp_path.glob('*.tar.gz')
    [wheel] = tmp_path.glob('*.whl')
    assert sdist.name == f'torchgeo_concepts-{torchgeo_concepts.__version__}.tar.gz'
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / 'site')
    assert 'torchgeo_concepts/py.typed' in names
    assert any(name.endswith('licenses/NOTICE') for name in names)
    assert not [name for name in names if name.startswith(('tests', 'docs'))]
    assert not [name for name in names if 'research' in name or 'study' in name]
    code = (
        'import sys; sys.path.insert(0, sys.argv[1]); import torchgeo_concepts, torch;'
        'assert torchgeo_concepts.__file__.startswith(sys.argv[1]);'
        'from torchgeo_concepts.models import geoclip_location;'
        "geoclip_location('MP16')(torch.zeros(1, 2));"
        # The file of the weights is found without an import of its package.
        "assert {'geoclip', 'transformers'}.isdisjoint(sys.modules)"
    )
    subprocess.run(
        [sys.executable, '-c', code, tmp_path / 'site'], check=True, cwd=tmp_path
    )
