# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""`torchgeo-concepts bank build`, `bank show` and `bank check`."""

from ..concepts.building import build_bank as build
from ..concepts.page import check_bank as check
from ..concepts.page import show_bank as show

__all__ = ('build', 'check', 'show')
