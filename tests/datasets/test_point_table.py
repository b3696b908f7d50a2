# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import math
import pickle
from pathlib import Path
from typing import Any, get_args
from unittest.mock import patch

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from matplotlib import pyplot as plt
from torch import Tensor

from torchgeo_concepts.datasets import PointTable
from torchgeo_concepts.datasets.target_transforms import (
    TargetTransform,
    TargetTransformName,
)

STATIONS = pd.DataFrame(
    {
        'Longitude': [7.82, -179.5, 179.5, 30.5],
        'Latitude': [36.83, -16.5, -17.25, 25.0],
        'temperature': [18.0, 25.5, np.nan, 24.0],
        'rain': [694.0, 3000.0, np.nan, 0.0],
        'height': [3, 20, 5, 194],
        'climate': ['Csa', 'Af', None, 'BWh'],
        'station': [4, 2, 11, 2],
        'part': ['train', 'train', 'val', 'test'],
    }
)


def table(tmp_path: Path, frame: pd.DataFrame = STATIONS, end: str = '.csv') -> Path:
    path = tmp_path / f'stations{end}'
    if end == '.csv':
        frame.to_csv(path, index=False)
    elif end == '.parquet':
        frame.to_parquet(path)
    else:
        points = gpd.points_from_xy(frame['Longitude'], frame['Latitude'], crs=4326)
        columns = frame.drop(columns=['Longitude', 'Latitude'])
        points_frame = gpd.GeoDataFrame(columns, geometry=points)
        if end == '.geoparquet':
            points_frame.to_parquet(path)
        else:
            points_frame.to_crs(3857).to_file(path)
    return path


@pytest.fixture(autouse=True)
def no_figures_stay() -> Any:
    yield
    plt.close('all')


class TestReading:
    @pytest.mark.parametrize('end', ['.csv', '.parquet', '.geoparquet', '.gpkg'])
    def test_formats(self, tmp_path: Path, end: str) -> None:
        dataset = PointTable(table(tmp_path, end=end), ['temperature', 'height'])
        assert len(dataset) == 4
        assert dataset[-1]['point'].tolist() == pytest.approx([30.5, 25])
        assert dataset.points.dtype == dataset.labels.dtype == torch.float32
        assert dataset[0]['label'].tolist() == [18, 3]
        assert dataset.labels.isnan().nonzero().tolist() == [[2, 0]]
        assert dataset[0].keys() == {'point', 'row', 'label'}
        assert dataset.task == 'regression'

    def test_geopandas_points(self) -> None:
        points = gpd.points_from_xy([0, 1e6], [0, 1e6], crs=3857)
        frame = gpd.GeoDataFrame({'y': [1.0, 2.0]}, geometry=points)
        lon, lat = PointTable(frame, 'y').points[1].tolist()
        assert (lon, lat) == pytest.approx((8.983, 8.946), abs=1e-3)

    def test_named_coordinates_and_crs(self) -> None:
        frame = pd.DataFrame({'e': [1e6], 'n': [1e6], 'y': [3.0]})
        dataset = PointTable(frame, 'y', lon='e', lat='n', crs='EPSG:3857')
        assert dataset[0]['point'].tolist() == pytest.approx([8.983, 8.946], abs=1e-3)

    def test_points_without_targets(self) -> None:
        dataset = PointTable(STATIONS, extra=['height'])
        assert dataset.task is None
        assert dataset[1].keys() == {'point', 'row', 'extra'}
        assert dataset.select([0, 2]).points.shape == (2, 2)

    def test_missing_everywhere(self) -> None:
        for value in (np.nan, None):
            frame = STATIONS.assign(rain=pd.Series([value] * 4, dtype=object))
            with pytest.raises(ValueError, match="'rain' is missing in all 4 rows"):
                PointTable(frame, 'rain', task='classification')
            with pytest.raises(ValueError, match="'rain' is missing in all 4 rows"):
                PointTable(frame, 'rain')

    def test_no_data_values(self) -> None:
        dataset = PointTable(STATIONS, ['rain', 'height'], missing=[0, 20, 'none'])
        assert dataset.labels.isnan().tolist() == [
            [False, False],
            [False, True],
            [True, False],
            [True, False],
        ]
        texts = STATIONS.assign(rain=['1', 'none', '2.5', '-3'])
        dataset = PointTable(texts, 'rain', task='regression', missing=['none'])
        assert dataset.labels[:, 0].nan_to_num(9).tolist() == [1, 9, 2.5, -3]

    def test_one_row(self) -> None:
        dataset = PointTable(STATIONS[:1], 'rain', target_transform='standardise')
        assert len(dataset) == 1
        assert dataset[0]['label'].tolist() == [0]
        assert dataset.inverse_transform(dataset.labels).tolist() == [[694]]
        dataset.plot(dataset[0])

    def test_index(self) -> None:
        dataset = PointTable(STATIONS, 'rain')
        for index in (4, -5):
            with pytest.raises(IndexError, match='there are 4'):
                dataset[index]

    def test_samples_are_copies(self) -> None:
        dataset = PointTable(STATIONS, 'rain', extra=['height'])
        for value in dataset[0].values():
            value.zero_()
        assert dataset[0]['label'].item() == 694
        assert dataset[0]['point'].all()

    def test_categories_of_numbers(self) -> None:
        frame = STATIONS.astype({'station': 'category'})
        dataset = PointTable(frame, 'station', task='regression')
        assert dataset.labels[:, 0].tolist() == [4, 2, 11, 2]

    def test_pickles(self) -> None:
        dataset = pickle.loads(pickle.dumps(PointTable(STATIONS, 'climate')))
        assert dataset[0]['label'].item() == 2


