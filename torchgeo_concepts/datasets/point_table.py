# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tables of points and targets."""

import copy
import os
import pathlib
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchgeo.datasets import NonGeoDataset
from torchgeo.datasets.utils import Path, Sample

from ..geo.points import SWAPPED_HINT
from ..io.columns import (
    Columns,
    Task,
    as_numbers,
    as_texts,
    class_numbers,
    infer_task,
    read_columns,
    sorted_classes,
)
from ..utils.names import check_choice, check_known
from ._samples import OnError, find_index
from ._table_plot import plot_table
from .target_transforms import TargetTransform, TargetTransformOption

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    type Table = Path | pd.DataFrame
else:
    # Configurations name files. If the type allowed an object, jsonargparse would read
    # the file and use its content as the name.
    Table = str


class PointTable(NonGeoDataset):
    """Table of points, with one or more columns of targets.

    Samples have a ``'point'``, ``(longitude, latitude)`` in degrees, and a ``'row'``, the
    row in the table, counted from 0 over all files. With *targets* they have a
    ``'label'``: in regression of shape ``(t,)`` for *t* targets, after
    *target_transform*, NaN if missing; in classification the index of the class, -1 if
    missing. With *extra* columns they have an ``'extra'`` of shape ``(e,)``.

    Example:
        >>> table = pd.DataFrame(
        ...     {'lon': [2.35, 151.2], 'lat': [48.9, -33.9], 'rain': [637, 1175]}
        ... )
        >>> dataset = PointTable(table, 'rain', target_transform='log1p')
        >>> dataset.task
        'regression'
        >>> dataset.inverse_transform(dataset[0]['label']).round()
        tensor([637.])

    Attributes:
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
        rows: Rows in the table, of shape ``(N,)``, counted from 0 over all files.
        labels: Labels of shape ``(N, t)``, or of shape ``(N,)`` in classification.
        extra: Extra columns of shape ``(N, e)``, NaN where missing.
        task: ``'regression'``, ``'classification'``, or None without targets.
        target_names: Names of the targets.
        units: Units of the targets, empty where not known.
        classes: Names of the classes, by index.
        values: Values of the targets of shape ``(N, t)`` in their units, float64, NaN
            where missing; of shape ``(N, 0)`` in classification.
        target_transform: Transform of values to labels.
        split_names: Values of the *split_column*, None in empty cells.
    """

    def __init__(
        self,
        paths: Table | Sequence[Table],
        targets: str | Sequence[str] = (),
        *,
        task: Task | None = None,
        classes: Sequence[str | int] | None = None,
        target_transform: TargetTransformOption = None,
        extra: Sequence[str] = (),
        missing: Sequence[float | str] = (),
        units: Mapping[str, str] | None = None,
        split_column: str | None = None,
        lon: str | None = None,
        lat: str | None = None,
        crs: str | None = None,
        layer: str | None = None,
        on_error: OnError = 'raise',
    ) -> None:
        """Initialize a new PointTable instance.

        Args:
            paths: A CSV, Parquet, GeoParquet, GeoPackage, GeoJSON, Shapefile or
                FlatGeobuf file, a data frame, or several that have the same columns.
            targets: Names of the columns to predict. Empty for points to predict at.
            task: ``'regression'`` or ``'classification'``. By default, text and
                booleans are classes, and all numbers, integers too, are quantities;
                ``print(dataset)`` shows the inferred task.
            classes: Names of the classes in their order. By default, the sorted values
                of the target.
            target_transform: ``'log1p'`` for ``log(1 + value)``,
                ``'standardise'`` for a mean of 0 and a standard deviation of 1,
                ``'log1p-standardise'`` for both, or one of them for each target by
                name. Means are over all rows; :meth:`fit` computes them over some.
            extra: Columns of numbers that are model inputs in addition to the point.
            missing: Values of targets and *extra* columns that mean missing, such as
                -999, in addition to empty cells.
            units: Units of the targets by name, for plots.
            split_column: Column that assigns rows to training, validation and testing.
            lon: Name of the column of longitudes, or of eastings in *crs*. By default,
                it is found by its usual names.
            lat: Name of the column of latitudes, or of northings in *crs*.
            crs: Coordinate reference system of the coordinates, if the file does not
                state it. By default, degrees of longitude and latitude in WGS84.
            layer: Layer of the file, if it has several.
            on_error: ``'raise'`` for an error if a row has no point on Earth. ``'skip'``
                leaves out such rows and warns with their number.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If a table is empty, lacks a column, mixes text and numbers or
                has an unknown class, or if a target is missing in all rows.
        """
        self.is_inferred = task is None
        self.target_names = as_names(targets)
        self.extra_names = tuple(extra)
        self.missing = tuple(missing)
        self.classes: tuple[str, ...] = ()
        _check_options(task, on_error, self.target_names, units)
        self.units = tuple((units or {}).get(name, '') for name in self.target_names)
        split_columns = () if split_column is None else (split_column,)
        names = dict.fromkeys((*self.target_names, *self.extra_names, *split_columns))
        tables = [
            read_columns(table, list(names), lon, lat, crs, layer)
            for table in _tables(paths)
        ]
        self.task: Task | None = self._read_targets(tables, task, classes)
        self.extra = torch.from_numpy(
            np.concatenate([self._numbers(table, self.extra_names) for table in tables])
        ).float()
        self.split_names: NDArray[np.object_] | None = None
        if split_column is not None:
            texts = [text for t in tables for text in as_texts(t, split_column)]
            self.split_names = np.array(texts, dtype=object)
        points = np.concatenate([table.points for table in tables])
        self.points = torch.from_numpy(points).float()
        self.rows = torch.arange(len(points))
        if self.task == 'classification' and target_transform is not None:
            raise ValueError('Classes have no target_transform. Omit it.')
        self.target_transform = TargetTransform.from_option(
            () if self.task == 'classification' else self.target_names, target_transform
        )
        self._keep_points(tables, on_error)
        self._check_logarithms(tables)
        self._apply(self.target_transform.fit(self.values))

    def _read_targets(
        self,
        tables: Sequence[Columns],
        task: Task | None,
        classes: Sequence[str | int] | None,
    ) -> Task | None:
        """Read the targets, and return the task."""
        names = self.target_names
        self._class_numbers = torch.empty(0, dtype=torch.long)
        self.values = torch.empty(sum(len(t.points) for t in tables), 0).double()
        if not names:
            return None
        kinds = [task or infer_task(tables, name, self.missing) for name in names]
        if 'classification' not in kinds:
            values = [self._numbers(table, names) for table in tables]
            self.values = torch.from_numpy(np.concatenate(values))
            for name, column in zip(names, self.values.T, strict=True):
                _raise_if_missing(name, bool(column.isnan().all()), len(column))
            return 'regression'
        if len(names) > 1:
            texts = [n for n, k in zip(names, kinds, strict=True) if k != 'regression']
            raise ValueError(
                f'Classification needs exactly one target, not {list(names)}. The values '
                f'of {texts} are classes.'
            )
        names_of_rows = [as_texts(t, names[0], self.missing) for t in tables]
        known = [text for texts in names_of_rows for text in texts]
        _raise_if_missing(
            names[0], not any(text is not None for text in known), len(known)
        )
        self.classes = (
            sorted_classes(known) if classes is None else tuple(map(str, classes))
        )
        numbers = [
            class_numbers(table, names[0], texts, self.classes)
            for table, texts in zip(tables, names_of_rows, strict=True)
        ]
        self._class_numbers = torch.from_numpy(np.concatenate(numbers))
        return 'classification'

    def _numbers(self, table: Columns, names: Sequence[str]) -> NDArray[np.float64]:
        if not names:
            return np.empty((len(table.points), 0))
        return np.stack([as_numbers(table, n, self.missing) for n in names], axis=1)

    def _keep_points(self, tables: Sequence[Columns], on_error: OnError) -> None:
        num_bad = sum(len(table.problems) for table in tables)
        if not num_bad:
            return
        table = next(table for table in tables if table.problems)
        row, why = min(table.problems.items())
        hint = f' {SWAPPED_HINT}' if table.is_swapped else ''
        if on_error == 'raise' or num_bad == len(self.points):
            more = f' {num_bad - 1} more have none.' if num_bad > 1 else ''
            advice = " Leave such rows out with on_error='skip'."
            raise ValueError(
                f'{table.where(row)} has no point: {why}.{more}{hint}'
                f'{advice if num_bad < len(self.points) else ""}'
            )
        warnings.warn(
            f'{table.source}: left out {num_bad} of {len(self.points)} rows that have '
            f'no point.{hint}',
            stacklevel=3,
        )
        self._take(torch.isfinite(self.points).all(dim=1))

    def _check_logarithms(self, tables: Sequence[Columns]) -> None:
        for name, is_log in zip(
            self.target_transform.names, self.target_transform.is_log, strict=True
        ):
            for table in tables if is_log else ():
                values = as_numbers(table, name, self.missing)
                low = np.flatnonzero(values <= -1)
                if len(low):
                    row = int(low[0])
                    raise ValueError(
                        f'{table.where(row)} has {values[row]:g} in {name!r}, which has '
                        'no log1p. Choose another target_transform, or add the value to '
                        'missing= if it means missing.'
                    )

    def _apply(self, transform: TargetTransform) -> None:
        self.target_transform = transform
        if self.task == 'classification':
            self.labels = self._class_numbers
        else:
            self.labels = transform(self.values).float()

    def _take(self, rows: Tensor) -> None:
        self.points, self.extra = self.points[rows], self.extra[rows]
        self.rows = self.rows[rows]
        self.values = self.values[rows]
        if self.task == 'classification':
            self._class_numbers = self._class_numbers[rows]
        if self.split_names is not None:
            self.split_names = self.split_names[rows.numpy()]

    def __len__(self) -> int:
        """Return the number of points."""
        return len(self.points)

    def __getitem__(self, index: int) -> Sample:
        """Return a sample.

        Args:
            index: Index of the point; negative ones count from the end.

        Returns:
            Its ``'point'`` and ``'row'``, and its ``'label'`` and ``'extra'`` if there
            are any.

        Raises:
            IndexError: If there is no such point.
        """
        number = find_index(index, len(self), 'point')
        sample: Sample = {
            'point': self.points[number].clone(),
            'row': self.rows[number].clone(),
        }
        if self.task is not None:
            sample['label'] = self.labels[number].clone()
        if self.extra_names:
            sample['extra'] = self.extra[number].clone()
        return sample

    def fit(self, rows: NDArray[Any] | Tensor | Sequence[int]) -> Self:
        """Fit the standardisation of the targets to some of the rows.

        Args:
            rows: Indices of the training rows, or a mask of shape ``(N,)``.

        Returns:
            The dataset of all rows, with labels on that scale.

        Raises:
            ValueError: If a target that is standardised is missing in all these rows.
        """
        chosen = copy.copy(self)
        chosen._apply(self.target_transform.fit(self.values[_index(rows, len(self))]))
        return chosen

    def select(self, rows: NDArray[Any] | Tensor | Sequence[int]) -> Self:
        """Select some of the points.

        Args:
            rows: Indices of the rows, or a mask of shape ``(N,)``.

        Returns:
            The dataset of those rows, with the same classes and scale of labels.
        """
        chosen = copy.copy(self)
        chosen._take(_index(rows, len(self)))
        chosen._apply(self.target_transform)
        return chosen

    def inverse_transform(self, labels: Tensor) -> Tensor:
        """Convert labels, or predictions of labels, to values.

        Args:
            labels: Labels of shape ``(..., t)``; in classification, any.

        Returns:
            Values of the same shape, in the units of the targets; in classification,
            the labels.
        """
        if self.task == 'classification':
            return labels
        return self.target_transform.inverse(labels)

    def __str__(self) -> str:
        """Return a summary with the inferred task."""
        lines = [super().__str__()]
        if self.task is not None:
            inferred = ', by the type of the column' if self.is_inferred else ''
            lines.append(f'task: {self.task}{inferred}')
            lines.append(f'targets: {", ".join(self.target_names)}')
        if self.classes:
            lines.append(f'classes: {len(self.classes)}')
        return '\n    '.join(lines)

    def plot(
        self,
        sample: Sample | None = None,
        show_titles: bool = True,
        suptitle: str | None = None,
        *,
        target: str | None = None,
    ) -> 'Figure':
        """Draw all points on a map, coloured by a target.

        Args:
            sample: A sample to mark.
            show_titles: Show the target, or the sample, above the map.
            suptitle: Title of the figure.
            target: Name of the target. By default, the first.

        Returns:
            The figure.

        Raises:
            ValueError: If the target is unknown.
        """
        return plot_table(self, sample, show_titles, suptitle, target)


