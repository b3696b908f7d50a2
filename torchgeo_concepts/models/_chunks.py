# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Inference in chunks that fit the processor cache."""

from collections.abc import Callable

import torch
from torch import Tensor

# Activations of this many points stay in cache between layers.
CPU_CHUNK = 512


def in_chunks(
    function: Callable[[Tensor], Tensor], points: Tensor, size: int = CPU_CHUNK
) -> Tensor:
    """Apply a function to points, in chunks where that is faster.

    Args:
        function: Function that processes each point independently.
        points: Points of shape ``(N, 2)``.
        size: Maximum number of points in a chunk.

    Returns:
        Outputs of the function for all points.
    """
    if torch.compiler.is_compiling() or torch.is_grad_enabled() or points.is_cuda:
        return function(points)
    return torch.cat([function(chunk) for chunk in torch.split(points, size)])
