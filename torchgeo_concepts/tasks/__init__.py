# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tasks that train and test models, and a callback that writes their predictions."""

from .concept_alignment import ConceptAlignment
from .concept_distillation import ConceptDistillation
from .location_classification import LocationClassification
from .location_regression import LocationRegression
from .prediction_writer import PredictionWriter

__all__ = (
    'ConceptAlignment',
    'ConceptDistillation',
    'LocationClassification',
    'LocationRegression',
    'PredictionWriter',
)
