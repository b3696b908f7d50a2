# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Search of a gallery for the locations of validation or test images."""

import torch
from torch import Tensor

from ..models.image_location import ImageLocationModel
from ..retrieval.candidates import Candidates, candidate_points
from ..retrieval.gallery import Gallery
from ..utils.distributed import gather_objects


class GallerySearch:
    """Embedded images with their points, and the candidates to search.

    Args:
        source: Candidate points, named as in
            :func:`~torchgeo_concepts.retrieval.candidates.candidate_points`.
        download: Download the candidates if they are not on this machine.
    """

    def __init__(self, source: str, download: bool) -> None:
        """Initialize a new GallerySearch instance."""
        self.source = source
        self.download = download
        self._candidates: Candidates | None = None
        self._queries: list[Tensor] = []
        self._points: list[Tensor] = []

    def add(self, queries: Tensor, points: Tensor) -> None:
        """Add the images of a batch.

        Args:
            queries: Vectors of the images, of shape ``(N, d)``.
            points: Points of shape ``(N, 2)`` where the images were taken.
        """
        self._queries.append(queries.cpu())
        self._points.append(points.cpu())

    def encode(self, model: ImageLocationModel) -> Gallery:
        """Encode the candidates in the space that the model was trained in.

        Args:
            model: The model that embeds the candidates.

        Returns:
            The gallery.
        """
        if self._candidates is None:
            self._candidates = candidate_points(self.source, download=self.download)
        return Gallery.build(
            model,
            self._candidates.points,
            space=model.alignment.align,
            area_km2=self._candidates.area_km2,
            dtype='float32',
            progress=False,
        )

    def run(
        self, model: ImageLocationModel, device: torch.device, drop_own: bool = False
    ) -> tuple[Gallery, Tensor, Tensor, Tensor]:
        """Locate all added images, then remove them.

        Args:
            model: The model that embeds the candidates.
            device: Device of the results.
            drop_own: Remove candidates that equal the point of an image.

        Returns:
            The gallery, the vectors and points of the images, and the points found.
        """
        queries, points = torch.cat(self._queries), torch.cat(self._points)
        self._queries.clear()
        self._points.clear()
        gallery = self.encode(model)
        if drop_own:
            gallery = gallery.without(torch.cat(gather_objects(points)))
        queries = queries.to(device)
        found = gallery.search(queries).points[:, 0]
        return gallery, queries, points.to(device), found.to(device)
