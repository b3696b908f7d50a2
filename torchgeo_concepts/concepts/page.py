# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Concept banks as text, for the command line."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from .bank import ConceptBank


def show_bank(
    bank: Path | None = None,
    category: str | None = None,
    region: str | None = None,
    glob: str | None = None,
    format: Literal['table', 'markdown', 'csv', 'yaml'] = 'table',
) -> str:
    """Show a concept bank, or a part of it.

    Args:
        bank: CSV or YAML file of a bank. By default, the curated bank.
        category: Show only the concepts of this category.
        region: Show only the concepts that occur in this part of the world.
        glob: Show only the concepts whose id matches this pattern, such as ``*-forest``.
        format: Format of the result.

    Returns:
        The text.
    """
    loaded = ConceptBank.default() if bank is None else ConceptBank.load(bank)
    part = loaded.subset(category=category, region=region, glob=glob)
    formats: dict[str, Callable[[ConceptBank], str]] = {
        'table': str,
        'markdown': ConceptBank.to_markdown,
        'csv': ConceptBank.to_csv,
        'yaml': ConceptBank.to_yaml,
    }
    return formats[format](part).rstrip('\n')


def check_bank(bank: Path) -> str:
    """Validate the file of a concept bank.

    Args:
        bank: CSV or YAML file of a bank.

    Returns:
        A summary of the bank.
    """
    return f'{bank} is valid: {ConceptBank.load(bank)!r}'
