# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tables of points and targets."""

import copy
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
from torchgeo.datasets.utils import Sample

from ..geo.points import SWAPPED_HINT
from ..io.columns import Columns, Task, as_numbers, as_texts, infer_task, read_columns
from ..utils.names import check_choice, check_known, with_unit
from ._point_plot import plot_points
from ._samples import (
    OnError,
    Table,
    find_index,
    missing_error,
    no_point_error,
    read_classes,
)
from .target_transforms import TargetTransform, TargetTransformOption

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class PointTable(NonGeoDataset):
    """Table of points, with one or more columns of targets.

    Samples have a ``'point'``, ``(longitude, latitude)`` in degrees, and a ``'row'``, the
    row in the table, counted from 0. With *targets* they have a
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
        rows: Rows in the table, of shape ``(N,)``, counted from 0.
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
        table: Table,
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
            table: A CSV, Parquet, GeoParquet, GeoPackage, GeoJSON, Shapefile or
                FlatGeobuf file, or a data frame.
            targets: Names of the columns to predict. Empty for points without labels.
            task: ``'regression'`` or ``'classification'``. By default, text and
                booleans are classes, and all numbers, including integers, are
                quantities; ``print(dataset)`` shows the inferred task.
            classes: Names of the classes in their order. By default, the sorted values
                of the target.
            target_transform: ``'log1p'`` for ``log(1 + value)``,
                ``'standardise'`` for a mean of 0 and a standard deviation of 1,
                ``'log1p-standardise'`` for both, or one of them for each target by
                name. Statistics are over all rows; :meth:`fit` computes them over the
                given rows.
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
        if task is not None:
            check_choice('task', task, Task)
        check_choice('on_error', on_error, OnError)
        for name in units or {}:
            check_known('units has an unknown target', name, self.target_names)
        self.units = tuple((units or {}).get(name, '') for name in self.target_names)
        split_columns = () if split_column is None else (split_column,)
        names = dict.fromkeys((*self.target_names, *self.extra_names, *split_columns))
        table = table if isinstance(table, pd.DataFrame) else pathlib.Path(table)
        columns = read_columns(table, list(names), lon, lat, crs, layer)
        self.points = torch.from_numpy(columns.points).float()
        self.rows = torch.arange(len(self.points))
        self.task: Task | None = self._read_targets(columns, task, classes)
        self.extra = self._read_numbers(columns, self.extra_names).float()
        self.split_names: NDArray[np.object_] | None = None
        if split_column is not None:
            self.split_names = np.array(as_texts(columns, split_column), dtype=object)
        if self.task == 'classification' and target_transform is not None:
            raise ValueError('Classes have no target_transform. Omit it.')
        self.target_transform = TargetTransform.from_option(
            () if self.task == 'classification' else self.target_names, target_transform
        )
        if columns.problems:
            self._leave_out(columns, on_error)
        self._check_logarithms(columns)
        self._fit(self.values)

    def _read_targets(
        self, columns: Columns, task: Task | None, classes: Sequence[str | int] | None
    ) -> Task | None:
        """Read the targets, and return the task."""
        names = self.target_names
        self.values = self.labels = self._read_numbers(columns, ())
        if not names:
            return None
        kinds = [task or infer_task([columns], name, self.missing) for name in names]
        if 'classification' not in kinds:
            self.values = self._read_numbers(columns, names)
            for name, column in zip(names, self.values.T, strict=True):
                if column.isnan().all():
                    raise missing_error(columns, name)
            return 'regression'
        if len(names) > 1:
            texts = [n for n, k in zip(names, kinds, strict=True) if k != 'regression']
            raise ValueError(
                f'Classification needs exactly one target, not {list(names)}. The values '
                f'of {texts} are classes.'
            )
        known = as_texts(columns, names[0], self.missing)
        self.classes, self.labels = read_classes(columns, names[0], known, classes)
        return 'classification'

    def _read_numbers(self, columns: Columns, names: Sequence[str]) -> Tensor:
        numbers = np.empty((len(columns.points), len(names)))
        for column, name in enumerate(names):
            numbers[:, column] = as_numbers(columns, name, self.missing)
        return torch.from_numpy(numbers)

    def _leave_out(self, columns: Columns, on_error: OnError) -> None:
        """Leave out the rows without a point, or raise an error."""
        number, num_bad = len(self.points), len(columns.problems)
        hint = f' {SWAPPED_HINT}' if columns.is_swapped else ''
        if on_error == 'raise' or num_bad == number:
            advice = " Leave such rows out with on_error='skip'."
            hint += advice if num_bad < number else ''
            raise no_point_error(columns.source, columns.problems, hint)
        warnings.warn(
            f'{columns.source}: left out {num_bad} of {number} rows, because they have '
            f'no point.{hint}',
            stacklevel=3,
        )
        self._take(torch.isfinite(self.points).all(dim=1))

    def _check_logarithms(self, columns: Columns) -> None:
        transform = self.target_transform
        for name, is_log, values in zip(
            transform.names, transform.is_log, self.values.T, strict=True
        ):
            low = (values <= -1).nonzero().flatten().tolist()
            if is_log and low:
                raise ValueError(
                    f'{columns.where(int(self.rows[low[0]]))} has {values[low[0]]:g} in '
                    f'{name!r}, which has no log1p. Choose another target_transform, or '
                    'add the value to missing= if it means missing.'
                )

    def _fit(self, values: Tensor) -> None:
        self.target_transform = self.target_transform.fit(values)
        if self.task != 'classification':
            self.labels = self.target_transform(self.values).float()

    def _take(self, rows: Tensor) -> None:
        for name in ('points', 'rows', 'extra', 'values', 'labels'):
            setattr(self, name, getattr(self, name)[rows])
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
        chosen._fit(self.values[torch.as_tensor(rows)])
        return chosen

    def select(self, rows: NDArray[Any] | Tensor | Sequence[int]) -> Self:
        """Select some of the points.

        Args:
            rows: Indices of the rows, or a mask of shape ``(N,)``.

        Returns:
            The dataset of those rows, with the same classes and scale of labels.
        """
        chosen = copy.copy(self)
        chosen._take(torch.as_tensor(rows))
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
        if target is not None:
            check_known('No target', target, self.target_names)
        column = 0 if target is None else self.target_names.index(target)
        values, label = self._colours(column)
        title = label if sample is None else self._describe(sample)
        figure = plot_points(
            self.points,
            values,
            label,
            self.classes,
            title if show_titles else '',
            suptitle,
        )
        if sample is not None:
            lon, lat = sample['point'].tolist()
            figure.axes[0].plot(lon, lat, '*', color='red', markersize=12)
        return figure

    def _colours(self, column: int) -> tuple[NDArray[np.float64] | None, str]:
        """Return the values of a target in its units, and its name."""
        if self.task is None:
            return None, ''
        name = self.target_names[column]
        if self.task == 'classification':
            numbers = self.labels.double()
            return torch.where(numbers < 0, torch.nan, numbers).numpy(), name
        values = self.values[:, column].numpy()
        label = with_unit(name, self.units[column])
        if self.target_transform.is_log[column]:
            return np.log10(1 + values), f'log₁₀(1 + {label})'
        return values, label

    def _describe(self, sample: Sample) -> str:
        lon, lat = sample['point'].tolist()
        parts = [f'({lon:.4f}, {lat:.4f})']
        if self.task == 'classification':
            number = int(sample['label'])
            parts.append(self.classes[number] if number >= 0 else 'unknown')
        elif self.task == 'regression':
            values = self.inverse_transform(sample['label']).tolist()
            for name, value, unit in zip(
                self.target_names, values, self.units, strict=True
            ):
                parts.append(f'{name} {value:.4g} {unit}'.rstrip())
        return ', '.join(parts)


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
        ValueError: If a name is unknown or repeated.
    """
    chosen = (names,) if isinstance(names, str) else tuple(names)
    for name in () if known is None else chosen:
        check_known(f'No {kind}', name, known or ())
    if len(set(chosen)) < len(chosen):
        raise ValueError(f'A {kind} is named twice: {list(chosen)}.')
    return chosen
