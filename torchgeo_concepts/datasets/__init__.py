# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Datasets of images and the points where they were taken."""

from .cached_features import CachedFeatures, cache_features
from .exif import read_exif_point
from .grounded_points import GroundedPoints
from .im2gps import Im2GPS
from .im2gps3k import Im2GPS3k
from .image_points import ImagePoints, OnError, UnreadableImageError
from .mp16 import MP16
from .osv5m import OSV5M
from .shards import ImagePointShards, UnreadableShardError
from .yfcc4k import YFCC4k
from .yfcc26k import YFCC26k

__all__ = (
    'MP16',
    'OSV5M',
    'CachedFeatures',
    'GroundedPoints',
    'Im2GPS',
    'Im2GPS3k',
    'ImagePointShards',
    'ImagePoints',
    'OnError',
    'UnreadableImageError',
    'UnreadableShardError',
    'YFCC4k',
    'YFCC26k',
    'cache_features',
    'read_exif_point',
)
