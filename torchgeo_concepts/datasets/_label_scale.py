# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Standardisation of the labels of concepts."""

from torch import Tensor

from ..layers.grounding import Groundings
from ..models.concept_earth import ConceptScale

# A smaller standard deviation would give rare classes too much weight.
MIN_STD = 0.03


def label_scale(labels: Tensor, groundings: Groundings) -> ConceptScale:
    """Compute mean and standard deviation of labels.

    Args:
        labels: Labels of shape ``(N, k)``, NaN where unknown.
        groundings: Groundings of the ``k`` concepts.

    Returns:
        Mean and standard deviation over the known values of each label. For labels
        without known values, 0 and the minimum standard deviation.
    """
    values = labels.double()
    known = (~values.isnan()).sum(dim=0).clamp(min=1)
    mean = values.nansum(dim=0) / known
    std = ((values - mean).square().nansum(dim=0) / known).sqrt().clamp(min=MIN_STD)
    return ConceptScale(
        mean.tolist(),
        std.tolist(),
        list(groundings.is_log),
        [kind == 'class' for kind in groundings.kinds],
    )
