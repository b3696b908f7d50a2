# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Explain predictions and similarities by named concepts."""

from .bottleneck import Bottleneck
from .bottleneck_fit import concept_bottleneck
from .contributions import contributions, explain, explain_location
from .explanation import Contrast, Contributions, Explanation
from .faithfulness import concept_curves, fit_head, plot_concept_curves
from .groups import compare_groups
from .head_reading import concept_head
from .heads import ConceptHead
from .interventions import intervene, rerank
from .smallest_change import smallest_change

__all__ = (
    'Bottleneck',
    'ConceptHead',
    'Contrast',
    'Contributions',
    'Explanation',
    'compare_groups',
    'concept_bottleneck',
    'concept_curves',
    'concept_head',
    'contributions',
    'explain',
    'explain_location',
    'fit_head',
    'intervene',
    'plot_concept_curves',
    'rerank',
    'smallest_change',
)