class TestErrors:
    def test_columns(self, tmp_path: Path) -> None:
        with pytest.raises(
            ValueError, match=r"no column 'temprature'\. Did you mean 'temperature'"
        ):
            PointTable(table(tmp_path), 'temprature')
        with pytest.raises(ValueError, match="no column 'hight'"):
            PointTable(STATIONS, 'rain', extra=['hight'])
        with pytest.raises(ValueError, match='named twice'):
            PointTable(STATIONS, ['rain', 'rain'])
        with pytest.raises(
            ValueError, match="units has an unknown target 'rainn'.* mean 'rain'"
        ):
            PointTable(STATIONS, 'rain', units={'rainn': 'mm'})

    def test_word_among_numbers(self, tmp_path: Path) -> None:
        frame = STATIONS.assign(rain=['694', '3000', 'n/a', '0'])
        for path in (table(tmp_path, frame), frame):
            with pytest.raises(
                ValueError, match="row 2, counted from 0, has 'n/a' in 'rain'"
            ):
                PointTable(path, 'rain')
            with pytest.raises(
                ValueError, match="row 2, .* 'n/a' in 'rain', .* not a num"
            ):
                PointTable(path, 'rain', task='regression')
            dataset = PointTable(path, 'rain', task='regression', missing=['n/a'])
            assert dataset.labels.isnan().sum() == 1

    @pytest.mark.parametrize(
        'values', [['1.5', 'NA', '2.5', '3.5'], ['1.5', 'NA', 'NA', '3.5']]
    )
    def test_numbers_among_words_that_mean_none(
        self, tmp_path: Path, values: list[str]
    ) -> None:
        frame = STATIONS.assign(rain=values)
        for path in (table(tmp_path, frame), frame):
            dataset = PointTable(path, 'rain', missing=['NA', '-'])
            assert dataset.task == 'regression'
            assert dataset.labels[[0, 3], 0].tolist() == [1.5, 3.5]
            assert dataset.labels.isnan().sum() == values.count('NA')
        with pytest.raises(ValueError, match="row 1, .* has 'NA' in 'rain'"):
            PointTable(frame.iloc[[0, 1, 3]], 'rain', missing=['none'])

    def test_word_in_an_extra_column(self) -> None:
        with pytest.raises(ValueError, match="row 0, .* 'Csa' in 'climate'"):
            PointTable(STATIONS, 'rain', extra=['climate'])

    def test_infinity_and_dates(self) -> None:
        with pytest.raises(
            ValueError, match="row 1, counted from 0, has inf in 'rain'"
        ):
            PointTable(STATIONS.assign(rain=[1, np.inf, 2, 3]), 'rain')
        frame = STATIONS.assign(rain=pd.Timestamp('2020-01-01'))
        with pytest.raises(
            ValueError, match=r"'rain' is of type timestamp.*numbers are"
        ):
            PointTable(frame, 'rain')

    def test_empty(self, tmp_path: Path) -> None:
        path = tmp_path / 'empty.csv'
        path.write_text('')
        with pytest.raises(ValueError, match='is empty'):
            PointTable(path, 'rain')
        path.write_text('lon,lat,rain\n')
        with pytest.raises(ValueError, match='has no rows'):
            PointTable(path, 'rain')
        with pytest.raises(FileNotFoundError):
            PointTable(tmp_path / 'none.csv', 'rain')

    def test_rows_without_a_point(self, tmp_path: Path) -> None:
        frame = STATIONS.assign(Latitude=[36.83, 95.0, np.nan, 25.0])
        path = table(tmp_path, frame)
        with pytest.raises(
            ValueError,
            match=r'row 1, counted from 0, has no point: latitude 95 .* 2 rows',
        ):
            PointTable(path, 'rain')
        with pytest.warns(UserWarning, match='left out 2 of 4 rows'):
            dataset = PointTable(path, 'rain', split_column='part', on_error='skip')
        assert dataset.labels.tolist() == [[694], [0]]
        assert dataset.split_names is not None
        assert dataset.split_names.tolist() == ['train', 'test']

    def test_no_row_has_a_point(self) -> None:
        with pytest.raises(ValueError, match='row 0, counted from 0, has no point'):
            PointTable(STATIONS.assign(Latitude=91.0), 'rain', on_error='skip')

    def test_swapped_columns(self, tmp_path: Path) -> None:
        names = {'Longitude': 'Latitude', 'Latitude': 'Longitude'}
        path = table(tmp_path, STATIONS.rename(columns=names))
        with pytest.raises(ValueError, match='Are lon and lat swapped'):
            PointTable(path, 'rain')

    def test_options(self) -> None:
        for options, message in (
            ({'task': 'ranking'}, "'regression', 'classification'.*'ranking'"),
            ({'on_error': 'ignore'}, "'raise', 'skip'.*'ignore'"),
            ({'target_transform': 'log'}, "'log1p', 'standardise'.*'log'"),
            (
                {'target_transform': {'rainn': 'log1p'}},
                "unknown target 'rainn'.*'rain'",
            ),
        ):
            with pytest.raises(ValueError, match=message):
                PointTable(STATIONS, 'rain', **options)


