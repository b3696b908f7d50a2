# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Labels of points from the installed maps."""

from collections.abc import Collection

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Subset
from torchgeo.datasets.utils import Sample

from ..concepts.bank import ConceptBank
from ..datasets._label_scale import label_scale
from ..geo.points import as_points
from ..layers.grounding import Groundings, load_groundings
from ..models.concept_earth import ConceptScale

# Number of points for the statistics of labels; more points hardly change these.
SCALED_BY = 60_000


class MapLabels:
    """Labels of samples from the installed maps."""

    def __init__(
        self, trained: object | None, exclude_groups: Collection[str] = ()
    ) -> None:
        """Initialize a new MapLabels instance.

        Args:
            trained: Training dataset, whose *points* define the statistics of labels.
                None without training.
            exclude_groups: Groups of layers to leave out.

        Raises:
            ImportError: If no layer is installed.
            ValueError: If the training dataset has no points.
        """
        self.groundings: Groundings = load_groundings(exclude_groups=exclude_groups)
        self.points = torch.empty(0, 2)
        if trained is not None:
            points = _points_of(trained)
            rows = np.random.default_rng(0).permutation(len(points))[:SCALED_BY]
            self.points = points[np.sort(rows)]

    @property
    def bank(self) -> ConceptBank:
        """The concepts, in the order of the labels."""
        return self.groundings.bank

    def scale(self) -> ConceptScale:
        """Compute mean and standard deviation of each label.

        Returns:
            The statistics over at most 60,000 training points.
        """
        labels = torch.from_numpy(self.groundings.labels(self.points))
        return label_scale(labels, self.groundings)

    def label(self, batch: Sample) -> Sample:
        """Add labels of the ``'concepts'`` at the points of a batch.

        Args:
            batch: Samples with their ``'point'`` of shape ``(N, 2)``.

        Returns:
            The batch with labels of shape ``(N, k)``, NaN where unknown.
        """
        labels = torch.from_numpy(self.groundings.labels(batch['point']))
        return {**batch, 'concepts': labels}


def _points_of(dataset: object) -> Tensor:
    if isinstance(dataset, Subset):
        return _points_of(dataset.dataset)[torch.as_tensor(dataset.indices)]
    points = getattr(dataset, 'points', None)
    if points is None:
        raise ValueError(
            f'concepts=True needs points, which {type(dataset).__name__} does not have.'
        )
    return as_points(points)
