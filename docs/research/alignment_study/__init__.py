# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Does it help to compare images and locations by concepts?"""

import pictures  # noqa: F401  adds the pictures to test on

from .arms import ARMS, Arm, load_arm
from .command import StudyReport, study

__all__ = ('ARMS', 'Arm', 'StudyReport', 'load_arm', 'study')
