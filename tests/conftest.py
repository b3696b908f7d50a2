# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import ctypes
import gc
import os
import platform
import runpy
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from threadpoolctl import threadpool_limits

from torchgeo_concepts.concepts import Concept, ConceptBank
from torchgeo_concepts.datamodules import _map_labels, blue_marble
from torchgeo_concepts.datasets import EARTH_PICTURES, grounded_points
from torchgeo_concepts.io.cache import _open_map
from torchgeo_concepts.layers import LAYERS, Layer
from torchgeo_concepts.layers.grounding import Groundings, load_groundings
from torchgeo_concepts.models import GeoCLIPLocation, geoclip_location

# Processes of pytest-xdist share the cores.
WORKERS = int(os.environ.get('PYTEST_XDIST_WORKER_COUNT', '1'))
THREADS = max(1, (os.cpu_count() or 1) // WORKERS)
torch.set_num_threads(THREADS)
threadpool_limits(THREADS)

# The same examples on each machine, however busy it is.
settings.register_profile('repeatable', deadline=None, derandomize=True)
settings.load_profile('repeatable')


@pytest.fixture(scope='module', autouse=True)
def collect_garbage() -> Iterator[None]:
    """Free trainers and their data, which refer to each other, and maps of layers."""
    yield
    _open_map.cache_clear()
    gc.collect()
    if platform.libc_ver()[0] == 'glibc':
        # Otherwise glibc keeps most of what small arrays took.
        ctypes.CDLL(None).malloc_trim(0)


@pytest.fixture(scope='module', autouse=True)
def installed_groundings() -> Iterator[None]:
    """Ground the concepts of installed maps once, which takes seconds."""
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
        for module in (_map_labels, blue_marble, grounded_points):
            patch.setattr(module, 'load_groundings', load)
        yield


@pytest.fixture(scope='session')
def geoclip() -> GeoCLIPLocation:
    """The encoder with its real weights, which the installed geoclip carries."""
    return geoclip_location(weights='MP16')


@pytest.fixture
def small_encoder() -> GeoCLIPLocation:
    torch.manual_seed(0)
    return GeoCLIPLocation(num_frequencies=4, hidden_dim=8, embed_dim=6).eval()


@pytest.fixture(scope='module')
def small_pictures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of small pictures of the Earth, in the place of the real ones."""
    fake = runpy.run_path(str(Path(__file__).parent / 'data/bluemarble/data.py'))
    folder = tmp_path_factory.mktemp('pictures')
    with pytest.MonkeyPatch.context() as patch:
        for name, picture in fake['create'](folder).items():
            patch.setitem(EARTH_PICTURES, name, picture)
        yield folder


@pytest.fixture
def bank() -> ConceptBank:
    return ConceptBank(Concept(f'c{i}', f'c{i}', 'landform') for i in range(5))


@pytest.fixture
def hub_dir(tmp_path: Path) -> Iterator[Path]:
    """An empty folder in the place of the downloads of this machine."""
    before = torch.hub.get_dir()
    torch.hub.set_dir(str(tmp_path / 'hub'))
    yield tmp_path / 'hub'
    torch.hub.set_dir(before)
