# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Predict and explain the climate of world cities, to try the package."""

from .command import quickstart
from .command import quickstart as run

__all__ = ('quickstart', 'run')
