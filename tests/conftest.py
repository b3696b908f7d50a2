# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

from __future__ import annotations

import ctypes
import gc
import os
import platform
import runpy
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

# The process that hands out the tests has no use for torch, which takes a gigabyte.
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from torchgeo_concepts.concepts import ConceptBank
    from torchgeo_concepts.layers import Layer
    from torchgeo_concepts.layers.grounding import Groundings
    from torchgeo_concepts.models import GeoCLIPLocation

# Processes of pytest-xdist share the cores, also with those that tests start.
WORKERS = int(os.environ.get('PYTEST_XDIST_WORKER_COUNT', '1'))
os.environ['OMP_NUM_THREADS'] = str(max(1, (os.cpu_count() or 1) // WORKERS))

GLIBC = ctypes.CDLL(None) if platform.libc_ver()[0] == 'glibc' else None
if GLIBC is not None:
    # Arrays above 4 MB go back to the system as soon as they are freed (M_MMAP_THRESHOLD).
    GLIBC.mallopt(-3, 1 << 22)

# The same examples on each machine, however busy it is.
settings.register_profile('repeatable', deadline=None, derandomize=True)
settings.load_profile('repeatable')


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run tests of the whole package first, so that processes finish together."""
    items.sort(key=lambda item: len(item.path.parts))


@pytest.fixture(scope='module', autouse=True)
def collect_garbage() -> Iterator[None]:
    """Free trainers and their data, which refer to each other, and what is cached."""
    yield
    for name, module in list(sys.modules.items()):
        if name.startswith('torchgeo_concepts.'):
            for value in vars(module).values():
                if callable(clear := getattr(value, 'cache_clear', None)):
                    clear()
    gc.collect()
    if GLIBC is not None:
        # Otherwise glibc keeps most of what small arrays took.
        GLIBC.malloc_trim(0)


@pytest.fixture(scope='module', autouse=True)
def installed_groundings() -> Iterator[None]:
    """Ground the concepts of installed maps once, which takes seconds."""
    from torchgeo_concepts.datamodules import _map_labels, blue_marble
    from torchgeo_concepts.datasets import grounded_points
    from torchgeo_concepts.layers import LAYERS, named_banks
    from torchgeo_concepts.layers.grounding import load_groundings

    known: dict[tuple[object, ...], Groundings] = {}

    def load(
        layers: Sequence[Layer] | None = None, exclude_groups: Sequence[str] = ()
    ) -> Groundings:
        names = None if layers is None else tuple(layer.name for layer in layers)
        key = names, *exclude_groups
        if names is not None and not LAYERS.keys() >= set(names):
            return load_groundings(layers=layers, exclude_groups=exclude_groups)
        if key not in known:
            known[key] = load_groundings(layers=layers, exclude_groups=exclude_groups)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        for module in (_map_labels, blue_marble, grounded_points, named_banks):
            patch.setattr(module, 'load_groundings', load)
        yield


@pytest.fixture(scope='session')
def geoclip() -> GeoCLIPLocation:
    """The encoder with its real weights, which the installed geoclip carries."""
    from torchgeo_concepts.models import geoclip_location

    return geoclip_location(weights='MP16')


@pytest.fixture
def small_encoder() -> GeoCLIPLocation:
    import torch

    from torchgeo_concepts.models import GeoCLIPLocation

    torch.manual_seed(0)
    return GeoCLIPLocation(num_frequencies=4, hidden_dim=8, embed_dim=6).eval()


@pytest.fixture(scope='module')
def small_pictures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of small pictures of the Earth, in the place of the real ones."""
    from torchgeo_concepts.datasets import EARTH_PICTURES

    fake = runpy.run_path(f'{os.path.dirname(__file__)}/data/bluemarble/data.py')
    folder = tmp_path_factory.mktemp('pictures')
    with pytest.MonkeyPatch.context() as patch:
        for name, picture in fake['create'](folder).items():
            patch.setitem(EARTH_PICTURES, name, picture)
        yield folder


@pytest.fixture
def bank() -> ConceptBank:
    from torchgeo_concepts.concepts import Concept, ConceptBank

    return ConceptBank(Concept(f'c{i}', f'c{i}', 'landform') for i in range(5))


@pytest.fixture
def hub_dir(tmp_path: Path) -> Iterator[Path]:
    """An empty folder in the place of the downloads of this machine."""
    import torch

    before = torch.hub.get_dir()
    torch.hub.set_dir(str(tmp_path / 'hub'))
    yield tmp_path / 'hub'
    torch.hub.set_dir(before)
