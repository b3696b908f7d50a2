# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Reading and writing tables, images, GeoParquet and GeoTIFF."""
