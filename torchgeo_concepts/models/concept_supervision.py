# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Estimates of concepts that are trained with labels from maps."""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from ..utils.names import check_choice
from .alignment import AlignedEmbeddings

SupervisionKind = Literal['projections', 'heads', 'both']


class ConceptSupervision(nn.Module):
    """Estimates of concepts from images and locations, trained with labels from maps.

    The estimates are standardised, as labels are. They use the concept projections of
    the alignment, separate linear layers, or both. Only the projections train the
    basis.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, num_concepts: int, dim: int, kind: SupervisionKind = 'projections'
    ) -> None:
        """Initialize a new ConceptSupervision instance.

        Args:
            num_concepts: Number of concepts.
            dim: Number of features of an embedding.
            kind: ``'projections'`` scales and shifts each concept projection of the
                alignment. ``'heads'`` applies one linear layer to image embeddings and
                one to location embeddings. ``'both'`` does both.

        Raises:
            ValueError: If the kind is unknown.
        """
        super().__init__()
        check_choice('supervision', kind, SupervisionKind)
        self.kind: SupervisionKind = kind
        self.register_buffer('mean', torch.zeros(num_concepts))
        self.register_buffer('std', torch.ones(num_concepts))
        if self.has_heads:
            self.image_head = nn.Linear(dim, num_concepts)
            self.location_head = nn.Linear(dim, num_concepts)
        if self.has_projections:
            # Cosines with random directions have a variance of 1 / dim.
            start = torch.full((2, num_concepts), math.log(dim) / 2)
            self.log_factor = nn.Parameter(start)
            self.shift = nn.Parameter(torch.zeros(2, num_concepts))

    def standardise(self, labels: Tensor) -> Tensor:
        """Standardise labels.

        Args:
            labels: Labels of shape ``(N, k)`` in the units of the maps, NaN where
                unknown.

        Returns:
            Standardised labels.
        """
        return (labels - self.mean) / self.std

    def set_scale(self, mean: Tensor, std: Tensor) -> None:
        """Set the mean and standard deviation of each label.

        Args:
            mean: Mean of each label, of shape ``(k,)``.
            std: Standard deviation of each label, of shape ``(k,)``.
        """
        self.mean.copy_(mean)
        self.std.copy_(std)

    @property
    def has_heads(self) -> bool:
        """True if linear layers estimate concepts from the embeddings."""
        return self.kind != 'projections'

    @property
    def has_projections(self) -> bool:
        """True if estimates use the projections, so that the basis is trained."""
        return self.kind != 'heads'

    def forward(self, aligned: AlignedEmbeddings) -> list[tuple[Tensor, Tensor]]:
        """Forward pass.

        Args:
            aligned: Images and locations.

        Returns:
            One pair for ``'projections'`` and one for ``'heads'``: standardised
            estimates for images and for locations, each of shape ``(N, k)``.
        """
        estimates = []
        if self.has_projections:
            factors = self.log_factor.exp()
            image = aligned.z_image * factors[0] + self.shift[0]
            estimates.append((image, aligned.z_location * factors[1] + self.shift[1]))
        if self.has_heads:
            image = self.image_head(aligned.x_image)
            estimates.append((image, self.location_head(aligned.x_location)))
        return estimates
