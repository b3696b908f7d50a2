# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Figure of a table of points, coloured by a target."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torchgeo.datasets.utils import Sample

from ..plot.point_maps import point_map, point_size
from ..utils.names import check_known, with_unit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# With more names than this, the labels of the colour bar overlap.
MAX_NAMES = 20


def plot_table(
    table: Any,
    sample: Sample | None,
    show_titles: bool,
    suptitle: str | None,
    target: str | None,
) -> 'Figure':
    """Draw all points of a table on a map, coloured by a target.

    Args:
        table: A PointTable.
        sample: A sample to mark.
        show_titles: Show the target, or the sample, above the map.
        suptitle: Title of the figure.
        target: Name of the target. By default, the first.

    Returns:
        The figure.

    Raises:
        ValueError: If the target is unknown.
    """
    if target is not None:
        check_known('No target', target, table.target_names)
    column = 0 if target is None else table.target_names.index(target)
    figure, axes = point_map(table.points)
    lon, lat = table.points.T.numpy()
    options: dict[str, Any] = {'s': point_size(len(table)), 'linewidths': 0}
    values, title = _colours(table, column)
    if values is None:
        axes.scatter(lon, lat, **options)
    else:
        known = np.isfinite(values)
        # Points without a value lie below the others, in grey.
        axes.scatter(lon[~known], lat[~known], color='0.8', **options)
        colour = axes.scatter(lon[known], lat[known], c=values[known], **options)
        bar = figure.colorbar(colour, ax=axes, label=title, shrink=0.8)
        if 0 < len(table.classes) <= MAX_NAMES:
            bar.set_ticks(range(len(table.classes)), labels=table.classes)
    if sample is not None:
        axes.plot(*sample['point'].tolist(), '*', color='red', markersize=12)
        title = _describe(table, sample)
    if show_titles:
        axes.set_title(title)
    if suptitle is not None:
        figure.suptitle(suptitle)
    return figure


def _colours(table: Any, column: int) -> tuple[NDArray[np.float64] | None, str]:
    """Return the values of a target in its units, and its name."""
    if table.task is None:
        return None, ''
    name = table.target_names[column]
    if table.task == 'classification':
        numbers = table.labels.double()
        return torch.where(numbers < 0, torch.nan, numbers).numpy(), name
    values = table.values[:, column].numpy()
    label = with_unit(name, table.units[column])
    if table.target_transform.is_log[column]:
        return np.log10(1 + values), f'log₁₀(1 + {label})'
    return values, label


def _describe(table: Any, sample: Sample) -> str:
    lon, lat = sample['point'].tolist()
    parts = [f'({lon:.4f}, {lat:.4f})']
    if table.task == 'classification':
        number = int(sample['label'])
        parts.append(table.classes[number] if number >= 0 else 'unknown')
    elif table.task == 'regression':
        values = table.inverse_transform(sample['label']).tolist()
        for name, value, unit in zip(
            table.target_names, values, table.units, strict=True
        ):
            parts.append(f'{name} {value:.4g} {unit}'.rstrip())
    return ', '.join(parts)
