# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Figures that several subpackages draw: maps of rasters and points, and bars."""

from .maps import plot_map, save_figure
from .point_maps import plot_split

__all__ = ('plot_map', 'plot_split', 'save_figure')