class TestClasses:
    def test_inferred(self) -> None:
        dataset = PointTable(STATIONS, 'climate')
        assert dataset.task == 'classification'
        assert dataset.classes == ('Af', 'BWh', 'Csa')
        assert dataset.labels.tolist() == [2, 0, -1, 1]
        assert dataset[0]['label'].shape == ()
        assert dataset[0]['label'].dtype == torch.int64
        assert 'classification, by the type of the column' in str(dataset)
        assert dataset.inverse_transform(dataset.labels).equal(dataset.labels)

    def test_whole_numbers(self) -> None:
        assert PointTable(STATIONS, 'station').task == 'regression'
        dataset = PointTable(STATIONS, 'station', task='classification')
        assert dataset.classes == ('2', '4', '11')
        assert dataset.labels.tolist() == [1, 0, 2, 0]
        assert 'by the type' not in str(dataset)
        floats = STATIONS.assign(station=[4, 2, np.nan, 11])
        dataset = PointTable(floats, 'station', task='classification')
        assert dataset.labels.tolist() == [1, 0, -1, 2]

    @pytest.mark.parametrize('missing', [2, 2.0, '2'])
    def test_number_that_means_none(self, missing: Any) -> None:
        for frame in (STATIONS, STATIONS.astype({'station': float})):
            dataset = PointTable(
                frame, 'station', task='classification', missing=[missing]
            )
            assert dataset.labels.tolist() == [0, -1, 1, -1]

    def test_truth_values(self, tmp_path: Path) -> None:
        frame = STATIONS.assign(wet=[True, True, False, False])
        for path in (frame, table(tmp_path, frame)):
            assert PointTable(path, 'wet').classes == ('false', 'true')
        dataset = PointTable(frame.astype({'climate': 'category'}), 'climate')
        assert dataset.labels.tolist() == [2, 0, -1, 1]

    def test_codes_are_classes(self, tmp_path: Path) -> None:
        path = table(tmp_path, STATIONS.assign(code=['01', '02', '10', '02']))
        assert PointTable(path, 'code').classes == ('01', '02', '10')
        dataset = PointTable(path, 'code', missing=['NA', 10])
        assert dataset.classes == ('01', '02')
        words = STATIONS.assign(code=['NA', 'b', 'a', 'b'])
        assert PointTable(words, 'code', missing=['NA']).classes == ('a', 'b')

    def test_given_classes(self) -> None:
        classes = ['Csa', 'ET', 'Af', 'BWh']
        dataset = PointTable(STATIONS, 'climate', classes=classes)
        assert dataset.labels.tolist() == [0, 2, -1, 3]
        with pytest.raises(
            ValueError, match="row 1, counted from 0, has 'Af' in 'climate', .*'Afr'"
        ):
            PointTable(STATIONS, 'climate', classes=['Csa', 'Afr', 'BWh'])

    def test_some_rows_keep_all_classes(self) -> None:
        dataset = PointTable(STATIONS, 'climate').select([0, 2])
        assert dataset.labels.tolist() == [2, -1]
        assert len(dataset.classes) == 3

    def test_no_class(self) -> None:
        frame = STATIONS.assign(rain=[0.5, 1, 2, 3])
        with pytest.raises(ValueError, match="row 0, .* 0.5 in 'rain', .* not a class"):
            PointTable(frame, 'rain', task='classification')
        with pytest.raises(ValueError, match=r'one target.*climate.*rain'):
            PointTable(STATIONS, ['climate', 'rain'])
        with pytest.raises(ValueError, match='have no target_transform'):
            PointTable(STATIONS, 'climate', target_transform='log1p')


