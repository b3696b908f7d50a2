# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""CoordBench, a suite of tables to evaluate location encoders on."""

import pathlib
from collections.abc import Sequence
from importlib import resources
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from torchgeo.datasets import DatasetNotFoundError
from torchgeo.datasets.utils import Path

from ..io.columns import Task
from ..utils.names import check_known
from ._published import check_columns
from .point_table import PointTable, as_names
from .target_transforms import TargetTransformName

REPOSITORY = 'taylor-geospatial/coordbench'

# Columns of all tables that are never targets.
METADATA = ('lon', 'lat', 'timestamp', 'timestamp_end', 'split', 'id')

# Missing values of the tables of MOSAIKS.
USAVARS_NO_DATA = -999

# Columns of pdfm-conus27 that are neither targets nor in all tables.
PDFM_METADATA = (
    'place county state latitude longitude Count_Person imputation_split '
    'superresolution_split extrapolation_split'
)

# Integer labels with more values than this are quantities.
MAX_CLASSES = 100


# Benchmarks by name, all columns as text, empty where nothing is stated:
# config: folder of the table;
# targets: names of the columns, found by the suite's rules if empty;
# task: type of the task, inferred from the labels if empty;
# rows: condition that the suite's loader selects rows by;
# pool: config of a table; only rows whose id is in its random sample are kept;
# transform: transform of the targets, 'log1p'.
with (resources.files(__package__) / 'data/coordbench.csv').open() as _file:
    _TABLE = pd.read_csv(_file, index_col='benchmark', dtype=str, keep_default_na=False)
_BENCHMARKS: dict[Any, dict[Any, Any]] = _TABLE.to_dict('index')


