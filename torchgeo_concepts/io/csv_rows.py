# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""CSV files that people edit, read strictly."""

import csv
import io
from pathlib import Path


def read_text(path: Path) -> str:
    """Read a text file in UTF-8, with or without a byte order mark.

    Args:
        path: The file.

    Returns:
        The text.

    Raises:
        ValueError: If the file is in another encoding.
    """
    try:
        return path.read_text(encoding='utf-8-sig')
    except UnicodeDecodeError as error:
        raise ValueError(
            f'{path} is not UTF-8: byte {error.start} cannot be read. Save it as UTF-8.'
        ) from error


def read_csv_rows(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Read a CSV file with a header.

    Args:
        path: The file.

    Returns:
        Names of the columns, and a mapping for each row. Blank lines are passed over.

    Raises:
        ValueError: If the file is not UTF-8, or a row has more or fewer cells than the
            header; the message names the row, counted from 0.
    """
    reader = csv.reader(io.StringIO(read_text(path), newline=''))
    rows: list[dict[str, str]] = []
    try:
        names = next(reader, [])
        for row, cells in enumerate(filter(None, reader)):
            if len(cells) != len(names):
                raise ValueError(
                    f'{path}: row {row} (counted from 0) has {len(cells)} cells, '
                    f'the header has {len(names)}.'
                )
            rows.append(dict(zip(names, cells, strict=True)))
    except csv.Error as error:
        raise ValueError(
            f'{path} is no CSV: line {reader.line_num}, {error}.'
        ) from error
    return names, rows
