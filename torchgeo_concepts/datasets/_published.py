# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Shared code of published datasets."""

import os
import pathlib
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import pandas as pd
from torchgeo.datasets import DatasetNotFoundError
from torchgeo.datasets.utils import Path, Sample, download_url, extract_archive

from ..io.images import is_image
from ..utils.names import check_known
from ._samples import OnError
from .image_points import ImagePoints


def find_file(
    dataset: Any,
    names: Sequence[str],
    urls: Mapping[str, str],
    sha256: str | None = None,
) -> pathlib.Path:
    """Find a file of a dataset, or download it.

    Args:
        dataset: The dataset, with the attributes *root* and *download*.
        names: Possible names of the file, in order of preference.
        urls: URLs by name.
        sha256: Checksum of the file, if known.

    Returns:
        The path.

    Raises:
        DatasetNotFoundError: If it is neither found nor downloaded.
    """
    for name in names:
        if (dataset.root / name).is_file():
            return pathlib.Path(dataset.root / name)
    for name in names:
        if dataset.download and name in urls:
            checks = {} if sha256 is None else {'sha256': sha256}
            download_url(urls[name], dataset.root, filename=name, **checks)
            return pathlib.Path(dataset.root / name)
    raise DatasetNotFoundError(dataset)


def check_columns(path: Path, table: pd.DataFrame, columns: Iterable[str]) -> None:
    """Validate that a table has the given columns.

    Args:
        path: Path of the table, for the error.
        table: The table.
        columns: Names of the columns.

    Raises:
        ValueError: If one is missing.
    """
    for column in columns:
        check_known(f'{path} has no column', column, map(str, table.columns))


class PublishedImages(ImagePoints):
    """Images and a table, found by their usual names.

    Attributes:
        metadata: Possible names of the table, in order of preference.
        folders: Possible names of the folder of images. If none exists, *root* is used
            if it has images.
        archives: Possible names of the archive, which is extracted to the first of
            *folders* if no images are found.
        urls: URLs of tables and archives, by name.
    """

    metadata: tuple[str, ...]
    folders: tuple[str, ...]
    archives: ClassVar[tuple[str, ...]] = ()
    urls: ClassVar[dict[str, str]] = {}
    _on_error: ClassVar[OnError] = 'raise'

    def __init__(
        self,
        root: Path = 'data',
        *,
        transforms: Callable[[Sample], Sample] | None = None,
        download: bool = False,
        on_error: OnError | None = None,
    ) -> None:
        """Initialize a new dataset instance.

        Args:
            root: Folder with the table and the folder or the archive of images.
            transforms: Function that takes a sample and returns a changed one.
            download: Download missing files into *root* if they have a direct link.
            on_error: As in :class:`ImagePoints`. By default, ``'skip'`` for
                :class:`MP16`, many of whose images are no longer available, and
                ``'raise'`` for the others.

        Raises:
            DatasetNotFoundError: If the table or the images are neither found nor
                downloaded.
            FileNotFoundError: If all images are missing, or some are and *on_error* is
                ``'raise'``.
        """
        self.root = pathlib.Path(root)
        self.download = download
        table = self._find_table()
        options: dict[str, Any] = {'table': table, **self._options(table)}
        super().__init__(
            self._find_images(),
            transforms=transforms,
            on_error=on_error or self._on_error,
            **options,
        )
        self.root = pathlib.Path(root)

    def _find_table(self) -> pathlib.Path:
        return find_file(self, self.metadata, self.urls)

    def _find_images(self) -> pathlib.Path:
        for name in self.folders:
            if (self.root / name).is_dir():
                return self._inner(self.root / name)
        if self._are_images_in_root():
            return self.root
        return self._extract(find_file(self, self.archives, self.urls))

    def _inner(self, folder: pathlib.Path) -> pathlib.Path:
        """Return the folder inside an extracted archive, if there is one."""
        inner = (folder / name for name in self.folders if (folder / name).is_dir())
        return next(inner, folder)

    def _are_images_in_root(self) -> bool:
        if not self.root.is_dir():
            return False
        with os.scandir(self.root) as entries:
            return any(
                bool(re.fullmatch('[0-9a-f]{2}', entry.name))
                if entry.is_dir()
                else is_image(entry.name)
                for entry in entries
            )

    def _extract(self, archive: pathlib.Path) -> pathlib.Path:
        folder = self.root / self.folders[0]
        # An interrupted extraction must not look complete.
        temporary = folder.with_name(f'.{folder.name}.partial')
        shutil.rmtree(temporary, ignore_errors=True)
        extract_archive(archive, temporary)
        temporary.rename(folder)
        return self._inner(folder)

    def _options(self, table: pathlib.Path) -> dict[str, Any]:
        """Return arguments of :class:`ImagePoints` for an unusual table."""
        return {}
