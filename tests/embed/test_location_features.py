# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

from typing import Any, cast

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from torchgeo_concepts.concepts import Concept, ConceptBank
from torchgeo_concepts.embed.location_features import LocationFeatures
from torchgeo_concepts.models import GeoCLIPLocation
from torchgeo_concepts.models.concept_earth import ConceptEarth
from torchgeo_concepts.models.features import coordinate_features

POINTS = np.random.default_rng(0).uniform((-180, -80), (180, 80), (40, 2))
COORDINATES = ['sin_lon', 'cos_lon', 'sin_lat', 'cos_lat']


class Plain(nn.Module):
    """Encoder of one's own, with two named concepts."""

    def __init__(self) -> None:
        super().__init__()
        self.bank = ConceptBank(Concept(name, name, 'landform') for name in 'ab')

    def forward(self, points: Tensor) -> Tensor:
        return coordinate_features(points)[:, :3]

    def concepts(self, points: Tensor, calibrated: bool = False) -> Tensor:
        return coordinate_features(points)[:, :2]


@pytest.fixture
def encoder(bank: ConceptBank) -> ConceptEarth:
    torch.manual_seed(0)
    return ConceptEarth(
        bank, hidden_dim=8, rows=(6,), grid_features=(4,), num_waves=4, embed_dim=8,
        num_components=4,
    ).eval()  # fmt: skip


def names_of(features: LocationFeatures) -> list[str]:
    return list(features.get_feature_names_out())


class TestNames:
    def test_of_all_features(self, encoder: ConceptEarth, bank: ConceptBank) -> None:
        x, z = [f'x{n}' for n in range(8)], list(bank.names)
        expected: dict[Any, Any] = {
            'x': x,
            'z': z,
            'xz': [*x, *z],
            'coordinates': COORDINATES,
        }
        for features, names in expected.items():
            made = LocationFeatures(encoder, features=features).fit(POINTS)
            assert names_of(made) == names
            assert made.transform(POINTS).shape == (40, len(names))

    def test_of_an_encoder_of_ones_own(self) -> None:
        made = LocationFeatures(Plain(), features='xz').fit(POINTS)
        assert names_of(made) == ['x0', 'x1', 'x2', 'a', 'b']

    def test_label_a_data_frame(self, encoder: ConceptEarth) -> None:
        frame = pd.DataFrame(POINTS, columns=['lon', 'lat']).iloc[5:9]
        made = LocationFeatures(encoder, features='xz').set_output(transform='pandas')
        found = made.fit_transform(frame)
        assert isinstance(found, pd.DataFrame)
        assert list(found.columns) == names_of(made)
        assert found.index.equals(frame.index)


class TestScikitLearn:
    def test_clone(self, encoder: ConceptEarth) -> None:
        made = LocationFeatures(
            'concept_earth', 'FAST', 'xz', batch_size=7, crs='EPSG:3857'
        )
        assert clone(made).get_params() == made.get_params()
        own = LocationFeatures(encoder, features='z').fit(POINTS)
        copied = clone(own)
        with pytest.raises(NotFittedError):
            copied.transform(POINTS)
        np.testing.assert_array_equal(
            copied.fit(POINTS).transform(POINTS), own.transform(POINTS)
        )

    def test_search_chooses_features(self, encoder: ConceptEarth) -> None:
        chain = make_pipeline(LocationFeatures(encoder), StandardScaler(), Ridge())
        grid = {'locationfeatures__features': ['x', 'z', 'xz', 'coordinates']}
        search = GridSearchCV(chain, grid, cv=3, error_score='raise')
        search.fit(POINTS, np.sin(np.deg2rad(POINTS[:, 1])))
        assert search.best_params_ == {'locationfeatures__features': 'coordinates'}
        assert np.isfinite(search.cv_results_['mean_test_score']).all()
        assert len(set(search.cv_results_['mean_test_score'])) == 4


class TestPoints:
    def test_features_are_those_of_the_encoder(self, encoder: ConceptEarth) -> None:
        points = torch.from_numpy(POINTS).float()
        with torch.no_grad():
            expected = torch.cat((encoder(points), encoder.concepts(points)), dim=1)
        made = LocationFeatures(encoder, features='xz', batch_size=7).fit(points)
        assert made.n_features_in_ == 2
        np.testing.assert_allclose(made.transform(points), expected, atol=1e-6)

    def test_in_any_form(self) -> None:
        frame = pd.DataFrame(POINTS, columns=['lon', 'lat']).assign(height=3)
        shapes = gpd.GeoSeries.from_xy(POINTS[:, 0], POINTS[:, 1], crs=4326)
        made = LocationFeatures(Plain())
        expected = made.fit_transform(POINTS)
        for points in (frame, frame[['height', 'lat', 'lon']], POINTS.tolist(), shapes):
            np.testing.assert_allclose(made.fit_transform(points), expected, atol=1e-6)

    @pytest.mark.parametrize('features', ['x', 'xz', 'coordinates'])
    def test_none(self, features: Any) -> None:
        made = LocationFeatures(Plain(), features=features)
        empty = np.empty((0, 2))
        assert made.fit(POINTS).transform(empty).shape == (0, len(names_of(made)))
        assert made.fit(empty).transform(POINTS).shape == (40, len(names_of(made)))

    def test_wrong_columns(self) -> None:
        frame = pd.DataFrame(POINTS, columns=['lon', 'lat'])
        made = LocationFeatures(Plain()).fit(frame)
        for wrong in (frame.rename(columns={'lat': 'height'}), frame[['lon']]):
            with pytest.raises(ValueError, match='No two columns are clearly'):
                made.transform(wrong)
        with pytest.raises(ValueError, match=r'shape \(N, 2\)'):
            made.transform(np.ones((4, 3)))
        with pytest.raises(ValueError, match=r'shape \(N, 2\)'):
            LocationFeatures(Plain()).fit(np.ones((4, 3)))

    def test_missing_points(self) -> None:
        points = POINTS.copy()
        points[3, 0] = np.nan
        for features in ('x', 'coordinates'):
            made = LocationFeatures(Plain(), features=features)
            for call in (made.fit, made.fit(POINTS).transform):
                with pytest.raises(ValueError, match='Row 3 is not a point on Earth'):
                    call(points)


class TestErrors:
    def test_options(self, small_encoder: GeoCLIPLocation) -> None:
        with pytest.raises(ValueError, match="features must be one of .* not 'y'"):
            LocationFeatures(Plain(), features=cast(Any, 'y')).fit(POINTS)
        with pytest.raises(ValueError, match='has no concept scores'):
            LocationFeatures(small_encoder, features='xz').fit(POINTS)
        with pytest.raises(ValueError, match='concept_earth'):
            LocationFeatures('concept_eart').fit(POINTS)
        with pytest.raises(NotFittedError):
            LocationFeatures(Plain()).get_feature_names_out()
