# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Do the concepts that an explanation names matter to the prediction?"""
