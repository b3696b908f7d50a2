# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Shared arguments, indices, classes and figures of datasets."""

import operator
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor
from torchgeo.datasets.utils import Path, Sample

from ..io.columns import Columns, class_numbers, sorted_classes

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    type Table = Path | pd.DataFrame
else:
    # Configurations name files. If the type allowed an object, jsonargparse would read
    # the file and use its content as the name.
    Table = str

OnError = Literal['raise', 'skip']


def find_index(index: int, number: int, kind: str) -> int:
    """Validate the index of a sample.

    Args:
        index: The index; negative ones count from the end.
        number: Number of samples.
        kind: Kind of the samples, for the error.

    Returns:
        The index from 0.

    Raises:
        IndexError: If there is no such sample.
    """
    found = operator.index(index)
    if not -number <= found < number:
        raise IndexError(f'No {kind} {found}: there are {number}.')
    return found % number


def no_point_error(source: str, problems: Mapping[int, str], hint: str) -> ValueError:
    """Make the error for rows without a point.

    Args:
        source: Name of the table.
        problems: Reason for each row, by its number.
        hint: Advice that starts with a space, or an empty string.

    Returns:
        The error, which names the first row.
    """
    row, why = min(problems.items())
    more = f' In total, {len(problems)} rows have none.' if len(problems) > 1 else ''
    return ValueError(
        f'{source}: row {row}, counted from 0, has no point: {why}.{more}{hint}'
    )


def missing_error(columns: Columns, name: str) -> ValueError:
    """Make the error for a column without any value."""
    return ValueError(
        f'{columns.source}: {name!r} is missing in all {len(columns.points)} rows. '
        'Choose another column.'
    )


def read_classes(
    columns: Columns,
    name: str,
    texts: Sequence[str | None],
    classes: Sequence[str | int] | None,
) -> tuple[tuple[str, ...], Tensor]:
    """Convert the classes in a column to indices.

    Args:
        columns: Table that has the column, for errors.
        name: Name of the column.
        texts: Class of each row, None where missing.
        classes: Names of all classes. By default, the sorted values of the column.

    Returns:
        Names of the classes, and their index for each row, -1 where missing.

    Raises:
        ValueError: If a class is unknown, or missing in all rows.
    """
    if not any(text is not None for text in texts):
        raise missing_error(columns, name)
    known = sorted_classes(texts) if classes is None else tuple(map(str, classes))
    return known, torch.from_numpy(class_numbers(columns, name, texts, known))


def plot_image(
    sample: Sample, show_titles: bool, suptitle: str | None, classes: Sequence[str] = ()
) -> 'Figure':
    """Draw the image of a sample.

    Args:
        sample: A sample with an ``'image'`` of shape ``(3, H, W)`` in 0..255, a
            ``'point'``, and perhaps a ``'label'`` and a ``'prediction'``
            ``(longitude, latitude)``.
        show_titles: Show label, point and prediction above the image.
        suptitle: Title of the figure.
        classes: Names of the labels.

    Returns:
        The figure.
    """
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(4, 4), layout='constrained')
    axes.imshow((sample['image'] / 255).clamp(0, 1).permute(1, 2, 0).numpy())
    axes.axis('off')
    number = int(sample.get('label', -1))
    title = f'{classes[number]} ' if number >= 0 else ''
    title += '({:.4f}, {:.4f})'.format(*sample['point'].tolist())
    if 'prediction' in sample:
        title += '\nprediction: ({:.4f}, {:.4f})'.format(*sample['prediction'].tolist())
    if show_titles:
        axes.set_title(title)
    if suptitle is not None:
        figure.suptitle(suptitle)
    return figure