class CoordBench(PointTable):
    """CoordBench dataset.

    A suite of benchmarks that predict targets from longitude and latitude alone, from
    13 sources: health, income, population, climate, soil, land cover, crops, countries
    and ecoregions.

    Dataset features:

    * 60 benchmarks on 40 tables, named as on the leaderboard; :attr:`benchmarks` lists
      them

    Dataset format:

    * ``data/CONFIG/data.parquet`` for each table, such as
      ``data/satclip_elevation/data.parquet``
    * the first columns are ``lon``, ``lat``, ``timestamp``, ``timestamp_end``, ``split``
      and ``id``; the others come unchanged from the source

    Rows and values are the same as in the suite's own loaders:

    * ``satclip-country`` without country 0, and ``satclip-ecoregion`` and
      ``satclip-biome`` without ecoregion -1, since both values mean the sea
    * ``mosaiks-*`` without -999, and with ``log(1 + value)`` for population,
      nightlights, income and housing
    * ``sustainbench-*``, ``places-*`` and ``bt-biomass`` without rows that have no value;
      the column ``split`` of ``sustainbench-*`` marks an official test set
    * ``bt-landcover`` with its random sample only, and ``bt-bioclim``,
      ``bt-population`` and ``bt-distroad`` with the rows of the same ids
    * ``dm-*`` as classes if labels are at most 100 different integers
    * ``pdfm-conus27`` with all columns except metadata as targets
    * ``mosaiks-*`` with a single target: the column with the label in its name, else
      ``price``, else the first column of numbers

    The tables are at https://huggingface.co/datasets/taylor-geospatial/coordbench. They
    are downloaded on request and checked by Hugging Face's client. Their layout comes from
    that page, and these rules from the module ``torchgeo_bench.coordbench`` of
    https://github.com/torchgeo/torchgeo-bench. The tables themselves could not be read, so
    their columns and numbers of rows are not verified. Licences differ by table, and some
    forbid redistribution; the page lists them.

    If you use this dataset in your research, please cite the sources that the page lists
    for the table.
    """

    #: Names of all benchmarks.
    benchmarks: ClassVar[tuple[str, ...]] = tuple(_BENCHMARKS)

    def __init__(
        self,
        root: Path = 'data',
        benchmark: str = 'satclip-air-temp',
        targets: str | Sequence[str] | None = None,
        *,
        target_transform: TargetTransformName
        | Literal['benchmark']
        | None = 'benchmark',
        download: bool = False,
    ) -> None:
        """Initialize a new CoordBench instance.

        Args:
            root: Folder with the folder ``data``.
            benchmark: Name of the benchmark.
            targets: Targets of the benchmark to predict. By default, all of them; for
                ``'ecoregions'``, which has ``'biome'`` and ``'ecoregion'``, only
                ``'biome'``.
            target_transform: ``'benchmark'`` for the transform of the suite's loaders,
                else as in :class:`PointTable`.
            download: Download the table into *root* if it is missing.

        Raises:
            DatasetNotFoundError: If the table is neither found nor downloaded.
            ValueError: If the benchmark or a target is unknown.
        """
        check_known('No benchmark', benchmark, self.benchmarks)
        self.root = pathlib.Path(root)
        self.download = download
        self.benchmark = benchmark
        source = _BENCHMARKS[benchmark]
        frame = self._read(source['config'])
        names = source['targets'].split() or _find_targets(benchmark, frame)
        if targets is None:
            targets = names[:1] if source['task'] == 'classification' else names
        frame = self._filter(source, frame, names)
        if target_transform == 'benchmark':
            target_transform = source['transform'] or None
        has_split = frame['split'].notna().any()
        super().__init__(
            frame,
            as_names(targets, names),
            task=source['task'] or _infer_task(frame, names[0]),
            target_transform=target_transform,
            split_column='split' if has_split else None,
            lon='lon',
            lat='lat',
        )

    def _read(self, config: str) -> pd.DataFrame:
        name = f'data/{config}/data.parquet'
        path = self.root / name
        if not path.is_file():
            if not self.download:
                raise DatasetNotFoundError(self)
            from huggingface_hub import hf_hub_download

            hf_hub_download(REPOSITORY, name, repo_type='dataset', local_dir=self.root)
        frame = pd.read_parquet(path)
        frame.columns = [str(column).strip() for column in frame.columns]
        check_columns(path, frame, METADATA)
        frame.attrs['source'] = str(path)
        return frame

    def _filter(
        self, source: dict[Any, Any], frame: pd.DataFrame, names: Sequence[str]
    ) -> pd.DataFrame:
        """Keep the rows that the suite's own loaders keep."""
        path, rows, pool = frame.attrs['source'], source['rows'], source['pool']
        check_columns(path, frame, [*names, *rows.split()[:1]])
        if rows:
            frame = frame.query(rows)
        if pool:
            others = self._read(pool)
            chosen = others.loc[others['random_sample'] == 1, 'id']
            frame = frame[frame['id'].isin(chosen)]
        if source['config'].startswith('usavars_'):
            frame = frame[frame[names[0]] != USAVARS_NO_DATA]
        if source['config'] in ('sustainbench', 'cdc_places', 'bt_biomass'):
            frame = frame[frame[names[0]].notna()]
        # Other columns may hold values of several kinds.
        columns = list(dict.fromkeys(('lon', 'lat', 'split', *names)))
        filtered = frame[columns].reset_index(drop=True)
        filtered.attrs['source'] = path
        return filtered


def _find_targets(benchmark: str, frame: pd.DataFrame) -> list[str]:
    """Find the targets of a benchmark that lists none, by the rules of the suite."""
    if benchmark == 'pdfm-conus27':
        known = {*METADATA, *PDFM_METADATA.split()}
        return [column for column in map(str, frame) if column not in known]
    label = benchmark.removeprefix('mosaiks-')
    candidates = [
        column
        for column in map(str, frame.select_dtypes('number'))
        if column.lower() not in METADATA and not column.startswith('Unnamed')
    ]
    if not candidates:
        raise ValueError(
            f'{frame.attrs["source"]} has no column of numbers to predict.'
        )
    by_name = [column for column in candidates if label in column.lower()]
    prices = [column for column in candidates if column.lower() == 'price']
    return (by_name + prices + candidates)[:1]


def _infer_task(frame: pd.DataFrame, name: str) -> Task:
    known = frame[name].dropna().astype(object)
    is_word = pd.to_numeric(known, errors='coerce').isna()
    if is_word.any():
        if not is_word.all():
            raise ValueError(
                f'{frame.attrs["source"]} has numbers and words in {name!r}, such as '
                f'{known[~is_word].iloc[0]!r} and {known[is_word].iloc[0]!r}. Labels must '
                'be all numbers or all words.'
            )
        return 'classification'
    numbers = pd.to_numeric(frame[name].astype(object)).to_numpy(np.float64)
    whole = np.isfinite(numbers).all() and np.allclose(numbers, np.round(numbers))
    few = len(np.unique(numbers)) <= MAX_CLASSES
    return 'classification' if whole and few else 'regression'
