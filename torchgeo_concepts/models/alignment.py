# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Concept bases, and the comparison of images with locations by concepts."""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..concepts.bank import ConceptBank
from ..utils.names import check_choice

Align = Literal['x', 'z', 'both']
ImageProjection = Literal['mlp', 'tied']


class ConceptBasis(nn.Module):
    r"""Directions of concepts, :math:`B = E + \Delta`.

    The initial directions :math:`E`, such as text embeddings, are fixed. The offset
    :math:`\Delta` starts at zero and is trained.

    If you use this module in your research, please cite the following paper:

    * https://doi.org/10.48550/arXiv.2509.01910
    """

    initial: Tensor

    def __init__(
        self, bank: ConceptBank, initial: Tensor, source: str, unit: bool = True
    ) -> None:
        """Initialize a new ConceptBasis instance.

        Args:
            bank: The concepts.
            initial: Initial directions :math:`E`, of shape ``(k, d)`` in the order of
                the bank.
            source: Origin of the directions, in a few words.
            unit: Project unit vectors onto unit directions, which gives cosines. If
                false, use dot products, as in the paper.

        Raises:
            ValueError: If the directions are not finite, or not one for each concept.
        """
        super().__init__()
        if initial.ndim != 2 or len(initial) != len(bank):
            raise ValueError(
                f'Expected directions of shape ({len(bank)}, d), one for each concept, '
                f'got {tuple(initial.shape)}.'
            )
        if not initial.isfinite().all():
            raise ValueError('The directions of concepts must be finite.')
        initial = initial.float()
        self.bank = bank
        self.source = source
        self.unit = unit
        self.register_buffer('initial', initial.detach().clone().T.contiguous())
        self.offset = nn.Parameter(torch.zeros_like(self.initial))

    @classmethod
    def random(
        cls, bank: ConceptBank, dim: int, unit: bool = True, seed: int = 0
    ) -> 'ConceptBasis':
        """Create a basis of random directions, which the concept names do not describe.

        Args:
            bank: The concepts.
            dim: Number of features of an embedding.
            unit: Project unit vectors onto unit directions.
            seed: Seed of the directions.

        Returns:
            The basis.
        """
        generator = torch.Generator().manual_seed(seed)
        initial = F.normalize(torch.randn(len(bank), dim, generator=generator), dim=1)
        return cls(bank, initial, f'random, seed {seed}', unit)

    @property
    def directions(self) -> Tensor:
        """The basis :math:`B` of shape ``(d, k)``, normalised if *unit* is set."""
        basis = self.initial + self.offset
        return F.normalize(basis, dim=0) if self.unit else basis

    def forward(self, x: Tensor) -> Tensor:
        """Project embeddings.

        Args:
            x: Embeddings of shape ``(N, d)``.

        Returns:
            Projections of shape ``(N, k)``.
        """
        if self.unit:
            x = F.normalize(x, dim=1)
        return x @ self.directions

    def drift(self) -> Tensor:
        """Return the cosine of each direction with its initial value, shape ``(k,)``.

        The name of a concept describes its initial direction. A lower cosine means that
        the name describes the trained direction less well.
        """
        return F.cosine_similarity(self.initial + self.offset, self.initial, dim=0)

    def drift_penalty(self) -> Tensor:
        """Return the mean of 1 minus :meth:`drift`, to add to a loss."""
        return 1 - self.drift().mean()


@dataclass(frozen=True)
class AlignedEmbeddings:
    """Images and locations in the embedding space and in concept space.

    Attributes:
        x_image: Image embeddings of shape ``(N, d)``.
        x_location: Location embeddings of shape ``(N, d)``.
        z_image: Concept projections of the images, of shape ``(N, k)``.
        z_location: Concept projections of the locations, of shape ``(N, k)``.
    """

    x_image: Tensor
    x_location: Tensor
    z_image: Tensor
    z_location: Tensor


