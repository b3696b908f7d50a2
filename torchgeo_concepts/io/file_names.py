# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Find many files by name, listing each folder once.

Names are Arrow strings, because data loader workers would copy Python strings.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from .images import ENDING, is_image


def concat_names(chunks: list[Any]) -> Any:
    """Join zero or more arrays of names."""
    # The type string holds up to 2 GB; five million long names need more.
    empty = pa.array([], pa.large_string())
    return pa.concat_arrays([empty, *(c.cast(pa.large_string()) for c in chunks)])


def list_images(folder: Path) -> Any:
    """List the images in a folder and its subfolders, sorted.

    Args:
        folder: The folder. Hidden files and folders are left out.

    Returns:
        Arrow array of names relative to *folder*.
    """
    chunks = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith('.')]
        relative = Path(parent).relative_to(folder)
        names = [(relative / name).as_posix() for name in files if is_image(name)]
        chunks.append(pa.array(names, pa.large_string()))
    names = concat_names(chunks)
    return names.take(pc.array_sort_indices(names))


def existing(folder: Path, names: Any) -> NDArray[np.bool_]:
    """Check which files exist, without a system call for each file.

    Args:
        folder: Folder that names are relative to.
        names: Arrow array of names, null where missing.

    Returns:
        Boolean array of the same length.
    """
    chunks = []
    parents = pc.unique(pc.replace_substring_regex(names, '[^/]*$', ''))
    for parent in parents.to_pylist():
        try:
            with os.scandir(folder / (parent or '')) as entries:
                files = [entry.name for entry in entries if not entry.is_dir()]
        except (FileNotFoundError, NotADirectoryError):
            continue
        # A table cannot contain names that are not UTF-8.
        paths = [f'{parent}{name}' for name in files if _is_utf8(name)]
        chunks.append(pa.array(paths, pa.large_string()))
    found = pc.is_in(names, concat_names(chunks))
    return np.asarray(found.to_numpy(zero_copy_only=False))


def _is_utf8(name: str) -> bool:
    return name.isascii() or not any('\ud800' <= letter <= '\udfff' for letter in name)


def exact(folder: Path, names: Any) -> Any:
    """Match names with the files of exactly these names.

    Args:
        folder: Folder that names are relative to.
        names: Arrow array of names.

    Returns:
        Arrow array of names of files relative to *folder*, null where there is none.
        The other matching functions return the same.
    """
    return pc.if_else(existing(folder, names), names, None)


def with_underscores(folder: Path, names: Any) -> Any:
    """Match ``63/a3/1.jpg`` with that file, or else with ``63_a3_1.jpg``."""
    flat = pc.replace_substring(names, '/', '_')
    return pc.coalesce(exact(folder, names), exact(folder, flat))


def by_stem(folder: Path, names: Any) -> Any:
    """Match ``1`` or ``1.jpg`` with ``1.jpg`` in any folder below."""
    files = list_images(folder)
    found = pc.index_in(_stems(names), _stems(files))
    return files.take(found)


def _stems(names: Any) -> Any:
    return pc.replace_substring_regex(
        pc.replace_substring_regex(names, '^.*/', ''), ENDING, ''
    )


def by_suffix(folder: Path, names: Any) -> Any:
    """Match ``1.jpg`` with that file, or with the only ``*_1.jpg`` in any folder."""
    files = list_images(folder).to_pylist()
    found = exact(folder, names).to_pylist()
    for row, name in enumerate(names.to_pylist()):
        if found[row] is None and name is not None:
            ends = [file for file in files if file.endswith((f'_{name}', f'/{name}'))]
            found[row] = ends[0] if len(ends) == 1 else None
    return pa.array(found, pa.large_string())
