# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Does it help to compare images and places by concepts?

Arms that differ in nothing but how patches of satellite imagery are aligned with their
places are trained alike, chosen on one picture, and tested on others with fresh seeds.
"""

import pictures  # noqa: F401  adds the pictures to test on

from .arms import ARMS, Arm, load_arm
from .command import StudyReport, study

__all__ = ('ARMS', 'Arm', 'StudyReport', 'load_arm', 'study')
