# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Seeds of a bank: classes of published maps, and exported tables."""

import re
from pathlib import Path

from ..io.csv_files import read_csv_rows
from .bank import ConceptBank
from .concept import FIELDS, Concept

# Columns of plain tables, and of exports from Wikidata and WorldKG.
COLUMNS = {
    'name': ('name', 'itemLabel', 'classLabel', 'label', 'title'),
    'definition': ('definition', 'itemDescription', 'description', 'comment'),
    'aliases': ('aliases', 'itemAltLabel', 'altLabel'),
    'source': ('source', 'item', 'class', 'uri', 'qid'),
}

# How the sources of the concepts of each map begin.
MAPS = {'igbp': 'IGBP ', 'koppen-geiger': 'Köppen-Geiger '}

_WIKIDATA_ID = re.compile(r'Q\d+')


def map_seeds(name: str) -> list[Concept]:
    """Return the curated concepts of the classes of a published map.

    Args:
        name: A key of :data:`MAPS`.

    Returns:
        The concepts, in the order of the curated bank.
    """
    return [c for c in ConceptBank.default() if c.source.startswith(MAPS[name])]


def read_seeds(path: Path, category: str | None = None) -> list[Concept]:
    """Read seeds from a bank, a table of names, or an export of Wikidata or WorldKG.

    Args:
        path: CSV file with a column of names (``name``, ``label``, ``itemLabel``, ...),
            and optional columns of definitions, aliases, sources and other fields.
        category: Category of the rows that have none.

    Returns:
        A concept for each row, not validated.

    Raises:
        ValueError: If the file is not a CSV file in UTF-8, or has no column of names.
    """
    names, rows = read_csv_rows(path)
    columns = {
        field: next((name for name in known if name in names), None)
        for field, known in COLUMNS.items()
    }
    if columns['name'] is None:
        raise ValueError(
            f'{path} has no column of names ({", ".join(COLUMNS["name"])}); '
            f'it has {names}.'
        )
    return [_seed(row, columns, category) for row in rows]


def _seed(
    row: dict[str, str], columns: dict[str, str | None], category: str | None
) -> Concept:
    values = {field: row[field] for field in FIELDS if field in row}
    values |= {field: row[column] for field, column in columns.items() if column}
    if columns['aliases'] not in (None, 'aliases'):
        # Query services separate labels with commas.
        values['aliases'] = values['aliases'].replace(',', '|')
    if _WIKIDATA_ID.fullmatch(values['name']):
        # The query service returns the identifier of an item that has no label.
        values['name'] = ''
    if not values.get('category', '').strip():
        values['category'] = category or ''
    return Concept.from_mapping(values)
