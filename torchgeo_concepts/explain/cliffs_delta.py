# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Cliff's delta of two groups, with a bootstrap over blocks."""

import numpy as np
from numpy.typing import NDArray

from ..evaluate.bootstrap import BlockBootstrap


def cliffs_delta(
    scores_a: NDArray[np.float64],
    scores_b: NDArray[np.float64],
    blocks_a: NDArray[np.int64],
    blocks_b: NDArray[np.int64],
    rng: np.random.Generator,
    num_samples: int = 1000,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute Cliff's delta of each concept, and its bootstrap samples.

    Args:
        scores_a: Scores of A, of shape ``(n, k)``.
        scores_b: Scores of B, of shape ``(m, k)``.
        blocks_a: Block number of each row of A, counted from 0.
        blocks_b: Block number of each row of B, counted from 0.
        rng: Source of randomness.
        num_samples: Number of bootstrap samples.

    Returns:
        Effects of shape ``(k,)``, and their samples of shape ``(num_samples, k)``.
    """
    samples_a, samples_b = (
        BlockBootstrap(blocks, num_samples, rng) for blocks in (blocks_a, blocks_b)
    )
    won = np.empty((num_samples + 1, scores_a.shape[1]))
    for concept, (own, other) in enumerate(zip(scores_a.T, scores_b.T, strict=True)):
        pairs = _pairs_won(own, other, blocks_a, blocks_b)
        won[:, concept] = ((samples_a.counts @ pairs) * samples_b.counts).sum(axis=1)
    num_a = samples_a.sums(np.ones(len(blocks_a)))
    num_b = samples_b.sums(np.ones(len(blocks_b)))
    effect: NDArray[np.float64] = won / (num_a * num_b)[:, None]
    return effect[0], effect[1:]


def _pairs_won(
    own: NDArray[np.float64],
    other: NDArray[np.float64],
    own_blocks: NDArray[np.int64],
    other_blocks: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Count pairs with a higher own score minus pairs with a lower one, by block.

    Args:
        own: Scores of shape ``(n,)``.
        other: Scores of shape ``(m,)``.
        own_blocks: Block number of each own score.
        other_blocks: Block number of each other score.

    Returns:
        A count for each own block (rows) and other block (columns). A bootstrap sample
        is a weighted sum of these counts.
    """
    order = other.argsort()
    in_block = np.eye(other_blocks.max() + 1)[other_blocks[order]]
    below = np.vstack((np.zeros(in_block.shape[1]), in_block.cumsum(axis=0)))
    first = np.searchsorted(other[order], own, 'left')
    last = np.searchsorted(other[order], own, 'right')
    # A tie counts for neither side.
    won = below[first] + below[last] - below[-1]
    by_block = own_blocks.argsort(kind='stable')
    starts = np.flatnonzero(np.diff(own_blocks[by_block], prepend=-1))
    pairs: NDArray[np.float64] = np.add.reduceat(won[by_block], starts)
    return pairs
