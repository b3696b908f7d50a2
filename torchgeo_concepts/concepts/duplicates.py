# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Concepts that a careful reader would call the same."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..names import normalise
from .bank import Concept

__all__ = ('Duplicate', 'near_duplicates', 'same_names')

ARTICLES = frozenset({'a', 'an', 'the', 'of'})


@dataclass(frozen=True)
class Duplicate:
    """Two concepts that may be one.

    Attributes:
        first: Position of the earlier concept.
        second: Position of the later concept.
        reason: Why they may be one.
    """

    first: int
    second: int
    reason: str


def name_key(name: str) -> str:
    """Reduce a name so that plurals, articles and order do not tell names apart.

    Args:
        name: A name.

    Returns:
        The key.
    """
    words = normalise(name).split()
    kept = [_singular(word) for word in words if word not in ARTICLES]
    return ' '.join(sorted(kept or words))


def _singular(word: str) -> str:
    if len(word) > 4 and word.endswith('ies'):
        return word[:-3] + 'y'
    if len(word) > 4 and word.endswith(('ches', 'shes', 'sses', 'xes')):
        return word[:-2]
    if len(word) > 3 and word.endswith('s') and not word.endswith(('ss', 'us', 'is')):
        return word[:-1]
    return word


def same_names(concepts: Iterable[Concept]) -> Iterator[Duplicate]:
    """Find concepts whose names or aliases are the same but for spelling.

    Args:
        concepts: The concepts, which need not be valid together.

    Yields:
        Each concept that repeats a name of an earlier one, once.
    """
    seen: dict[str, tuple[int, str]] = {}
    for position, concept in enumerate(concepts):
        for name in (concept.name, *concept.aliases):
            first, known = seen.setdefault(name_key(name), (position, name))
            if first != position:
                yield Duplicate(first, position, f'{name!r} is the name {known!r}')
                break


def near_duplicates(
    directions: Tensor, threshold: float = 0.9, block: int = 4096
) -> Iterator[Duplicate]:
    """Find concepts whose texts mean nearly the same.

    Args:
        directions: Unit vectors of shape ``(k, d)``, of
            :func:`~torchgeo_concepts.concepts.text.encode_text`.
        threshold: Least cosine. Text towers differ: CLIP's cosines of unlike texts are
            already near 0.6, those of sentence encoders near 0.1.
        block: Number of concepts to compare with all at a time.

    Yields:
        Pairs, most alike first within each block.
    """
    for start in range(0, len(directions), block):
        cosine = directions[start : start + block] @ directions.T
        first = torch.arange(start, start + len(cosine))[:, None]
        later = torch.arange(len(directions))[None] > first
        rows, columns = torch.nonzero((cosine >= threshold) & later, as_tuple=True)
        values = cosine[rows, columns]
        for i in values.argsort(descending=True).tolist():
            yield Duplicate(
                start + int(rows[i]),
                int(columns[i]),
                f'texts have cosine {values[i]:.3f}',
            )
