# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Do names say what is there, and would anything else have done as well?

A grounded encoder is scored twice: its names against maps, in blocks that are held out,
and its features downstream. Beside it stand controls that should do worse: directions of
chance, of words and of maps in the wrong place, names that are swapped. With many concepts
almost any directions keep downstream scores, so that names are earned by maps alone.
"""

from .command import AuditReport, audit
from .report import Row

__all__ = ('AuditReport', 'Row', 'audit')
