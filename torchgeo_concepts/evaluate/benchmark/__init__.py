# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Benchmark of location encoders on tables of points.

Encoders are frozen, and a ridge regression is trained on their features by the protocol
of :mod:`torchgeo_concepts.evaluate.probes`. Baselines without an encoder use
coordinates, neighbours and maps. They are needed because any interpolation does well
over dense points.
"""

from .command import BenchmarkReport, benchmark
from .report import BenchmarkRow

__all__ = ('BenchmarkReport', 'BenchmarkRow', 'benchmark')
