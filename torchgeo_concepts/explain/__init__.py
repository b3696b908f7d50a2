# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Why an encoder says what it says, in named concepts, and how well that holds."""

from .atlas import concept_atlas
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
from .faithfulness import (
    ConceptCurve,
    concept_curves,
    fit_head,
    rank_by_halves,
    ranking_stability,
    remove_and_retrain,
)
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
from .leakage import Impurity, label_leakage, oracle_impurity
from .networks import NetworkHead
from .niches import NicheFit, NicheImpurity, niche_impurity
from .regions import sample_area, us_states
from .seed_stability import ModelPair, ModelStability, stability_over_models
from .spaces import plot_clusters, plot_components, plot_modality_gap
from .truth import MapScore, score_map
from .weighted import Estimate

__all__ = (
    'ActivationByError',
    'Bottleneck',
    'ConceptCurve',
    'ConceptHead',
    'ConceptStep',
    'Contrast',
    'Contributions',
    'CurvePoint',
    'Estimate',
    'Explanation',
    'GroupComparison',
    'Impurity',
    'LinearHead',
    'MapScore',
    'ModelPair',
    'ModelStability',
    'NetworkHead',
    'NicheFit',
    'NicheImpurity',
    'Outputs',
    'Parts',
    'Reranked',
    'SmallestChange',
    'Source',
    'activation_by_error',
    'alignment_contributions',
    'compare_groups',
    'concept_atlas',
    'concept_bottleneck',
    'concept_curves',
    'concept_flows',
    'concept_head',
    'contributions',
    'explain',
    'fit_head',
    'intervene',
    'label_leakage',
    'niche_impurity',
    'oracle_impurity',
    'plot_clusters',
    'plot_components',
    'plot_concept_curves',
    'plot_concept_flows',
    'plot_modality_gap',
    'rank_by_halves',
    'ranking_stability',
    'remove_and_retrain',
    'rerank',
    'sample_area',
    'score_map',
    'similarity_contributions',
    'smallest_change',
    'stability_over_models',
    'us_states',
)
