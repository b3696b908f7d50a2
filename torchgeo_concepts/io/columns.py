# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Columns of tables of points, read as numbers or as names of classes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..geo.points import is_lonlat, look_swapped
from ..utils.names import check_known, near_matches
from .tables import OpenedTable, open_table, parse_number

Task = Literal['regression', 'classification']

type Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Columns:
    """Some columns of one table.

    Attributes:
        source: Name of the table in errors.
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees,
            NaN in rows without a valid point.
        values: Arrow array of each column, by name.
        problems: Reason why a row has no valid point, by row number.
        is_swapped: True if longitudes and latitudes look swapped.
    """

    source: str
    points: NDArray[Any]
    values: dict[str, Any]
    problems: dict[int, str] = field(default_factory=dict)
    is_swapped: bool = False

    def where(self, row: int) -> str:
        """Return the name of a row, for errors."""
        return f'{self.source}: row {row}, counted from 0,'


def read_columns(
    table: Path | pd.DataFrame,
    names: Sequence[str],
    lon: str | None = None,
    lat: str | None = None,
    crs: str | None = None,
    layer: str | None = None,
) -> Columns:
    """Read points and some other columns.

    Args:
        table: A file that :func:`~torchgeo_concepts.io.tables.open_table` reads, or a data
            frame.
        names: Names of the columns.
        lon: Name of the longitude column. By default, it is found by its usual names.
        lat: Name of the latitude column. By default, it is found by its usual names.
        crs: Coordinate reference system of the coordinates, if the table does not state
            it.
        layer: Layer of a file that has several.

    Returns:
        The columns.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the table cannot be read, has no rows or lacks a column.
    """
    opened = open_table(table, lon=lon, lat=lat, crs=crs, layer=layer)
    return collect_columns(opened, names)


def collect_columns(opened: OpenedTable, names: Sequence[str]) -> Columns:
    """Read points and some other columns of an open table.

    Args:
        opened: The table.
        names: Names of the columns.

    Returns:
        The columns.

    Raises:
        ValueError: If the table cannot be read, has no rows or lacks a column.
    """
    source = str(opened.path)
    for name in names:
        check_known(f'{source} has no column', name, opened.schema.names)
    points, problems, swapped = [np.empty((0, 2))], dict[int, str](), False
    parts: dict[str, list[Any]] = {name: [] for name in names}
    for batch in opened.batches(
        list(dict.fromkeys((*names, *opened.coordinates.columns)))
    ):
        points.append(batch.points)
        problems |= {batch.first_row + row: why for row, why in batch.problems.items()}
        if batch.problems and not swapped:
            x, y, _ = opened.coordinates(batch.rows)
            swapped = is_lonlat(opened.crs) and look_swapped(x, y)
        for name in names:
            parts[name].append(batch.rows.column(name))
    joined = np.concatenate(points)
    if not len(joined):
        raise ValueError(f'{source} has no rows.')
    values = {name: pa.chunked_array(part) for name, part in parts.items()}
    return Columns(source, joined, values, problems, swapped)


def infer_task(
    columns: Sequence[Columns], name: str, missing: Sequence[float | str] = ()
) -> Task:
    """Infer the task from the type of a column.

    Args:
        columns: Tables that have the column.
        name: Name of the column.
        missing: Values that mean missing, such as -999.

    Returns:
        ``'classification'`` for text and booleans; ``'regression'`` for numbers,
        including text columns whose only words mean missing.

    Raises:
        ValueError: If most values of a column of text are numbers, but not all.
    """
    for table in columns:
        column = table.values[name]
        if pa.types.is_boolean(column.type) or pa.types.is_dictionary(column.type):
            return 'classification'
        if not _is_text(column.type):
            continue
        kept = as_texts(table, name, missing)
        known = [row for row, text in enumerate(kept) if text is not None]
        words = [row for row in known if parse_number(kept[row]) is None]
        all_words = [t for t in _texts(column) if t and parse_number(t) is None]
        if all_words and not words:
            continue
        if words and 2 * len(words) < len(known):
            raise ValueError(
                f'{table.where(words[0])} has {kept[words[0]]!r} in {name!r}, whose '
                'other values are mostly numbers. Add it to missing= if it stands for a '
                "missing value, or pass task='classification'."
            )
        return 'classification'
    return 'regression'


