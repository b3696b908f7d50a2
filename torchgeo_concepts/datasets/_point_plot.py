# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Figure of points, coloured by their values."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..plot.point_maps import point_map, point_size

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# With more names than this, the labels of the colour bar overlap.
MAX_NAMES = 20


def plot_points(
    points: Tensor,
    values: NDArray[np.floating[Any]] | None,
    label: str,
    classes: Sequence[str] = (),
    title: str = '',
    suptitle: str | None = None,
) -> 'Figure':
    """Draw points on a map, coloured by values.

    Args:
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
        values: Value of each point, NaN where unknown. None for one colour.
        label: Name of the values, for the colour bar.
        classes: Names of the values 0, 1, 2...
        title: Title of the map.
        suptitle: Title of the figure.

    Returns:
        The figure, in which points without a value are grey.
    """
    figure, axes = point_map(points)
    lon, lat = points.T.numpy()
    options: dict[str, Any] = {'s': point_size(len(points)), 'linewidths': 0}
    if values is None:
        axes.scatter(lon, lat, **options)
    else:
        known = np.isfinite(values)
        # Points without a value lie below the others.
        axes.scatter(lon[~known], lat[~known], color='0.8', **options)
        colour = axes.scatter(lon[known], lat[known], c=values[known], **options)
        bar = figure.colorbar(colour, ax=axes, label=label, shrink=0.8)
        if 0 < len(classes) <= MAX_NAMES:
            bar.set_ticks(range(len(classes)), labels=classes)
    axes.set_title(title)
    if suptitle is not None:
        figure.suptitle(suptitle)
    return figure
