# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Makes small pictures of the Earth in packages of npm and Debian."""

import io
import runpy
import tarfile
from pathlib import Path
from typing import Any

from pictures import PackagedPicture
from pictures.packaged import PACKAGED_PICTURES

SMALL = runpy.run_path(str(Path(__file__).parents[3] / 'data/bluemarble/data.py'))
SHAPE = SMALL['SHAPE']


def create(root: Path) -> tuple[PackagedPicture, ...]:
    """Write the pictures and the packages.

    Args:
        root: Folder to write to.

    Returns:
        The real pictures, which have other sizes and checksums.
    """
    root.mkdir(parents=True, exist_ok=True)
    packages: dict[str, dict[str, bytes]] = {}
    for seed, picture in enumerate(PACKAGED_PICTURES):
        content = SMALL['jpeg'](seed)
        (root / Path(picture.file).name).write_bytes(content)
        files = packages.setdefault(picture.url.rpartition('/')[2], {})
        files[picture.file] = content
    for name, files in packages.items():
        make = _debian_package if name.endswith('.deb') else _npm_package
        (root / name).write_bytes(make(files))
    return PACKAGED_PICTURES


def _tar(files: dict[str, bytes], mode: Any) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def _npm_package(files: dict[str, bytes]) -> bytes:
    return _tar({'package/package.json': b'{}', **files}, 'w:gz')


def _debian_package(files: dict[str, bytes]) -> bytes:
    data = _tar({f'./{name}': content for name, content in files.items()}, 'w:xz')
    # A size that is odd, so that a byte is skipped.
    parts = {'debian-binary': b'2.0\n', 'control.tar.xz': b'odd', 'data.tar.xz': data}
    package = b'!<arch>\n'
    for name, content in parts.items():
        header = f'{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n'
        package += header.encode() + content + b'\n' * (len(content) % 2)
    return package


if __name__ == '__main__':
    create(Path(__file__).parent)
