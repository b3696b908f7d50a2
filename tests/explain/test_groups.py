# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

from typing import Any

import numpy as np
import pytest
import shapely
import torch
from matplotlib import pyplot as plt
from scipy.stats import mannwhitneyu
from torch import nn

from torchgeo_concepts.concepts import ConceptBank
from torchgeo_concepts.explain import compare_groups
from torchgeo_concepts.explain.cliffs_delta import cliffs_delta
from torchgeo_concepts.explain.groups import GroupComparison
from torchgeo_concepts.models import (
    ConceptBasis,
    ConceptEarth,
    ConceptGeoCLIP,
    GeoCLIPLocation,
    concept_earth,
)

COARSE: dict[str, Any] = {'spacing_km': 150, 'block_km': 500}

# Meant to cross the antimeridian, and says the opposite.
FIJI = shapely.Polygon([(177, -19), (-179, -19), (-179, -16), (177, -16)])


@pytest.fixture(scope='module')
def encoder() -> ConceptEarth:
    return concept_earth('NO_PEOPLE')


@pytest.fixture(scope='module')
def comparison(encoder: ConceptEarth) -> GroupComparison:
    return compare_groups(encoder, 'China', 'Japan', **COARSE)


class TestEffect:
    def test_is_that_of_mann_and_whitney_with_ties(self) -> None:
        rng = np.random.default_rng(0)
        a = rng.integers(0, 5, (40, 3)).astype(float)
        b = rng.integers(1, 7, (55, 3)).astype(float)
        blocks = rng.integers(0, 6, 40), rng.integers(0, 7, 55)
        effect, drawn = cliffs_delta(a, b, *blocks, rng, 50)
        expected = 2 * mannwhitneyu(a, b).statistic / (40 * 55) - 1
        assert effect == pytest.approx(expected, abs=1e-12)
        assert drawn.shape == (50, 3)

    def test_draws_are_those_of_repeated_rows(self) -> None:
        rng = np.random.default_rng(0)
        a, b = rng.normal(size=(30, 2)), rng.normal(size=(20, 2))
        blocks_a, blocks_b = np.arange(30) % 4, np.arange(20) % 3
        _, drawn = cliffs_delta(a, b, blocks_a, blocks_b, np.random.default_rng(7), 5)
        again = np.random.default_rng(7)
        count_a = again.multinomial(4, np.full(4, 0.25), size=5)
        count_b = again.multinomial(3, np.full(3, 1 / 3), size=5)
        for draw in range(5):
            rows = [
                np.repeat(part, count[draw][blocks], axis=0)
                for part, count, blocks in (
                    (a, count_a, blocks_a),
                    (b, count_b, blocks_b),
                )
            ]
            signs = np.sign(rows[0][:, None] - rows[1][None])
            assert drawn[draw] == pytest.approx(signs.mean(axis=(0, 1)), abs=1e-12)

    def test_all_above_and_all_below(self, bank: ConceptBank) -> None:
        points = torch.rand(60, 2, generator=torch.Generator().manual_seed(0)) * 60
        scores = torch.zeros(60, 5)
        scores[:30, 0] = 1
        scores[30:, 1] = 1
        mask = torch.arange(60) < 30
        found = compare_groups(scores, mask, points=points, bank=bank, **COARSE)
        assert found.effect.tolist() == [1, -1, 0, 0, 0]
        assert found.interval[:, 0].tolist() == [1, 1]
        assert found.num_points == (30, 30)
        assert found.names == ('group A', 'all others')


