# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Arrays that are computed once on each machine, and then mapped into memory."""

import hashlib
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..utils.files import atomic_path

# Increase it whenever the computation of a cached array changes.
RECIPE = 1


def cache_folder() -> Path:
    """Return the folder of the cached arrays of layers.

    Returns:
        Folder in the environment variable ``TORCHGEO_CONCEPTS_CACHE``. By default,
        ``~/.cache/torchgeo-concepts/layers``.
    """
    folder = os.environ.get('TORCHGEO_CONCEPTS_CACHE')
    if folder:
        return Path(folder).expanduser()
    return Path.home() / '.cache' / 'torchgeo-concepts' / 'layers'


def cached_array(name: str, key: str, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
    """Map an array into memory. Compute it first if it is not in a file.

    Args:
        name: Name of the array, in words joined by hyphens.
        key: Text that changes whenever the data change, such as their version.
        make: Function that computes the array.

    Returns:
        The array, read-only. It stays in memory if the folder cannot be written.
    """
    digest = hashlib.sha256(f'{RECIPE} {key}'.encode())
    file = cache_folder() / f'{name}-{digest.hexdigest()[:12]}.npy'
    mapped = _mapped(file)
    if mapped is not None:
        return mapped
    array = np.ascontiguousarray(make())
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(file) as temporary, temporary.open('wb') as stream:
            np.save(stream, array, allow_pickle=False)
    except OSError:
        # If the disk is full or read-only, return the array without storing it.
        return array
    mapped = _mapped(file)
    return array if mapped is None else mapped


def _mapped(file: Path) -> NDArray[Any] | None:
    try:
        return _open_map(file, file.stat().st_mtime_ns)
    except (OSError, ValueError, EOFError):
        # Missing or damaged files are computed again.
        return None


@cache
def _open_map(file: Path, _changed: int) -> NDArray[Any]:
    """Map a file once, for all layers that read it."""
    return np.asarray(np.load(file, mmap_mode='r', allow_pickle=False))
