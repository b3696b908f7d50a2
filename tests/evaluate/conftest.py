# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from torchgeo_concepts.evaluate.benchmark import BenchmarkReport, benchmark

Run = Callable[..., BenchmarkReport]

ENCODERS = """
import torch
from torch import nn

class Waves(nn.Module):
    provenance = {'layers': {}}

    def forward(self, points):
        return torch.deg2rad(points).sin()

class Unknown(Waves):
    provenance = None

class Holes(Waves):
    def forward(self, points):
        return points / (points[:, :1] > 0)

class Flat(nn.Module):
    def forward(self, points):
        return points[:, 0]

class Needy(nn.Module):
    def __init__(self, size):
        super().__init__()

class Images(nn.Module):
    def forward(self, images):
        return images.reshape(1, 3, 8, 8)

def number():
    return 3
"""


@pytest.fixture
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(-180, 180, 400), rng.uniform(-90, 90, 400)
    # What the sine of latitude tells, what nothing tells, and what is often missing.
    easy = 3 * np.sin(np.deg2rad(lat)) + 1
    columns = {'lon': lon, 'lat': lat, 'easy': easy, 'noise': rng.normal(size=400)}
    partly = np.where(rng.random(400) < 0.3, np.nan, easy)
    return pd.DataFrame(columns | {'partly': partly})


@pytest.fixture
def data(tmp_path: Path, frame: pd.DataFrame) -> Path:
    folder = tmp_path / 'data'
    folder.mkdir()
    frame.to_csv(folder / 'table.csv', index=False)
    return folder


@pytest.fixture
def run(tmp_path: Path, data: Path) -> Run:
    """Runs on that table alone, without maps and encoders unless asked to."""

    def start(**options: Any) -> BenchmarkReport:
        given: dict[str, Any] = {
            'datasets': (),
            'layers': False,
            'encoders': (),
            'degree': 2,
        }
        return benchmark(tmp_path / 'out', **({'data': data} | given | options))

    return start


@pytest.fixture
def encoders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of encoders of one's own."""
    folder = tmp_path / 'code'
    folder.mkdir()
    (folder / 'own_encoders.py').write_text(ENCODERS)
    monkeypatch.syspath_prepend(folder)
    # Each test has modules of its own.
    for name in ('own_encoders', 'other_encoders', 'own_folds'):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return 'own_encoders'
