# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""The YFCC4k test set."""

import csv
import pathlib
from typing import Any, ClassVar

import pandas as pd

from ._published import PublishedImages

# Columns of info.txt, which has no header.
INFO_COLUMNS = {1: 'IMG_ID', 12: 'LON', 13: 'LAT'}


class YFCC4k(PublishedImages):
    """YFCC4k test set.

    Photos from Flickr, drawn at random from YFCC100M.

    Dataset features:

    * 4,536 images with coordinates

    Dataset format:

    * images are JPEG files in ``images``, ``yfcc4k``, ``yfcc4k_rgb_images`` or *root*
      itself, named by the number of the photo at Flickr
    * ``info.txt`` has columns separated by tabs and no header: column 1, counted from
      0, is the number of the photo, 12 its longitude and 13 its latitude
    * without it, ``yfcc4k_places365.csv`` is read, with the columns ``IMG_ID``, ``LAT``
      and ``LON``

    ``info.txt`` is in https://www.mediafire.com/file/3og8y3o6c9de3ye/yfcc4k.zip, which
    has no direct link. Its columns come from ``data/data.py`` of
    https://github.com/gastruc/osv5m. TransLocator's archive of images, which has no
    coordinates, is downloaded on request. Neither source states checksums, so none is
    verified.

    If you use this dataset in your research, please cite the following paper:

    * https://doi.org/10.1109/ICCV.2017.286
    """

    metadata = (
        'info.txt',
        'yfcc4k/info.txt',
        'yfcc4k_places365.csv',
        'yfcc4k/yfcc4k_places365.csv',
    )
    folders = ('yfcc4k', 'yfcc4k_rgb_images', 'images')
    archives = ('yfcc4k.zip', 'yfcc4k_rgb_images.tar.gz')
    urls: ClassVar[dict[str, str]] = {
        'yfcc4k_rgb_images.tar.gz': 'http://www.cis.jhu.edu/~shraman/TransLocator/'
        'Datasets/yfcc4k_rgb_images.tar.gz'
    }

    def _find_table(self) -> pathlib.Path:
        # The archive has the table next to the images.
        archive = self.root / self.archives[0]
        if archive.is_file() and not (self.root / self.folders[0]).is_dir():
            self._extract(archive)
        return super()._find_table()

    def _options(self, table: pathlib.Path) -> dict[str, Any]:
        if table.suffix != '.txt':
            return {}
        try:
            frame = pd.read_csv(
                table,
                sep='\t',
                header=None,
                usecols=list(INFO_COLUMNS),
                dtype={1: str},
                quoting=csv.QUOTE_NONE,
            ).rename(columns=INFO_COLUMNS)
        except ValueError as error:
            raise ValueError(
                f'Cannot read {table} as 14 or more columns separated by tabs: {error}'
            ) from error
        frame['IMG_ID'] += '.jpg'
        frame.attrs['source'] = str(table)
        return {'table': frame}
