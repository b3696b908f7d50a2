# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Pictures of the whole Earth by day."""

import pathlib
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray
from torchgeo.datasets import DatasetNotFoundError
from torchgeo.datasets.utils import Path, check_integrity

from ..layers.base import Source
from ..layers.imagery import BLUE_MARBLE
from ..layers.rasters import read_raster
from ..utils.names import check_known


@dataclass(frozen=True, kw_only=True)
class EarthPicture:
    """Equirectangular picture of the whole Earth, in a folder or in a package on PyPI.

    Attributes:
        name: Key in :data:`EARTH_PICTURES`.
        file: Name of the picture, or its path inside the package that has it.
        shape: Shape ``(3, H, W)``.
        md5: Checksum of the picture.
        source: Package on PyPI that has the picture.
    """

    name: str
    file: str
    shape: tuple[int, int, int]
    md5: str
    source: Source | None = field(default=None, repr=False)

    def find(self, root: Path = 'data', *, download: bool = False) -> pathlib.Path:
        """Find the picture, and check its MD5.

        Args:
            root: Folder of pictures that are in no installed package.
            download: Download the picture if it is not found.

        Returns:
            Path of the picture.

        Raises:
            DatasetNotFoundError: If it is neither found nor downloaded.
            ImportError: If the package that has it is not installed.
            RuntimeError: If its MD5 differs.
        """
        path = self.locate(root, download)
        if not check_integrity(path, self.md5):
            raise RuntimeError(
                f'{path} is not the picture {self.name!r}: its MD5 differs. '
                f'{self.remedy}'
            )
        return path

    def locate(self, root: Path, download: bool) -> pathlib.Path:
        """Return the path of the picture. Subclasses may download it."""
        if self.source is not None:
            return self.source.paths()[0]
        path = pathlib.Path(root) / pathlib.PurePosixPath(self.file).name
        if not path.is_file():
            raise DatasetNotFoundError(SimpleNamespace(root=path.parent))
        return path

    @property
    def remedy(self) -> str:
        """Advice for a picture that is damaged."""
        if self.source is not None:
            return f'Reinstall {self.source.distribution}.'
        return 'Replace it with another copy.'

    def read(self, root: Path = 'data', *, download: bool = False) -> NDArray[np.uint8]:
        """Read the picture.

        Args:
            root: Folder of pictures that are in no installed package.
            download: Download the picture if it is not found.

        Returns:
            Red, green and blue in 0..255, of shape ``(3, H, W)``, north and west first.

        Raises:
            ValueError: If it cannot be read.
        """
        path = self.find(root, download=download)
        picture: NDArray[np.uint8] = read_raster(path, self.shape, self.remedy)
        return picture


#: Pictures by name. Add others to use them by name.
#:
#: ``'blue-marble'`` is Blue Marble Next Generation, according to basemap; no month is
#: stated. Cite Stöckli et al. (2005), The Blue Marble Next Generation, NASA Earth
#: Observatory. The package states MIT for all files not from GSHHG. NASA is known to share
#: Blue Marble freely with credit; this could not be verified offline.
EARTH_PICTURES = {
    'blue-marble': EarthPicture(
        name='blue-marble',
        file=BLUE_MARBLE.files[0],
        shape=(3, 2700, 5400),
        md5='37a5ea851447c779dc60bcfe543b1063',
        source=BLUE_MARBLE,
    )
}


def earth_picture(name: str) -> EarthPicture:
    """Look up a picture by its name in :data:`EARTH_PICTURES`.

    Raises:
        ValueError: If there is no picture of that name.
    """
    check_known('No picture', name, EARTH_PICTURES)
    return EARTH_PICTURES[name]
