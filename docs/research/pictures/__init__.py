# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Pictures of the Earth of several months, which packages of npm and Debian carry.

Importing this package adds them to those that :class:`BlueMarble` knows by name.
"""

from .packaged import PackagedPicture, register

__all__ = ('PackagedPicture',)

register()
