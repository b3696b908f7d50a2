# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import shapely
import torch
from matplotlib import pyplot as plt
from numpy.typing import NDArray
from torch import Tensor

from torchgeo_concepts.layers import get_layer
from torchgeo_concepts.layers.regions import sample_area
from torchgeo_concepts.maps import MapScore, score_map
from torchgeo_concepts.maps.encoder_maps import map_encoder
from torchgeo_concepts.models import ConceptEarth, GeoCLIPLocation, concept_earth

EUROPE = (-10, 36, 30, 60)
QUICK: dict[str, Any] = {'number': 1500, 'num_samples': 50, 'moran': False}


@pytest.fixture(scope='module')
def grounded() -> ConceptEarth:
    return concept_earth('GROUNDED')


@pytest.fixture(scope='module')
def points() -> Tensor:
    return sample_area(number=500)


@pytest.fixture(scope='module')
def truth(points: Tensor) -> NDArray[np.float64]:
    return (1.1 + np.sin(np.deg2rad(points[:, 1].numpy()))) ** 2


class TestScores:
    def test_a_perfect_map(self, points: Tensor, truth: NDArray[np.float64]) -> None:
        score = score_map(3 * truth + 1, truth, points=points, num_samples=50)
        for estimate in score.by_point.values():
            assert estimate.value == pytest.approx(1)
            assert estimate.low == pytest.approx(1)
        assert set(score.by_point) == {'pearson', 'spearman'}
        assert score.moran['map'] == pytest.approx(score.moran['truth'])
        assert score.moran['map'] > 0.9

    def test_a_map_upside_down(
        self, points: Tensor, truth: NDArray[np.float64]
    ) -> None:
        score = score_map(
            -(truth**3), truth, points=points, num_samples=20, moran=False
        )
        assert score.by_point['spearman'].value == pytest.approx(-1)
        assert -1 < score.by_point['pearson'].value < -0.8
        assert not score.moran

    def test_noise_agrees_with_nothing(self, points: Tensor) -> None:
        rng = np.random.default_rng(0)
        score = score_map(*rng.normal(size=(2, 500)), points=points, num_samples=200)
        pearson = score.by_point['pearson']
        assert pearson.low < 0 < pearson.high
        assert abs(score.moran['error']) < 0.1

    def test_weights_count(self, points: Tensor, truth: NDArray[np.float64]) -> None:
        noise = np.where(np.arange(500) < 250, truth, -truth)
        score = score_map(
            noise, truth, points=points, weights=np.arange(500) < 250, num_samples=5
        )
        assert len(score.values) == 250
        assert score.by_point['pearson'].value == pytest.approx(1)

    def test_classes_have_an_auc(
        self, points: Tensor, truth: NDArray[np.float64]
    ) -> None:
        holds = (truth > 1).astype(float)
        score = score_map(truth, holds, points=points, num_samples=20, moran=False)
        assert score.is_class
        assert score.by_point['auc'].value == 1
        assert score.by_point['pearson'].value < 1

    def test_unknown_points_are_left_out(
        self, points: Tensor, truth: NDArray[np.float64]
    ) -> None:
        map_, true = truth.copy(), truth.copy()
        map_[:10], true[5:20] = np.nan, np.nan
        score = score_map(map_, true, points=points, num_samples=5, moran=False)
        assert len(score.values) == 480

    def test_one_block_has_no_interval(self) -> None:
        points = torch.tensor([[0.5, 1], [1, 1], [2, 1], [3, 2]])
        score = score_map([1, 2, 3, 5], [1, 2, 4, 4], points=points, moran=False)
        assert np.isnan(score.by_point['pearson'].low)
        assert 'no interval' in str(score)

    def test_equal_areas_count_alike(self) -> None:
        # Of the Earth, a half lies within 30 degrees of the equator.
        lat = sample_area(number=4000)[:, 1]
        assert (lat.abs() < 30).double().mean() == pytest.approx(0.5, abs=1e-3)


