# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Print how well frozen encoders predict measurements, by linear probes.

Run as ``python docs/benchmarks/downstream.py --data FOLDER``, with CSV files whose first
two columns are ``lon`` and ``lat`` and whose others are targets. Encoders are names of
TorchGeo's registry, or safetensors files of ConceptEarth.
"""

import argparse
import time
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn

from torchgeo_concepts.models import features, load_encoder
from torchgeo_concepts.models.concept_earth import ConceptEarth
from torchgeo_concepts.points import as_points
from torchgeo_concepts.probes import block_folds, random_folds, ridge_probe


def encoders(names: list[str]) -> dict[str, nn.Module]:
    """Load encoders by name or file."""
    return {
        Path(name).stem: ConceptEarth.load(name)
        if name.endswith('.safetensors')
        else load_encoder(name)
        for name in names
    }


@torch.no_grad()
def embed(encoder: nn.Module, points: Tensor, kind: str) -> Tensor:
    """Compute features in batches."""
    parts = [features(encoder, some, kind) for some in points.split(8192)]  # type: ignore[arg-type]
    return torch.cat(parts).float()


def coordinates(points: Tensor) -> Tensor:
    """Return sines and cosines of longitude and latitude."""
    radians = torch.deg2rad(points)
    return torch.cat((radians.sin(), radians.cos()), dim=1)


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--data', type=Path, required=True)
    parser.add_argument('--encoders', nargs='*', default=['geoclip_location'])
    options = parser.parse_args()
    loaded = encoders(options.encoders)
    print('| table | target | features | d | random | blocks |')
    print('| --- | --- | --- | ---: | ---: | ---: |')
    for file in sorted(options.data.glob('*.csv')):
        table = pd.read_csv(file)
        points = as_points(table[['lon', 'lat']], dtype=torch.float32)
        inputs = {'sin/cos': coordinates(points)}
        for name, encoder in loaded.items():
            kinds = ('x', 'z', 'xz') if hasattr(encoder, 'concepts') else ('x',)
            for kind in kinds:
                inputs[f'{name} {kind}'] = embed(encoder, points, kind)
        folds = random_folds(len(points)), block_folds(points)
        for target in table.columns[2:]:
            values = torch.tensor(table[target].to_numpy())
            for name, x in inputs.items():
                scores = [ridge_probe(x, values, some) for some in folds]
                cells = ' | '.join(f'{s.mean:.3f} ± {s.std:.3f}' for s in scores)
                print(
                    f'| {file.stem} | {target} | {name} | {x.shape[1]} | {cells} |',
                    flush=True,
                )


if __name__ == '__main__':
    start = time.perf_counter()
    main()
    print(f'\n{time.perf_counter() - start:.0f} s')
