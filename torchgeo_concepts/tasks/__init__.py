# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tasks, which train and test models."""

from .concept_alignment import ConceptAlignment
from .concept_distillation import ConceptDistillation
from .location_classification import LocationClassification
from .location_regression import LocationRegression

__all__ = (
    'ConceptAlignment',
    'ConceptDistillation',
    'LocationClassification',
    'LocationRegression',
)
