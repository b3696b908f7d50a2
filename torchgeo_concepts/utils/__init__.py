# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Helpers without a subject of their own: files, devices, names, hashes."""
