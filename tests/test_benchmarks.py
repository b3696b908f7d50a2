# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

from torchgeo_concepts.models import ConceptEarth, concept_earth

FOLDER = Path(__file__).parents[1] / 'docs' / 'benchmarks'


@pytest.fixture(scope='module', autouse=True)
def scripts() -> Iterator[None]:
    sys.path.insert(0, str(FOLDER))
    yield
    sys.path.remove(str(FOLDER))


@pytest.fixture(scope='module')
def measure() -> ModuleType:
    import concept_earth as measure

    return measure


@pytest.fixture(scope='module')
def grounded() -> ConceptEarth:
    return concept_earth('GROUNDED')


def test_moved(measure: ModuleType) -> None:
    points = torch.tensor([[0.0, 0.0], [179.99, 10.0], [50.0, 89.9], [-20.0, -60.0]])
    away = measure.moved(points, 100)
    torch.testing.assert_close(
        measure.distance_km(points, away).float(),
        torch.full((4,), 100.0),
        rtol=1e-2,
        atol=0,
    )
    assert away[:, 0].abs().max() <= 180


def test_scaled(measure: ModuleType) -> None:
    projections = torch.randn(500, 2)
    labels = projections * torch.tensor([3.0, -2]) + torch.tensor([1.0, 5])
    labels[::7, 0] = torch.nan
    expected = projections * torch.tensor([3.0, -2]) + torch.tensor([1.0, 5])
    torch.testing.assert_close(measure.scaled(projections, labels), expected)


def test_where_r2_passes_a_half(measure: ModuleType) -> None:
    assert measure._passes({2: 0.6, 5: 0.7}) == 'below 2 km'
    assert measure._passes({2: 0.1, 5: 0.2}) == 'above 5 km'
    assert measure._passes({1: 0.0, 100: 1.0}) == '10 km'


def test_fidelity(measure: ModuleType, grounded: ConceptEarth) -> None:
    # A student of itself finds every point.
    *_, row, _ = measure.fidelity({'GROUNDED': grounded}, grounded)
    assert row == '| GROUNDED | 1.000 | 1.000 | 100.0% | 100.0% |'


def test_regions(measure: ModuleType, grounded: ConceptEarth) -> None:
    rows = [
        [cell.strip() for cell in line.strip('|').split('|')]
        for line in measure.regions(grounded, grounded)
        if line.count('|') == 8
    ]
    table = {row[0]: row[1:] for row in rows[2:]}
    assert {'Europe', 'sea', 'Antarctica, south of 60° S'} <= set(table)
    # Elevation is 0 at sea, so the error there is that of noise alone.
    assert float(table['sea'][4]) < float(table['Asia'][4])