class TestTransforms:
    def test_of_each_target(self) -> None:
        dataset = PointTable(
            STATIONS,
            ['temperature', 'rain', 'height'],
            target_transform={'temperature': 'standardise', 'rain': 'log1p'},
        )
        temperature, rain, height = dataset.labels.T
        assert temperature.nanmean() == pytest.approx(0, abs=1e-6)
        assert temperature[[0, 1, 3]].std(correction=0) == pytest.approx(1)
        assert rain[1].item() == pytest.approx(math.log(3001))
        assert height.tolist() == [3, 20, 5, 194]

    def test_statistics_of_some_rows(self) -> None:
        dataset = PointTable(STATIONS, 'height', target_transform='standardise')
        fitted = dataset.fit([0, 2])
        # 3 and 5 have a mean of 4 and a deviation of 1.
        assert fitted.labels[:, 0].tolist() == pytest.approx([-1, 16, 1, 190])
        assert fitted.select([1]).labels.tolist() == [[16]]
        assert fitted.select([1]).inverse_transform(torch.tensor([16.0])).item() == 20
        mask = torch.tensor([True, False, True, False])
        assert dataset.fit(mask).labels.equal(fitted.labels)
        # The dataset itself is as it was.
        assert dataset.labels.mean() == pytest.approx(0, abs=1e-6)

    def test_unknown_in_the_rows_that_fit(self) -> None:
        dataset = PointTable(STATIONS, 'rain', target_transform='standardise')
        with pytest.raises(ValueError, match="'rain' is missing in all 1 rows"):
            dataset.fit([2])

    def test_constant_target(self) -> None:
        frame = STATIONS.assign(rain=0.1)
        dataset = PointTable(frame, 'rain', target_transform='standardise')
        assert dataset.labels.abs().max() < 1e-6
        back = dataset.inverse_transform(dataset.labels)
        assert back.flatten().tolist() == pytest.approx([0.1] * 4)
        dataset.plot()

    def test_no_logarithm(self) -> None:
        frame = STATIONS.assign(rain=[1, 2, -1, 3])
        with pytest.raises(ValueError, match="row 2, counted from 0, has -1 in 'rain'"):
            PointTable(frame, 'rain', target_transform='log1p')
        PointTable(frame, 'rain', target_transform='log1p', missing=[-1])

    @given(
        values=st.lists(st.floats(-0.99, 1e9), min_size=1, max_size=20),
        kinds=st.tuples(
            st.sampled_from((None, *get_args(TargetTransformName))),
            st.sampled_from((None, *get_args(TargetTransformName))),
        ),
    )
    @example(values=[0.0, 1e-311], kinds=('standardise', None))
    def test_inverse(
        self, values: list[float], kinds: tuple[TargetTransformName | None, ...]
    ) -> None:
        targets = torch.tensor([[v, 2 * v + 1] for v in values], dtype=torch.float64)
        named = dict(zip('ab', kinds, strict=True))
        transform = TargetTransform.from_option('ab', named).fit(targets)
        back = transform.inverse(transform(targets))
        torch.testing.assert_close(back, targets, rtol=1e-6, atol=1e-5)

    def test_nothing_leaks_from_other_rows(self) -> None:
        dataset = PointTable(STATIONS, 'height', target_transform='log1p-standardise')
        other = PointTable(
            STATIONS.assign(height=[3, 999, 5, 7]),
            'height',
            target_transform='log1p-standardise',
        )
        assert (
            dataset.fit([0, 2]).target_transform == other.fit([0, 2]).target_transform
        )
        assert dataset.target_transform != other.target_transform


