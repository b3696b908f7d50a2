# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Rasters of concepts, embeddings and predictions, and their scores against truth."""

from .atlas import concept_atlas
from .bands import ConceptScores, PrincipalColours
from .encoder_maps import MapReport, map_encoder, map_values
from .truth import MapScore, score_map

__all__ = (
    'ConceptScores',
    'MapReport',
    'MapScore',
    'PrincipalColours',
    'concept_atlas',
    'map_encoder',
    'map_values',
    'score_map',
)
