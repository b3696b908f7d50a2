# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Downstream inputs: the embedding, the concept scores, or both."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from ..geo.points import check_points

__all__ = ('FeatureKind', 'InputKind', 'coordinate_features', 'features')

FeatureKind = Literal['x', 'z', 'xz']
InputKind = Literal['x', 'z', 'xz', 'coordinates']


def features(encoder: nn.Module, points: Tensor, kind: FeatureKind = 'x') -> Tensor:
    """Compute what downstream models take as input.

    Args:
        encoder: A location encoder.
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
        kind: ``'x'`` for the embedding, ``'z'`` for the concept scores, ``'xz'`` for
            both side by side.

    Returns:
        Features of shape ``(N, d)``, ``(N, k)`` or ``(N, d + k)``.

    Raises:
        ValueError: If concept scores are asked of an encoder that has none.
    """
    if kind not in ('x', 'z', 'xz'):
        raise ValueError(f"features must be 'x', 'z' or 'xz', not {kind!r}.")
    # An encoder may compute once what both are made of.
    methods: dict[str, Callable[[Tensor], Tensor] | None] = {
        'x': encoder,
        'z': getattr(encoder, 'concepts', None),
        'xz': getattr(encoder, 'with_concepts', None),
    }
    if kind != 'x' and methods['z'] is None:
        raise ValueError(
            f'{type(encoder).__name__} has no concept scores, so features={kind!r} '
            "cannot be had of it; use features='x', the embedding."
        )
    if method := methods[kind]:
        return method(points)
    return torch.cat(
        [features(encoder, points, 'x'), features(encoder, points, 'z')], 1
    )


def coordinate_features(points: Tensor) -> Tensor:
    """Compute the plainest features of points, which every encoder should better.

    Args:
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.

    Returns:
        Sine and cosine of the longitude, sine and cosine of the latitude, of shape
        ``(N, 4)``.
    """
    lon, lat = torch.deg2rad(check_points(points)).unbind(dim=1)
    return torch.stack((lon.sin(), lon.cos(), lat.sin(), lat.cos()), dim=1)
