# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Banks by the names that configurations and commands give them."""

from pathlib import Path

from .bank import ConceptBank
from .layers.grounding import load_groundings

__all__ = ('read_bank',)


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
        return load_groundings().bank
    if source.startswith('layers without ') and not Path(source).exists():
        groups = source.removeprefix('layers without ').split(',')
        return load_groundings(exclude_groups=[name.strip() for name in groups]).bank
    return ConceptBank.load(source)
