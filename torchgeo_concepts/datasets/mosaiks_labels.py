# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""The labels of MOSAIKS in the United States."""

import pathlib
from collections.abc import Sequence
from contextlib import suppress

import pandas as pd
from torchgeo.datasets import DatasetNotFoundError, USAVars
from torchgeo.datasets.utils import Path

from ._published import check_columns, find_file
from .point_table import PointTable, as_names
from .target_transforms import TargetTransformOption

# Unit of each label, and names of its column if they differ from the label.
LABELS: dict[str, tuple[str, tuple[str, ...]]] = {
    'treecover': ('%', ()),
    'elevation': ('m', ()),
    'population': ('people/km²', ()),
    'nightlights': ('nW/cm²/sr', ('y',)),
    'income': ('USD', ()),
    'roads': ('m', ('length',)),
    'housing': ('USD/sqft', ('price_per_sqft', 'price')),
}
NO_DATA = -999
SPLITS = ('train', 'val', 'test')


class MOSAIKSLabels(PointTable):
    """MOSAIKS labels dataset.

    Seven variables on cells of about a square kilometre in the contiguous United States.
    TorchGeo's :class:`~torchgeo.datasets.USAVars` has the same labels, with images.

    Dataset features:

    * about 100,000 cells drawn uniformly for ``treecover``, ``elevation`` and
      ``population``, and about 100,000 others, drawn by population, for ``nightlights``,
      ``income``, ``roads`` and ``housing``

    Dataset format:

    * a CSV file for each label, such as ``treecover.csv`` or, as in the paper's
      repository, ``outcomes_sampled_treecover_CONTUS_16_640_UAR_100000_0.csv``, with
      the columns ``ID``, ``lon``, ``lat`` and one with the values, and perhaps others
    * values are in the column of the label's name, else in ``y`` (nightlights),
      ``length`` (roads), ``price_per_sqft`` or ``price`` (housing); -999 means missing
    * ``income.csv`` and ``housing.csv`` may lack ``lon`` and ``lat``, which are then taken
      from the cells of the same ``ID`` in the other files
    * the optional ``train_split.txt``, ``val_split.txt`` and ``test_split.txt`` list the
      official split, with lines ``tile_ID.tif``

    The files come from https://hf.co/datasets/torchgeo/usavars and are downloaded on
    request. Links and the columns of the first three labels come from TorchGeo, the columns
    of the others from ``config.py`` of
    https://github.com/Global-Policy-Lab/mosaiks-paper, and the value -999 and the missing
    coordinates from CoordBench's loaders. The lists of the split are verified by
    TorchGeo's checksums; there are none for the labels. Units come from the paper's
    figures.

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
            labels: Names of labels. Cells that lack some of them are kept.
            target_transform: As in :class:`PointTable`. The paper takes logarithms of
                ``population``, ``nightlights`` and ``housing``; CoordBench of
                ``income`` too.
            download: Download missing files into *root*.

        Raises:
            DatasetNotFoundError: If a table is neither found nor downloaded.
            ValueError: If a label is unknown, or a table lacks a column.
        """
        self.root = pathlib.Path(root)
        self.download = download
        names = as_names(labels, LABELS, 'label')
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
            units={name: LABELS[name][0] for name in names},
            split_column='split' if splits else None,
            lon='lon',
            lat='lat',
            on_error='skip',
        )

    def _read_labels(self, names: Sequence[str]) -> pd.DataFrame:
        tables = {name: self._read(name) for name in names}
        places = [_places(table) for table in tables.values()]
        if any(place.empty for place in places):
            for name in LABELS:
                with suppress(DatasetNotFoundError):
                    places.append(_places(self._read(name)))
        where = pd.concat(places)
        if where.empty:
            raise DatasetNotFoundError(self)
        where = where[~where.index.duplicated()]
        values = pd.concat(
            [tables[name][_value_column(name, tables[name])] for name in names],
            axis=1,
            keys=names,
        )
        labels: pd.DataFrame = values.join(where)
        return labels

    def _read(self, name: str) -> pd.DataFrame:
        stem = f'outcomes_sampled_{name}_CONTUS_16_640'
        files = (f'{name}.csv', *(f'{stem}_{s}_100000_0.csv' for s in ('UAR', 'POP')))
        path = find_file(self, files, {files[0]: USAVars.label_urls[name]})
        table = pd.read_csv(path, dtype={'ID': str})
        table.columns = table.columns.str.strip()
        check_columns(path, table, ['ID'])
        return table.drop_duplicates('ID').set_index('ID')

    def _read_splits(self) -> dict[str, str]:
        """Read the official split by cell, if its lists exist."""
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


def _places(table: pd.DataFrame) -> pd.DataFrame:
    return table.reindex(columns=['lon', 'lat']).dropna()


def _value_column(name: str, table: pd.DataFrame) -> str:
    names = (name, *LABELS[name][1])
    for column in names:
        if column in table.columns:
            return column
    raise ValueError(
        f'{name}.csv has no column {" or ".join(names)}, only {list(table.columns)}.'
    )
