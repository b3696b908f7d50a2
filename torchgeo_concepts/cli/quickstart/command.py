# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Command of the quickstart: score, explain, map and draw."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import Lasso, Ridge
from torch import Tensor, nn
from tqdm import tqdm

from ...concepts.bank import ConceptBank
from ...concepts.concept import Concept
from ...datasets import CityClimate, CityPopulation
from ...embed.points import embed_points
from ...evaluate.linear_heads import (
    LASSO_STEPS,
    choose_lasso,
    fit_regression,
    held_out_predictions,
    mean_r2,
    scale_of,
)
from ...evaluate.probes import LinearFit, ridge_probe
from ...explain.explanation import Explanation
from ...geo.splits import Folds, block_folds
from ...models.concept_earth import ConceptEarth
from ...models.concept_earth_weights import concept_earth
from ...models.features import FeatureKind, coordinate_features
from ...models.loading import load_encoder
from ...utils.files import check_writable
from ...utils.names import near_matches, normalise
from .figure import draw_report, write_maps
from .report import (
    ExplainedCities,
    ExplainedCity,
    QuickstartReport,
    QuickstartScore,
    TargetScores,
)

CITIES = ('Singapore', 'La Paz', 'Moscow')
MOST_CITIES = 4

# With fewer cities, a fold of blocks may be empty.
MIN_SAMPLE = 100

NUM_STEPS = 5

