# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Do the concepts that contribute most to a prediction matter to it?"""
