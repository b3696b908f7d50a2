# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""OpenStreetView-5M."""

import pathlib
from collections.abc import Callable
from typing import Literal

from torchgeo.datasets.utils import Path, Sample, extract_archive

from ..io.file_names import by_stem
from ..utils.names import check_choice
from ._published import PublishedImages
from ._samples import OnError

REPOSITORY = 'osv5m/osv5m'

OSVSplit = Literal['train', 'test']


class OSV5M(PublishedImages):
    """OpenStreetView-5M dataset.

    Street-level images from Mapillary all over the world, with a test set that is
    spatially separated from the training set.

    Dataset features:

    * 5.1 million images in the splits ``'train'`` and ``'test'``

    Dataset format:

    * images are JPEG files anywhere in ``images/train`` and ``images/test``, such as in
      the folder ``00`` of an archive, with the names in the column ``id``
    * ``train.csv`` (2.9 GB) and ``test.csv`` (116 MB) have the columns ``id``,
      ``latitude`` and ``longitude``, and others that are not read

    It is published under CC-BY-SA 4.0 at https://huggingface.co/datasets/osv5m/osv5m, from
    which these facts come. It is downloaded from there on request and checked by Hugging
    Face's client.

    If you use this dataset in your research, please cite the following paper:

    * https://doi.org/10.48550/arXiv.2404.18873
    """

    _match = staticmethod(by_stem)

    def __init__(
        self,
        root: Path = 'data',
        split: OSVSplit = 'train',
        *,
        transforms: Callable[[Sample], Sample] | None = None,
        download: bool = False,
        on_error: OnError | None = None,
    ) -> None:
        """Initialize a new OSV5M instance.

        Args:
            root: Folder with the tables and the folder ``images``.
            split: ``'train'`` or ``'test'``.
            transforms: Function that takes a sample and returns a changed one.
            download: Download the table and the archives of the split into *root* if
                they are missing, and extract and delete each archive.
            on_error: As in :class:`ImagePoints`.

        Raises:
            DatasetNotFoundError: If the table or the images are neither found nor
                downloaded.
        """
        check_choice('split', split, OSVSplit)
        self.split = split
        self.metadata, self.folders = (f'{split}.csv',), (f'images/{split}',)
        super().__init__(
            root, transforms=transforms, download=download, on_error=on_error
        )

    def _find_table(self) -> pathlib.Path:
        images = self.root / self.folders[0]
        if self.download:
            if not ((self.root / self.metadata[0]).is_file() and images.is_dir()):
                from huggingface_hub import snapshot_download

                snapshot_download(
                    REPOSITORY,
                    repo_type='dataset',
                    local_dir=self.root,
                    allow_patterns=[self.metadata[0], f'{self.folders[0]}/*.zip'],
                )
            # An archive that still exists was not extracted, or not completely.
            for archive in sorted(images.glob('*.zip')):
                extract_archive(archive, images, remove_finished=True)
        return super()._find_table()

    def _options(self, table: pathlib.Path) -> dict[str, str]:
        return {'image_column': 'id'}
