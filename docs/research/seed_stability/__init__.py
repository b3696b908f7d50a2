# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Do encoders of the same training with other seeds explain alike?"""
