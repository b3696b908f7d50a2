# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Concept bases, and the alignment of images with locations by way of concepts."""

from dataclasses import dataclass
from typing import Literal, get_args

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..concepts.bank import ConceptBank

Align = Literal['x', 'z', 'both']
ImageProjection = Literal['mlp', 'tied']


class ConceptBasis(nn.Module):
    r"""Directions of concepts, :math:`B = E + \Delta`.

    :math:`E` is where the directions start, such as text embeddings, and stays.
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
            initial: Their directions :math:`E`, of shape ``(k, d)`` in the order of the
                bank.
            source: Where the directions come from, in a few words.
            unit: Project unit vectors onto unit directions, which gives cosines. If
                false, dot products as in the paper.

        Raises:
            ValueError: If there is not one direction for each concept.
        """
        super().__init__()
        if initial.ndim != 2 or len(initial) != len(bank):
            raise ValueError(
                f'A bank of {len(bank)} concepts needs directions of shape '
                f'({len(bank)}, d), not {tuple(initial.shape)}.'
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
        """Make a basis of random directions, which name nothing.

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
        """The basis :math:`B` of shape ``(d, k)``, unit vectors if so chosen."""
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
        """Cosine of each direction with where it started, of shape ``(k,)``.

        Names hold for the start; the further a direction drifts, the less its name says
        about it.
        """
        return F.cosine_similarity(self.initial + self.offset, self.initial, dim=0)

    def drift_penalty(self) -> Tensor:
        """Mean of 1 minus the cosines of :meth:`drift`, to add to a loss."""
        return 1 - self.drift().mean()

    @torch.no_grad()
    def drift_report(self) -> pd.DataFrame:
        """Return names and drift of all concepts, those that drifted most first."""
        report = pd.DataFrame({'concept': self.bank.names, 'drift': self.drift().cpu()})
        return report.sort_values('drift', ignore_index=True)


@dataclass(frozen=True)
class AlignedEmbeddings:
    """Images and their locations in the spaces where they are compared.

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
    """Compares images with locations, in the embedding space or by concepts.

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
            basis: Projects locations, and images too if tied.
            image_projection: ``'mlp'``, as in the paper, gives images a network of
                their own, which never touches the basis. ``'tied'`` projects images
                onto the same basis, after a correction that starts at zero.
            align: Where to compare: in the embedding space (``'x'``, GeoCLIP), by
                concepts (``'z'``, Eq. 4 of the paper) or in both.
            hidden_dim: Number of hidden features of the network on images.

        Raises:
            ValueError: If an argument is none of its choices.
        """
        super().__init__()
        for value, choices in (
            (image_projection, get_args(ImageProjection)),
            (align, get_args(Align)),
        ):
            if value not in choices:
                raise ValueError(f'{value!r} is none of {choices}.')
        dim, num_concepts = basis.initial.shape
        tied = image_projection == 'tied'
        last = nn.Linear(hidden_dim, dim if tied else num_concepts)
        if tied:
            # Images start where the image tower put them.
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        self.basis = basis
        self.align: Align = align
        self.image_projection = image_projection
        self.image_mlp = nn.Sequential(nn.Linear(dim, hidden_dim), nn.ReLU(), last)

    def project_image(self, x_image: Tensor) -> Tensor:
        """Project images into concept space.

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
            Both, with their concept projections.
        """
        z_image, z_location = self.project_image(x_image), self.basis(x_location)
        return AlignedEmbeddings(x_image, x_location, z_image, z_location)

    def pairs(self, aligned: AlignedEmbeddings) -> list[tuple[Tensor, Tensor]]:
        """Return what a contrastive loss compares.

        Args:
            aligned: Images and locations.

        Returns:
            Images and locations in each space that is aligned: unit vectors, but for
            concept projections of a basis that is not unit.
        """
        pairs = []
        if self.align in ('x', 'both'):
            pairs.append(_units(aligned.x_image, aligned.x_location))
        if self.align in ('z', 'both'):
            raw = aligned.z_image, aligned.z_location
            pairs.append(_units(*raw) if self.basis.unit else raw)
        return pairs

    def similarity(self, aligned: AlignedEmbeddings) -> Tensor:
        """Compare each image with each location.

        The similarity in concept space is a sum over concepts, so explanations of it
        are exact.

        Args:
            aligned: ``N`` images and ``M`` locations.

        Returns:
            Similarities of shape ``(N, M)``, averaged over the spaces that are aligned.
        """
        pairs = self.pairs(aligned)
        return torch.stack([image @ place.T for image, place in pairs]).mean(dim=0)


def _units(image: Tensor, location: Tensor) -> tuple[Tensor, Tensor]:
    return F.normalize(image, dim=1), F.normalize(location, dim=1)
