# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""`torchgeo-concepts embed`."""

from ..embed.points import embed_file as run

__all__ = ('run',)
