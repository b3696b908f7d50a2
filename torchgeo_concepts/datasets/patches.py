# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Patches of a picture that spans the Earth."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

# Near the poles, a patch with true proportions would go around the Earth.
MIN_COSINE = 0.1


class EarthPatches:
    """North-up patches around points, cut from a picture of the whole Earth.

    Values are interpolated bilinearly, across the antimeridian as well. Beyond a pole,
    the last row is repeated.
    """

    def __init__(self, picture: NDArray[np.uint8]) -> None:
        """Initialize a new EarthPatches instance.

        Args:
            picture: Equirectangular picture of the whole Earth, of shape ``(3, H, W)``,
                north and west first.
        """
        self.height, self.width = picture.shape[1:]
        padded = np.zeros((self.height, self.width, 4), np.uint8)
        padded[..., :3] = np.moveaxis(picture, 0, -1)
        # One number per pixel is gathered three times as fast as three channels.
        self._pixels = torch.from_numpy(padded).view(torch.int32).flatten()

    def __call__(self, points: Tensor, degrees: Tensor, size: int) -> Tensor:
        """Cut patches.

        Args:
            points: Centres of the patches, of shape ``(N, 2)`` as
                ``(longitude, latitude)`` in degrees.
            degrees: Height of each patch in degrees of latitude, of shape ``(N,)``. The
                width in longitude is larger by the factor 1 / cos(latitude), at most
                10, so that shapes keep their proportions.
            size: Number of rows and of columns.

        Returns:
            Patches of shape ``(N, 3, size, size)`` with values in 0..255.
        """
        lon, lat = points.double().unsqueeze(2).unbind(1)
        steps = ((torch.arange(size) + 0.5) / size - 0.5) * degrees[:, None].double()
        cosine = lat.deg2rad().cos().clamp(min=MIN_COSINE)
        x = (lon + steps / cosine + 180) / 360 * self.width - 0.5
        y = (90 - lat + steps) / 180 * self.height - 0.5
        y = y.clamp(0, self.height - 1)
        west, north = x.floor(), y.floor()
        to_east = (x - west).float()[:, None, :, None]
        to_south = (y - north).float()[:, :, None, None]
        left = west.long() % self.width
        right = (left + 1) % self.width
        top = north.long()
        bottom = (top + 1).clamp(max=self.height - 1)
        above, below = (
            torch.lerp(self._gather(row, left), self._gather(row, right), to_east)
            for row in (top, bottom)
        )
        patches = torch.lerp(above, below, to_south)[..., :3]
        return patches.permute(0, 3, 1, 2).contiguous()

    def _gather(self, rows: Tensor, columns: Tensor) -> Tensor:
        where = rows[:, :, None] * self.width + columns[:, None, :]
        pixels = self._pixels[where].unsqueeze(-1)
        return pixels.view(torch.uint8).float()


def area_average(
    picture: NDArray[np.uint8], height: int, width: int
) -> NDArray[np.uint8]:
    """Downsample a picture by area averages.

    Args:
        picture: Picture of shape ``(C, H, W)``.
        height: New number of rows.
        width: New number of columns.

    Returns:
        Picture of shape ``(C, height, width)``.
    """
    rows = _shares(picture.shape[1], height)
    columns = _shares(picture.shape[2], width)
    means = [rows @ channel.astype(np.float32) @ columns.T for channel in picture]
    return np.stack(means).round().astype(np.uint8)


def _shares(before: int, after: int) -> csr_array:
    """Return the weight of each old pixel in each new pixel."""
    edges = np.linspace(0, before, after + 1)[:, None]
    pixel = np.arange(before)
    overlap = np.minimum(edges[1:], pixel + 1) - np.maximum(edges[:-1], pixel)
    return csr_array((overlap.clip(min=0) * after / before).astype(np.float32))
