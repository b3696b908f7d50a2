# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tables of file names and points."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..geo.points import WGS84, find_coordinate_columns
from ..utils.names import near_matches
from .columns import Columns, as_texts
from .file_names import concat_names
from .tables import (
    COMPRESSIONS,
    CSV_SUFFIXES,
    READ_ERRORS,
    ColumnCoordinates,
    CSVFile,
    OpenedTable,
    open_frame,
    open_table,
)

IMAGE_COLUMNS = (
    'image',
    'images',
    'image_file',
    'image_id',
    'image_name',
    'image_path',
    'img',
    'img_file',
    'img_id',
    'img_path',
    'file',
    'file_name',
    'file_path',
    'filename',
    'filepath',
    'fn',
    'path',
)

BATCH_ROWS = 2**18


@dataclass(frozen=True)
class Rows:
    """Rows of a table.

    Attributes:
        source: What to call the table in messages.
        names: Arrow array of names of images.
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees,
            NaN where a row has none.
        problems: Why a row has no point or no name, by its number.
        labels: What each image shows, None where unknown, if there is a column for it.
    """

    source: str
    names: Any
    points: NDArray[np.float32]
    problems: dict[int, str]
    labels: list[str | None] | None = None


def read_rows(
    table: Path | pd.DataFrame,
    image_column: str | None = None,
    lon: str | None = None,
    lat: str | None = None,
    label: str | None = None,
) -> Rows:
    """Read names and points, and no other column.

    Args:
        table: A file that :func:`~torchgeo_concepts.io.tables.open_table` reads, or a data
            frame.
        image_column: Name of the column of names, found by its usual names if not
            given.
        lon: Name of the column of longitudes, found if not given.
        lat: Name of the column of latitudes, found if not given.
        label: Name of the column of labels.

    Returns:
        The rows.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read, or has not the columns.
    """
    source = str(table) if isinstance(table, Path) else 'The table'
    try:
        opened = _open(table, lon, lat)
        column = _find_image_column(opened.schema.names, image_column)
    except ValueError as error:
        known = source in str(error)
        raise ValueError(str(error) if known else f'{source}: {error}') from error
    if label is not None and label not in opened.schema.names:
        raise ValueError(
            f'{source} has no column {label!r}. '
            f'{near_matches(label, opened.schema.names)}'
        )
    names, points, labels = [], [np.empty((0, 2), np.float32)], list[Any]()
    problems: dict[int, str] = {}
    others = () if label is None else (label,)
    columns = dict.fromkeys((column, *others, *opened.coordinates.columns))
    for batch in opened.batches(list(columns)):
        names.append(pc.cast(batch.rows.column(column), pa.large_string()))
        points.append(batch.points.astype(np.float32))
        labels += [batch.rows.column(name) for name in others]
        nameless = np.flatnonzero(names[-1].is_null().to_numpy(zero_copy_only=False))
        reasons = batch.problems | dict.fromkeys(nameless.tolist(), 'it has no image')
        problems |= {batch.first_row + row: why for row, why in reasons.items()}
    lonlat = np.concatenate(points)
    texts = None
    if label is not None and labels:
        values = {label: pa.chunked_array(labels)}
        texts = as_texts(Columns(source, lonlat, values), label)
    return Rows(source, concat_names(names), lonlat, problems, texts)


def _find_image_column(columns: Sequence[str], given: str | None) -> str:
    if given is not None:
        if given not in columns:
            raise ValueError(
                f'No column {given!r}; the columns are {list(columns)}. '
                f'{near_matches(given, columns)}'
            )
        return given
    usual = [name for name in columns if name.strip().lower() in IMAGE_COLUMNS]
    if len(usual) == 1:
        return usual[0]
    problem = (
        f'Several columns could be names of images: {usual}.'
        if usual
        else f'No column is clearly the names of images (the columns are {columns}).'
    )
    raise ValueError(f'{problem} Name it with image_column=.')


def _open(table: Path | pd.DataFrame, lon: str | None, lat: str | None) -> OpenedTable:
    if isinstance(table, pd.DataFrame):
        return open_frame(table, lon=lon, lat=lat, batch_rows=BATCH_ROWS)
    suffixes = [s.lower() for s in table.suffixes if s.lower() not in COMPRESSIONS]
    is_csv = bool(suffixes) and suffixes[-1] in CSV_SUFFIXES
    if not (is_csv and table.is_file() and table.stat().st_size):
        return open_table(table, lon=lon, lat=lat, batch_rows=BATCH_ROWS)
    # Names stay text, and the columns that nobody asked for are not parsed.
    try:
        file = CSVFile.sniff(table, BATCH_ROWS)
        names = file.names()
    except READ_ERRORS as error:
        raise ValueError(f'Cannot read {table}: {error}') from error
    return OpenedTable(
        table,
        pa.schema(dict.fromkeys(names, pa.string())),
        ColumnCoordinates(*find_coordinate_columns(names, lon, lat)),
        WGS84,
        partial(file.read, {}),
        BATCH_ROWS,
    )
