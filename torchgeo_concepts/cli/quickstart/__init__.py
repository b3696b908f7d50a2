# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Predict temperature and population of world cities, and explain temperature."""

from .command import quickstart
from .command import quickstart as run

__all__ = ('quickstart', 'run')
