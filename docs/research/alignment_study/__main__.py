# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Command line of the study."""

from research_cli import run

from alignment_study import study

if __name__ == '__main__':
    run(study)
