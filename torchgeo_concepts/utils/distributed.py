# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Communication between the processes of data-parallel training."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


class _Gather(torch.autograd.Function):
    """All-gather whose gradient is the sum of the gradients of all processes."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        tensor = tensor.contiguous()
        parts = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, tensor)
        ctx.num_rows = len(tensor)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        gradient = gradients[0].contiguous()
        # The gloo backend has no reduce-scatter.
        dist.all_reduce(gradient)
        start = dist.get_rank() * ctx.num_rows
        return gradient[start : start + ctx.num_rows]


def _is_parallel() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def global_rank() -> int:
    """Return the rank of this process, 0 without data parallelism."""
    return dist.get_rank() if _is_parallel() else 0


def gather(tensor: Tensor) -> Tensor:
    """Concatenate the tensors of all processes, which must have the same shape.

    The result is differentiable. Without data parallelism, it is the tensor itself.

    Args:
        tensor: Tensor of shape ``(N, ...)``.

    Returns:
        Tensor of shape ``(world_size * N, ...)``, in the order of the processes.
    """
    if not _is_parallel():
        return tensor
    gathered: Tensor = _Gather.apply(tensor)
    return gathered


def gather_objects[T](value: T) -> list[T]:
    """Collect the values of all processes, which may differ in size.

    Args:
        value: Any object, on the CPU.

    Returns:
        The values, in the order of the processes.
    """
    if not _is_parallel():
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values
