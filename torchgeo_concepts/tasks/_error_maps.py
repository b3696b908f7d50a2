# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Maps of the errors on test points."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from lightning.pytorch import LightningModule
from torch import Tensor

from ..plot.point_maps import draw_points, point_map, point_size
from ..utils.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def log_error_maps(
    task: LightningModule, points: Tensor, errors: Sequence[tuple[str, Tensor]]
) -> None:
    """Log error maps as figures, or write files if a logger takes no figures.

    Args:
        task: The task, with its loggers.
        points: Points of shape ``(N, 2)``.
        errors: Name and errors of each target, of shape ``(N,)``, NaN where unknown.
    """
    files = file_names([name for name, _ in errors])
    for (name, error), file in zip(errors, files, strict=True):
        known = error.isfinite()
        if not known.any():
            continue
        for logger in task.loggers:
            experiment = getattr(logger, 'experiment', None)
            add_figure = getattr(experiment, 'add_figure', None)
            folder = getattr(logger, 'log_dir', None)
            if callable(add_figure):
                figure = _error_map(points[known], error[known], name)
                add_figure(f'test_errors/{name}', figure, task.global_step)
            elif folder is not None and Path(folder).is_dir():
                figure = _error_map(points[known], error[known], name)
                with atomic_path(Path(folder, f'test_errors_{file}.png')) as path:
                    figure.savefig(path, format='png', dpi=150)


def file_names(names: Sequence[str]) -> list[str]:
    """Convert the names of targets to parts of file names.

    Args:
        names: The names.

    Returns:
        Parts that are unique, even if a file system ignores case.
    """
    safe = [re.sub(r'\W+', '_', name).strip('_')[:80] for name in names]
    if len({name.casefold() for name in safe}) < len(safe):
        return [f'{place}_{name}' for place, name in enumerate(safe)]
    return safe


def _error_map(points: Tensor, error: Tensor, name: str) -> 'Figure':
    from matplotlib import pyplot as plt

    figure, axes = point_map(points)
    # Clip outliers, which would leave all other points in one colour.
    limit = float(np.quantile(error.abs(), 0.98)) or 1.0
    colours: dict[str, Any] = {'cmap': 'RdBu_r', 'vmin': -limit, 'vmax': limit}
    size = point_size(len(points))
    dots = draw_points(axes, points.numpy(), c=error, s=size, **colours)
    figure.colorbar(dots, ax=axes, label=f'error of {name}', shrink=0.8, extend='both')
    plt.close(figure)
    return figure
