# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""What a concept is: banks of them, and how their texts become directions."""

from .bank import CATEGORIES, REGIONS, Concept, ConceptBank, ConceptKind

__all__ = ('CATEGORIES', 'REGIONS', 'Concept', 'ConceptBank', 'ConceptKind')
