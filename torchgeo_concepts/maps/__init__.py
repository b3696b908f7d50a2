# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Rasters of concepts, embeddings and predictions, and their scores against truth."""

from .encoder_maps import MapReport, concept_atlas, map_encoder, map_values
from .map_score import MapScore
from .truth import score_map

__all__ = (
    'MapReport',
    'MapScore',
    'concept_atlas',
    'map_encoder',
    'map_values',
    'score_map',
)
