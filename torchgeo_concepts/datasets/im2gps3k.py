# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""The Im2GPS3k test set."""

import pathlib
import warnings
from typing import ClassVar

import pandas as pd

from ._published import PublishedImages

# Start of the header of the table with swapped names of LAT and LON.
SWAPPED_HEADER = 'IMG_ID,AUTHOR,LON,LAT,S3_Label'


class Im2GPS3k(PublishedImages):
    """Im2GPS3k test set.

    Photos from Flickr, drawn at random from the data of Im2GPS.

    Dataset features:

    * 3,000 images, 2,997 of them with coordinates

    Dataset format:

    * images are JPEG files in ``im2gps3ktest``, ``im2gps3k_rgb_images``, ``im2gps3k``,
      ``images`` or *root* itself
    * ``im2gps3k_places365.csv`` has the columns ``IMG_ID``, ``LAT`` and ``LON``

    The first version of the table, in commit 3487c53 of
    https://github.com/TIBHannover/GeoEstimation, has the names of the columns ``LAT`` and
    ``LON`` swapped. Its first photo is in the Southern Ocean, at latitude -64.8 and
    longitude 32.3. In the corrected table of commit 5e091c0, the photo is in Bermuda.
    The dataset recognises this version by its header, swaps the columns and warns.

    The table of the branch ``original_tf`` of that repository and the archive of images
    that TransLocator's authors publish are downloaded on request. The archive
    http://www.mediafire.com/file/7ht7sn78q27o9we/im2gps3ktest.zip has no direct link. No
    source states checksums, so none is verified.

    If you use this dataset in your research, please cite the following paper:

    * https://doi.org/10.1109/ICCV.2017.286
    """

    metadata = ('im2gps3k_places365.csv',)
    folders = ('im2gps3ktest', 'im2gps3k_rgb_images', 'im2gps3k', 'images')
    archives = ('im2gps3ktest.zip', 'im2gps3k_rgb_images.tar.gz')
    urls: ClassVar[dict[str, str]] = {
        'im2gps3k_places365.csv': 'https://raw.githubusercontent.com/TIBHannover/'
        'GeoEstimation/original_tf/meta/im2gps3k_places365.csv',
        'im2gps3k_rgb_images.tar.gz': 'http://www.cis.jhu.edu/~shraman/TransLocator/'
        'Datasets/im2gps3k_rgb_images.tar.gz',
    }

    def _options(self, table: pathlib.Path) -> dict[str, str]:
        with table.open(encoding='utf-8-sig') as file:
            header = file.readline()
        if not header.startswith(SWAPPED_HEADER):
            return {}
        # A table with this header may have the right names.
        if pd.read_csv(table, usecols=['LAT'])['LAT'].abs().max() <= 90:
            return {}
        warnings.warn(
            f'{table} has the names of its columns LAT and LON swapped. They are swapped '
            'back. Replace the table with the corrected version.',
            stacklevel=4,
        )
        return {'lon': 'LAT', 'lat': 'LON'}
