# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Photos and the points where they were taken."""

import copy
import hashlib
import pathlib
import warnings
from collections.abc import Callable, Sequence
from multiprocessing.pool import ThreadPool
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torchgeo.datasets import NonGeoDataset
from torchgeo.datasets.utils import Path, Sample
from tqdm import tqdm

from ..io.columns import Columns
from ..io.exif import read_exif_point
from ..io.file_names import exact, list_images
from ..io.image_tables import ImageTable, read_image_table
from ..io.images import IMAGE_ERRORS, UnreadableImageError, read_image
from ..utils.names import check_choice
from ._samples import (
    OnError,
    Table,
    find_index,
    no_point_error,
    plot_image,
    read_classes,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class ImagePoints(NonGeoDataset):
    """A folder of geotagged photos, or any table of images and coordinates.

    Samples have an ``'image'`` of shape ``(3, H, W)``, RGB in 0..255 and upright, and a
    ``'point'``, ``(longitude, latitude)`` in degrees.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> import pandas as pd
        >>> rows = pd.DataFrame({'image': ['a.png'], 'lon': [2.35], 'lat': [48.86]})
        >>> with TemporaryDirectory() as folder:
        ...     Image.new('RGB', (4, 3)).save(f'{folder}/a.png')
        ...     rows.to_csv(f'{folder}/photos.csv')
        ...     dataset = ImagePoints(folder, f'{folder}/photos.csv')
        ...     dataset[0]['image'].shape
        torch.Size([3, 3, 4])

    Without a table, points come from the Exif data of the images.

    Attributes:
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
        labels: Indices of the classes of shape ``(N,)``, -1 where missing. None without
            a *label* column.
        classes: Names of the classes, by index.
    """

    _match = staticmethod(exact)

    def __init__(
        self,
        root: Path = 'data',
        table: Table | None = None,
        *,
        image_column: str | None = None,
        lon: str | None = None,
        lat: str | None = None,
        require_points: bool = True,
        label: str | None = None,
        classes: Sequence[str | int] | None = None,
        transforms: Callable[[Sample], Sample] | None = None,
        on_error: OnError = 'raise',
    ) -> None:
        """Initialize a new ImagePoints instance.

        Args:
            root: Folder of the images, in any subfolders.
            table: Names of images relative to *root*, and their coordinates: a CSV,
                Parquet, GeoParquet, GeoPackage, GeoJSON, Shapefile or FlatGeobuf file,
                or a data frame. Without it, all JPEG, PNG, TIFF and WebP files in *root*
                are used, with the positions in their Exif data.
            image_column: Name of the column of file names. By default, it is found by
                its usual names.
            lon: Name of the column of longitudes. By default, it is found.
            lat: Name of the column of latitudes. By default, it is found.
            require_points: If false, keep images without a point, with NaN as point,
                to predict where they were taken.
            label: Name of the column of classes, such as species. Samples then have the
                index of the class as ``'label'``, -1 if missing.
            classes: Names of the classes in their order. By default, the sorted values
                of the column.
            transforms: Function that takes a sample and returns a changed one.
            on_error: ``'raise'`` for an error if an image is missing, has no point or
                cannot be read. ``'skip'`` leaves out images that are missing or have no
                point, warns with their number, and replaces an unreadable image with
                the next one.

        Raises:
            FileNotFoundError: If there is no such folder or table, if there are no
                images, or if some are missing and *on_error* is ``'raise'``.
            ValueError: If the table lacks a column or has an unknown class, or if images
                have no point and *on_error* is ``'raise'``.
        """
        check_choice('on_error', on_error, OnError)
        self.root = self.folder = pathlib.Path(root)
        self.transforms = transforms
        self.on_error = on_error
        self.require_points = require_points
        self._unreadable: set[int] = set()
        if label is not None and table is None:
            raise ValueError('label needs a table. Pass table.')
        if not self.root.is_dir():
            raise FileNotFoundError(f'No folder {self.root}.')
        if table is None:
            rows = self._read_exif()
        else:
            table = table if isinstance(table, pd.DataFrame) else pathlib.Path(table)
            rows = read_image_table(table, image_column, lon, lat, label)
        self.classes: tuple[str, ...] = ()
        self.labels: Tensor | None = None
        if rows.labels is not None and label is not None:
            columns = Columns(rows.source, rows.points, {})
            self.classes, self.labels = read_classes(
                columns, label, rows.labels, classes
            )
        self._keep(rows, self._match(self.folder, rows.names))

    def _read_exif(self) -> ImageTable:
        names = list_images(self.folder)
        if not len(names):
            raise FileNotFoundError(f'No images in {self.folder}.')
        points = np.full((len(names), 2), np.nan, np.float32)
        problems = {}
        for row, name in enumerate(names.to_pylist()):
            path = self.folder / name
            try:
                with Image.open(path) as image:
                    point = read_exif_point(image)
                if point is None:
                    problems[row] = f'{path.name} has no position in its Exif data'
                else:
                    points[row] = point
            except IMAGE_ERRORS as error:
                problems[row] = f'{path.name} has no position: {error}'
        return ImageTable(str(self.folder), names, points, problems)

    def _keep(self, rows: ImageTable, files: Any) -> None:
        """Choose the rows of the dataset."""
        found = files.is_valid().to_numpy(zero_copy_only=False)
        valid = np.ones(len(found), bool)
        if self.require_points:
            valid[list(rows.problems)] = False
        kept, num_missing = valid & found, int((valid & ~found).sum())
        if self.on_error == 'raise':
            if self.require_points and rows.problems:
                advice = " Leave such images out with on_error='skip'."
                raise no_point_error(rows.source, rows.problems, advice)
            if num_missing:
                first = rows.names.filter(~found)[:3].to_pylist()
                raise FileNotFoundError(
                    f'{rows.source}: {(~found).sum()} of {len(found)} images are not in '
                    f'{self.folder}, such as {", ".join(first)}. Leave them out with '
                    "on_error='skip'."
                )
        problem = f'{num_missing} are not in {self.folder}, {len(rows.problems)} have no point.'
        if not kept.any():
            raise FileNotFoundError(
                f'{rows.source}: none of {len(kept)} images can be used; {problem}'
            )
        if not kept.all():
            warnings.warn(
                f'{rows.source}: left out {len(kept) - kept.sum()} of {len(kept)} '
                f'images; {problem}',
                stacklevel=3,
            )
        self._names, self.points = files, torch.from_numpy(rows.points)
        self._take(kept)

    def _take(self, rows: NDArray[np.bool_]) -> None:
        self._names = self._names.filter(rows)
        self.points = self.points[torch.from_numpy(rows)]
        if self.labels is not None:
            self.labels = self.labels[torch.from_numpy(rows)]

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._names)

    def __getitem__(self, index: int) -> Sample:
        """Return a sample.

        Args:
            index: Number of the image; negative ones count from the end.

        Returns:
            Its ``'image'`` and ``'point'``, and its ``'label'`` if the dataset has
            labels, after the transforms.

        Raises:
            IndexError: If there is no such image.
            UnreadableImageError: If it cannot be read and *on_error* is ``'raise'``, or
                if no image can be read.
        """
        number = find_index(index, len(self), 'image')
        sample = self._next_readable(number) if self.on_error == 'skip' else None
        sample = self.load(number) if sample is None else sample
        return sample if self.transforms is None else self.transforms(sample)

    def load(self, index: int) -> Sample:
        """Return a sample without transforms, and never a replacement.

        Args:
            index: Number of the image; negative ones count from the end.

        Returns:
            Its ``'image'`` and ``'point'``, and its ``'label'`` if there is one.

        Raises:
            IndexError: If there is no such image.
            UnreadableImageError: If it cannot be read.
        """
        number = find_index(index, len(self), 'image')
        path = self.folder / str(self._names[number])
        image = read_image(path, f'image {number}, {path}')
        sample: Sample = {'image': image, 'point': self.points[number].clone()}
        if self.labels is not None:
            sample['label'] = self.labels[number].clone()
        return sample

    def _next_readable(self, first: int) -> Sample | None:
        for step in range(len(self)):
            number = (first + step) % len(self)
            if number in self._unreadable:
                continue
            try:
                return self.load(number)
            except UnreadableImageError as error:
                self._unreadable.add(number)
                warnings.warn(f'{error}. The next image takes its place.', stacklevel=3)
        return None

    def without_unreadable(self, progress: bool | None = None) -> Self:
        """Leave out unreadable images, so that no replacement counts twice.

        Args:
            progress: Show a progress bar. By default, on a terminal only.

        Returns:
            The dataset of the readable images. A warning gives the number of unreadable
            images.
        """
        disable = None if progress is None else not progress
        with ThreadPool() as pool:
            reads = pool.imap(self._reads, range(len(self)), chunksize=16)
            bar = tqdm(reads, total=len(self), unit='image', disable=disable)
            readable = np.fromiter(bar, bool)
        if not readable.all():
            num_left = int(readable.sum())
            warnings.warn(
                f'Left out {len(self) - num_left} of {len(self)} images in '
                f'{self.folder}, because they cannot be read.',
                stacklevel=2,
            )
        return self.select(readable)

    def select(self, rows: NDArray[np.bool_]) -> Self:
        """Select some of the images.

        Args:
            rows: Mask of shape ``(N,)``.

        Returns:
            The dataset of these images, in the same order.
        """
        chosen = copy.copy(self)
        chosen._unreadable = set()
        chosen._take(rows)
        return chosen

    def _reads(self, number: int) -> bool:
        try:
            self.load(number)
        except UnreadableImageError:
            return False
        return True

    @property
    def files(self) -> list[pathlib.Path]:
        """Paths of the images."""
        return [self.folder / name for name in self._names.to_pylist()]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the points and of the names of the images in their folder."""
        digest = hashlib.sha256()
        for start in range(0, len(self), 65_536):
            names = self._names[start : start + 65_536].to_pylist()
            digest.update('\0'.join([*names, '']).encode())
        digest.update(self.points.numpy().astype('<f4').tobytes())
        return digest.hexdigest()

    def plot(
        self, sample: Sample, show_titles: bool = True, suptitle: str | None = None
    ) -> 'Figure':
        """Plot a sample.

        Args:
            sample: A sample with an image in 0..255, and a ``'prediction'``
                ``(longitude, latitude)`` if there is one.
            show_titles: Show label, point and prediction above the image.
            suptitle: Title of the figure.

        Returns:
            The figure.
        """
        return plot_image(sample, show_titles, suptitle, self.classes)