class TestRegions:
    def test_china_and_japan(self, comparison: GroupComparison) -> None:
        frame = comparison.to_frame()
        assert len(frame) == len(comparison.bank)
        assert frame['effect'].abs().is_monotonic_decreasing
        best = frame.set_index('concept')['effect']
        assert best['island'] < -0.9
        assert best['distance to coast'] > 0.9
        assert (frame['lower'] <= frame['upper']).all()
        assert comparison.names == ('China', 'Japan')
        text = str(comparison)
        assert 'A, China: ' in text
        assert 'blocks of 500 km' in text

    def test_few_blocks(self, comparison: GroupComparison) -> None:
        assert comparison.num_blocks[1] < 10 <= comparison.num_blocks[0]
        assert 'they may be too narrow' in str(comparison)

    def test_figure(self, comparison: GroupComparison) -> None:
        figure = comparison.plot(3)
        [axes] = figure.axes
        assert len(axes.get_yticklabels()) == 6
        assert 'higher in Japan' in axes.get_xlabel()
        assert '95% intervals' in axes.get_title()
        plt.close(figure)

    def test_swapped_groups_have_the_opposite_effect(
        self, encoder: ConceptEarth, comparison: GroupComparison
    ) -> None:
        swapped = compare_groups(encoder, 'Japan', 'China', **COARSE)
        assert swapped.effect == pytest.approx(-comparison.effect, abs=1e-9)

    @pytest.mark.parametrize(
        'region',
        [
            shapely.box(170, -50, 190, -30),
            'POLYGON ((-190 -50, -170 -50, -170 -30, -190 -30, -190 -50))',
        ],
    )
    def test_antimeridian(self, encoder: ConceptEarth, region: Any) -> None:
        found = compare_groups(encoder, region, 'Japan', **COARSE)
        # New Zealand.
        assert found.num_points[0] > 5
        effect = dict(zip(found.bank.names, found.effect, strict=True))
        assert effect['northern hemisphere'] == -1

    def test_pole_against_the_rest(self, encoder: ConceptEarth) -> None:
        found = compare_groups(encoder, shapely.box(-180, -90, 180, -70), **COARSE)
        assert found.names == ('a Polygon', 'all others')
        effect = dict(zip(found.bank.names, found.effect, strict=True))
        assert effect['ice cap climate'] > 0.9

    def test_projections_and_encoders_without_scores(
        self, encoder: ConceptEarth, small_encoder: GeoCLIPLocation, bank: ConceptBank
    ) -> None:
        projected = compare_groups(
            encoder, 'Japan', 'France', kind='projections', **COARSE
        )
        assert projected.kind == 'projections'
        geoclip = ConceptGeoCLIP(small_encoder, ConceptBasis.random(bank, 6))
        assert (
            compare_groups(geoclip, 'Japan', 'France', **COARSE).kind == 'projections'
        )

    def test_most_points(
        self, encoder: ConceptEarth, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr('torchgeo_concepts.explain.groups.MOST_POINTS', 7)
        found = compare_groups(encoder, 'China', 'Japan', **COARSE)
        assert found.num_points == (7, 7)

    def test_points(self, encoder: ConceptEarth) -> None:
        a, b = torch.tensor([[10.0, 50], [80, 50]]), torch.tensor([[10.0, 0], [80, 20]])
        found = compare_groups(encoder, a, b, names=('north', 'south'), **COARSE)
        effect = dict(zip(found.bank.names, found.effect, strict=True))
        assert effect['distance from the equator'] == 1
        assert 'A, north: 2 points in 2 blocks' in str(found)


def test_one_block_has_no_interval(encoder: ConceptEarth) -> None:
    a = torch.tensor([[10.0, 50], [10.1, 50.1], [10.2, 50]])
    found = compare_groups(encoder, a, 'Japan', **COARSE)
    assert np.isnan(found.interval).all()
    assert np.isfinite(found.effect).all()
    assert 'There is no interval: group A lies in one block of 500 km' in str(found)
    figure = found.plot()
    assert 'no intervals' in figure.axes[0].get_title()
    plt.close(figure)


class TestErrors:
    @pytest.mark.parametrize(
        ('a', 'b', 'message'),
        [
            ('Chnia', 'Japan', "'Chnia' is not a continent.*Did you mean 'China'"),
            (shapely.box(-40, 30, -35, 35), 'Japan', 'a Polygon has none of the'),
            # A ring around the pole, which is a line in longitude and latitude.
            (
                'POLYGON ((0 80, 120 80, 240 80, 0 80))',
                'Japan',
                'has an edge that spans 240 degrees',
            ),
            (shapely.Polygon(), 'Japan', 'The region is empty'),
            (FIJI, 'Japan', 'has an edge that spans 356 degrees'),
            (FIJI.wkt, 'Japan', 'has an edge that spans 356 degrees'),
            ('Monaco', 'Japan', 'Use a smaller spacing_km'),
            ('Asia', 'Japan', r'Asia and Japan overlap: \d+ points are in both'),
            ('Japan', torch.tensor([[138.0, 36.0]]), 'overlap: 1 points'),
            (torch.tensor([[138.0, 36.0]]), 'Japan', 'overlap: 1 points'),
            (torch.ones(2, 2), torch.ones(1, 2), 'overlap: 1 points'),
            (torch.ones(2, 2), None, 'Points have no complement'),
            (torch.ones(2, 2) * 95, 'Japan', 'Row 0 is not a point on Earth'),
            (torch.empty(0, 2), 'Japan', 'group A has none of'),
        ],
    )
    def test_groups(self, encoder: ConceptEarth, a: Any, b: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            compare_groups(encoder, a, b, **COARSE)

    @pytest.mark.parametrize(
        ('options', 'message'),
        [
            ({'kind': 'logits'}, "kind must be one of .* not 'logits'"),
            ({'bank': ConceptBank([])}, 'not with an encoder'),
            ({'block_km': 0}, 'side of a block must be positive'),
        ],
    )
    def test_options(self, encoder: ConceptEarth, options: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            compare_groups(encoder, 'China', 'Japan', **{**COARSE, **options})

    def test_encoders(self, small_encoder: GeoCLIPLocation, bank: ConceptBank) -> None:
        with pytest.raises(ValueError, match='Linear has no projection'):
            compare_groups(nn.Linear(2, 2), 'China', 'Japan')
        geoclip = ConceptGeoCLIP(small_encoder, ConceptBasis.random(bank, 6))
        with pytest.raises(ValueError, match='ConceptGeoCLIP has no concept scores'):
            compare_groups(geoclip, 'China', 'Japan', kind='scores')

    def test_scores(self, bank: ConceptBank) -> None:
        scores, points = torch.zeros(4, 5), torch.tensor([[138.0, 36]] * 4)
        mask = torch.tensor([True, True, False, False])
        bad: list[tuple[Any, str]] = [
            ({'points': points}, 'Pass the points= and the bank='),
            ({'points': points, 'bank': bank[:2]}, 'expected shape'),
            ({'points': points[:2], 'bank': bank}, 'got 4 scores, 2 points'),
        ]
        for options, message in bad:
            with pytest.raises(ValueError, match=message):
                compare_groups(scores, mask, **options)
        known: dict[str, Any] = {'points': points, 'bank': bank}
        groups: list[tuple[Any, Any, str]] = [
            ('France', None, 'France has none of the 4 points'),
            ('Japan', None, 'all others has none of the 4 points'),
            (mask, mask, 'group A and group B overlap: 2 points'),
            (torch.tensor([0, 1]), None, r'boolean mask of shape \(4,\)'),
        ]
        for a, b, message in groups:
            with pytest.raises(ValueError, match=message):
                compare_groups(scores, a, b, **known)
