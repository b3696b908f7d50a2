# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Concepts, concept banks, and directions computed from concept texts."""

from .bank import ConceptBank
from .concept import CATEGORIES, REGIONS, Concept

__all__ = ('CATEGORIES', 'REGIONS', 'Concept', 'ConceptBank')
