# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import doctest
import math

import pytest
import torch
from geopy.distance import geodesic
from torch import Tensor
from torchmetrics import Metric, MetricCollection

import torchgeo_concepts.evaluate.metrics
from torchgeo_concepts.evaluate.metrics import (
    ConceptEntropy,
    DistanceAccuracy,
    GeoScore,
    MedianDistance,
    RecallVersusArea,
    geodesic_km,
)


def world(num_points: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    unit = torch.rand(num_points, 2, generator=generator)
    return unit * torch.tensor([360, 180]) - torch.tensor([180, 90])


@pytest.fixture
def preds() -> Tensor:
    return world(101, 0)


@pytest.fixture
def target() -> Tensor:
    return world(101, 1)


def test_examples_of_the_docstrings() -> None:
    assert (
        doctest.testmod(
            torchgeo_concepts.evaluate.metrics, extraglobs={'torch': torch}
        ).failed
        == 0
    )


class TestGeodesic:
    def test_agrees_with_geopy(self, preds: Tensor, target: Tensor) -> None:
        expected = [
            geodesic((a[1], a[0]), (b[1], b[0])).km
            for a, b in zip(preds.tolist(), target.tolist(), strict=True)
        ]
        torch.testing.assert_close(
            geodesic_km(preds, target), torch.tensor(expected, dtype=torch.float64)
        )

    def test_antimeridian_and_poles(self) -> None:
        preds = torch.tensor([[179.5, 0], [0, 90], [-180, 10], [10.0, 20]])
        target = torch.tensor([[-179.5, 0], [123, 90], [180, 10], [370, 20]])
        expected = torch.tensor([111.32, 0, 0, 0], dtype=torch.float64)
        torch.testing.assert_close(
            geodesic_km(preds, target), expected, atol=0.01, rtol=0
        )

    def test_bad_points(self) -> None:
        with pytest.raises(ValueError, match='Row 0'):
            geodesic_km(torch.tensor([[0.0, 91.0]]), torch.zeros(1, 2))
        with pytest.raises(
            ValueError, match='Expected 1 predictions, one for each target, got 2'
        ):
            geodesic_km(torch.zeros(2, 2), torch.zeros(1, 2))


@pytest.mark.parametrize('sizes', [[101], [1, 99, 1], [50, 0, 51]])
def test_batches_do_not_show(preds: Tensor, target: Tensor, sizes: list[int]) -> None:
    metrics = MetricCollection([DistanceAccuracy(), MedianDistance(), GeoScore()])
    for p, t in zip(torch.split(preds, sizes), torch.split(target, sizes), strict=True):
        metrics.update(p, t)
    results = metrics.compute()
    distances = geodesic_km(preds, target)
    for limit in (1, 25, 200, 750, 2500):
        share = (distances <= limit).float().mean()
        torch.testing.assert_close(results[f'acc@{limit}km'], share)
    torch.testing.assert_close(results['MedianDistance'], distances.median().float())
    score = (5000 * (-distances / 1492.7).exp()).mean().float()
    torch.testing.assert_close(results['GeoScore'], score)


def test_median_of_an_even_number() -> None:
    metric = MedianDistance()
    target = torch.tensor([[1.0, 0], [3.0, 0]])
    metric.update(torch.zeros(2, 2), target)
    assert metric.compute().item() == pytest.approx(2 * 111.32, rel=1e-4)


@pytest.mark.filterwarnings('ignore:The ``compute`` method')
def test_nothing_to_measure() -> None:
    assert math.isnan(MedianDistance().compute())
    assert math.isnan(GeoScore().compute())
    assert math.isnan(DistanceAccuracy((25,)).compute()['acc@25km'])


@pytest.mark.parametrize(
    ('metric', 'best'), [(MedianDistance(), 0.0), (GeoScore(), 5000.0)]
)
def test_reset(preds: Tensor, target: Tensor, metric: Metric, best: float) -> None:
    metric.update(preds, target)
    assert metric.compute() != best
    metric.reset()
    metric.update(target, target)
    assert metric.compute() == best


def test_reset_of_accuracy(preds: Tensor, target: Tensor) -> None:
    metric = DistanceAccuracy((25,))
    metric.update(preds, target)
    assert metric.compute()['acc@25km'] < 1
    metric.reset()
    metric.update(target, target)
    assert metric.compute()['acc@25km'] == 1


class TestRecallVersusArea:
    def test_shares(self) -> None:
        metric = RecallVersusArea((10, 100))
        metric.update(torch.tensor([50.0, 5.0]))
        metric.update(torch.tensor([500.0]))
        assert metric.compute() == {
            'recall@10km2': pytest.approx(1 / 3),
            'recall@100km2': pytest.approx(2 / 3),
        }

    def test_without_images(self) -> None:
        metric = RecallVersusArea((10,))
        metric.update(torch.empty(0))
        assert metric.compute()['recall@10km2'].isnan()

    def test_large_areas_keep_their_names(self) -> None:
        metric = RecallVersusArea()
        metric.update(torch.tensor([1.0]))
        assert 'recall@10000000km2' in metric.compute()


class TestConceptEntropy:
    def test_even_and_one_sided(self) -> None:
        metric = ConceptEntropy(4)
        metric.update(torch.eye(4))
        torch.testing.assert_close(metric.compute(), torch.tensor(1.0))
        metric.reset()
        metric.update(torch.eye(4)[[2, 2, 2]])
        assert metric.compute() == 0

    def test_without_projections(self) -> None:
        metric = ConceptEntropy(4)
        metric.update(torch.empty(0, 4))
        assert metric.compute().isnan()
