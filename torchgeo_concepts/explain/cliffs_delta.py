# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Cliff's delta of two groups, with a bootstrap over blocks."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..evaluate.bootstrap import BlockBootstrap

# Where equal values go in a sorted list: before all of them, and after.
SIDES: tuple[Literal['left'], Literal['right']] = ('left', 'right')


def cliffs_delta(
    scores_a: NDArray[np.float64],
    scores_b: NDArray[np.float64],
    blocks_a: NDArray[np.int64],
    blocks_b: NDArray[np.int64],
    num_samples: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute the effect of each concept, and its bootstrap samples over blocks.

    Args:
        scores_a: Scores of A, of shape ``(n, k)``.
        scores_b: Scores of B, of shape ``(m, k)``.
        blocks_a: Number of the block of each row of A, from 0.
        blocks_b: Number of the block of each row of B, from 0.
        num_samples: Number of bootstrap samples.
        rng: Source of randomness.

    Returns:
        Effects of shape ``(k,)`` and of shape ``(num_samples, k)``.
    """
    draws_a, draws_b = (
        BlockBootstrap(blocks, num_samples, rng) for blocks in (blocks_a, blocks_b)
    )
    won = np.empty((num_samples + 1, scores_a.shape[1]))
    for concept, (own, other) in enumerate(zip(scores_a.T, scores_b.T, strict=True)):
        pairs = _pairs_won(own, other, blocks_a, blocks_b)
        won[:, concept] = ((draws_a.counts @ pairs) * draws_b.counts).sum(axis=1)
    pairs_in_all = draws_a.sums(np.ones(len(blocks_a))) * draws_b.sums(
        np.ones(len(blocks_b))
    )
    effect: NDArray[np.float64] = won / pairs_in_all[:, None]
    return effect[0], effect[1:]


def _pairs_won(
    own: NDArray[np.float64],
    other: NDArray[np.float64],
    own_blocks: NDArray[np.int64],
    other_blocks: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Count pairs in which a score is above another, less those in which it is below.

    Args:
        own: Scores of shape ``(n,)``.
        other: Scores of shape ``(m,)``.
        own_blocks: Number of the block of each of the first.
        other_blocks: Number of the block of each of the others.

    Returns:
        Numbers of pairs between any two blocks, whose sums are those of a sample of
        blocks.
    """
    order = other.argsort()
    in_block = np.eye(other_blocks.max() + 1)[other_blocks[order]]
    below = np.vstack((np.zeros(in_block.shape[1]), in_block.cumsum(axis=0)))
    first, last = (np.searchsorted(other[order], own, side) for side in SIDES)
    # Of equal scores neither is above.
    won = below[first] + below[last] - below[-1]
    by_block = own_blocks.argsort(kind='stable')
    starts = np.flatnonzero(np.diff(own_blocks[by_block], prepend=-1))
    pairs: NDArray[np.float64] = np.add.reduceat(won[by_block], starts)
    return pairs
