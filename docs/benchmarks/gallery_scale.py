# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Measure building and searching a gallery of millions of points.

Run as ``python docs/benchmarks/gallery_scale.py``. The points are an equal-area lattice
over land. The encoder is a small one with random weights, since neither memory nor the
time of a search depend on what the vectors are; that of GeoCLIP takes as long as
``docs/performance.md`` has it.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import torch

from torchgeo_concepts.candidates import candidate_points
from torchgeo_concepts.gallery import Gallery
from torchgeo_concepts.models import GeoCLIPLocation


def peak_gb() -> float:
    """Return the largest memory of this process so far, without mapped files."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def main() -> None:
    """Print what each step took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--spacing-km', type=float, default=3.86)
    parser.add_argument('--queries', type=int, default=100)
    options = parser.parse_args()
    torch.manual_seed(0)
    encoder = GeoCLIPLocation(num_frequencies=16, hidden_dim=32, embed_dim=512)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        candidates = candidate_points(f'land:{options.spacing_km}')
        seconds = time.perf_counter() - start
        print(f'{len(candidates.points):,} points over land: {seconds:.0f} s')
        start = time.perf_counter()
        Gallery.build(encoder, candidates.points, folder, area_km2=candidates.area_km2)
        size = (Path(folder) / 'vectors.npy').stat().st_size / 1e9
        print(
            f'encoded and written, {size:.1f} GB: {time.perf_counter() - start:.0f} s'
        )
        start = time.perf_counter()
        gallery = Gallery.load(folder)
        print(f'opened: {1000 * (time.perf_counter() - start):.1f} ms')
        queries = torch.randn(options.queries, 512)
        start = time.perf_counter()
        found, _ = gallery.search(queries, top_k=5)
        seconds = time.perf_counter() - start
        print(f'{options.queries} queries, 5 best of each: {seconds:.1f} s')
        start = time.perf_counter()
        gallery.without(found.reshape(-1, 2))
        print(f'500 points left out: {time.perf_counter() - start:.1f} s')
    print(f'peak memory, mapped pages included: {peak_gb():.1f} GB')


if __name__ == '__main__':
    main()
