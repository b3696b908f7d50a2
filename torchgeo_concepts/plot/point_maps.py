# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Maps of points, with a coastline."""

from dataclasses import fields
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from ..geo.splits import Split
from ..layers import get_layer

# Margin around the points as a share of their extent, and its minimum in degrees.
MARGIN, MIN_MARGIN = 0.05, 1.0

# Cells along the longer side of the grid that the coastline comes from.
COAST_CELLS = 720


def point_map(points: Tensor) -> tuple[Figure, Axes]:
    """Make an empty map around points, with the coastline.

    Args:
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.

    Returns:
        The figure and its axes, with the coastline if global-land-mask is installed.
    """
    low, high = points.double().min(dim=0).values, points.double().max(dim=0).values
    margin = (MARGIN * (high - low)).clamp(min=MIN_MARGIN)
    limit = points.new_tensor([180.0, 90.0]).double()
    west, south = (low - margin).maximum(-limit).tolist()
    east, north = (high + margin).minimum(limit).tolist()
    figure, axes = plt.subplots(figsize=(8, 4.5), layout='constrained')
    axes.set_xlim(west, east)
    axes.set_ylim(south, north)
    axes.set_xlabel('longitude [°]')
    axes.set_ylabel('latitude [°]')
    # Longitudes are to scale in the middle of the map.
    axes.set_aspect(1 / max(0.2, np.cos(np.deg2rad((south + north) / 2))))
    draw_coast(axes)
    return figure, axes


def draw_coast(axes: Axes) -> None:
    """Draw the coastline on a map, if global-land-mask is installed.

    Args:
        axes: Axes in degrees; longitudes may exceed 180.
    """
    land = get_layer('land')
    if not land.is_installed:
        return
    (west, east), (south, north) = axes.get_xlim(), axes.get_ylim()
    step = max(east - west, north - south) / COAST_CELLS
    lon = np.arange(west + step / 2, east, step)
    lat = np.arange(south + step / 2, north, step)
    x, y = np.meshgrid(lon, lat)
    is_land = land.at((x.ravel() + 180) % 360 - 180, y.ravel()).reshape(x.shape)
    if is_land.min() < is_land.max():
        axes.contour(lon, lat, is_land, [0.5], colors='0.6', linewidths=0.5, zorder=0)


def draw_points(axes: Axes, points: NDArray[Any], **style: Any) -> PathCollection:
    """Draw points as dots.

    Args:
        axes: The axes.
        points: Points of shape ``(N, 2)``.
        **style: Options of :meth:`matplotlib.axes.Axes.scatter`.

    Returns:
        The dots.
    """
    x, y = points.T
    return axes.scatter(x, y, **{'linewidths': 0, **style})


def point_size(number: int) -> float:
    """Return the area of a dot in points² at which *number* dots stay distinct."""
    return float(np.clip(20_000 / max(number, 1), 0.5, 20))


def plot_split(points: Tensor, split: Split) -> Figure:
    """Draw the parts of a split on a map, each in its own colour.

    Args:
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
        split: The split.

    Returns:
        The figure. Points outside all parts are grey.
    """
    figure, axes = point_map(points)
    lonlat = points.detach().cpu().numpy()
    parts = {part.name: getattr(split, part.name) for part in fields(split)}
    used = np.concatenate(list(parts.values()))
    left_out = np.setdiff1d(np.arange(len(points)), used)
    for (name, rows), colour in zip(
        {'left out': left_out, **parts}.items(),
        ('0.75', 'tab:blue', 'tab:orange', 'tab:red'),
        strict=True,
    ):
        if len(rows):
            label, size = f'{name} ({len(rows):,})', point_size(len(points))
            draw_points(axes, lonlat[rows], s=size, color=colour, label=label)
    figure.legend(markerscale=2, loc='outside lower center', ncols=4)
    return figure
