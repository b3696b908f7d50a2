# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Atomic writing of files."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path whose file replaces *path* when the block succeeds.

    Args:
        path: The file to create or replace.

    Yields:
        A path in the same folder. If the block fails or is interrupted, the temporary
        file is removed and *path* does not change.
    """
    # Replace the target of a symbolic link, not the link.
    path = path.resolve()
    temporary = path.with_name(f'.{path.name}.{os.getpid()}.partial')
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """Check that a file can be written, so that a long run does not fail at its end.

    Args:
        path: The file to create or replace.

    Raises:
        OSError: If the folder does not exist or is not writable, or if *path* is a
            folder.
    """
    if path.is_dir():
        raise IsADirectoryError(f'Cannot write {path}: it is a folder.')
    if not path.parent.is_dir():
        raise FileNotFoundError(f'Cannot write {path}: no folder {path.parent}.')
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(f'Cannot write {path}: {path.parent} is read-only.')
