# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Command line of the comparison of encoders with other seeds."""

from research_cli import run

from seed_stability.page import seed_stability

if __name__ == '__main__':
    run(seed_stability)
