# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Bulk embedding of points and texts."""

from .location_features import LocationFeatures
from .points import EmbedReport, embed_file, embed_points

__all__ = ('EmbedReport', 'LocationFeatures', 'embed_file', 'embed_points')
