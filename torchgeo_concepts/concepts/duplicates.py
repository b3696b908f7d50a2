# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Concepts that may be the same: equal names, and texts with a similar meaning."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..utils.names import normalise
from .concept import Concept

ARTICLES = frozenset({'a', 'an', 'the'})


@dataclass(frozen=True)
class Duplicate:
    """Two concepts that may be the same.

    Attributes:
        first: Position of the earlier concept.
        second: Position of the later concept.
        reason: Reason why they may be the same.
        certain: True if their names differ only in spelling.
    """

    first: int
    second: int
    reason: str
    certain: bool = False


def name_key(name: str) -> str:
    """Reduce a name so that plurals and articles make no difference.

    Args:
        name: A name.

    Returns:
        The key.
    """
    words = normalise(name).split()
    kept = [_singular(word) for word in words if word not in ARTICLES]
    return ' '.join(kept or words)


def _singular(word: str) -> str:
    if len(word) > 4 and word.endswith('ies'):
        return word[:-3] + 'y'
    if len(word) > 4 and word.endswith(('ches', 'shes', 'sses', 'xes', 'oes')):
        return word[:-2]
    if len(word) > 3 and word.endswith('s') and not word.endswith(('ss', 'us', 'is')):
        return word[:-1]
    return word


def same_names(concepts: Iterable[Concept]) -> Iterator[Duplicate]:
    """Find concepts whose names or aliases differ only in spelling.

    Args:
        concepts: The concepts.

    Yields:
        Pairs. Pairs of equal names are certain; others are not, because an alias may be
        wrong.
    """
    concepts = list(concepts)
    names: dict[str, int] = {}
    for position, concept in enumerate(concepts):
        first = names.setdefault(name_key(concept.name), position)
        if first != position:
            reason = f'{concept.name!r} is the same name as {concepts[first].name!r}'
            yield Duplicate(first, position, reason, certain=True)
    aliases: dict[str, int] = {}
    for position, concept in enumerate(concepts):
        for alias in concept.aliases:
            key = name_key(alias)
            other = names.get(key, aliases.setdefault(key, position))
            if other != position:
                reason = f'{alias!r} is a name of both'
                yield Duplicate(min(other, position), max(other, position), reason)
                break


def near_duplicates(
    directions: Tensor, threshold: float = 0.9, block: int = 4096
) -> Iterator[Duplicate]:
    """Find concepts whose texts have nearly the same meaning.

    Args:
        directions: Unit vectors of shape ``(k, d)``, from
            :func:`~torchgeo_concepts.concepts.text.encode_text`.
        threshold: Minimum cosine. It depends on the encoder: unrelated texts have cosines
            near 0.6 with CLIP, and near 0.1 with sentence encoders.
        block: Number of concepts to compare with all others at a time.

    Yields:
        Pairs, in order of descending cosine within each block.
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
