# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Command line of the checks of rankings."""

import torch
from research_cli import run

from faithfulness.rankings import rank_by_halves, ranking_stability, remove_and_retrain
from torchgeo_concepts.datasets import CityClimate
from torchgeo_concepts.models import concept_earth


def check_rankings(
    weights: str = 'NO_CLIMATE',
    target: str = 'annual_c',
    counts: tuple[int, ...] = (3, 10, 30),
    seeds: int = 3,
    num_samples: int = 20,
) -> str:
    """Check whether the concepts that contribute most to a prediction matter to it.

    Args:
        weights: Weights of concept_earth, whose concept scores are the features.
        target: Column of the climate of cities to predict.
        counts: Numbers of concepts to remove, and to train on.
        seeds: Number of seeds of the folds and of the halves.
        num_samples: Number of resamples of blocks.

    Returns:
        The tables as text.
    """
    cities = CityClimate(target)
    with torch.no_grad():
        z = concept_earth(weights).concepts(cities.points)
    data = z, cities.values[:, 0], cities.points
    retrained = remove_and_retrain(*data, counts=counts, seeds=range(seeds))
    halves = rank_by_halves(*data, counts=counts, seeds=range(seeds))
    mean, low, high = ranking_stability(*data, num_samples=num_samples)
    return (
        f'R² with and without the concepts that contribute most:\n{retrained.round(3)}\n'
        f'R² by the ranking of a half of the Earth:\n{halves.round(3)}\n'
        f'Correlation of rankings of resampled cities: {mean:.2f} ({low:.2f} to '
        f'{high:.2f})'
    )


if __name__ == '__main__':
    run(check_rankings)