class TestMaps:
    def test_a_concept_against_what_grounds_it(self, grounded: ConceptEarth) -> None:
        score = score_map(
            grounded,
            concept='Forest',
            area=EUROPE,
            regions=get_layer('country'),
            **QUICK,
        )
        assert score.by_point['auc'].value > 0.9
        assert score.by_region['pearson'].value > 0.9
        assert score.units == ('', '')
        assert {'DE', 'FR'} <= set(score.regions['region'])
        assert 'sea' not in set(score.regions['region'])
        frame = score.to_frame()
        assert frame['by'].tolist() == ['point'] * 3 + ['region'] * 2
        assert (frame['low'] <= frame['value']).all()
        assert str(score).startswith('forest against `igbp` is evergreen needle')

    def test_another_source(self, grounded: ConceptEarth) -> None:
        score = score_map(
            grounded, 'elevation-mapzen', concept='elevation', area=EUROPE, **QUICK
        )
        assert score.by_point['pearson'].value > 0.9
        assert score.units == ('m', 'm')

    def test_logarithms_of_both(self, grounded: ConceptEarth) -> None:
        settings = {'concept': 'population density', 'area': EUROPE} | QUICK
        score = score_map(grounded, land_only=True, **settings)
        assert score.is_log
        assert score.values['truth'].max() < 6
        assert score.values['predicted'].max() < 6
        assert score.by_point['pearson'].value > 0.8

    def test_a_file_is_the_encoder(
        self, grounded: ConceptEarth, tmp_path: Path
    ) -> None:
        file = tmp_path / 'map.tif'
        names = ['forest', 'annual mean temperature']
        map_encoder(
            file, concept=names, bounds=EUROPE, width=160, png=False, progress=False
        )
        score = score_map(
            file, 'temperature-mean', band=2, area=EUROPE, land_only=True, **QUICK
        )
        assert score.name == 'annual mean temperature'
        assert score.units == ('°C', '°C')
        assert score.by_point['pearson'].value > 0.98
        score = score_map(file, 'igbp', rule='is 1, 2, 3, 4, 5', area=EUROPE, **QUICK)
        assert score.by_point['auc'].value > 0.9
        same = score_map(get_layer('temperature-mean'), file, area=EUROPE, **QUICK)
        assert same.truth == 'forest'

    def test_a_function(self) -> None:
        score = score_map(
            lambda points: points[:, 1].abs(), 'absolute-latitude', **QUICK
        )
        assert score.by_point['pearson'].value == pytest.approx(1)

    def test_scores_rank_like_probabilities(self, grounded: ConceptEarth) -> None:
        score = score_map(
            grounded, concept='desert', calibrated=False, land_only=True, **QUICK
        )
        assert score.units[0] is None
        assert score.by_point['auc'].value > 0.9


class TestFigure:
    @pytest.mark.parametrize('by', ['region', 'block'])
    def test_says_what_it_shows(self, grounded: ConceptEarth, by: str) -> None:
        regions = {
            name: shapely.box(west, 40, west + 5, 55)
            for name, west in (('a', 0), ('b', 5), ('c', 10))
        }
        score = score_map(
            grounded,
            concept='elevation',
            area=EUROPE,
            regions=regions if by == 'region' else None,
            **QUICK,
        )
        figure = score.plot()
        labels = [axes.get_xlabel() for axes in figure.axes]
        assert 'longitude [°]' in labels
        assert 'value [m]' in labels
        assert any(f'of a {by}' in label for label in labels)
        plt.close(figure)

    def test_goes_on_beyond_the_antimeridian(self) -> None:
        points = sample_area((170, -50, -170, -10), 200)
        truth = points[:, 1].numpy()
        score = score_map(truth**2, truth, points=points, num_samples=5, moran=False)
        figure = score.plot()
        assert figure.axes[0].get_xlim() == pytest.approx((169, 191), abs=1)
        plt.close(figure)


