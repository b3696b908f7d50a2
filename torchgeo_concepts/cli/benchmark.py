# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""`torchgeo-concepts benchmark`."""

from ..evaluate.benchmark import benchmark as run

__all__ = ('run',)
