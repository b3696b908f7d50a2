# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Makes small pictures of the Earth, in a package of npm and one of Debian."""

import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

from torchgeo_concepts.datasets import EARTH_PICTURES

SHAPE = (3, 64, 128)


def create(root: Path) -> None:
    """Write the pictures and the packages.

    Args:
        root: Folder to write to.
    """
    root.mkdir(parents=True, exist_ok=True)
    packages: dict[str, dict[str, bytes]] = {}
    for number, picture in enumerate(EARTH_PICTURES.values()):
        if picture.url:
            jpeg = _picture(number)
            (root / Path(picture.file).name).write_bytes(jpeg)
            files = packages.setdefault(picture.url.rpartition('/')[2], {})
            files[picture.file] = jpeg
    for name, files in packages.items():
        make = _debian_package if name.endswith('.deb') else _npm_package
        (root / name).write_bytes(make(files))


def _picture(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 16, 3), np.uint8)
    image = Image.fromarray(pixels).resize((SHAPE[2], SHAPE[1]))
    stream = io.BytesIO()
    image.save(stream, 'jpeg', quality=95)
    return stream.getvalue()


def _tar(files: dict[str, bytes], mode: str) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as tar:  # type: ignore[call-overload]
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
