# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Bootstrap over blocks of places, since places near each other are alike."""

import numpy as np
from numpy.typing import NDArray


def draw_counts(blocks: int, draws: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw blocks with replacement, as many as there are.

    Args:
        blocks: Number of blocks.
        draws: How often to draw all.
        rng: Source of randomness.

    Returns:
        How often each block was drawn, of shape ``(draws, blocks)``.
    """
    return rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=draws)


def check_bootstrap(level: float, draws: int) -> None:
    """Refuse what makes no interval.

    Args:
        level: Share of the draws that the interval holds.
        draws: Number of draws.

    Raises:
        ValueError: If the share is not between 0 and 1, or there are too few draws.
    """
    if not 0 < level < 1:
        raise ValueError(f'level must be between 0 and 1, not {level}.')
    if draws * (1 - level) / 2 < 1:
        raise ValueError(
            f'{draws} draws are too few for an interval that holds {level:.0%} of them.'
        )


def percentile_interval(
    draws: NDArray[np.float64], level: float
) -> NDArray[np.float64]:
    """Return the interval that holds a share of the draws in its middle.

    Args:
        draws: Values of shape ``(draws, ...)``.
        level: The share.

    Returns:
        Lower and upper ends, of shape ``(2, ...)``.
    """
    ends: NDArray[np.float64] = np.nanquantile(
        draws, [(1 - level) / 2, (1 + level) / 2], axis=0
    )
    return ends
