# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import pytest
import torch
from faithfulness.rankings import rank_by_halves, ranking_stability, remove_and_retrain
from torch import Tensor

from torchgeo_concepts.datasets import CityClimate
from torchgeo_concepts.models import concept_earth

type Data = tuple[Tensor, Tensor, Tensor]

SEEDS = (0, 1)


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


class TestRetraining:
    def test_concepts_that_matter_are_missed(self, data: Data) -> None:
        table = remove_and_retrain(*data, counts=(1, 3, 12), seeds=SEEDS)
        assert table['removed'].tolist() == [0, 1, 3]
        nothing, one, three = table.to_dict('records')
        assert nothing['top'] == nothing['random'] > 0.98
        assert nothing['difference'] == 0
        # Without concept 4, 5 of 14 parts of the variance are left.
        assert one['top'] == pytest.approx(5 / 14, abs=0.1)
        assert three['top'] < 0.05
        assert three['low'] > 0.1

    def test_a_concept_that_another_repeats_is_not_missed(self, data: Data) -> None:
        z, y, points = data
        twice = torch.cat((z, z), dim=1)
        table = remove_and_retrain(twice, y, points, counts=(1,), seeds=SEEDS)
        assert table['top'].iloc[1] == pytest.approx(table['top'].iloc[0], abs=0.01)


class TestHalves:
    def test_ranking_of_the_other_half_does_as_well(self, data: Data) -> None:
        table = rank_by_halves(*data, counts=(1, 3, 12), seeds=SEEDS)
        assert table['kept'].tolist() == [1, 3]
        _, three = table.to_dict('records')
        assert three['other'] == pytest.approx(three['own'], abs=1e-9)
        assert three['other'] > 0.98
        assert three['random'] < 0.8
        assert 0 < three['correlation'] < 1

    def test_cities(self, cities: Data) -> None:
        table = rank_by_halves(*cities, counts=(10,), seeds=(0,))
        [row] = table.to_dict('records')
        assert row['random'] < row['other'] < row['own'] + 0.1
        assert 0.2 < row['correlation'] < 1


class TestStability:
    def test_draws_agree_where_concepts_matter(self, data: Data) -> None:
        z, y, points = data
        mean, low, high = ranking_stability(z, y, points, draws=6)
        assert -1 <= low < mean < high <= 1
        strong = z @ (2.0 ** torch.arange(12))
        assert ranking_stability(z, strong, points, draws=6)[0] > 0.99 > mean

    def test_one_draw(self, data: Data) -> None:
        with pytest.raises(ValueError, match='draws=2 at least, not 1'):
            ranking_stability(*data, draws=1)


@pytest.mark.parametrize('function', [remove_and_retrain, rank_by_halves])
def test_rows_that_differ(function: object, data: Data) -> None:
    z, y, points = data
    assert callable(function)
    with pytest.raises(ValueError, match='600 rows of scores, 599 values and 600'):
        function(z, y[1:], points)