class TestErrors:
    @pytest.mark.parametrize(
        ('change', 'message'),
        [
            ({'predicted': np.ones(500)}, 'The map is 1 at all 500 points'),
            ({'truth': np.zeros(500)}, 'The truth is 0 at all 500 points'),
            ({'truth': np.full(500, np.nan)}, 'at only 0 of 500 points'),
            ({'truth': np.zeros(3)}, 'Expected 500 values, one for each point, got an'),
            ({'predicted': np.full(500, np.inf)}, 'Row 0 of the prediction, counted'),
            ({'truth': None}, 'Pass truth='),
            ({'rule': 'is 1'}, 'rule= needs a layer or a file'),
            ({'truth': 'igbp'}, "Layer 'igbp' has classes; choose classes with rule="),
            ({'truth': 'elevatoin'}, "Did you mean 'elevation'"),
            ({'truth': 'no.tif'}, 'no.tif cannot be read as a raster'),
            ({'predicted': 'no.tif'}, 'no.tif cannot be read as a raster'),
            ({'predicted': get_layer('igbp')}, 'has classes and cannot be scored'),
            ({'concept': 'forest'}, 'concept= needs an encoder'),
            ({'weights': np.ones(3)}, 'Expected 500 weights'),
            ({'weights': -np.ones(500)}, 'Row 0, counted from 0, has the weight -1.0'),
            ({'area': EUROPE}, 'Pass either points=, or area='),
            (
                {'block_degrees': 0},
                'block_degrees must be above 0 and at most 180, got 0',
            ),
            ({'confidence': 1}, 'confidence must be between 0 and 1, got 1'),
            ({'min_points': 0}, 'min_points must be at least 1, got 0'),
            ({'num_samples': -1}, 'num_samples must be 0 or more, got -1'),
            (
                {'regions': {'a': shapely.box(0, 0, 1, 1)}},
                'Only 0 of 1 regions have at least 5',
            ),
            ({'regions': {}}, 'There are no regions'),
        ],
    )
    def test_say_what_is_wrong(
        self,
        change: dict[str, Any],
        message: str,
        points: Tensor,
        truth: NDArray[np.float64],
    ) -> None:
        given: dict[str, Any] = {'predicted': truth, 'truth': truth, 'points': points}
        given |= change
        with pytest.raises(ValueError, match=message):
            score_map(**given)

    def test_encoders(
        self, grounded: ConceptEarth, small_encoder: GeoCLIPLocation
    ) -> None:
        with pytest.raises(ValueError, match='choose one with concept='):
            score_map(grounded, number=10)
        with pytest.raises(ValueError, match="No concept 'forrest'. Did you mean"):
            score_map(grounded, concept='forrest', number=10)
        with pytest.raises(ValueError, match='has no concept scores'):
            score_map(small_encoder, concept='forest', number=10)
        with pytest.raises(ValueError, match='weights= needs points='):
            score_map(grounded, concept='forest', weights=[1])

    def test_regions_where_the_truth_is_the_same(self) -> None:
        rng = np.random.default_rng(0)
        points = torch.from_numpy(rng.uniform(0, 30, (300, 2)))
        regions = {str(w): shapely.box(w, 0, w + 10, 30) for w in (0, 10, 20)}
        third = (points[:, 0].numpy() // 10).astype(int)
        truth = rng.normal(size=300)
        truth -= np.array([truth[third == i].mean() for i in range(3)])[third]
        same = np.tile([0.0, 1.0], 150)
        with pytest.raises(ValueError, match='The mean of the truth is .* 3 regions'):
            score_map(
                truth,
                _balanced(third, same),
                points=points,
                regions=regions,
                moran=False,
                num_samples=5,
            )

    def test_regions_left_out_are_named(
        self, points: Tensor, truth: NDArray[np.float64]
    ) -> None:
        regions = {f'{s}': shapely.box(-180, s, 180, s + 30) for s in (-60, -30, 0, 30)}
        regions['none'] = shapely.box(0, 0, 1e-6, 1e-6)
        score = score_map(
            truth, truth**2, points=points, regions=regions, num_samples=5, moran=False
        )
        assert score.left_out == ('none',)
        assert 'left out for too few points: none' in str(score)

    def test_without_the_extra(
        self,
        points: Tensor,
        truth: NDArray[np.float64],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setitem(sys.modules, 'esda.moran', None)
        with pytest.raises(ImportError, match=r'torchgeo-concepts\[explain\]'):
            score_map(truth, truth**2, points=points, num_samples=5)


def _balanced(group: NDArray[Any], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give 0 and 1 alternately within each group, the last of an odd one unknown."""
    result = np.full(len(group), np.nan)
    for each in np.unique(group):
        rows = np.flatnonzero(group == each)
        rows = rows[: len(rows) // 2 * 2]
        result[rows] = values[: len(rows)]
    return result


def test_values_are_a_table(points: Tensor, truth: NDArray[np.float64]) -> None:
    score = score_map(truth, truth**2, points=points, num_samples=5, moran=False)
    assert isinstance(score, MapScore)
    assert isinstance(score.values, pd.DataFrame)
    np.testing.assert_allclose(score.values['lat'], points[:, 1])
    # Blocks of 8 degrees, as those that are held out of training.
    block = score.values.groupby('block')[['lon', 'lat']]
    assert (block.max() - block.min()).max().max() <= 8
