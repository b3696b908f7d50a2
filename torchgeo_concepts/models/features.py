# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Downstream features: the embedding, the concept scores, or both."""

from typing import Literal

import torch
from torch import Tensor, nn

from ..geo.points import check_points
from ..utils.names import check_choice
from .concept_earth import ConceptEarth
from .protocols import GroundedEncoder, check_encoder

FeatureKind = Literal['x', 'z', 'xz']
InputKind = Literal['x', 'z', 'xz', 'coordinates']


def features(encoder: nn.Module, points: Tensor, kind: FeatureKind = 'x') -> Tensor:
    """Compute the features of points for a downstream model.

    Args:
        encoder: A location encoder.
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
        kind: ``'x'`` for the embedding, ``'z'`` for the concept scores, ``'xz'`` for
            both side by side.

    Returns:
        Features of shape ``(N, d)``, ``(N, k)`` or ``(N, d + k)``.

    Raises:
        ValueError: If the kind is unknown, or the encoder has no concept scores.
    """
    check_choice('features', kind, FeatureKind)
    if kind == 'x':
        embedding: Tensor = encoder(points)
        return embedding
    grounded = check_encoder(encoder, GroundedEncoder)
    if kind == 'z':
        return grounded.concepts(points)
    if isinstance(encoder, ConceptEarth):
        # Both outputs share all layers but the last.
        return encoder.with_concepts(points)
    return torch.cat([encoder(points), grounded.concepts(points)], dim=1)


def coordinate_features(points: Tensor) -> Tensor:
    """Compute sines and cosines of the coordinates, the simplest baseline.

    Args:
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.

    Returns:
        Sine and cosine of the longitude, sine and cosine of the latitude, of shape
        ``(N, 4)``.
    """
    lon, lat = torch.deg2rad(check_points(points)).unbind(dim=1)
    return torch.stack((lon.sin(), lon.cos(), lat.sin(), lat.cos()), dim=1)
