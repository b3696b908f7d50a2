# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""A model that compares images with locations."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from .alignment import Align, AlignedEmbeddings, ImageLocationAlignment
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
            tower: Image tower that embeds images.
            encoder: Location encoder with the same number of features.
            alignment: Alignment that compares image and location embeddings.
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
            Embeddings and concept projections of images and locations.
        """
        aligned: AlignedEmbeddings = self.alignment(
            self.tower(images), self.encoder(points)
        )
        return aligned

    def embed_images(self, images: Tensor, space: Align | None = None) -> Tensor:
        """Compute vectors of images, to query a gallery.

        Args:
            images: Preprocessed images, or their cached features.
            space: ``'x'`` for embeddings, ``'z'`` for concept projections, ``'both'``
                for the two side by side. By default, the space of the alignment.

        Returns:
            Vectors of shape ``(N, D)``. Their dot products with vectors of points are
            similarities.
        """
        x: Tensor = self.tower(images)
        return self._join(x, self.alignment.project_image, space)

    def embed_points(self, points: Tensor, space: Align | None = None) -> Tensor:
        """Compute vectors of points, to build a gallery.

        Args:
            points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
            space: As for :meth:`embed_images`.

        Returns:
            Vectors of shape ``(N, D)``.
        """
        x: Tensor = self.encoder(points)
        return self._join(x, self.alignment.basis, space)

    def _join(
        self, x: Tensor, project: Callable[[Tensor], Tensor], space: Align | None
    ) -> Tensor:
        space = space or self.alignment.align
        z = x if space == 'x' else project(x)
        vectors = self.alignment.vectors(x, z, space)
        # The dot product of joined vectors is the mean over the spaces.
        return torch.cat(vectors, dim=1) / math.sqrt(len(vectors))
