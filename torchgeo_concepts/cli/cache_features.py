# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""`torchgeo-concepts cache-features`."""

from ..datasets.image_features import cache_image_features as run

__all__ = ('run',)
