# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""How well location encoders predict measurements, beside what needs no encoder.

Every encoder is frozen, and a ridge regression learns from its features: the protocol of
:mod:`torchgeo_concepts.evaluate.probes`. Beside encoders stand coordinates, neighbours and maps,
because over dense points any interpolation does well.
"""

from .command import BenchmarkReport, benchmark
from .report import Row

__all__ = ('BenchmarkReport', 'Row', 'benchmark')
