# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""The first thing to try: predictions for world cities, and what they are made of."""

from .command import CITIES, quickstart
from .report import Explained, ExplainedCity, QuickstartReport, Score, TargetScores

__all__ = (
    'CITIES',
    'Explained',
    'ExplainedCity',
    'QuickstartReport',
    'Score',
    'TargetScores',
    'quickstart',
)
