# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Explanations of what location encoders say, and how well they hold."""

from .atlas import concept_atlas
from .flows import concept_flows, plot_concept_flows
from .spaces import plot_clusters, plot_components, plot_modality_gap

__all__ = (
    'concept_atlas',
    'concept_flows',
    'plot_clusters',
    'plot_components',
    'plot_concept_flows',
    'plot_modality_gap',
)
