# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Print how well frozen encoders predict measurements, by linear probes.

Run as ``python docs/benchmarks/downstream.py --data FOLDER``, with CSV files whose first
two columns are ``lon`` and ``lat`` and whose others are targets. Encoders are names of
TorchGeo's registry, with ``:`` and the name of weights if not the first, or safetensors
files of ConceptEarth. Beside them stand what no encoder needs: coordinates, neighbours,
and the maps that taught ConceptEarth, looked up.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.neighbors import KNeighborsRegressor
from torch import Tensor, nn

from torchgeo_concepts.concepts.layers.grounding import load_groundings
from torchgeo_concepts.models import ConceptEarth, features, load_encoder
from torchgeo_concepts.points import as_points
from torchgeo_concepts.probes import block_folds, random_folds, ridge_probe

# Sizes that embeddings are truncated to.
TRUNCATED = (32, 64, 128)

# Its package is under a copyleft licence, so released weights have not seen it.
EXCLUDED = ('imagery',)

type Array = NDArray[np.float64]
type Probe = Callable[[Tensor, Sequence[NDArray[np.int64]]], list[float]]


def encoders(names: Sequence[str]) -> dict[str, nn.Module]:
    """Load encoders by name or file."""
    loaded: dict[str, nn.Module] = {}
    for name in names:
        if name.endswith('.safetensors'):
            loaded[Path(name).stem] = ConceptEarth.load(name)
        else:
            model, _, weights = name.partition(':')
            loaded[weights or model] = load_encoder(model, weights or None)
    return loaded


@torch.no_grad()
def embed(encoder: nn.Module, points: Tensor, kind: str) -> Tensor:
    """Compute features in batches."""
    parts = [features(encoder, some, kind) for some in points.split(8192)]  # type: ignore[arg-type]
    return torch.cat(parts).float()


def coordinates(points: Tensor) -> Tensor:
    """Return sines and cosines of longitude and latitude."""
    radians = torch.deg2rad(points)
    return torch.cat((radians.sin(), radians.cos()), dim=1)


def sphere(points: Tensor) -> Tensor:
    """Return points as vectors of length 1."""
    lon, lat = torch.deg2rad(points).unbind(dim=1)
    return torch.stack((lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()), dim=1)


def layer_features(points: Tensor) -> tuple[Tensor, Tensor]:
    """Look up the labels of all concepts, without gaps, and the values of layers."""
    groundings = load_groundings(exclude_groups=EXCLUDED)
    labels = torch.from_numpy(groundings.labels(points)).double()
    unknown = labels.isnan()
    filled = torch.where(unknown, labels.nanmean(dim=0), labels)
    varies = unknown.any(dim=0)
    values = np.stack([layer(points) for layer in groundings.layers.values()], axis=1)
    with_gaps = torch.cat((filled, unknown[:, varies].double()), dim=1)
    return with_gaps, torch.from_numpy(values).double()


def ridge(x: Tensor, target: Tensor, folds: Sequence[NDArray[np.int64]]) -> list[float]:
    """Score a ridge regression on each fold."""
    return list(ridge_probe(x, target, folds).r2)


def fitted(
    x: Tensor,
    target: Tensor,
    folds: Sequence[NDArray[np.int64]],
    *,
    make: Callable[[], HistGradientBoostingRegressor | KNeighborsRegressor],
) -> list[float]:
    """Score an estimator of scikit-learn on each fold."""
    scores, values, y = [], x.numpy(), target.numpy()
    for fold in folds:
        train = np.setdiff1d(np.arange(len(values)), fold)
        scores.append(make().fit(values[train], y[train]).score(values[fold], y[fold]))
    return scores


def probes(
    points: Tensor, loaded: dict[str, nn.Module], layers: bool
) -> Iterator[tuple[str, Tensor, Callable[..., list[float]]]]:
    """Yield names, features and what predicts from them."""
    yield 'sin/cos of coordinates', coordinates(points), ridge
    neighbour = partial(KNeighborsRegressor, n_neighbors=1)
    weighted = partial(KNeighborsRegressor, n_neighbors=10, weights='distance')
    yield 'nearest neighbour', sphere(points), partial(fitted, make=neighbour)
    yield 'inverse distance, 10', sphere(points), partial(fitted, make=weighted)
    if layers:
        labels, values = layer_features(points)
        boosting = partial(HistGradientBoostingRegressor, random_state=0)
        yield 'maps looked up, ridge', labels, ridge
        yield 'maps looked up, boosting', values, partial(fitted, make=boosting)
    for name, encoder in loaded.items():
        if not isinstance(encoder, ConceptEarth):
            yield f'{name} x', embed(encoder, points, 'x'), ridge
            continue
        for kind in ('x', 'z', 'xz') if len(encoder.bank) else ('x',):
            yield f'{name} {kind}', embed(encoder, points, kind), ridge
        for dim in TRUNCATED if name.startswith(('GROUNDED', 'grounded')) else ():
            x = embed(encoder.truncate(dim), points, 'x')
            encoder.truncate(None)
            yield f'{name} x, truncated', x, ridge


def tables(
    data: Path, loaded: dict[str, nn.Module], layers: bool = True
) -> Iterator[str]:
    """Yield the lines of a table of each target in Markdown."""
    for file in sorted(data.glob('*.csv')):
        table = pd.read_csv(file)
        points = as_points(table[['lon', 'lat']], dtype=torch.float32)
        folds = random_folds(len(points)), block_folds(points)
        inputs = list(probes(points, loaded, layers))
        for target in table.columns[2:]:
            values = torch.tensor(table[target].to_numpy(), dtype=torch.float64)
            yield f'**{target}**, {len(points):,} points of {file.name}'
            yield ''
            yield '| features | d | random | blocks |'
            yield '| --- | ---: | ---: | ---: |'
            for name, x, probe in inputs:
                scores = [probe(x, values, some) for some in folds]
                cells = ' | '.join(
                    f'{np.mean(s):.3f} ± {np.std(s):.3f}' for s in scores
                )
                yield f'| {name} | {x.shape[1]} | {cells} |'
            yield ''


def main() -> None:
    """Print a table of each target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--data', type=Path, required=True)
    parser.add_argument('--encoders', nargs='*', default=['geoclip_location'])
    parser.add_argument('--layers', action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args()
    for line in tables(options.data, encoders(options.encoders), options.layers):
        print(line, flush=True)


if __name__ == '__main__':
    start = time.perf_counter()
    main()
    print(f'{time.perf_counter() - start:.0f} s')