TEMPERATURE_REMARK = (
    'GROUNDED was trained on maps of temperature, from another source. NO_CLIMATE was '
    'trained without any climate map.'
)
POPULATION_REMARK = (
    'NO_PEOPLE was trained without any population map. GROUNDED is left out: it was '
    'trained on these populations. An error of 0.3 is a factor of 2.'
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

    Nothing is downloaded: the package and its extra ``cities`` have weights and data.
    GROUNDED and NO_CLIMATE predict temperature, and concepts of NO_CLIMATE explain it.
    NO_PEOPLE predicts population. GeoCLIP is compared if its weights are on this machine.

    Args:
        output: Folder for the figure, report.png, and for its maps, maps.tif.
        cities: Names of one to four cities whose temperatures are explained.
        concept: Name or id of the concept that is mapped.
        sample: Maximum number of randomly drawn cities whose population is predicted.
        width: Number of columns of the maps.
        seed: Seed of the sample.
        progress: Show a progress bar. By default, on a terminal only.

    Returns:
        Scores and explanations.

    Raises:
        ImportError: If the extra ``cities`` is not installed.
        OSError: If the output cannot be written.
        ValueError: If a city or concept is unknown; the message lists near matches.
    """
    start = time.perf_counter()
    if sample < MIN_SAMPLE:
        raise ValueError(f'sample must be at least {MIN_SAMPLE}, not {sample}.')
    climate, places = CityClimate(), CityPopulation()
    rows = _find_cities(cities, climate.cities)
    encoder, blind = concept_earth('GROUNDED'), concept_earth('NO_CLIMATE')
    mapped = encoder.bank.index(concept)
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    picture, maps = folder / 'report.png', folder / 'maps.tif'
    for path in (picture, maps):
        check_writable(path)
    is_hidden = None if progress is None else not progress
    with tqdm(desc='explanations', total=NUM_STEPS, disable=is_hidden) as bar:
        explained = _explain(climate, blind, rows)
        _next_step(bar, 'temperature')
        temperature, head = _temperature(climate, encoder, blind)
        _next_step(bar, 'population')
        population = _population(places, sample, seed)
        _next_step(bar, 'maps')
        write_maps(maps, encoder, mapped, head, width)
        _next_step(bar, 'picture')
        targets = temperature, population
        report = QuickstartReport(targets, explained, picture, maps, 0.0)
        marks = [(climate.cities[n], *climate.points[n].tolist()) for n in rows]
        draw_report(report, marks)
        bar.update()
    return replace(report, seconds=time.perf_counter() - start)


def _next_step(bar: 'tqdm[Any]', name: str) -> None:
    bar.update()
    bar.set_description(name)


def _find_cities(names: Sequence[str], known: Sequence[str]) -> list[int]:
    """Return the row of each city, without duplicates."""
    if not 1 <= len(names) <= MOST_CITIES:
        raise ValueError(f'Expected one to {MOST_CITIES} cities, got {len(names)}.')
    # The table lists one city twice; its first row counts.
    numbers = {normalise(city): n for n, city in reversed([*enumerate(known)])}
    for name in names:
        if normalise(name) not in numbers:
            raise ValueError(f'No city {name!r}. {near_matches(name, known)}')
    return list(dict.fromkeys(numbers[normalise(name)] for name in names))


# Scores --------------------------------------------------------------------------------


def _embed(encoder: nn.Module, points: Tensor, kind: FeatureKind) -> Tensor:
    return embed_points(encoder, points, features=kind, progress=False)


def _baselines(points: Tensor) -> dict[str, Tensor]:
    coordinates = {'coordinates': coordinate_features(points)}
    try:
        geoclip = load_encoder('geoclip_location', 'GeoCLIPLocation_Weights.MP16')
    except FileNotFoundError:
        return coordinates
    return {'GeoCLIP': _embed(geoclip, points, 'x'), **coordinates}


def _score(
    name: str, x: Tensor, y: Tensor, folds: Folds, model: Any = None
) -> QuickstartScore:
    """Score a regression, by default the best ridge regression, on held-out blocks."""
    if model is None:
        model = Ridge(ridge_probe(x, y, folds).alpha)
    predicted = held_out_predictions(x, y, folds, model)
    error = float((predicted - y).abs().mean())
    return QuickstartScore(name, mean_r2(y, predicted, folds), error, model.alpha)


def _score_all(
    inputs: dict[str, Tensor], points: Tensor, y: Tensor
) -> tuple[QuickstartScore, ...]:
    folds = block_folds(points)
    return tuple(_score(name, x, y, folds) for name, x in inputs.items())


def _temperature(
    climate: CityClimate, encoder: nn.Module, blind: nn.Module
) -> tuple[TargetScores, LinearFit]:
    """Score predictions of temperature, and fit a head on all cities for the map."""
    points, target = climate.points, climate.values[:, 0]
    inputs = {
        'ConceptEarth, GROUNDED': _embed(encoder, points, 'xz'),
        'ConceptEarth, NO_CLIMATE': _embed(blind, points, 'xz'),
        **_baselines(points),
    }
    title = f'annual mean temperature of {len(points)} cities'
    scores = _score_all(inputs, points, target)
    x = inputs['ConceptEarth, GROUNDED'].double()
    mean, std = scale_of(x)
    fit = fit_regression(Ridge(scores[0].penalty), (x - mean) / std, target)
    weight = fit.weight / std
    head = LinearFit(weight, fit.bias - weight @ mean, fit.penalty)
    return TargetScores(title, '°C', scores, TEMPERATURE_REMARK), head


def _population(dataset: CityPopulation, sample: int, seed: int) -> TargetScores:
    """Score predictions of the logarithm of population."""
    chosen = np.random.default_rng(seed).permutation(len(dataset))[:sample]
    dataset = dataset.select(np.sort(chosen))
    points, target = dataset.points, dataset.values[:, 0].log10()
    inputs = {
        'ConceptEarth, NO_PEOPLE': _embed(concept_earth('NO_PEOPLE'), points, 'xz'),
        **_baselines(points),
    }
    title = f'population of {len(points):,} cities, as log₁₀'
    scores = _score_all(inputs, points, target)
    return TargetScores(title, 'log₁₀', scores, POPULATION_REMARK)


# Explanations --------------------------------------------------------------------------


def is_proxy(concept: Concept) -> bool:
    """Return true for concepts that follow borders, such as scripts and customs.

    Args:
        concept: A concept with a layer.
    """
    return 'country' in concept.layer.split(' & ')


def _explain(
    climate: CityClimate, encoder: ConceptEarth, rows: Sequence[int]
) -> ExplainedCities:
    """Explain temperatures of cities by a sparse model fitted on all other cities."""
    kept = [n for n, concept in enumerate(encoder.bank) if not is_proxy(concept)]
    bank = ConceptBank(encoder.bank[n] for n in kept)
    z, target = _embed(encoder, climate.points, 'z')[:, kept], climate.values[:, 0]
    named = {normalise(climate.cities[row]) for row in rows}
    others = torch.tensor([normalise(city) not in named for city in climate.cities])
    mean, std = scale_of(z[others].double())
    scaled = (z.double() - mean) / std
    folds = block_folds(climate.points[others])
    alpha = choose_lasso(scaled[others], target[others], folds)
    model = Lasso(alpha, max_iter=LASSO_STEPS)
    head = fit_regression(model, scaled[others], target[others])
    used, base = int((head.weight[0] != 0).sum()), float(head.bias[0])
    parts = scaled * head.weight[0]
    cities = []
    for row in rows:
        city, terms = climate.cities[row], parts[row]
        names = f'annual mean temperature of {city}', '°C', bank
        sums = base + float(terms.sum()), base, 'average city'
        explanation = Explanation(*names, tuple(terms.tolist()), *sums)
        cities.append(ExplainedCity(city, explanation, float(target[row])))
    name = f'{used} concepts of NO_CLIMATE'
    score = _score(name, z, target, block_folds(climate.points), model)
    return ExplainedCities(tuple(cities), score, int(others.sum()), len(bank), used)
