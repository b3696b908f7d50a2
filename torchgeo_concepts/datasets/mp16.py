# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""MP-16, the images that GeoCLIP was trained on."""

import pathlib
from collections.abc import Callable
from typing import ClassVar

from torchgeo.datasets.utils import Path, Sample

from ..io.file_names import with_underscores
from ._published import PublishedImages, find_file
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

    def __init__(
        self,
        root: Path = 'data',
        metadata: str | None = None,
        *,
        transforms: Callable[[Sample], Sample] | None = None,
        download: bool = False,
        on_error: OnError = 'skip',
    ) -> None:
        """Initialize a new MP16 instance.

        Args:
            root: Folder with the table and the folder of images.
            metadata: Name of the table in *root*. By default, the first that exists of
                ``mp16_places365.csv``, ``MP16_Pro_places365.csv`` and
                ``MP16_Pro_filtered.csv``, the latter two also in ``metadata``.
            transforms: Function that takes a sample and returns a changed one.
            download: Download the table if it is missing. Images have no direct link.
            on_error: As in :class:`ImagePoints`. By default, missing images are left
                out, since many are no longer available.

        Raises:
            DatasetNotFoundError: If the table or the images are not found.
        """
        self._metadata = metadata
        super().__init__(
            root, transforms=transforms, download=download, on_error=on_error
        )

    def _find_table(self) -> pathlib.Path:
        names = (self._metadata,) if self._metadata else self.metadata
        return find_file(self, names, self.urls)
