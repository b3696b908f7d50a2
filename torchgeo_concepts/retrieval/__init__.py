# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Search for the locations where images were taken."""

from .candidates import Candidates, candidate_points
from .gallery import Gallery, Locations
from .geolocator import Geolocator

__all__ = ('Candidates', 'Gallery', 'Geolocator', 'Locations', 'candidate_points')
