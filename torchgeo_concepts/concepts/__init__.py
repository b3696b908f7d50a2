# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Concepts, banks of them, and the directions of their texts."""

from .bank import ConceptBank
from .concept import CATEGORIES, REGIONS, Concept

__all__ = ('CATEGORIES', 'REGIONS', 'Concept', 'ConceptBank')
