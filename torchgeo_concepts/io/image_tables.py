# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tables of image names and points."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .columns import as_texts, collect_columns
from .file_names import concat_names
from .tables import open_table

_COLUMNS = (
    'image images image_file image_id image_name image_path img img_file img_id '
    'img_path file file_name file_path filename filepath fn path'
)
IMAGE_COLUMNS = _COLUMNS.split()

# Columns are read as text, so many rows at a time cost little memory.
BATCH_ROWS = 2**18


@dataclass(frozen=True)
class ImageTable:
    """Names and points of images.

    Attributes:
        source: Name of the table in errors.
        names: Arrow array of names of images.
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees,
            NaN in rows without a valid point.
        problems: Reason why a row has no valid point or no name, by row number.
        labels: Label of each image, None where missing, if there is a column of labels.
    """

    source: str
    names: Any
    points: NDArray[np.float32]
    problems: dict[int, str]
    labels: list[str | None] | None = None


def read_image_table(
    table: Path | pd.DataFrame,
    image_column: str | None = None,
    lon: str | None = None,
    lat: str | None = None,
    label: str | None = None,
) -> ImageTable:
    """Read names, points and labels of images.

    Args:
        table: A file that :func:`~torchgeo_concepts.io.tables.open_table` reads, or a data
            frame.
        image_column: Name of the column of names. By default, it is found by its usual
            names.
        lon: Name of the longitude column. By default, it is found by its usual names.
        lat: Name of the latitude column. By default, it is found by its usual names.
        label: Name of the column of labels.

    Returns:
        The names, points and labels.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the table cannot be read or lacks a column.
    """
    # Names of images stay text, and unused columns are not parsed.
    opened = open_table(
        table, lon=lon, lat=lat, batch_rows=BATCH_ROWS, infer_types=False
    )
    column = image_column or _image_column(str(opened.path), opened.schema.names)
    columns = collect_columns(opened, [column] if label is None else [column, label])
    images = concat_names(columns.values[column].chunks)
    nameless = np.flatnonzero(images.is_null().to_numpy(zero_copy_only=False))
    return ImageTable(
        columns.source,
        images,
        columns.points.astype(np.float32),
        columns.problems | dict.fromkeys(nameless.tolist(), 'it has no image'),
        None if label is None else as_texts(columns, label),
    )


def _image_column(source: str, columns: Sequence[str]) -> str:
    """Find the column of image names by its usual names."""
    usual = [name for name in columns if name.strip().lower() in IMAGE_COLUMNS]
    if len(usual) == 1:
        return usual[0]
    problem = (
        f'Several columns may hold names of images: {usual}.'
        if usual
        else f'No column clearly has image names (the columns are {columns}).'
    )
    raise ValueError(f'{source}: {problem} Pass image_column=.')
