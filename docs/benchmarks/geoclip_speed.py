# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Compare the location encoder with the geoclip package: parity and points a second.

Run as ``python docs/benchmarks/geoclip_speed.py``; needs the extra ``geoclip``.
"""

import argparse
import copy
import statistics
import time
import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from torchgeo_concepts.io.pages import processor
from torchgeo_concepts.models import GeoCLIPLocation, geoclip_location
from torchgeo_concepts.models.geoclip import NEGLIGIBLE_WEIGHT, equal_earth

with warnings.catch_warnings():
    warnings.simplefilter('ignore')
    from geoclip import LocationEncoder

# Products of a point with the matrices of three capsules.
MULTIPLY_ADDS = 3 * (512 * 1024 + 2 * 1024 * 1024 + 1024 * 512)


def world(num_points: int) -> Tensor:
    """Random points, among them poles, antimeridian and both sides of 0."""
    unit = torch.rand(num_points, 2, generator=torch.Generator().manual_seed(0))
    points = unit * torch.tensor([360, 180]) - torch.tensor([180, 90])
    lon = torch.tensor([0, -0.0, 1e-6, -1e-6, 180, -180, 179.99999, -179.99999])
    lat = torch.tensor([0, -0.0, 1e-6, -1e-6, 90, -90, 89.99999, -89.99999])
    special = torch.cartesian_prod(lon, lat)
    points[: len(special)] = special
    return points


class Batched:
    """The same encoder with the three capsules as one batched product."""

    def __init__(self, encoder: GeoCLIPLocation) -> None:
        """Stack the weights of the capsules."""
        capsules = list(encoder.capsules)
        self.fourier = [c.get_submodule('fourier') for c in capsules]
        self.weights = [
            torch.stack([c.get_parameter(f'mlp.{i}.weight').T for c in capsules])
            for i in (0, 2, 4, 6)
        ]
        self.biases = [
            torch.stack([c.get_parameter(f'mlp.{i}.bias')[None] for c in capsules])
            for i in (0, 2, 4, 6)
        ]

    def __call__(self, points: Tensor) -> Tensor:
        """Embed points."""
        xy = equal_earth(points)
        x = torch.stack([fourier(xy) for fourier in self.fourier])
        for layer, (weight, bias) in enumerate(
            zip(self.weights, self.biases, strict=True)
        ):
            x = torch.baddbmm(bias, x, weight)
            x = x.relu_() if layer < 3 else x
        return x.sum(dim=0)


def paired_rates(
    functions: dict[str, Callable[[], object]], work: float, repeats: int
) -> dict[str, list[float]]:
    """Time functions in turn, so that a drift of the machine meets all of them."""
    rates: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        function()
    for _ in range(repeats):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            rates[name].append(work / (time.perf_counter() - start))
    return rates


def main() -> None:
    """Print parity, then rates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--batch-size', type=int, default=8192)
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--threads', type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    ours = geoclip_location(weights='MP16')
    theirs = LocationEncoder().eval()
    cleaned = copy.deepcopy(theirs)
    with torch.no_grad():
        for parameter in cleaned.parameters():
            parameter[parameter.abs() < NEGLIGIBLE_WEIGHT] = 0
    half = copy.deepcopy(ours).bfloat16()
    batched = Batched(ours)

    print(f'torch {torch.__version__}, {options.threads} threads, {processor()}')
    with torch.inference_mode():
        points = world(20_000)
        reference = theirs(points.flip(1))
        for name, encoder in {'float32': ours, 'bfloat16': half}.items():
            embedding = encoder(points).float()
            cosine = torch.cosine_similarity(embedding, reference).min()
            print(
                f'parity on 20,000 points, {name}: max absolute difference '
                f'{(embedding - reference).abs().max():.1e}, least cosine {cosine:.6f}'
            )
        points = points[: options.batch_size]
        swapped = points.flip(1)
        rates = paired_rates(
            {
                'geoclip package, as shipped': lambda: theirs(swapped),
                'geoclip package, numbers below 1e-20 zeroed': lambda: cleaned(swapped),
                'geoclip_location, float32': lambda: ours(points),
                'geoclip_location, float32, all points at once': (
                    lambda: ours._embed(points)
                ),
                'geoclip_location, float32, one batched product': lambda: batched(
                    points
                ),
                'geoclip_location, bfloat16': lambda: half(points),
            },
            len(points),
            options.repeats,
        )
        square = torch.randn(1024, 1024)
        [products] = paired_rates(
            {'product': lambda: square @ square}, 1024**3, 50
        ).values()

    shipped = rates['geoclip package, as shipped']
    print(f'points/s at batch {len(points)}, median of {options.repeats} (min - max)')
    for name, values in rates.items():
        ratio = statistics.median(a / b for a, b in zip(values, shipped, strict=True))
        print(
            f'  {name:48} {statistics.median(values):8,.0f} '
            f'({min(values):,.0f} - {max(values):,.0f}), {ratio:.2f}x'
        )
    ceiling = max(products) / MULTIPLY_ADDS
    print(
        f'  {"ceiling: nothing but float32 products":48} {ceiling:8,.0f} '
        f'({2 * max(products) / 1e9:.0f} GFLOP/s), '
        f'{ceiling / statistics.median(shipped):.2f}x'
    )
    penalty = statistics.median(subnormal_penalty(options.repeats))
    print(f'a product with 2% subnormal weights takes {penalty:.1f}x the time here')


def subnormal_penalty(repeats: int) -> list[float]:
    """Tell how much slower this processor multiplies when weights are subnormal."""
    points, weight = torch.randn(2048, 1024), torch.randn(1024, 1024)
    subnormal = weight.clone()
    subnormal[torch.rand_like(weight) < 0.02] = 1e-40
    rates = paired_rates(
        {'normal': lambda: points @ weight, 'subnormal': lambda: points @ subnormal},
        1,
        repeats,
    )
    return [a / b for a, b in zip(rates['normal'], rates['subnormal'], strict=True)]


if __name__ == '__main__':
    main()
