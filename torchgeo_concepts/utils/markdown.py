# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Markdown tables without padding of cells."""

from collections.abc import Collection, Iterable, Sequence


def markdown_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], right: Collection[str] = ()
) -> str:
    """Write a Markdown table.

    Args:
        columns: Names of the columns.
        rows: Cells of each row. A ``|`` in a cell is replaced with ``/``.
        right: Columns to align to the right.

    Returns:
        The table, with a line break at its end.
    """
    rule = ['---:' if name in right else '---' for name in columns]
    cells = ([cell.replace('|', '/') for cell in row] for row in rows)
    return ''.join(f'| {" | ".join(row)} |\n' for row in (columns, rule, *cells))
