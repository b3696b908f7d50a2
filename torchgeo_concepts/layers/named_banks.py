# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Concept banks by the names that configurations and commands use."""

from functools import cache
from pathlib import Path

from ..concepts.bank import ConceptBank
from .grounding import load_groundings

PREFIX = 'layers without '


def read_bank(source: str | None) -> ConceptBank:
    """Return a bank by name.

    Args:
        source: CSV or YAML file of a bank; ``'general'`` for the bank of common nouns;
            ``'layers'`` for the concepts that installed layers ground;
            ``'layers without imagery, people'`` for those that need no layer of these
            groups; or None for the curated bank.

    Returns:
        The bank.

    Raises:
        ValueError: If a group of layers does not exist.
    """
    if source is None:
        return ConceptBank.default()
    if source == 'general':
        return ConceptBank.general()
    if source == 'layers':
        return _bank_of_layers()
    if source.startswith(PREFIX) and not Path(source).exists():
        groups = source.removeprefix(PREFIX).split(',')
        return _bank_of_layers(*(name.strip() for name in groups))
    return ConceptBank.load(source)


# Reading all layers takes seconds, and some programs need the same bank many times.
@cache
def _bank_of_layers(*exclude_groups: str) -> ConceptBank:
    return load_groundings(exclude_groups=exclude_groups).bank
