# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Data modules of points, and of images and the points where they were taken."""

from .blue_marble import BlueMarbleDataModule
from .grounded_points import GroundedPointsDataModule
from .image_points import ImagePointsDataModule
from .mp16 import MP16DataModule
from .point_table import PointTableDataModule
from .s2_100k import S2100kDataModule

__all__ = (
    'BlueMarbleDataModule',
    'GroundedPointsDataModule',
    'ImagePointsDataModule',
    'MP16DataModule',
    'PointTableDataModule',
    'S2100kDataModule',
)
