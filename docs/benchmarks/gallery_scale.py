# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Measure building and searching a gallery of millions of points.

Run as ``python docs/benchmarks/gallery_scale.py``. The points are an equal-area lattice
over land, encoded by GeoCLIP: a spacing of 12.2 km makes a million of them, 3.86 km ten
million. The images searched for stand at points of that lattice.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import torch

from torchgeo_concepts.models import load_encoder
from torchgeo_concepts.retrieval.candidates import candidate_points
from torchgeo_concepts.retrieval.gallery import Gallery


def peak_gb() -> float:
    """Return the largest memory of this process so far, without mapped files."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def main() -> None:
    """Print what each step took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--spacing-km', type=float, default=12.2)
    parser.add_argument('--queries', type=int, default=100)
    options = parser.parse_args()
    encoder = load_encoder('geoclip_location', 'GeoCLIPLocation_Weights.MP16')
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
        some = candidates.points[:: len(candidates.points) // options.queries]
        with torch.no_grad():
            queries = encoder(some[: options.queries])
        start = time.perf_counter()
        found = gallery.search(queries, top_k=5).points
        seconds = time.perf_counter() - start
        print(f'{options.queries} queries, 5 best of each: {seconds:.1f} s')
        start = time.perf_counter()
        gallery.without(found.reshape(-1, 2))
        print(
            f'{5 * options.queries} points left out: {time.perf_counter() - start:.1f} s'
        )
    print(f'peak memory, mapped pages included: {peak_gb():.1f} GB')


if __name__ == '__main__':
    main()
