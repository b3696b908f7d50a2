# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Banks by the names that configurations and commands give them."""

from functools import cache
from pathlib import Path

from ..concepts.bank import ConceptBank
from .grounding import load_groundings


def read_bank(source: str | None) -> ConceptBank:
    """Get a bank by its name.

    Args:
        source: CSV or YAML file of a bank, ``'general'`` for the bank of common nouns,
            ``'layers'`` for the concepts that installed maps tell, such as
            ``'layers without imagery, people'`` for those of some groups of maps alone,
            or None for the curated one.

    Returns:
        The bank.

    Raises:
        ValueError: If there is no such group of layers.
    """
    if source is None:
        return ConceptBank.default()
    if source == 'general':
        return ConceptBank.general()
    if source == 'layers':
        return _of_layers()
    if source.startswith('layers without ') and not Path(source).exists():
        groups = source.removeprefix('layers without ').split(',')
        return _of_layers(*(name.strip() for name in groups))
    return ConceptBank.load(source)


@cache
def _of_layers(*exclude_groups: str) -> ConceptBank:
    # To ask all layers takes seconds, and a study asks for each of its runs.
    return load_groundings(exclude_groups=exclude_groups).bank
