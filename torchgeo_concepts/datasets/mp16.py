# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""MP-16, the images that GeoCLIP was trained on."""

from typing import ClassVar

from ..io.file_names import with_underscores
from ._published import PublishedImages
from ._samples import OnError

RELEASE = 'https://github.com/TIBHannover/GeoEstimation/releases/download/v1.0'


class MP16(PublishedImages):
    """MP-16 dataset.

    The MediaEval Placing Task 2016 subset of YFCC100M: photos from Flickr with the
    coordinates that their authors gave.

    Dataset features:

    * 4,723,695 images in ``mp16_places365.csv``; about 4.12 million in MP16-Pro, since
      many photos are no longer on Flickr

    Dataset format:

    * images are JPEG files in ``mp16``, ``images`` or *root* itself, with the names in
      the column ``IMG_ID`` or ``IMG_FILE``, such as ``63/a3/1234.jpg``, or with
      underscores instead of slashes
    * the table is a CSV file with the columns ``LAT`` and ``LON``

    Where to get it:

    * ``mp16_places365.csv`` is downloaded on request from a release of
      https://github.com/TIBHannover/GeoEstimation, which also lists the URLs of the
      images at Flickr
    * the tar parts ``mp-16-images*`` and ``metadata`` of MP16-Pro are at
      https://huggingface.co/datasets/Jia-py/MP16-Pro; join the parts, extract them, and
      name the folder *mp16*

    Number of images, columns and file names come from these two repositories and from the
    loader of the ``geoclip`` package, which reads ``IMG_FILE``. No checksums are stated,
    so none is verified.

    If you use this dataset in your research, please cite the following paper:

    * https://doi.org/10.1109/MMUL.2017.9
    """

    metadata = (
        'mp16_places365.csv',
        'MP16_Pro_places365.csv',
        'metadata/MP16_Pro_places365.csv',
        'MP16_Pro_filtered.csv',
        'metadata/MP16_Pro_filtered.csv',
    )
    folders = ('mp16', 'mp-16-images', 'images')
    urls: ClassVar[dict[str, str]] = {
        'mp16_places365.csv': f'{RELEASE}/mp16_places365.csv'
    }

    _match = staticmethod(with_underscores)
    _on_error: ClassVar[OnError] = 'skip'
