# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from torchgeo_concepts.datasets.point_sampling import sample_points
from torchgeo_concepts.layers import get_layer
from torchgeo_concepts.layers.climate import ZONES
from torchgeo_concepts.models import ConceptEarth, concept_earth


@pytest.fixture(scope='module')
def measure() -> ModuleType:
    import concept_earth as measure

    return measure


@pytest.fixture(scope='module')
def others() -> ModuleType:
    import second_sources as others

    return others


@pytest.fixture(scope='module')
def speed() -> ModuleType:
    import explain_speed as speed

    return speed


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


def test_regions(
    measure: ModuleType, grounded: ConceptEarth, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = sample_points(20_000, 0)
    monkeypatch.setattr(measure, 'sample_points', lambda *_: few)
    rows = [
        [cell.strip() for cell in line.strip('|').split('|')]
        for line in measure.regions(grounded, grounded)
        if line.count('|') == 8
    ]
    table = {row[0]: row[1:] for row in rows[2:]}
    assert {'Europe', 'sea', 'Antarctica, south of 60° S'} <= set(table)
    # Elevation is 0 at sea, so the error there is that of noise alone.
    assert float(table['sea'][4]) < float(table['Asia'][4])


@pytest.mark.parametrize(
    ('zone', 'lat', 'temperature', 'rain'),
    [
        ('Af', 1, [27] * 12, [200] * 12),
        ('Am', 10, [27] * 12, [20] * 3 + [400] * 9),
        ('Aw', 10, [27] * 12, [0] * 5 + [250] * 5 + [0] * 2),
        ('BWh', 24, [20] * 6 + [30] * 6, [1] * 12),
        ('BSk', 45, [-8] * 6 + [20] * 6, [20] * 12),
        # Rain in winter is that of the other months in the south.
        ('Csa', 40, [8] * 6 + [24] * 6, [90] * 3 + [5] * 6 + [90] * 3),
        ('Csa', -33, [24] * 6 + [8] * 6, [5] * 3 + [90] * 6 + [5] * 3),
        ('Cfb', 50, [4] * 4 + [17] * 4 + [6] * 4, [60] * 12),
        ('Cfc', 62, [2] * 5 + [11] * 3 + [3] * 4, [60] * 12),
        ('Dwa', 40, [-8] * 4 + [24] * 4 + [2] * 4, [3] * 3 + [150] * 6 + [5] * 3),
        ('Dfd', 66, [-45] * 5 + [15] * 3 + [-30] * 4, [30] * 12),
        ('ET', 70, [-20] * 8 + [5] * 4, [20] * 12),
        ('EF', -80, [-40] * 12, [5] * 12),
    ],
)
def test_koppen(
    others: ModuleType, zone: str, lat: float, temperature: list[int], rain: list[int]
) -> None:
    months = [np.array([values], dtype=float).T for values in (temperature, rain)]
    [code] = others.koppen(*months, np.array([lat]))
    assert ZONES[int(code) - 1] == zone


def test_second_sources_agree_roughly(others: ModuleType) -> None:
    found = {source.name: source for source in others.sources(800)}
    assert len(found) == 4
    for name, concept, least in (
        ('Mapzen heights', 'relief-within-100-km', 0.9),
        ('GSHHS shore', 'distance-inland', 0.97),
        ('CHELSA at cities', 'temperature-of-july', 0.9),
    ):
        source = found[name]
        [grounding] = [g for g in source.groundings if g.concept == concept]
        own = get_layer(grounding.layer_names[0])(source.points)
        own = np.log10(1 + np.maximum(own, 0)) if grounding.is_log else own
        other = grounding(source.points)
        known = ~np.isnan(own) & ~np.isnan(other)
        assert np.corrcoef(own[known], other[known])[0, 1] > least


def test_median_time_after_the_first(
    speed: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0, 9, 9, 10, 10, 12, 12, 15])
    monkeypatch.setattr(speed.time, 'perf_counter', lambda: next(clock))
    calls: list[None] = []
    assert speed.seconds(lambda: calls.append(None), repeats=3) == 2
    assert len(calls) == 4


def test_points_are_encoded_and_explained_alike(
    speed: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, list[int]] = {'embed': [], 'contributions': []}

    def watch(name: str) -> None:
        function = getattr(speed, name)

        def watched(model: Any, points: Tensor, *rest: Any) -> Any:
            asked[name].append(len(points))
            return function(model, points, *rest)

        monkeypatch.setattr(speed, name, watched)

    watch('embed')
    watch('contributions')
    times = speed.explain_times('xz', number=200, repeats=3)
    assert asked == {'embed': [200] * 4, 'contributions': [200] * 4}
    assert min(times.encode, times.both) > 0
