# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tables that tasks print after testing."""

from collections.abc import Sequence

from lightning.pytorch.utilities import rank_zero_only


@rank_zero_only
def print_table(title: str, rows: Sequence[Sequence[str]], first: str = '---:') -> None:
    """Print a Markdown table from the first process.

    Args:
        title: Line above the table.
        rows: Cells; the first row is the header.
        first: Alignment of the first column; all others are aligned to the right.
    """
    header, *body = rows
    print(f'\n{title}\n')
    for row in (header, [first, *['---:'] * (len(header) - 1)], *body):
        print(f'| {" | ".join(row)} |')
