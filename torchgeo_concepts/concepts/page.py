# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""A bank as people read it: a table on a terminal, a page by category."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from .bank import REGIONS, ConceptBank


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
        category: Show the concepts of this category alone.
        region: Show the concepts that point to this part of the world alone.
        glob: Show the concepts alone whose id matches this pattern, such as ``*-forest``.
        format: What to show it as.

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
    """Check that a file is a valid concept bank.

    Args:
        bank: CSV or YAML file of a bank.

    Returns:
        A summary of it.
    """
    return f'{bank} is valid: {ConceptBank.load(bank)!r}'


def bank_page(bank: ConceptBank) -> str:
    """Write a bank as a Markdown page, a section for each category.

    Args:
        bank: The bank.

    Returns:
        The page.
    """
    quantities = len(bank.subset(kind='quantity'))
    layers = sum(bool(concept.layer) for concept in bank)
    summary = (
        f'{len(bank)} concepts in {len(bank.categories)} categories; {quantities} are '
        f'quantities; {layers} name a map that could tell where they hold.'
    )
    lines = [summary, '', *_counts(bank)]
    for category in bank.categories:
        concepts = bank.subset(category=category)
        lines += [
            '',
            f'## {category.capitalize()} ({len(concepts)})',
            '',
            *_table(concepts),
        ]
    return '\n'.join(lines) + '\n'


def _counts(bank: ConceptBank) -> list[str]:
    regions = Counter(region for concept in bank for region in concept.regions)
    everywhere = sum(not concept.regions for concept in bank)
    lines = ['| points to | concepts |', '| --- | ---: |']
    lines += [
        f'| {region} | {regions[region]} |' for region in REGIONS if regions[region]
    ]
    lines.append(f'| no region in particular | {everywhere} |')
    return lines


def _table(concepts: ConceptBank) -> list[str]:
    lines = [
        '| concept | definition | also called | points to | source |',
        '| --- | --- | --- | --- | --- |',
    ]
    for concept in concepts:
        name = f'{concept.name} ({concept.unit})' if concept.unit else concept.name
        cells = (
            name,
            concept.definition,
            ', '.join(concept.aliases),
            ', '.join(concept.regions),
            concept.source,
        )
        lines.append(f'| {" | ".join(cell.replace("|", "/") for cell in cells)} |')
    return lines
