# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Columns of tables of points, read as numbers or as classes."""

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
from ..utils.names import near_matches
from .tables import open_frame, open_table

Task = Literal['regression', 'classification']

type Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Columns:
    """Some columns of one table.

    Attributes:
        source: What to call the table in messages.
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees,
            NaN where a row has none.
        values: Arrow array of each column, by name.
        problems: Why a row has no point, by its number.
        is_swapped: Whether longitudes and latitudes look swapped.
    """

    source: str
    points: NDArray[Any]
    values: dict[str, Any]
    problems: dict[int, str] = field(default_factory=dict)
    is_swapped: bool = False

    def where(self, row: int) -> str:
        """Name a row in a message."""
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
        lon: Name of the column of longitudes, found if not given.
        lat: Name of the column of latitudes, found if not given.
        crs: Coordinate reference system of the coordinates, if the table does not say.
        layer: Layer of a file that has several.

    Returns:
        The columns.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read, has no rows or has not the columns.
    """
    if isinstance(table, pd.DataFrame):
        source = str(table.attrs.get('source', 'The table'))
        opened = open_frame(table, lon=lon, lat=lat, crs=crs)
    else:
        source = str(table)
        opened = open_table(table, lon=lon, lat=lat, crs=crs, layer=layer)
    for name in names:
        if name not in opened.schema.names:
            raise ValueError(
                f'{source} has no column {name!r}. '
                f'{near_matches(name, opened.schema.names)}'
            )
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
    """Tell by the type of a column what its values are for.

    Args:
        columns: Tables that have the column.
        name: Its name.
        missing: Values that mean that there is none.

    Returns:
        ``'classification'`` for text and truth values, ``'regression'`` for numbers,
        also those that are text only because a word stands for a missing one.

    Raises:
        ValueError: If a column of text looks like numbers with a word among them.
    """
    for table in columns:
        kind = table.values[name].type
        if pa.types.is_boolean(kind) or pa.types.is_dictionary(kind):
            return 'classification'
        is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
        if is_text and not _is_text_for_missing_words(table, name, missing):
            _refuse_words_among_numbers(table, name, missing)
            return 'classification'
    return 'regression'


def _is_text_for_missing_words(
    table: Columns, name: str, missing: Sequence[float | str]
) -> bool:
    """Tell whether there are but numbers and words that mean that there is none."""
    if not missing:
        return False
    both = zip(_texts(table.values[name]), as_texts(table, name, missing), strict=True)
    words = [kept for text, kept in both if text and _as_number(text) is None]
    # Without such words, text is what somebody made of codes.
    return bool(words) and not any(words)


def _refuse_words_among_numbers(
    table: Columns, name: str, missing: Sequence[float | str]
) -> None:
    texts = as_texts(table, name, missing)
    known = [row for row, text in enumerate(texts) if text is not None]
    words = [row for row in known if _as_number(texts[row]) is None]
    if words and 2 * len(words) < len(known):
        raise ValueError(
            f'{table.where(words[0])} has {texts[words[0]]!r} in {name!r}, whose other '
            'values are mostly numbers. Name it with missing= if it means that there is '
            "none, or say task='classification'."
        )


def as_numbers(
    table: Columns, name: str, missing: Sequence[float | str] = ()
) -> Floats:
    """Read a column as numbers.

    Args:
        table: The table.
        name: Name of the column.
        missing: Values that mean that there is none.

    Returns:
        Numbers of shape ``(N,)``, NaN where missing.

    Raises:
        ValueError: If a value is no number, or infinite; the message names the row.
    """
    column = table.values[name]
    if pa.types.is_dictionary(column.type):
        column = pc.cast(column, column.type.value_type)
    is_text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    if is_text:
        numbers = _parsed(table, name, column, {str(m) for m in missing})
    else:
        try:
            # Numbers in other types, such as dates, would be counts of something.
            if pa.types.is_temporal(column.type):
                raise pa.ArrowInvalid
            numbers = pc.cast(column, pa.float64(), safe=False).to_numpy().copy()
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            raise ValueError(
                f'{table.source}: the column {name!r} is of type {column.type}; numbers '
                'are needed.'
            ) from None
    infinite = np.flatnonzero(np.isinf(numbers))
    if len(infinite):
        row = int(infinite[0])
        raise ValueError(f'{table.where(row)} has {numbers[row]} in {name!r}.')
    none = [_as_number(str(m)) for m in missing]
    numbers[np.isin(numbers, [m for m in none if m is not None])] = np.nan
    return np.asarray(numbers, np.float64)


def _parsed(table: Columns, name: str, column: Any, missing: set[str]) -> Floats:
    numbers = np.full(len(column), np.nan)
    for row, text in enumerate(_texts(column)):
        if text is None or text in missing:
            continue
        number = _as_number(text)
        if number is None:
            raise ValueError(
                f'{table.where(row)} has {text!r} in {name!r}, which is no number. '
                'Correct it, or name it with missing= if it means that there is none.'
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
        missing: Values that mean that there is none.

    Returns:
        Names, None where missing; of whole numbers, their digits.

    Raises:
        ValueError: If a value is a fraction; the message names the row.
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
                f'{table.where(row)} has {numbers[row]:g} in {name!r}, which is no '
                "class. Say task='regression'."
            )
        return [None if np.isnan(n) else str(int(n)) for n in numbers]
    return [None if text in none else text for text in _texts(column)]


def _texts(column: Any) -> list[str | None]:
    texts = pc.cast(column, pa.large_string()).to_pylist()
    return [text if text is None or text.strip() else None for text in texts]


def _as_number(text: str | None) -> float | None:
    try:
        # Python reads 1_0 as 10, and nobody else does.
        return None if text is None or '_' in text else float(text)
    except ValueError:
        return None


def sorted_classes(texts: Sequence[str | None]) -> tuple[str, ...]:
    """Order the classes that there are, whole numbers by their size."""
    classes = {text for text in texts if text is not None}
    if all(text.lstrip('-').isdecimal() for text in classes):
        return tuple(sorted(classes, key=lambda text: (int(text), text)))
    return tuple(sorted(classes))


def class_numbers(
    table: Columns, name: str, texts: Sequence[str | None], classes: Sequence[str]
) -> NDArray[np.int64]:
    """Number classes by their place among those that are known.

    Args:
        table: The table.
        name: Name of the column.
        texts: Names of the classes of the rows.
        classes: All classes.

    Returns:
        Numbers of shape ``(N,)``, -1 where missing.

    Raises:
        ValueError: If a class is not known; the message names the row.
    """
    number = {known: index for index, known in enumerate(classes)}
    for row, text in enumerate(texts):
        if text is not None and text not in number:
            raise ValueError(
                f'{table.where(row)} has {text!r} in {name!r}, which is none of the '
                f'classes. {near_matches(text, classes)}'
            )
    return np.array(
        [-1 if text is None else number[text] for text in texts], dtype=np.int64
    )
