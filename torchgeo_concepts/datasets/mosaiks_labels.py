# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""The labels of MOSAIKS in the United States."""

import pathlib
from collections.abc import Sequence
from typing import Any

import pandas as pd
from torchgeo.datasets import DatasetNotFoundError, USAVars
from torchgeo.datasets.utils import Path

from ..utils.names import check_known
from ._published import find_file
from .point_table import PointTable
from .target_transforms import TargetTransformOption

# Value columns beside the name of the label itself, the first that there is.
COLUMNS = {
    'treecover': (),
    'elevation': (),
    'population': (),
    'nightlights': ('y',),
    'income': (),
    'roads': ('length',),
    'housing': ('price_per_sqft', 'price'),
}
UNITS = {
    'treecover': '%',
    'elevation': 'm',
    'population': 'people/km²',
    'nightlights': 'nW/cm²/sr',
    'income': 'USD',
    'roads': 'm',
    'housing': 'USD/sqft',
}
NO_DATA = -999
SPLITS = ('train', 'val', 'test')


class MOSAIKSLabels(PointTable):
    """MOSAIKS labels dataset.

    Seven variables on cells of about a square kilometre in the contiguous United States,
    as TorchGeo's :class:`~torchgeo.datasets.USAVars` has them beside its images.

    Dataset features:

    * about 100,000 cells drawn uniformly for ``treecover``, ``elevation`` and
      ``population``, and about 100,000 others, drawn by population, for ``nightlights``,
      ``income``, ``roads`` and ``housing``

    Dataset format:

    * a CSV file for each label, ``treecover.csv`` and so on, or by its name in the paper's
      repository, ``outcomes_sampled_treecover_CONTUS_16_640_UAR_100000_0.csv``, with the
      columns ``ID``, ``lon``, ``lat`` and one with the values, and perhaps others
    * values are in the column of the label's name, else in ``y`` (nightlights),
      ``length`` (roads), ``price_per_sqft`` or ``price`` (housing); -999 means none
    * ``income.csv`` and ``housing.csv`` may lack ``lon`` and ``lat``: cells of the same
      ``ID`` in the other files have them
    * ``train_split.txt``, ``val_split.txt`` and ``test_split.txt``, if they are there,
      have the lines ``tile_ID.tif`` of the official split

    The files are those of https://hf.co/datasets/torchgeo/usavars, downloaded on request.
    Links, and the columns of the first three labels, were read in TorchGeo; the columns of
    the others in https://github.com/Global-Policy-Lab/mosaiks-paper, ``config.py``; -999
    and the missing coordinates in CoordBench's loaders. The lists of the split are
    verified by the checksums that TorchGeo states; it states none of the labels. Units are
    those of the paper's figures.

    If you use this dataset in your research, please cite the following paper:

    * https://doi.org/10.1038/s41467-021-24638-z
    """

    def __init__(
        self,
        root: Path = 'data',
        labels: str | Sequence[str] = ('treecover', 'elevation', 'population'),
        *,
        target_transform: TargetTransformOption = None,
        download: bool = False,
    ) -> None:
        """Initialize a new MOSAIKSLabels instance.

        Args:
            root: Folder of the tables.
            labels: Names of labels. Cells that one of them has and another has not are
                kept.
            target_transform: As in :class:`PointTable`. The paper takes logarithms of
                ``population``, ``nightlights`` and ``housing``; CoordBench of
                ``income`` too.
            download: Download what is missing into *root*.

        Raises:
            DatasetNotFoundError: If a table is neither found nor downloaded.
            ValueError: If a label is unknown, or a table lacks a column.
        """
        self.root = pathlib.Path(root)
        self.download = download
        names = (labels,) if isinstance(labels, str) else tuple(labels)
        for name in names:
            check_known('No label', name, COLUMNS)
        splits = self._read_splits()
        frame = self._read_labels(names)
        frame['split'] = frame.index.map(splits)
        frame.attrs['source'] = str(self.root)
        super().__init__(
            frame,
            names,
            task='regression',
            target_transform=target_transform,
            missing=(NO_DATA,),
            units={name: UNITS[name] for name in names},
            split_column='split' if splits else None,
            lon='lon',
            lat='lat',
            on_error='skip',
        )

    def _read_labels(self, names: Sequence[str]) -> pd.DataFrame:
        tables = {name: self._read(name) for name in names}
        places = [_places(table) for table in tables.values()]
        if any(place is None for place in places):
            places += [_places(self._read(n)) for n in COLUMNS if self._is_there(n)]
        known = [place for place in places if place is not None]
        if not known:
            raise DatasetNotFoundError(self)
        where = pd.concat(known)
        where = where[~where.index.duplicated()]
        values = pd.concat(
            [tables[name][_value_column(name, tables[name])] for name in names],
            axis=1,
            keys=names,
        )
        labels: pd.DataFrame = values.join(where)
        return labels

    def _is_there(self, name: str) -> bool:
        try:
            self._find(name)
        except DatasetNotFoundError:
            return False
        return True

    def _find(self, name: str) -> pathlib.Path:
        files = (
            f'{name}.csv',
            *(
                f'outcomes_sampled_{name}_CONTUS_16_640_{sampling}_100000_0.csv'
                for sampling in ('UAR', 'POP')
            ),
        )
        return find_file(self, files, {files[0]: USAVars.label_urls[name]})

    def _read(self, name: str) -> pd.DataFrame:
        path = self._find(name)
        table = pd.read_csv(path, dtype={'ID': str})
        table.columns = table.columns.str.strip()
        if 'ID' not in table.columns:
            raise ValueError(f"{path} has no column 'ID', only {list(table.columns)}.")
        return table.drop_duplicates('ID').set_index('ID')

    def _read_splits(self) -> dict[str, str]:
        """Read which cells are for what, if the lists are there."""
        splits = {}
        for name in SPLITS:
            info = USAVars.split_metadata[name]
            try:
                file = info['filename']
                path = find_file(self, (file,), {file: info['url']}, info['sha256'])
            except DatasetNotFoundError:
                return {}
            for line in path.read_text().split():
                splits[line.removeprefix('tile_').removesuffix('.tif')] = name
        return splits


def _places(table: pd.DataFrame) -> pd.DataFrame | None:
    return table[['lon', 'lat']].dropna() if {'lon', 'lat'} <= {*table} else None


def _value_column(name: str, table: pd.DataFrame) -> Any:
    for column in (name, *COLUMNS[name]):
        if column in table.columns:
            return column
    raise ValueError(
        f'No column of {name}.csv is known to have its values: there are '
        f'{list(table.columns)}, none of them {" or ".join((name, *COLUMNS[name]))}.'
    )
