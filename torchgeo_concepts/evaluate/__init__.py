# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Probes, metrics, confidence intervals and the benchmark of location encoders."""

from .benchmark import BenchmarkReport, BenchmarkRow, benchmark
from .bootstrap import BlockBootstrap, Estimate
from .metrics import (
    ConceptEntropy,
    DistanceAccuracy,
    GeoScore,
    MedianDistance,
    RecallVersusArea,
)
from .probes import LinearFit, ProbeScore, fit_logistic, fit_ridge, ridge_probe

__all__ = (
    'BenchmarkReport',
    'BenchmarkRow',
    'BlockBootstrap',
    'ConceptEntropy',
    'DistanceAccuracy',
    'Estimate',
    'GeoScore',
    'LinearFit',
    'MedianDistance',
    'ProbeScore',
    'RecallVersusArea',
    'benchmark',
    'fit_logistic',
    'fit_ridge',
    'ridge_probe',
)
