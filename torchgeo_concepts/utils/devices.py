# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Where to compute, by the name that a user gives it."""

from typing import Literal

import torch

Device = Literal['auto', 'cpu', 'cuda']


def find_device(device: Device) -> torch.device:
    """Find a device.

    Args:
        device: ``'auto'`` takes a GPU if there is one.

    Returns:
        The device.

    Raises:
        ValueError: If a GPU is asked for and there is none.
    """
    has_gpu = torch.cuda.is_available()
    if device == 'cuda' and not has_gpu:
        raise ValueError("device='cuda' needs a GPU, and torch finds none.")
    if device == 'auto':
        device = 'cuda' if has_gpu else 'cpu'
    return torch.device(device)
