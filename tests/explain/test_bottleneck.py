# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

from typing import Any

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from torch import Tensor

from torchgeo_concepts.concepts import ConceptBank
from torchgeo_concepts.datasets import CityClimate
from torchgeo_concepts.embed.points import embed_points
from torchgeo_concepts.explain import Bottleneck, concept_bottleneck, smallest_change
from torchgeo_concepts.geo.splits import block_folds
from torchgeo_concepts.models import concept_earth


def made_up(number: int = 300) -> tuple[Tensor, Tensor, Tensor]:
    """Scores, points and embeddings, which know the scores but for noise."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(number, 5, generator=generator) * 3 + 1
    points = torch.rand(number, 2, generator=generator) * 160 - 80
    x = z @ torch.randn(5, 8, generator=generator)
    return z, points, x + torch.randn(x.shape, generator=generator)


def _with_hole(row: int) -> Tensor:
    """Embeddings of which one row has a value that is missing."""
    x = made_up()[2]
    x[row, 3] = torch.nan
    return x


@pytest.fixture(scope='module')
def temperature() -> tuple[Bottleneck, Tensor, Tensor]:
    encoder, cities = concept_earth('NO_CLIMATE'), CityClimate()
    z, x = (
        embed_points(encoder, cities.points, features=kind, progress=False)
        for kind in ('z', 'x')
    )
    y = cities.labels[:, 0]
    model = concept_bottleneck(z, y, cities.points, encoder.bank, x, unit='°C')
    return model, z, y


class TestQuantity:
    def test_finds_the_concepts_that_count(self, bank: ConceptBank) -> None:
        z, points, x = made_up()
        y = 4 + 2 * z[:, 1] - z[:, 3]
        model = concept_bottleneck(z, y, points, bank, x)
        frame = model.to_frame()
        assert frame['concept'].tolist()[:2] == ['c1', 'c3']
        assert model.curve[model.chosen].mean > 0.95
        # A weight is what one standard deviation adds.
        added = model(z + torch.eye(5)[1] * z[:, 1].std(correction=0)) - model(z)
        assert added.tolist() == pytest.approx([frame['weight'][0]] * 300, abs=1e-4)

    def test_cities(self, temperature: tuple[Bottleneck, Tensor, Tensor]) -> None:
        model, z, y = temperature
        own = model.curve[model.chosen]
        assert own.mean > 0.85
        assert 5 < model.used < len(model.bank) / 2
        assert len(model.to_frame()) == model.used
        best = max(point.mean for point in model.curve)
        assert own.mean <= best
        assert model.chance < 0.1
        assert float((model(z) - y).abs().mean()) < 3
        used = [point.used for point in model.curve]
        assert used == sorted(used)
        frame = model.curve_frame()
        assert frame['features'].value_counts().to_dict() == {
            'concepts': len(model.curve),
            'black box': len(model.curve),
        }
        assert frame['R²'].max() == max(
            point.mean for point in (*model.curve, *model.black_box)
        )

    def test_text_and_figure(
        self, temperature: tuple[Bottleneck, Tensor, Tensor]
    ) -> None:
        model, _, _ = temperature
        text = str(model)
        assert f'{model.used} of 152 concepts' in text
        assert 'weights [°C]' in text
        figure = model.plot()
        left, right = figure.axes
        assert left.get_ylabel() == 'R² on held-out blocks'
        assert right.get_xlabel() == 'weight of a standard deviation [°C]'
        assert len(right.get_yticklabels()) == 12
        plt.close(figure)

    def test_is_a_head_for_the_smallest_change(
        self, temperature: tuple[Bottleneck, Tensor, Tensor]
    ) -> None:
        model, z, _ = temperature
        found = smallest_change(z[0], model, model.bank, z, by=3.0)
        assert found.reached
        used = set(model.to_frame()['concept'])
        assert {step.concept for step in found.steps} <= used


class TestClasses:
    def test_finds_the_concepts_of_each(self, bank: ConceptBank) -> None:
        z, points, x = made_up()
        y = torch.stack((z[:, 0], z[:, 2], z[:, 4]), dim=1).argmax(dim=1)
        names = ('A', 'B', 'C')
        model = concept_bottleneck(z, y, points, bank, x, classes=names)
        assert model.metric == 'accuracy'
        assert model(z).shape == (300, 3)
        assert float((model(z).argmax(dim=1) == y).double().mean()) > 0.9
        assert model.curve[model.chosen].mean > 0.9
        assert 0.2 < model.chance < 0.5
        frame = model.to_frame()
        first = frame.groupby('class')['concept'].first()
        assert first.to_dict() == {'A': 'c0', 'B': 'c2', 'C': 'c4'}
        assert frame['class'].tolist() == sorted(frame['class'])
        assert '  A: c0 ' in str(model)
        figure = model.plot()
        assert [label.get_text() for label in figure.axes[1].get_xticklabels()] == [
            'A',
            'B',
            'C',
        ]
        plt.close(figure)

    def test_class_without_rows_is_never_predicted(self, bank: ConceptBank) -> None:
        z, points, x = made_up()
        y = (z[:, 0] > 1).long() * 2
        model = concept_bottleneck(z, y, points, bank, x, classes=['A', 'B', 'C', 'D'])
        assert model(z).shape == (300, 4)
        assert set(model(z).argmax(dim=1).tolist()) == {0, 2}

    def test_same_seed_same_model(self, bank: ConceptBank) -> None:
        z, points, x = made_up(120)
        y = (z[:, 0] > 1).long()
        first, second = (
            concept_bottleneck(z, y, points, bank, x, classes=['A', 'B'])
            for _ in range(2)
        )
        assert first.weight.equal(second.weight)
        assert first.curve == second.curve


class TestErrors:
    @pytest.mark.parametrize(
        ('changes', 'message'),
        [
            ({'z': torch.zeros(300, 4)}, 'expected shape'),
            ({'target': torch.zeros(299)}, 'got 300 scores, 299 targets'),
            ({'x': torch.zeros(299, 8)}, '300 points, 299 embeddings'),
            (
                {'x': _with_hole(7)},
                'Row 7 of the embeddings, counted from 0, is not fin',
            ),
            ({'target': torch.zeros(300)}, 'target is constant'),
            (
                {'target': torch.full((300,), np.nan)},
                'Row 0 of the target, counted from 0, is not a finite',
            ),
            ({'classes': ['A', 'B']}, 'is not one of 2 classes'),
            ({'block_degrees': 500}, 'too few blocks for 5 folds'),
        ],
    )
    def test_inputs(self, bank: ConceptBank, changes: Any, message: str) -> None:
        z, points, x = made_up()
        inputs = {'z': z, 'target': z[:, 0], 'points': points, 'bank': bank, 'x': x}
        with pytest.raises(ValueError, match=message):
            concept_bottleneck(**{**inputs, **changes})

    def test_quantity_that_does_not_vary_in_a_fold(self, bank: ConceptBank) -> None:
        z, points, x = made_up()
        y = z[:, 0].clone()
        y[block_folds(points)[3]] = 2.5
        with pytest.raises(ValueError, match='fold 3, counted from 0, are 2.5'):
            concept_bottleneck(z, y, points, bank, x)
        # Of classes, a fold may well have a single one.
        names = ['A', 'B']
        model = concept_bottleneck(z, (y > 1).long(), points, bank, x, classes=names)
        assert model.curve[model.chosen].mean > 0.5
