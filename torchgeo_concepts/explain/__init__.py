# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Why an encoder says what it says, in named concepts, and how well that holds."""

from .atlas import concept_atlas
from .bottleneck import Bottleneck, CurvePoint, concept_bottleneck
from .error_bins import ActivationByError, activation_by_error
from .flows import concept_flows, plot_concept_flows
from .groups import GroupComparison, compare_groups
from .interventions import (
    ConceptStep,
    Reranked,
    SmallestChange,
    intervene,
    rerank,
    smallest_change,
)
from .spaces import plot_clusters, plot_components, plot_modality_gap

__all__ = (
    'ActivationByError',
    'Bottleneck',
    'ConceptStep',
    'CurvePoint',
    'GroupComparison',
    'Reranked',
    'SmallestChange',
    'activation_by_error',
    'compare_groups',
    'concept_atlas',
    'concept_bottleneck',
    'concept_flows',
    'intervene',
    'plot_clusters',
    'plot_components',
    'plot_concept_flows',
    'plot_modality_gap',
    'rerank',
    'smallest_change',
)
