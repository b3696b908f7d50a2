# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""`torchgeo-concepts map`."""

from ..maps.encoder_maps import map_encoder as run

__all__ = ('run',)
