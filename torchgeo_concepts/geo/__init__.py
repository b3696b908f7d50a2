# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Points, the sphere, polygons, raster grids and splits."""
