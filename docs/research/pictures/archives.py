# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Single files out of packages of npm and Debian."""

import os
import shutil
import tarfile
from pathlib import Path
from typing import BinaryIO

from torchgeo_concepts.utils.files import atomic_path

# What an archive of ar begins with, and the size of the header of each of its files.
_AR, _HEADER = b'!<arch>\n', 60


def extract_file(archive: Path, name: str, target: Path) -> None:
    """Copy a file out of an archive.

    Args:
        archive: A tar file, compressed or not, or a Debian package.
        name: Name of the file inside it.
        target: The file to write, whole or not at all.

    Raises:
        ValueError: If the archive cannot be read, or has no such file.
    """
    try:
        with archive.open('rb') as stream:
            _skip_to_tar(archive, stream)
            with (
                tarfile.open(fileobj=stream, mode='r|*') as tar,
                atomic_path(target) as temporary,
                temporary.open('wb') as out,
            ):
                for member in tar:
                    # Debian's names begin with a dot.
                    if member.name.removeprefix('./') != name:
                        continue
                    if source := tar.extractfile(member):
                        shutil.copyfileobj(source, out)
                        return
                raise ValueError(f'{archive} has no file {name!r}.')
    except (tarfile.TarError, EOFError) as error:
        raise ValueError(f'{archive} cannot be read: {error}.') from error


def _skip_to_tar(archive: Path, stream: BinaryIO) -> None:
    """Go to where the tar file begins, which in a Debian package is among others."""
    if stream.read(len(_AR)) != _AR:
        stream.seek(0)
        return
    while len(header := stream.read(_HEADER)) == _HEADER:
        if header.startswith(b'data.tar'):
            return
        size = int(header[48:58])
        # Files begin at even bytes.
        stream.seek(size + size % 2, os.SEEK_CUR)
    raise ValueError(f'{archive} has no data.')
