# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Why an encoder says what it says, in named concepts, and how well that holds."""

from .bottleneck import Bottleneck, CurvePoint, concept_bottleneck
from .contributions import (
    Contributions,
    alignment_contributions,
    contributions,
    explain,
    similarity_contributions,
)
from .curves import plot_concept_curves
from .error_bins import ActivationByError, activation_by_error
from .explanation import Contrast, Explanation, Parts
from .faithfulness import ConceptCurve, concept_curves, fit_head
from .flows import concept_flows, plot_concept_flows
from .groups import GroupComparison, compare_groups
from .head_reading import concept_head
from .heads import ConceptHead, LinearHead, Outputs, Source
from .interventions import (
    ConceptStep,
    Reranked,
    SmallestChange,
    intervene,
    rerank,
    smallest_change,
)
from .locations import explain_location
from .networks import NetworkHead
from .spaces import plot_clusters, plot_components, plot_modality_gap

__all__ = (
    'ActivationByError',
    'Bottleneck',
    'ConceptCurve',
    'ConceptHead',
    'ConceptStep',
    'Contrast',
    'Contributions',
    'CurvePoint',
    'Explanation',
    'GroupComparison',
    'LinearHead',
    'NetworkHead',
    'Outputs',
    'Parts',
    'Reranked',
    'SmallestChange',
    'Source',
    'activation_by_error',
    'alignment_contributions',
    'compare_groups',
    'concept_bottleneck',
    'concept_curves',
    'concept_flows',
    'concept_head',
    'contributions',
    'explain',
    'explain_location',
    'fit_head',
    'intervene',
    'plot_clusters',
    'plot_components',
    'plot_concept_curves',
    'plot_concept_flows',
    'plot_modality_gap',
    'rerank',
    'similarity_contributions',
    'smallest_change',
)
