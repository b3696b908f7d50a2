# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Points of any table, and what is to be predicted at them."""

import copy
import operator
import os
import pathlib
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, get_args

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
from ..plot.point_maps import point_map, point_size
from ..utils.names import near_matches, with_unit
from .image_points import OnError
from .target_transforms import TargetTransform, TargetTransformOption

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    type Table = Path | pd.DataFrame
else:
    # Configurations name files. Of a type that may be an object, jsonargparse would read
    # the file here, and take its content for a name.
    Table = str


class PointTable(NonGeoDataset):
    """A table of points, with one or more columns that are to be predicted.

    Samples have a ``'point'``, ``(longitude, latitude)`` in degrees, and a ``'label'``:
    in regression of shape ``(t,)`` for *t* targets, after their transform, NaN where
    missing; in classification the number of the class, -1 where missing. With *extra*
    columns there is an ``'extra'`` of shape ``(e,)``, without *targets* no label. A
    ``'row'`` says which row of the table it is, counted from 0 over all files.

    .. code-block:: python

       PointTable('stations.csv', 'temperature')
       PointTable('counties.gpkg', ['income', 'rent'], target_transform='log1p')
       PointTable('plots.parquet', 'crop')  # a column of text: classification

    Attributes:
        task: ``'regression'``, ``'classification'``, or None without targets.
        target_names: Names of the targets.
        units: Units of the targets, empty where not known.
        classes: Names of the classes, in the order of their numbers.
        values: Values of the targets of shape ``(N, t)`` in their units, float64, NaN
            where missing; of shape ``(N, 0)`` in classification.
        target_transform: How values become labels.
        split_names: What the *split_column* says of each row, None where it is empty.
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
            targets: Names of the columns to predict. None of them, for points where
                a model is to predict them.
            task: ``'regression'`` or ``'classification'``. By default, text and truth
                values are classes and all numbers, whole ones too, are quantities,
                also among words that are *missing*; ``print(dataset)`` says what was
                inferred.
            classes: Names of the classes in their order. By default, those that the
                table has, sorted.
            target_transform: ``'log1p'`` for the logarithm of one more than a target,
                ``'standardise'`` for a mean of 0 and a standard deviation of 1,
                ``'log1p-standardise'`` for both, or one of them for each target by
                name. Means are those of all rows until :meth:`fit` chooses some.
            extra: Columns of numbers that are given to models beside the point.
            missing: Values of targets and *extra* columns that mean that there is
                none, such as -999, besides empty cells.
            units: Units of the targets by name, for plots.
            split_column: Column that says which rows are for training, validation and
                testing.
            lon: Name of the column of longitudes, or of eastings in *crs*. Found by its
                usual names if not given.
            lat: Name of the column of latitudes, or of northings in *crs*.
            crs: Coordinate reference system of the coordinates, if a file does not say.
                Columns are taken for degrees of longitude and latitude in WGS84.
            layer: Layer of files that have several.
            on_error: ``'raise'`` for an error if a row has no point on Earth, ``'skip'``
                to leave such rows out and warn with their number.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If a table is empty, has not the columns, has text among numbers
                or a class that is not known, or if a target is missing in all rows.
        """
        self.is_inferred = task is None
        self.target_names = _names(targets)
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
        self._extra = torch.from_numpy(
            np.concatenate([self._numbers(table, self.extra_names) for table in tables])
        ).float()
        self.split_names: NDArray[np.object_] | None = None
        if split_column is not None:
            texts = [text for t in tables for text in as_texts(t, split_column)]
            self.split_names = np.array(texts, dtype=object)
        points = np.concatenate([table.points for table in tables])
        self._points = torch.from_numpy(points).float()
        self._rows = torch.arange(len(points))
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
        """Read the targets, and tell what they are for."""
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
                _refuse_missing(name, bool(column.isnan().all()), len(column))
            return 'regression'
        if len(names) > 1:
            texts = [n for n, k in zip(names, kinds, strict=True) if k != 'regression']
            raise ValueError(
                f'Classification has one target, not {list(names)}; classes are the '
                f'values of {texts}.'
            )
        names_of_rows = [as_texts(t, names[0], self.missing) for t in tables]
        known = [text for texts in names_of_rows for text in texts]
        _refuse_missing(
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
        if on_error == 'raise' or num_bad == len(self._points):
            more = f' {num_bad - 1} more have none.' if num_bad > 1 else ''
            advice = " Leave such rows out with on_error='skip'."
            raise ValueError(
                f'{table.where(row)} has no point: {why}.{more}{hint}'
                f'{advice if num_bad < len(self._points) else ""}'
            )
        warnings.warn(
            f'{table.source}: left out {num_bad} of {len(self._points)} rows that have '
            f'no point.{hint}',
            stacklevel=3,
        )
        self._take(torch.isfinite(self._points).all(dim=1))

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
                        'no log1p. Choose another target_transform, or name it with missing= '
                        'if it means that there is none.'
                    )

    def _apply(self, transform: TargetTransform) -> None:
        self.target_transform = transform
        if self.task == 'classification':
            self._labels = self._class_numbers
        else:
            self._labels = transform(self.values).float()

    def _take(self, rows: Tensor) -> None:
        self._points, self._extra = self._points[rows], self._extra[rows]
        self._rows = self._rows[rows]
        self.values = self.values[rows]
        if self.task == 'classification':
            self._class_numbers = self._class_numbers[rows]
        if self.split_names is not None:
            self.split_names = self.split_names[rows.numpy()]

    def __len__(self) -> int:
        """Return the number of points."""
        return len(self._points)

    def __getitem__(self, index: int) -> Sample:
        """Return a sample.

        Args:
            index: Number of the point; negative ones count from the end.

        Returns:
            Its ``'point'`` and ``'row'``, and its ``'label'`` and ``'extra'`` if there
            are any.

        Raises:
            IndexError: If there is no such point.
        """
        number = operator.index(index)
        if not -len(self) <= number < len(self):
            raise IndexError(f'No point {number}: there are {len(self)}.')
        sample: Sample = {
            'point': self._points[number].clone(),
            'row': self._rows[number].clone(),
        }
        if self.task is not None:
            sample['label'] = self._labels[number].clone()
        if self.extra_names:
            sample['extra'] = self._extra[number].clone()
        return sample

    def fit(self, rows: NDArray[Any] | Tensor | Sequence[int]) -> Self:
        """Standardise by what some of the rows have.

        Args:
            rows: Numbers of the rows, or which of them as truth values of shape
                ``(N,)``. Those to train on, so that nothing of others is known.

        Returns:
            The dataset of all rows, with labels on that scale.

        Raises:
            ValueError: If a target that is standardised is missing in all these rows.
        """
        chosen = copy.copy(self)
        chosen._apply(self.target_transform.fit(self.values[_index(rows, len(self))]))
        return chosen

    def select(self, rows: NDArray[Any] | Tensor | Sequence[int]) -> Self:
        """Choose some of the points.

        Args:
            rows: Numbers of the rows, or which of them as truth values of shape
                ``(N,)``.

        Returns:
            The dataset of those, with the same classes and labels on the same scale.
        """
        chosen = copy.copy(self)
        chosen._take(_index(rows, len(self)))
        chosen._apply(self.target_transform)
        return chosen

    def inverse_transform(self, labels: Tensor) -> Tensor:
        """Turn labels, or what a model predicts in their place, into values.

        Args:
            labels: Labels of shape ``(..., t)``; in classification, any.

        Returns:
            Values of the same shape, in the units of the targets; in classification,
            the labels.
        """
        return (
            labels
            if self.task == 'classification'
            else self.target_transform.inverse(labels)
        )

    @property
    def points(self) -> Tensor:
        """Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees."""
        return self._points

    @property
    def rows(self) -> Tensor:
        """Numbers of the rows of shape ``(N,)``, counted from 0 over all files."""
        return self._rows

    @property
    def labels(self) -> Tensor:
        """Labels of shape ``(N, t)``, or of shape ``(N,)`` in classification."""
        return self._labels

    @property
    def extra(self) -> Tensor:
        """Extra columns of shape ``(N, e)``, NaN where missing."""
        return self._extra

    def __str__(self) -> str:
        """Return a summary that says which task was inferred."""
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
            sample: A sample to point out.
            show_titles: Say above the map what the colours are, or what the sample has.
            suptitle: Title of the figure.
            target: Name of the target. By default, the first.

        Returns:
            The figure.

        Raises:
            ValueError: If there is no such target.
        """
        column = self._target_column(target)
        figure, axes = point_map(self._points)
        lon, lat = self._points.T.numpy()
        options: dict[str, Any] = {'s': point_size(len(self)), 'linewidths': 0}
        values, label = self._colours(column)
        if values is None:
            axes.scatter(lon, lat, **options)
        else:
            known = np.isfinite(values)
            # What is missing lies below, in grey.
            axes.scatter(lon[~known], lat[~known], color='0.8', **options)
            colour = axes.scatter(lon[known], lat[known], c=values[known], **options)
            bar = figure.colorbar(colour, ax=axes, label=label, shrink=0.8)
            self._name_classes(bar)
        title = label
        if sample is not None:
            axes.plot(*sample['point'].tolist(), '*', color='red', markersize=12)
            title = self._describe(sample)
        if show_titles:
            axes.set_title(title)
        if suptitle is not None:
            figure.suptitle(suptitle)
        return figure

    def _target_column(self, target: str | None) -> int:
        if target is None:
            return 0
        if target not in self.target_names:
            raise ValueError(
                f'No target {target!r}. {near_matches(target, self.target_names)}'
            )
        return self.target_names.index(target)

    def _colours(self, column: int) -> tuple[NDArray[np.float64] | None, str]:
        """Return what points are coloured by, in the units of the target, and its name."""
        if self.task is None:
            return None, ''
        name, unit = self.target_names[column], self.units[column]
        if self.task == 'classification':
            numbers = self._class_numbers.double()
            return torch.where(numbers < 0, torch.nan, numbers).numpy(), name
        values = self.values[:, column].numpy()
        label = with_unit(name, unit)
        if self.target_transform.is_log[column]:
            return np.log10(1 + values), f'log₁₀(1 + {label})'
        return values, label

    def _name_classes(self, bar: Any) -> None:
        # More names than that would lie on each other.
        if 0 < len(self.classes) <= 20:
            bar.set_ticks(range(len(self.classes)), labels=self.classes)

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


def _names(targets: str | Sequence[str]) -> tuple[str, ...]:
    names = (targets,) if isinstance(targets, str) else tuple(targets)
    if len(set(names)) < len(names):
        raise ValueError(f'A target is named twice: {list(names)}.')
    return names


def _tables(paths: Table | Sequence[Table]) -> list[pathlib.Path | pd.DataFrame]:
    is_one = isinstance(paths, str | os.PathLike | pd.DataFrame)
    several: Sequence[Any] = [paths] if is_one else paths  # type: ignore[assignment]
    if not len(several):
        raise ValueError('There are no tables. Pass at least one in paths.')
    return [t if isinstance(t, pd.DataFrame) else pathlib.Path(t) for t in several]


def _check_options(
    task: str | None,
    on_error: str,
    targets: Sequence[str],
    units: Mapping[str, str] | None,
) -> None:
    if task is not None and task not in get_args(Task):
        raise ValueError(f'task must be one of {get_args(Task)}, not {task!r}.')
    if on_error not in get_args(OnError):
        raise ValueError(
            f'on_error must be one of {get_args(OnError)}, not {on_error!r}.'
        )
    for name in units or {}:
        if name not in targets:
            raise ValueError(
                f'units names {name!r}, which is no target. '
                f'{near_matches(name, targets)}'
            )


def _refuse_missing(name: str, is_missing: bool, number: int) -> None:
    if is_missing:
        raise ValueError(
            f'The target {name!r} is missing in all {number} rows, so there is nothing '
            'to learn it from.'
        )


def _index(rows: NDArray[Any] | Tensor | Sequence[int], number: int) -> Tensor:
    index = torch.as_tensor(rows)
    if index.dtype == torch.bool:
        if index.shape != (number,):
            raise ValueError(
                f'{tuple(index.shape)} truth values do not choose among {number} rows.'
            )
        return index.nonzero().flatten()
    return index.long()
