# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""What maps say of the points of any images."""

from collections.abc import Collection
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Subset
from torchgeo.datasets.utils import Sample

from ..concepts.bank import ConceptBank
from ..concepts.layers.grounding import Groundings, load_groundings
from ..datasets._label_scale import label_scale
from ..models.concept_earth import Scale
from ..points import as_points

__all__ = ('MapLabels',)

# Points that tell how labels vary; more would hardly change it.
SCALED_BY = 60_000


class MapLabels:
    """Labels of samples by the maps that are installed."""

    def __init__(self, dataset: object, exclude_groups: Collection[str] = ()) -> None:
        """Initialize a new MapLabels instance.

        Args:
            dataset: Samples that are trained on, with their *points*.
            exclude_groups: Groups of layers to leave out.

        Raises:
            ImportError: If no layer is installed.
            ValueError: If the dataset does not tell its points.
        """
        self.points = _points_of(dataset)
        self.groundings: Groundings = load_groundings(exclude_groups=exclude_groups)

    @property
    def bank(self) -> ConceptBank:
        """The concepts, in the order of the labels."""
        return self.groundings.bank

    def scale(self) -> Scale:
        """Compute how labels are standardised.

        Returns:
            Mean and standard deviation of each label over the points that are trained
            on, or some of them.
        """
        return self._scale

    @cached_property
    def _scale(self) -> Scale:
        rows = np.random.default_rng(0).permutation(len(self.points))[:SCALED_BY]
        labels = self.groundings.labels(self.points[np.sort(rows)])
        return label_scale(torch.from_numpy(labels), self.groundings)

    def label(self, batch: Sample) -> Sample:
        """Add labels of the ``'concepts'`` at the points of a batch.

        Args:
            batch: Samples with their ``'point'`` of shape ``(N, 2)``.

        Returns:
            The same with labels of shape ``(N, k)``, NaN where unknown.
        """
        labels = torch.from_numpy(self.groundings.labels(batch['point']))
        return {**batch, 'concepts': labels}


def _points_of(dataset: object) -> Tensor:
    if isinstance(dataset, Subset):
        return _points_of(dataset.dataset)[torch.as_tensor(dataset.indices)]
    points = getattr(dataset, 'points', None)
    if points is None:
        raise ValueError(
            f'{type(dataset).__name__} does not tell the points of its samples, which '
            'concepts=True needs. Streams do not; cached features of them do.'
        )
    return as_points(points)
