# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Predict and explain the temperature and population of world cities."""

from .command import quickstart
from .command import quickstart as run

__all__ = ('quickstart', 'run')
