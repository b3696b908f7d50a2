# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Points, distances on the sphere, polygons, raster grids and splits."""

from .points import as_points, check_points
from .raster_grid import RasterGrid
from .splits import (
    Split,
    block_folds,
    block_split,
    column_split,
    fold_splits,
    random_folds,
    random_split,
)

__all__ = (
    'RasterGrid',
    'Split',
    'as_points',
    'block_folds',
    'block_split',
    'check_points',
    'column_split',
    'fold_splits',
    'random_folds',
    'random_split',
)
