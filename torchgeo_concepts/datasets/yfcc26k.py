# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""The YFCC26k test set."""

from typing import ClassVar

from ..io.file_names import with_underscores
from ._published import PublishedImages

RELEASE = 'https://github.com/TIBHannover/GeoEstimation/releases/download/pytorch'


class YFCC26k(PublishedImages):
    """YFCC26k test set, also known as YFCC25600.

    Photos from Flickr, drawn from the test set of the MediaEval Placing Task 2016.

    Dataset features:

    * 25,600 images with coordinates

    Dataset format:

    * images are JPEG files in ``yfcc25600``, ``images`` or *root* itself, with names
      such as ``00_4c_2283161368.jpg``, or in folders such as ``00/4c``
    * ``yfcc25600_places365.csv`` has the columns ``IMG_ID``, ``LAT`` and ``LON``

    The table is downloaded on request from a release of
    https://github.com/TIBHannover/GeoEstimation, from which these facts come. That release
    also has ``yfcc25600_urls.csv`` with the URLs of the images at Flickr, but no archive of
    them. No checksums are stated, so none is verified.

    If you use this dataset in your research, please cite the following paper:

    * https://doi.org/10.1109/WACV51458.2022.00154
    """

    metadata = ('yfcc25600_places365.csv',)
    folders = ('yfcc25600', 'images')
    urls: ClassVar[dict[str, str]] = {
        'yfcc25600_places365.csv': f'{RELEASE}/yfcc25600_places365.csv'
    }
    _match = staticmethod(with_underscores)
