# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Random rows of the tables of the benchmark, for studies."""

from dataclasses import replace

import numpy as np

from torchgeo_concepts.evaluate.benchmark.tasks import Table


def sample_rows(table: Table, number: int, seed: int) -> Table:
    """Draw rows at random.

    Args:
        table: The table.
        number: Maximum number of rows.
        seed: Seed of the draw.

    Returns:
        A table of these rows, in their original order.
    """
    rows = np.random.default_rng(seed).permutation(len(table.points))[:number]
    rows = np.sort(rows)
    return replace(table, points=table.points[rows], values=table.values[rows])