def is_number(kind: pa.DataType) -> bool:
    """Return True for integers, floats and decimals."""
    types = pa.types
    return bool(
        types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)
    )


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def as_numbers(
    table: Columns, name: str, missing: Sequence[float | str] = ()
) -> Floats:
    """Read a column as numbers.

    Args:
        table: The table.
        name: Name of the column.
        missing: Values that mean missing, such as -999.

    Returns:
        Numbers of shape ``(N,)``, NaN where missing.

    Raises:
        ValueError: If a value is infinite or not a number; the message names the row.
    """
    column = table.values[name]
    if pa.types.is_dictionary(column.type):
        column = pc.cast(column, column.type.value_type)
    kind = column.type
    if _is_text(kind):
        numbers = _parsed(table, name, column, {str(m) for m in missing})
    elif is_number(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind):
        numbers = pc.cast(column, pa.float64(), safe=False).to_numpy().copy()
    else:
        raise ValueError(
            f'{table.source}: the column {name!r} is of type {kind}; numbers are needed.'
        )
    infinite = np.flatnonzero(np.isinf(numbers))
    if len(infinite):
        row = int(infinite[0])
        raise ValueError(f'{table.where(row)} has {numbers[row]} in {name!r}.')
    none = [parse_number(m) for m in missing]
    numbers[np.isin(numbers, [m for m in none if m is not None])] = np.nan
    return np.asarray(numbers, np.float64)


def _parsed(table: Columns, name: str, column: Any, missing: set[str]) -> Floats:
    numbers = np.full(len(column), np.nan)
    for row, text in enumerate(_texts(column)):
        if text is None or text in missing:
            continue
        number = parse_number(text)
        if number is None:
            raise ValueError(
                f'{table.where(row)} has {text!r} in {name!r}, which is not a number. '
                'Correct it, or add it to missing= if it stands for a missing value.'
            )
        numbers[row] = number
    return numbers


def as_texts(
    table: Columns, name: str, missing: Sequence[float | str] = ()
) -> list[str | None]:
    """Read a column as names of classes.

    Args:
        table: The table.
        name: Name of the column.
        missing: Values that mean missing, such as -999.

    Returns:
        Names, None where missing. Integers are converted to text.

    Raises:
        ValueError: If a number is not an integer; the message names the row.
    """
    column = table.values[name]
    # Configurations may turn -999 into -999.0.
    none = {
        str(int(m)) if isinstance(m, float) and m.is_integer() else str(m)
        for m in missing
    }
    if pa.types.is_floating(column.type):
        numbers = as_numbers(table, name, missing)
        fractions = np.flatnonzero(~np.isnan(numbers) & (numbers != np.round(numbers)))
        if len(fractions):
            row = int(fractions[0])
            raise ValueError(
                f'{table.where(row)} has {numbers[row]:g} in {name!r}, which is not a '
                "class. Pass task='regression'."
            )
        return [None if np.isnan(n) else str(int(n)) for n in numbers]
    return [None if text in none else text for text in _texts(column)]


def _texts(column: Any) -> list[str | None]:
    texts = pc.cast(column, pa.large_string()).to_pylist()
    return [text if text is None or text.strip() else None for text in texts]


def sorted_classes(texts: Sequence[str | None]) -> tuple[str, ...]:
    """Return the classes of all rows, sorted by value if they are integers."""
    classes = {text for text in texts if text is not None}
    if all(text.lstrip('-').isdecimal() for text in classes):
        return tuple(sorted(classes, key=lambda text: (int(text), text)))
    return tuple(sorted(classes))


def class_numbers(
    table: Columns, name: str, texts: Sequence[str | None], classes: Sequence[str]
) -> NDArray[np.int64]:
    """Return the position of each row's class in the list of classes.

    Args:
        table: The table.
        name: Name of the column.
        texts: Names of the classes of the rows.
        classes: All classes.

    Returns:
        Numbers of shape ``(N,)``, -1 where missing.

    Raises:
        ValueError: If a class is unknown; the message names the row.
    """
    number = {known: index for index, known in enumerate(classes)}
    for row, text in enumerate(texts):
        if text is not None and text not in number:
            raise ValueError(
                f'{table.where(row)} has {text!r} in {name!r}, which is not one of '
                f'the classes. {near_matches(text, classes)}'
            )
    return np.array(
        [-1 if text is None else number[text] for text in texts], dtype=np.int64
    )
