# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Maps of the parts of a split."""

from dataclasses import fields

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from ..geo.splits import Split
from .point_maps import draw_points, point_map, point_size


def plot_split(points: Tensor, split: Split) -> Figure:
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
            label, size = f'{name} ({len(rows):,})', point_size(len(points))
            draw_points(axes, lonlat[rows], s=size, color=colour, label=label)
    figure.legend(markerscale=2, loc='outside lower center', ncols=4)
    return figure
