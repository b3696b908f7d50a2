# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""The Im2GPS test set."""

from typing import ClassVar

from ..io.file_names import by_suffix
from ._published import PublishedImages


class Im2GPS(PublishedImages):
    """Im2GPS test set.

    Photos from Flickr, chosen by the authors from the data of Im2GPS.

    Dataset features:

    * 237 images with coordinates

    Dataset format:

    * images are JPEG files in ``gps_query_imgs``, ``im2gps``, ``images`` or *root*
      itself
    * ``im2gps_places365.csv`` has the columns ``IMG_ID``, ``LAT`` and ``LON``
    * files may have a place and a number before the name in ``IMG_ID``, as in
      ``Ankara_00003_601190107_9f05b2251e_1292_8504005@N07.jpg``; a name without an
      exact match is matched with the only file whose name ends with it

    The archive of images comes from http://graphics.cs.cmu.edu/projects/im2gps, the table
    from the branch ``original_tf`` of https://github.com/TIBHannover/GeoEstimation. Both
    are downloaded on request. Columns and names come from that table. Neither source
    states checksums, so none is verified.

    If you use this dataset in your research, please cite the following paper:

    * https://doi.org/10.1109/CVPR.2008.4587784
    """

    metadata = ('im2gps_places365.csv',)
    folders = ('gps_query_imgs', 'im2gps', 'images')
    archives = ('gps_query_imgs.zip',)
    urls: ClassVar[dict[str, str]] = {
        'im2gps_places365.csv': 'https://raw.githubusercontent.com/TIBHannover/'
        'GeoEstimation/original_tf/meta/im2gps_places365.csv',
        'gps_query_imgs.zip': 'http://graphics.cs.cmu.edu/projects/im2gps/'
        'gps_query_imgs.zip',
    }
    _match = staticmethod(by_suffix)
