# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Concept banks as text: tables for a terminal, and a page by category."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from ..utils.markdown import markdown_table
from .bank import ConceptBank
from .concept import REGIONS


def show_bank(
    bank: Path | None = None,
    category: str | None = None,
    region: str | None = None,
    glob: str | None = None,
    format: Literal['table', 'markdown', 'csv', 'yaml', 'page'] = 'table',
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
        'page': bank_page,
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


def bank_page(bank: ConceptBank) -> str:
    """Write a bank as a Markdown page, with a section for each category.

    Args:
        bank: The bank.

    Returns:
        The page.
    """
    quantities = len(bank.subset(kind='quantity'))
    layers = sum(bool(concept.layer) for concept in bank)
    page = (
        f'{len(bank)} concepts in {len(bank.categories)} categories; {quantities} are '
        f'quantities; {layers} name a kind of map that could show where they are '
        f'present.\n\n{_counts(bank)}'
    )
    for category, number in bank.categories.items():
        table = _table(bank.subset(category=category))
        page += f'\n## {category.capitalize()} ({number})\n\n{table}'
    return page


def _counts(bank: ConceptBank) -> str:
    regions = Counter(region for concept in bank for region in concept.regions)
    rows = [(region, f'{regions[region]}') for region in REGIONS if regions[region]]
    everywhere = sum(not concept.regions for concept in bank)
    rows.append(('no region in particular', f'{everywhere}'))
    return markdown_table(('points to', 'concepts'), rows, right=['concepts'])


def _table(concepts: ConceptBank) -> str:
    rows = (
        (
            f'{concept.name} ({concept.unit})' if concept.unit else concept.name,
            concept.definition,
            ', '.join(concept.aliases),
            ', '.join(concept.regions),
            concept.source,
        )
        for concept in concepts
    )
    columns = ('concept', 'definition', 'also called', 'points to', 'source')
    return markdown_table(columns, rows)
