# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Selection of the device to compute on."""

from typing import Literal

import torch

Device = Literal['auto', 'cpu', 'cuda']


def find_device(device: Device) -> torch.device:
    """Return the device with the given name.

    Args:
        device: Name of the device. ``'auto'`` selects a GPU if there is one.

    Returns:
        The device.

    Raises:
        ValueError: If *device* is ``'cuda'`` and there is no GPU.
    """
    has_gpu = torch.cuda.is_available()
    if device == 'cuda' and not has_gpu:
        raise ValueError(
            "device='cuda' needs a GPU, but PyTorch finds none. Use device='cpu'."
        )
    if device == 'auto':
        device = 'cuda' if has_gpu else 'cpu'
    return torch.device(device)
