# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

from typing import Any

import pytest
import torch
from faithfulness import rankings
from faithfulness.rankings import rank_by_halves, ranking_stability, remove_and_retrain
from torch import Tensor

from torchgeo_concepts.geo.splits import Rows, block_folds

type Data = tuple[Tensor, Tensor, Tensor]

SEEDS = (0, 1)


@pytest.fixture(scope='module')
def data() -> Data:
    """Targets that depend on three of twelve concepts, at points all over the Earth."""
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(600, 2, generator=generator) * 160 - 80
    z = torch.randn(600, 12, generator=generator)
    noise = torch.randn(600, generator=generator)
    return z, 3 * z[:, 4] - 2 * z[:, 7] + z[:, 1] + 0.3 * noise, points


class TestRemoveAndRetrain:
    def test_concepts_that_matter_are_missed(self, data: Data) -> None:
        table = remove_and_retrain(*data, counts=(1, 3, 12), seeds=SEEDS)
        assert table['removed'].tolist() == [0, 1, 3]
        nothing, one, three = table.to_dict('records')
        assert nothing['top'] == nothing['random'] > 0.98
        # Without concept 4, 5 of 14 parts of the variance are left.
        assert one['top'] == pytest.approx(5 / 14, abs=0.1)
        assert three['top'] < 0.05
        assert three['low'] > 0.1

    def test_a_concept_with_a_copy_is_not_missed(self, data: Data) -> None:
        z, y, points = data
        twice = torch.cat((z, z), dim=1)
        table = remove_and_retrain(twice, y, points, counts=(1,), seeds=SEEDS)
        assert table['top'].iloc[1] == pytest.approx(table['top'].iloc[0], abs=0.01)

    def test_ranking_does_not_see_the_fold_that_it_is_scored_on(
        self, data: Data, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        z, _, points = data
        [first, *_] = folds = block_folds(points, seed=0)
        # Concept 0 matters in the first fold alone, and concept 1 in all others.
        y = z[:, 1].clone()
        y[first] = 40 * z[first, 0]
        removed: list[list[int]] = []
        score = rankings._r2_without

        def watched(*arguments: Any) -> float:
            columns = arguments[-1]
            assert isinstance(columns, list)
            removed.append([int(own[0]) for own in columns if len(own) == 1])
            return score(*arguments)

        monkeypatch.setattr(rankings, '_r2_without', watched)
        remove_and_retrain(z, y, points, counts=(1,), seeds=(0,))
        # Calls: nothing removed twice, then the largest, then a random one.
        top = removed[2]
        assert len(top) == len(folds) == 5
        assert top == [1, 0, 0, 0, 0]


class TestRankByHalves:
    def test_ranking_of_the_other_half_does_as_well(self, data: Data) -> None:
        table = rank_by_halves(*data, counts=(1, 3, 12), seeds=SEEDS)
        assert table['kept'].tolist() == [1, 3]
        _, three = table.to_dict('records')
        assert three['other'] == pytest.approx(three['own'], abs=1e-9)
        assert three['other'] > 0.98
        assert three['random'] < 0.8
        assert 0 < three['correlation'] < 1

    def test_halves_are_not_swapped(self, data: Data) -> None:
        z, _, points = data
        west, east = halves(points)
        # A different concept matters in each half.
        y = torch.zeros(len(z))
        y[west], y[east] = z[west, 2], z[east, 9]
        [row] = rank_by_halves(z, y, points, counts=(1,), seeds=(0,)).to_dict('records')
        assert row['own'] > 0.98
        assert row['other'] < 0.1


def halves(points: Tensor) -> tuple[Rows, Rows]:
    first, second = block_folds(points, 2, 0)
    return first, second


class TestRankingStability:
    def test_resamples_agree_where_concepts_matter(self, data: Data) -> None:
        z, y, points = data
        mean, low, high = ranking_stability(z, y, points, num_samples=6)
        assert -1 <= low < mean < high <= 1
        strong = z @ (2.0 ** torch.arange(12))
        found = ranking_stability(z, strong, points, num_samples=6)
        assert found[0] > 0.99 > mean

    def test_one_resample(self, data: Data) -> None:
        with pytest.raises(ValueError, match='num_samples must be at least 2, not 1'):
            ranking_stability(*data, num_samples=1)


def test_rows_that_differ(data: Data) -> None:
    z, y, points = data
    with pytest.raises(ValueError, match='got 600 scores, 599 values, 600 points'):
        rank_by_halves(z, y[1:], points)