class TestPlot:
    @staticmethod
    def colours(figure: Any) -> Tensor:
        return torch.tensor(np.asarray(figure.axes[0].collections[-1].get_array()))

    def test_target_and_unit(self) -> None:
        dataset = PointTable(
            STATIONS, ['temperature', 'rain'], units={'temperature': '°C'}
        )
        figure = dataset.plot(dataset[0], suptitle='stations')
        assert figure.axes[1].get_ylabel() == 'temperature [°C]'
        assert 'temperature 18 °C, rain 694' in figure.axes[0].get_title()
        assert figure.get_suptitle() == 'stations'
        assert self.colours(figure).tolist() == [18, 25.5, 24]
        assert dataset.plot(target='rain').axes[1].get_ylabel() == 'rain'
        with pytest.raises(ValueError, match="No target 'rains'. Did you mean 'rain'"):
            dataset.plot(target='rains')

    def test_logarithm_and_standardisation_show_values(self) -> None:
        dataset = PointTable(STATIONS, 'rain', target_transform='log1p-standardise')
        figure = dataset.plot()
        assert figure.axes[1].get_ylabel() == 'log₁₀(1 + rain)'
        assert self.colours(figure)[0].item() == pytest.approx(math.log10(695))
        dataset = PointTable(STATIONS, 'height', target_transform='standardise')
        assert self.colours(dataset.plot(show_titles=False)).tolist() == [3, 20, 5, 194]

    def test_classes(self) -> None:
        dataset = PointTable(STATIONS, 'climate')
        figure = dataset.plot(dataset[2])
        labels = [text.get_text() for text in figure.axes[1].get_yticklabels()]
        assert labels == ['Af', 'BWh', 'Csa']
        assert figure.axes[0].get_title().endswith('unknown')

    def test_points_alone(self) -> None:
        figure = PointTable(STATIONS).plot()
        assert len(figure.axes) == 1

    def test_coast(self) -> None:
        dataset = PointTable(STATIONS, 'rain')
        lines = len(dataset.plot().axes[0].collections)
        with patch('torchgeo_concepts.layers.base.installed_file', return_value=None):
            assert len(dataset.plot().axes[0].collections) == lines - 1
