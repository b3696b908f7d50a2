# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Frequencies that keep their precision."""

from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn


class Frequencies(nn.Module):
    """Module whose frequencies stay in float32 or better when a model is converted.

    Phases reach thousands of radians. Types below float32 are too coarse for them.
    """

    frequencies: Tensor

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        exact = self.frequencies
        nn.Module._apply(self, fn, recurse)
        converted = self.frequencies
        dtype = torch.promote_types(converted.dtype, torch.float32)
        self.frequencies = exact.to(converted.device, dtype)
        return self