class ImageLocationAlignment(nn.Module):
    """Comparison of images with locations, in the embedding space or by concepts.

    If you use this module in your research, please cite the following paper:

    * https://doi.org/10.48550/arXiv.2509.01910
    """

    def __init__(
        self,
        basis: ConceptBasis,
        image_projection: ImageProjection = 'mlp',
        align: Align = 'z',
        hidden_dim: int = 768,
    ) -> None:
        """Initialize a new ImageLocationAlignment instance.

        Args:
            basis: Basis that projects locations, and images if tied.
            image_projection: ``'mlp'``, as in the paper, projects images with a separate
                network, without the basis. ``'tied'`` projects images onto the same
                basis, after a correction that starts at zero.
            align: Space of the comparison: embeddings (``'x'``, as in GeoCLIP), concepts
                (``'z'``, Eq. 4 of the paper) or both.
            hidden_dim: Number of hidden features of the network on images.

        Raises:
            ValueError: If *image_projection* or *align* is unknown.
        """
        super().__init__()
        check_choice('image_projection', image_projection, ImageProjection)
        check_choice('align', align, Align)
        dim, num_concepts = basis.initial.shape
        tied = image_projection == 'tied'
        last = nn.Linear(hidden_dim, dim if tied else num_concepts)
        if tied:
            # At first, images are projected without a correction.
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        self.basis = basis
        self.align: Align = align
        self.image_projection = image_projection
        self.image_mlp = nn.Sequential(nn.Linear(dim, hidden_dim), nn.ReLU(), last)

    def project_image(self, x_image: Tensor) -> Tensor:
        """Project image embeddings into concept space.

        Args:
            x_image: Image embeddings of shape ``(N, d)``.

        Returns:
            Projections of shape ``(N, k)``.
        """
        correction: Tensor = self.image_mlp(x_image)
        if self.image_projection == 'tied':
            correction = self.basis(x_image + correction)
        return correction

    def forward(self, x_image: Tensor, x_location: Tensor) -> AlignedEmbeddings:
        """Forward pass.

        Args:
            x_image: Image embeddings of shape ``(N, d)``.
            x_location: Location embeddings of shape ``(N, d)``.

        Returns:
            Embeddings and concept projections of images and locations.
        """
        z_image, z_location = self.project_image(x_image), self.basis(x_location)
        return AlignedEmbeddings(x_image, x_location, z_image, z_location)

    def vectors(self, x: Tensor, z: Tensor, space: Align | None = None) -> list[Tensor]:
        """Return the vectors to compare, one tensor for each space.

        Args:
            x: Embeddings of shape ``(N, d)``.
            z: Concept projections of shape ``(N, k)``.
            space: Space of the comparison. By default, *align* of the module.

        Returns:
            Unit vectors. Projections are not normalised if the basis has
            ``unit=False``.
        """
        space = space or self.align
        vectors = [F.normalize(x, dim=1)] if space in ('x', 'both') else []
        if space in ('z', 'both'):
            vectors.append(F.normalize(z, dim=1) if self.basis.unit else z)
        return vectors

    def pairs(self, aligned: AlignedEmbeddings) -> list[tuple[Tensor, Tensor]]:
        """Return the pairs of tensors that a contrastive loss compares.

        Args:
            aligned: Images and locations.

        Returns:
            Vectors of images and of locations, from :meth:`vectors`, for each compared
            space.
        """
        images = self.vectors(aligned.x_image, aligned.z_image)
        locations = self.vectors(aligned.x_location, aligned.z_location)
        return list(zip(images, locations, strict=True))

    def similarity(self, aligned: AlignedEmbeddings) -> Tensor:
        """Compare each image with each location.

        The similarity in concept space is a sum over concepts, so its explanations are
        exact.

        Args:
            aligned: ``N`` images and ``M`` locations.

        Returns:
            Similarities of shape ``(N, M)``, averaged over the compared spaces.
        """
        pairs = self.pairs(aligned)
        return torch.stack([image @ place.T for image, place in pairs]).mean(dim=0)
