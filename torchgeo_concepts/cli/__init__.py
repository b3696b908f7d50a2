# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""The `torchgeo-concepts` command."""

from .main import main

__all__ = ('main',)
