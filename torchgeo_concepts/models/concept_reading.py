# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""What images and locations say of the concepts that maps tell."""

import math
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from .alignment import Alignment

Reading = Literal['projections', 'heads', 'both']


class ConceptReading(nn.Module):
    """Estimates of concepts from images and from locations, taught by labels of maps.

    The estimates are standardised, as labels are. They are made of the very projections
    that images and locations are compared by, so that the basis learns where concepts
    hold, or by layers of their own, of which the comparison knows nothing, or both ways
    at once.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, num_concepts: int, dim: int, reading: Reading = 'projections'
    ) -> None:
        """Initialize a new ConceptReading instance.

        Args:
            num_concepts: Number of concepts.
            dim: Number of features of an embedding.
            reading: ``'projections'`` reads the projections of the alignment, each by a
                factor and a shift of its own. ``'heads'`` reads the embeddings, by a
                linear layer for images and one for locations. ``'both'`` does both.

        Raises:
            ValueError: If there is no such way of reading.
        """
        super().__init__()
        if reading not in get_args(Reading):
            raise ValueError(
                f'reading must be one of {get_args(Reading)}, not {reading!r}.'
            )
        self.reading: Reading = reading
        self.register_buffer('mean', torch.zeros(num_concepts))
        self.register_buffer('std', torch.ones(num_concepts))
        if self.has_heads:
            self.image_head = nn.Linear(dim, num_concepts)
            self.location_head = nn.Linear(dim, num_concepts)
        if self.has_projections:
            # Cosines with directions at random have a variance of 1 / dim.
            start = torch.full((2, num_concepts), math.log(dim) / 2)
            self.log_factor = nn.Parameter(start)
            self.shift = nn.Parameter(torch.zeros(2, num_concepts))

    def standardise(self, labels: Tensor) -> Tensor:
        """Bring labels to the scale of the estimates.

        Args:
            labels: Labels of shape ``(N, k)`` in the units of the maps, NaN where
                unknown.

        Returns:
            Standardised labels.
        """
        return (labels - self.mean) / self.std

    def set_scale(self, mean: Tensor, std: Tensor) -> None:
        """Set how labels are standardised.

        Args:
            mean: Mean of each label.
            std: Standard deviation of each label.
        """
        self.mean.copy_(mean)
        self.std.copy_(std)

    @property
    def has_heads(self) -> bool:
        """Whether layers of their own read the embeddings."""
        return self.reading != 'projections'

    @property
    def has_projections(self) -> bool:
        """Whether projections are read, so that the basis learns."""
        return self.reading != 'heads'

    def forward(self, aligned: Alignment) -> list[tuple[Tensor, Tensor]]:
        """Forward pass.

        Args:
            aligned: Images and locations.

        Returns:
            Standardised estimates of images and of locations, of shape ``(N, k)`` each,
            for each way of reading them.
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

    def of_locations(self, aligned: Alignment) -> Tensor:
        """Estimate the concepts of locations.

        Args:
            aligned: Images and locations.

        Returns:
            Standardised estimates of shape ``(N, k)``, the mean of all ways of reading.
        """
        return torch.stack([location for _, location in self(aligned)]).mean(dim=0)
