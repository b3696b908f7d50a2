# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""A model of images and locations, and of the concepts that both are compared by."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .alignment import Align, AlignedEmbeddings, ImageLocationAlignment
from .concept_geoclip import ConceptGeoCLIP
from .geoclip import GeoCLIPLocation
from .image_towers import ImageTower


class ImageLocationModel(nn.Module):
    """An image tower, a location encoder, and the alignment between them.

    If you use this model in your research, please cite the following paper:

    * https://doi.org/10.48550/arXiv.2509.01910
    """

    def __init__(
        self, tower: ImageTower, encoder: nn.Module, alignment: ImageLocationAlignment
    ) -> None:
        """Initialize a new ImageLocationModel instance.

        Args:
            tower: Embeds images.
            encoder: Embeds points, into the same number of features.
            alignment: Compares both.
        """
        super().__init__()
        self.tower = tower
        self.encoder = encoder
        self.alignment = alignment

    def forward(self, images: Tensor, points: Tensor) -> AlignedEmbeddings:
        """Forward pass.

        Args:
            images: Preprocessed images of shape ``(N, C, H, W)``, or their cached
                features of shape ``(N, f)``.
            points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.

        Returns:
            Embeddings and concept projections of both.
        """
        aligned: AlignedEmbeddings = self.alignment(
            self.tower(images), self.encoder(points)
        )
        return aligned

    def embed_images(self, images: Tensor, space: Align | None = None) -> Tensor:
        """Compute vectors of images to search a gallery with.

        Args:
            images: Preprocessed images, or their cached features.
            space: ``'x'`` for embeddings, ``'z'`` for concept projections, ``'both'``
                for the two side by side. By default, what the alignment compares.

        Returns:
            Vectors of shape ``(N, D)``, whose dot products with those of points are the
            similarities.
        """
        space = space or self.alignment.align
        x: Tensor = self.tower(images)
        z = self.alignment.project_image(x) if space != 'x' else x
        return self._vectors(x, z, space)

    def embed_points(self, points: Tensor, space: Align | None = None) -> Tensor:
        """Compute vectors of points to fill a gallery with.

        Args:
            points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
            space: As for :meth:`embed_images`.

        Returns:
            Vectors of shape ``(N, D)``.
        """
        space = space or self.alignment.align
        x: Tensor = self.encoder(points)
        z: Tensor = self.alignment.basis(x) if space != 'x' else x
        return self._vectors(x, z, space)

    def _vectors(self, x: Tensor, z: Tensor, space: Align) -> Tensor:
        parts = []
        if space in ('x', 'both'):
            parts.append(F.normalize(x, dim=1))
        if space in ('z', 'both'):
            parts.append(F.normalize(z, dim=1) if self.alignment.basis.unit else z)
        # The dot product of what is side by side is the mean over the spaces.
        return torch.cat(parts, dim=1) / math.sqrt(len(parts))

    def location_model(self) -> ConceptGeoCLIP:
        """Return the location encoder with its concepts, to use or save alone.

        Raises:
            ValueError: If the location encoder is not GeoCLIP's.
        """
        if not isinstance(self.encoder, GeoCLIPLocation):
            raise ValueError(
                f'{type(self.encoder).__name__} cannot become a ConceptGeoCLIP, which '
                'has a GeoCLIPLocation in it.'
            )
        return ConceptGeoCLIP(self.encoder, self.alignment.basis)
