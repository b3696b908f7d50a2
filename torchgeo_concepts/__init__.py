# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Location encoders for TorchGeo that name what they know about a place.

Importing this package adds its models to TorchGeo's registry, next to TorchGeo's own.
"""

from . import models as models
from .utils.version import VERSION

__version__ = VERSION
