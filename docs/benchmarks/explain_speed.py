# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Time the explanation of many predictions beyond the encoding of their points.

Run as ``python docs/benchmarks/explain_speed.py``; needs the extra ``cities``.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from torchgeo_concepts.datasets import CityClimate
from torchgeo_concepts.explain import concept_head, contributions, fit_head
from torchgeo_concepts.io.pages import processor
from torchgeo_concepts.layers.grounding import probe_points
from torchgeo_concepts.models import concept_earth, features
from torchgeo_concepts.models.features import FeatureKind


def seconds(function: Callable[[], object], repeats: int) -> float:
    """Return the median time of a call, after one that is not counted."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


@torch.no_grad()
def embed(encoder: nn.Module, points: Tensor, kind: FeatureKind) -> Tensor:
    """Compute what a head takes."""
    return features(encoder, points, kind)


@dataclass(frozen=True)
class Times:
    """How long predictions take with and without their explanations.

    Attributes:
        encode: Seconds to encode all points.
        both: Seconds to encode and explain them.
    """

    encode: float
    both: float


def explain_times(kind: Literal['z', 'xz'], number: int, repeats: int) -> Times:
    """Time a head that predicts the temperature of cities.

    Args:
        kind: Features that the head takes.
        number: Number of points to explain.
        repeats: How many times to time each.

    Returns:
        Median times.
    """
    encoder, cities = concept_earth('GROUNDED'), CityClimate()
    points = probe_points(number).float()
    with torch.no_grad():
        x = features(encoder, cities.points, kind)
    fit, mean, std = fit_head(x, cities.values[:, 0], cities.points)
    head = concept_head(
        fit, 'temperature', '°C', encoder=encoder, features=kind, mean=mean, std=std
    )
    return Times(
        seconds(partial(embed, encoder, points, kind), repeats),
        seconds(partial(contributions, head, points), repeats),
    )


def main() -> None:
    """Print the times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--number', type=int, default=10_000, help='points to explain')
    parser.add_argument('--repeats', type=int, default=5, help='times of each')
    options = parser.parse_args()
    print(f'{processor()}, {torch.get_num_threads()} threads')
    kinds: tuple[Literal['z', 'xz'], ...] = ('z', 'xz')
    for kind in kinds:
        times = explain_times(kind, options.number, options.repeats)
        print(
            f'{kind}: {options.number:,} points encoded in {times.encode:.2f} s, encoded '
            f'and explained in {times.both:.2f} s'
        )


if __name__ == '__main__':
    main()
