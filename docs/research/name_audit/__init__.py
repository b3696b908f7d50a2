# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Do names of concepts hold, and would random directions do as well?"""

from .command import AuditReport, audit
from .report import AuditRow

__all__ = ('AuditReport', 'AuditRow', 'audit')
