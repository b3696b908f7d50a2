# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Version of the package."""

VERSION = '0.1.0.dev0'
