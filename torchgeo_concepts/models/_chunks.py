# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Inference in pieces that stay in the cache of a processor."""

from collections.abc import Callable

import torch
from torch import Tensor

# Activations of as many points stay in cache from one layer to the next.
CPU_CHUNK = 512


def in_chunks(
    function: Callable[[Tensor], Tensor], points: Tensor, size: int = CPU_CHUNK
) -> Tensor:
    """Apply a function to points, piece by piece if that is faster.

    Args:
        function: Treats each point by itself.
        points: Points of shape ``(N, 2)``.
        size: Most points in a piece.

    Returns:
        What the function returns for all points.
    """
    if torch.compiler.is_compiling() or torch.is_grad_enabled() or points.is_cuda:
        return function(points)
    return torch.cat([function(chunk) for chunk in torch.split(points, size)])
