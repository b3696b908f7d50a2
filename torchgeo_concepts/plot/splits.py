# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Maps of the parts of a split."""

from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from ..geo.splits import Split
from .point_maps import point_map, point_size

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_split(points: Tensor, split: Split) -> 'Figure':
    """Draw the parts of a split on a map, each in a colour.

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
            size = point_size(len(points))
            label = f'{name} ({len(rows):,})'
            lon, lat = lonlat[rows].T
            axes.scatter(lon, lat, s=size, color=colour, linewidths=0, label=label)
    figure.legend(markerscale=2, loc='outside lower center', ncols=4)
    return figure
