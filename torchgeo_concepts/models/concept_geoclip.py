# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""GeoCLIP's location encoder with a concept basis."""

import json
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from torch import Tensor

from ..concepts.bank import ConceptBank
from ._weights import DistributionWeights
from .alignment import ConceptBasis
from .concept_model import ConceptModel
from .geoclip import GeoCLIPLocation, GeoCLIPLocation_Weights, geoclip_location


class ConceptGeoCLIP(ConceptModel):
    """Location encoder whose embeddings can be projected onto named concepts.

    If you use this model in your research, please cite the following paper:

    * https://doi.org/10.48550/arXiv.2509.01910
    """

    model_name = 'concept_geoclip'

    def __init__(self, encoder: GeoCLIPLocation, basis: ConceptBasis) -> None:
        """Initialize a new ConceptGeoCLIP instance.

        Args:
            encoder: Encoder that embeds points.
            basis: Basis that projects embeddings.

        Raises:
            ValueError: If the encoder and the basis differ in their number of features.
        """
        super().__init__()
        dim = len(basis.initial)
        if dim != encoder.embed_dim:
            raise ValueError(
                f'The encoder has {encoder.embed_dim} features, but the basis has {dim}.'
            )
        self.encoder = encoder
        self.basis = basis

    @property
    def embed_dim(self) -> int:
        """Number of features of an embedding."""
        return self.encoder.embed_dim

    def forward(self, points: Tensor) -> Tensor:
        """Forward pass.

        Args:
            points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.

        Returns:
            Embeddings of shape ``(N, embed_dim)``, not normalised.
        """
        embedding: Tensor = self.encoder(points)
        return embedding

    def project(self, points: Tensor) -> Tensor:
        """Project points onto the concepts.

        Args:
            points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.

        Returns:
            Projections of shape ``(N, k)``, in the order of the bank.
        """
        projection: Tensor = self.basis(self(points))
        return projection

    def metadata(self) -> dict[str, str]:
        """Return the metadata that :meth:`from_metadata` takes."""
        return {
            **super().metadata(),
            'encoder': json.dumps(self.encoder.config),
            'unit': json.dumps(self.basis.unit),
        }

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> Self:
        """Build a model, without loading its weights.

        Args:
            metadata: Returned by :meth:`metadata`.

        Returns:
            The model.
        """
        encoder = GeoCLIPLocation(**json.loads(metadata['encoder']))
        bank = ConceptBank.from_json(metadata['bank'])
        unit = json.loads(metadata['unit'])
        basis = ConceptBasis.random(bank, encoder.embed_dim, unit)
        basis.source = metadata['basis_source']
        return cls(encoder, basis)


class ConceptGeoCLIP_Weights(DistributionWeights):
    """Weights of the encoder of ConceptGeoCLIP; its basis comes from text."""

    MP16 = replace(
        GeoCLIPLocation_Weights.MP16.value,
        meta={**GeoCLIPLocation_Weights.MP16.meta, 'model': 'concept_geoclip'},
    )

    def _read(self, file: Path) -> Mapping[str, Tensor]:
        state = GeoCLIPLocation_Weights.MP16._read(file)
        return {f'encoder.{key}': value for key, value in state.items()}


def concept_geoclip(
    weights: ConceptGeoCLIP_Weights | str | None = None,
    bank: ConceptBank | None = None,
    text_embeddings: Tensor | None = None,
    *,
    unit: bool = True,
    download: bool = False,
    **kwargs: Any,
) -> ConceptGeoCLIP:
    """Build GeoCLIP's location encoder with a basis of named concepts.

    If you use this model in your research, please cite the following paper:

    * https://doi.org/10.48550/arXiv.2509.01910

    Args:
        weights: Pre-trained weights of the encoder, or their name. If provided, the
            returned model is set to eval mode.
        bank: The concepts. By default, the curated bank.
        text_embeddings: Directions of the concepts, of shape ``(k, embed_dim)`` in the
            order of the bank, such as from
            :func:`~torchgeo_concepts.concepts.text.encode_text`. Without them, the
            basis is random, so names have no meaning, and a warning is issued.
        unit: Project unit vectors onto unit directions. If false, use dot products, as
            in the paper.
        download: Download the weights if they are not on this machine.
        **kwargs: Additional keyword arguments to pass to
            :class:`~torchgeo_concepts.models.GeoCLIPLocation` if *weights* is None.

    Returns:
        A concept-aware location encoder.
    """
    member: ConceptGeoCLIP_Weights | None = ConceptGeoCLIP_Weights.verify(weights)
    own_weights = None if member is None else GeoCLIPLocation_Weights.MP16
    encoder = geoclip_location(own_weights, download=download, **kwargs)
    bank = ConceptBank.default() if bank is None else bank
    if text_embeddings is None:
        warnings.warn(
            'Without text_embeddings the concept basis is random: concept names mean '
            'nothing until the basis is trained.',
            stacklevel=2,
        )
        basis = ConceptBasis.random(bank, encoder.embed_dim, unit)
    else:
        basis = ConceptBasis(bank, text_embeddings, 'text embeddings', unit)
    return ConceptGeoCLIP(encoder, basis).train(member is None)
