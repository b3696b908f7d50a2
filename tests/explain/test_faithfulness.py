# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from sklearn.metrics import r2_score
from torch import Tensor

from torchgeo_concepts.datasets import CityClimate
from torchgeo_concepts.evaluate.probes import LinearFit
from torchgeo_concepts.explain import concept_curves, fit_head, plot_concept_curves
from torchgeo_concepts.explain.faithfulness import ConceptCurve
from torchgeo_concepts.geo.splits import block_folds
from torchgeo_concepts.models import concept_earth

type Data = tuple[Tensor, Tensor, Tensor]

SEEDS = (0, 1)
SHARE = np.linspace(0, 1, 3)


@pytest.fixture(scope='module')
def data() -> Data:
    """Targets that three of twelve concepts make, at points all over the Earth."""
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(600, 2, generator=generator) * 160 - 80
    z = torch.randn(600, 12, generator=generator)
    noise = torch.randn(600, generator=generator)
    return z, 3 * z[:, 4] - 2 * z[:, 7] + z[:, 1] + 0.3 * noise, points


@pytest.fixture(scope='module')
def cities() -> Data:
    dataset = CityClimate()
    with torch.no_grad():
        z = concept_earth('NO_CLIMATE').concepts(dataset.points)
    return z, dataset.values[:, 0], dataset.points


class TestCurves:
    def test_ends_are_the_head_and_its_average(self, data: Data) -> None:
        z, y, points = data
        head, mean, std = fit_head(z, y, points)
        scaled = (z.double() - mean) / std
        whole = r2_score(y, scaled @ head.weight[0] + head.bias[0])
        curves = concept_curves(head, scaled, y, points, seeds=SEEDS, num_samples=20)
        assert [(c.order, c.change) for c in curves] == [
            ('contribution', 'deletion'),
            ('contribution', 'insertion'),
            ('random', 'deletion'),
            ('random', 'insertion'),
        ]
        for curve in curves:
            ends = curve.r2[0], curve.r2[-1]
            expected = (whole, 0) if curve.change == 'deletion' else (0, whole)
            assert ends == pytest.approx(expected, abs=1e-5)
            assert curve.low < curve.area < curve.high
            assert curve.area == pytest.approx(np.trapezoid(curve.r2, curve.share))

    def test_step_by_hand(self, data: Data) -> None:
        z, y, points = data
        weight = torch.zeros(1, 12, dtype=torch.float64)
        weight[0, 4], weight[0, 7] = 3, -2
        head = LinearFit(weight, torch.zeros(1, dtype=torch.float64), (1.0,))
        deletion, insertion, *_ = concept_curves(
            head, z, y, points, steps=13, seeds=SEEDS, num_samples=20
        )
        parts = (z.double() * weight[0])[:, [4, 7]]
        largest = parts.gather(1, parts.abs().argmax(dim=1, keepdim=True))[:, 0]
        assert insertion.r2[1] == pytest.approx(r2_score(y, largest))
        left = parts.sum(dim=1) - largest
        assert deletion.r2[1] == pytest.approx(max(0, r2_score(y, left)))

    def test_contributions_beat_chance_on_held_out_cities(self, cities: Data) -> None:
        z, y, points = cities
        train, test = map(torch.from_numpy, block_folds(points, 2))
        head, mean, std = fit_head(z[train], y[train], points[train])
        scaled = (z[test].double() - mean) / std
        by_size, grown, chance, grown_by_chance = concept_curves(
            head, scaled, y[test], points[test], seeds=SEEDS, num_samples=50
        )
        assert by_size.high < chance.low
        assert grown.low > grown_by_chance.high

    def test_head_of_other_concepts(self, data: Data) -> None:
        z, y, points = data
        head, *_ = fit_head(z[:, :5], y, points)
        with pytest.raises(ValueError, match=r'shape \(1, 12\), .* got \(1, 5\)'):
            concept_curves(head, z, y, points)


def test_rows_that_differ(data: Data) -> None:
    z, y, points = data
    with pytest.raises(ValueError, match='got 600 scores, 599 values, 600 points'):
        fit_head(z, y[1:], points)


def test_a_panel_for_each_change() -> None:
    curves = [
        ConceptCurve('deletion', 'contribution', SHARE, 1 - SHARE, 0.5, 0.4, 0.6),
        ConceptCurve('deletion', 'random', SHARE, SHARE * 0, 0.0, 0.0, 0.1),
        ConceptCurve('insertion', 'random', SHARE, SHARE, 0.5, 0.3, 0.7),
    ]
    figure = plot_concept_curves(curves)
    first, second = figure.axes
    assert [np.asarray(line.get_ydata())[0] for line in first.lines] == [1, 0]
    assert [line.get_label() for line in second.lines] == [
        'at random: area 0.50 (0.30 to 0.70)'
    ]
    plt.close(figure)
