# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Protocols of the encoders that this package accepts."""

from typing import Protocol, runtime_checkable

from torch import Tensor

from ..concepts.bank import ConceptBank


@runtime_checkable
class LocationEncoder(Protocol):
    """Encoder of points: any ``nn.Module`` whose ``forward`` takes points.

    All functions of this package that need only the embedding *x* accept it.
    """

    def __call__(self, points: Tensor) -> Tensor:
        """Embed points.

        Args:
            points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.

        Returns:
            Embeddings of shape ``(N, d)``.
        """


@runtime_checkable
class ConceptEncoder(LocationEncoder, Protocol):
    """Location encoder with named concepts and a projection onto them."""

    @property
    def bank(self) -> ConceptBank:
        """The concepts, in the order of the projections."""

    def project(self, points: Tensor) -> Tensor:
        """Project the embeddings of points onto the concepts.

        Args:
            points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.

        Returns:
            Projections of shape ``(N, k)``, in the order of the bank.
        """


@runtime_checkable
class GroundedEncoder(LocationEncoder, Protocol):
    """Location encoder that scores named concepts."""

    @property
    def bank(self) -> ConceptBank:
        """The concepts, in the order of the scores."""

    def concepts(self, points: Tensor, calibrated: bool = False) -> Tensor:
        """Score the concepts at points.

        Args:
            points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
            calibrated: Return probabilities of classes, and quantities in their units,
                instead of standardised scores.

        Returns:
            Scores of shape ``(N, k)``, in the order of the bank.
        """


MISSING: dict[type, str] = {
    ConceptEncoder: 'has no projection onto named concepts (project and bank); use '
    'ConceptEarth or ConceptGeoCLIP.',
    GroundedEncoder: 'has no concept scores (concepts and bank); use '
    "features='x', or a grounded encoder such as concept_earth.",
}


def check_encoder[Encoder: LocationEncoder](
    encoder: object, protocol: type[Encoder]
) -> Encoder:
    """Check that an encoder has all methods and attributes of a protocol.

    Args:
        encoder: The encoder.
        protocol: :class:`ConceptEncoder` or :class:`GroundedEncoder`.

    Returns:
        The encoder itself.

    Raises:
        ValueError: If the encoder lacks a method or attribute of the protocol.
    """
    if not isinstance(encoder, protocol):
        raise ValueError(f'{type(encoder).__name__} {MISSING[protocol]}')
    return encoder