def as_names(
    names: str | Sequence[str], known: Iterable[str] | None = None, kind: str = 'target'
) -> tuple[str, ...]:
    """Return one or several names as a tuple.

    Args:
        names: A name, or several.
        known: All possible names. By default, any name is possible.
        kind: Kind of the names, for errors.

    Returns:
        The names.

    Raises:
        ValueError: If a name is unknown or comes twice.
    """
    chosen = (names,) if isinstance(names, str) else tuple(names)
    for name in () if known is None else chosen:
        check_known(f'No {kind}', name, known or ())
    if len(set(chosen)) < len(chosen):
        raise ValueError(f'A {kind} is named twice: {list(chosen)}.')
    return chosen


def _tables(paths: Table | Sequence[Table]) -> list[pathlib.Path | pd.DataFrame]:
    is_one = isinstance(paths, str | os.PathLike | pd.DataFrame)
    several: Sequence[Any] = [paths] if is_one else paths  # type: ignore[assignment]
    if not len(several):
        raise ValueError('paths is empty. Pass at least one table.')
    return [t if isinstance(t, pd.DataFrame) else pathlib.Path(t) for t in several]


def _check_options(
    task: str | None,
    on_error: str,
    targets: Sequence[str],
    units: Mapping[str, str] | None,
) -> None:
    if task is not None:
        check_choice('task', task, Task)
    check_choice('on_error', on_error, OnError)
    for name in units or {}:
        check_known('units has an unknown target', name, targets)


def _raise_if_missing(name: str, is_missing: bool, number: int) -> None:
    if is_missing:
        raise ValueError(
            f'The target {name!r} is missing in all {number} rows. Choose another.'
        )


def _index(rows: NDArray[Any] | Tensor | Sequence[int], number: int) -> Tensor:
    index = torch.as_tensor(rows)
    if index.dtype == torch.bool:
        if index.shape != (number,):
            raise ValueError(
                f'A mask of rows must have shape ({number},), not {tuple(index.shape)}.'
            )
        return index.nonzero().flatten()
    return index.long()
