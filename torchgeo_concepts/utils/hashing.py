# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Hashes of model weights."""

import hashlib
from collections.abc import Mapping

from torch import Tensor


def hash_state(state: Mapping[str, Tensor], about: str = '') -> str:
    """Compute the SHA-256 of named tensors.

    Args:
        state: Tensors by name, in any order.
        about: Additional text to hash.

    Returns:
        The digest in hexadecimal.
    """
    digest = hashlib.sha256(about.encode())
    for name, value in sorted(state.items()):
        digest.update(f'{name}{tuple(value.shape)}'.encode())
        digest.update(value.float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
