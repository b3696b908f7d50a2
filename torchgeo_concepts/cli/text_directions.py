# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""`torchgeo-concepts text-directions`."""

from ..embed.text_directions import write_text_directions as run

__all__ = ('run',)
