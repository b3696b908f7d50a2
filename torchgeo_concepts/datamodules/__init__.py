# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Data modules of points, and of images and the points where they were taken."""

from .blue_marble import BlueMarbleDataModule
from .grounded_points import GroundedPointsDataModule
from .image_points import ImagePointsDataModule
from .mp16 import MP16DataModule
from .osv5m import OSV5MDataModule
from .point_table import PointTableDataModule
from .s2_100k import S2100kDataModule

__all__ = (
    'BlueMarbleDataModule',
    'GroundedPointsDataModule',
    'ImagePointsDataModule',
    'MP16DataModule',
    'OSV5MDataModule',
    'PointTableDataModule',
    'S2100kDataModule',
)
