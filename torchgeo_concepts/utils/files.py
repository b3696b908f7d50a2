# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Files that exist whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a path to write to that becomes *path* when the block succeeds.

    Args:
        path: The file to create or replace.

    Yields:
        A path in the same folder. Whatever ends the block early, an interrupt
        included, removes it and leaves *path* as it was.
    """
    # What a link leads to is written, and the link stays.
    path = path.resolve()
    temporary = path.with_name(f'.{path.name}.{os.getpid()}.partial')
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """Fail before any work is done if a file cannot be written.

    Args:
        path: The file to create or replace.

    Raises:
        OSError: If there is no such folder, or no permission to write to it, or if
            *path* is a folder itself.
    """
    if path.is_dir():
        raise IsADirectoryError(f'Cannot write {path}: it is a folder.')
    if not path.parent.is_dir():
        raise FileNotFoundError(f'Cannot write {path}: no folder {path.parent}.')
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(f'Cannot write {path}: {path.parent} is read-only.')
