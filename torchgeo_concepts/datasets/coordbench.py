# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""CoordBench, a suite of tables to evaluate location encoders on."""

import pathlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from torchgeo.datasets import DatasetNotFoundError
from torchgeo.datasets.utils import Path

from ..io.columns import Task
from ..utils.names import check_known
from .point_table import PointTable
from .target_transforms import TargetTransformName

REPOSITORY = 'taylor-geospatial/coordbench'

# Columns of all tables, which are never targets.
METADATA = ('lon', 'lat', 'timestamp', 'timestamp_end', 'split', 'id')

PDFM_METADATA = [
    'place',
    'county',
    'state',
    'latitude',
    'longitude',
    'Count_Person',
    'imputation_split',
    'superresolution_split',
    'extrapolation_split',
]

# Integer labels with more values than this are quantities.
MAX_CLASSES = 100


@dataclass(frozen=True)
class _Benchmark:
    """Table and targets of a benchmark, and the rows that the suite's loader keeps.

    Attributes:
        config: Folder of the table.
        targets: Names of the columns. If empty, they are found by the suite's rules.
        task: Type of the task. If None, it is inferred from the labels.
        drop: Rows with this value in this column are dropped.
        keep: Only rows with this value in this column are kept.
        pool: Only rows whose id is in the random sample of this config are kept.
        is_log: Predict ``log(1 + value)``.
    """

    config: str
    targets: tuple[str, ...] = ()
    task: Task | None = 'regression'
    drop: tuple[str, float] | None = None
    keep: tuple[str, float] | None = None
    pool: str = ''
    is_log: bool = False


_ECOREGION_OCEAN = ('ecoregion_class_index', -1)

_LAND_COVER = [
    'water',
    'trees',
    'grass',
    'flooded_vegetation',
    'crops',
    'shrub_and_scrub',
    'built',
    'bare',
    'snow_and_ice',
]

_SUSTAINBENCH = {
    'asset': 'asset_index',
    'water': 'water_index',
    'sanitation': 'sanitation_index',
    'child_mortality': 'under5_mort',
    'women_edu': 'women_edu',
    'women_bmi': 'women_bmi',
}

_PLACES = {
    'phys_health': 'phlth',
    'diabetes': 'diabetes',
    'copd': 'copd',
    'cancer': 'cancer',
    'chd': 'chd',
    'mental_health': 'mhlth',
    'checkup': 'checkup',
    'sleep_lt7': 'sleep',
    'asthma': 'casthma',
    'obesity': 'obesity',
    'smoking': 'csmoking',
    'high_chol': 'highchol',
}

_USAVARS = [
    'treecover',
    'elevation',
    'population',
    'nightlights',
    'income',
    'roads',
    'housing',
]
_USAVARS_LOG = ('population', 'nightlights', 'income', 'housing')
_USAVARS_NO_DATA = -999.0

_DEEPMIND = [
    'africa_crop_mask',
    'aster_ged',
    'canada_crops_coarse',
    'canada_crops_fine',
    'descals',
    'ethiopia_crops',
    'glance',
    'lcmap_lc',
    'lcmap_lcc',
    'lcmap_lu',
    'lcmap_luc',
    'lucas_lc',
    'lucas_lu',
    'openet_ensemble',
    'us_trees',
]


def _classes(config: str, *targets: str, **options: Any) -> _Benchmark:
    return _Benchmark(config, targets, 'classification', **options)


_BENCHMARKS = {
    'pdfm-conus27': _Benchmark('pdfm_conus27'),
    'satclip-air-temp': _Benchmark('air_temp', ('meanT',)),
    'california-housing': _Benchmark('california_housing', ('MedHouseVal',)),
    'satclip-country': _classes('satclip_country', 'country', drop=('country', 0)),
    'satclip-ecoregion': _classes(
        'satclip_ecoregion', 'ecoregion_class_index', drop=_ECOREGION_OCEAN
    ),
    'satclip-biome': _classes(
        'satclip_ecoregion', 'biome_class_index', drop=_ECOREGION_OCEAN
    ),
    'satclip-population': _Benchmark('satclip_population', ('log_population',)),
    'satclip-elevation': _Benchmark('satclip_elevation', ('elevation',)),
    **{
        f'sustainbench-{name}': _Benchmark('sustainbench', (column,))
        for name, column in _SUSTAINBENCH.items()
    },
    'bt-cropharvest': _classes('bt_cropharvest', 'label_name'),
    'bt-biomass': _Benchmark('bt_biomass', ('biomass_mean',)),
    'bt-landcover': _Benchmark(
        'bt_landcover', tuple(_LAND_COVER), keep=('random_sample', 1)
    ),
    'bt-bioclim': _Benchmark(
        'bt_bioclim',
        tuple(f'bioclim_{n:02}' for n in range(1, 20)),
        pool='bt_landcover',
    ),
    'bt-population': _Benchmark(
        'bt_human_footprint', ('pop_density',), pool='bt_landcover'
    ),
    'bt-distroad': _Benchmark(
        'bt_human_footprint', ('maxdist_road',), pool='bt_landcover'
    ),
    **{
        f'places-{name}': _Benchmark('cdc_places', (f'{prefix}_crudeprev',))
        for name, prefix in _PLACES.items()
    },
    **{
        f'mosaiks-{name}': _Benchmark(f'usavars_{name}', is_log=name in _USAVARS_LOG)
        for name in _USAVARS
    },
    'country': _classes('country', 'country'),
    'ecoregions': _classes('ecoregions', 'biome', 'ecoregion'),
    'worldclim-bio1': _Benchmark('worldclim_bio', ('bio1',)),
    'worldclim-bio12': _Benchmark('worldclim_bio', ('bio12',)),
    'soilgrids-soc': _Benchmark('soilgrids', ('soc',)),
    'soilgrids-phh2o': _Benchmark('soilgrids', ('phh2o',)),
    **{f'dm-{name}': _Benchmark(f'dm_{name}', ('label',), None) for name in _DEEPMIND},
}


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
    * each begins with the columns ``lon``, ``lat``, ``timestamp``, ``timestamp_end``,
      ``split`` and ``id``; all others are those of the source, unchanged

    Rows and values are the same as in the suite's own loaders:

    * ``satclip-country`` without country 0, ``satclip-ecoregion`` and ``satclip-biome``
      without ecoregion -1, which are the sea
    * ``mosaiks-*`` without -999, and with ``log(1 + value)`` for population,
      nightlights, income and housing
    * ``sustainbench-*``, ``places-*`` and ``bt-biomass`` without rows that have no value;
      the first have an official test set in the column ``split``
    * ``bt-landcover`` in its random sample only, and ``bt-bioclim``,
      ``bt-population`` and ``bt-distroad`` at the rows with the same ids
    * ``dm-*`` as classes if labels are at most 100 different integers
    * ``pdfm-conus27`` with all columns that are not metadata as targets, and ``mosaiks-*``
      with the column that has the label in its name, else ``price``, else the first

    The tables are at https://huggingface.co/datasets/taylor-geospatial/coordbench,
    downloaded on request, checked by Hugging Face's client. Their layout was read on that
    page, and these rules in the module ``torchgeo_bench.coordbench`` of
    https://github.com/torchgeo/torchgeo-bench. The tables themselves could not be read:
    that they have these columns, and how many rows, is not verified. Licences differ by
    table, and some forbid redistribution; the page lists them.

    If you use this dataset in your research, please cite the sources of the table, which
    the page lists.
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
            targets: Some of its targets. By default, all of them; for ``'ecoregions'``,
                which has the classes ``'biome'`` and ``'ecoregion'``, the first.
            target_transform: ``'benchmark'`` for the transform of the suite's loaders,
                else as in :class:`PointTable`.
            download: Download the table into *root* if it is missing.

        Raises:
            DatasetNotFoundError: If the table is neither found nor downloaded.
            ValueError: If the benchmark or a target is unknown.
        """
        check_known('No benchmark', benchmark, _BENCHMARKS)
        self.root = pathlib.Path(root)
        self.download = download
        self.benchmark = benchmark
        source = _BENCHMARKS[benchmark]
        frame = self._read(source.config)
        names = source.targets or _find_targets(benchmark, frame)
        chosen = _choose_targets(names, targets, source.task)
        frame = self._filter(source, frame, names)
        task = source.task or _infer_task(frame, names[0])
        if target_transform == 'benchmark':
            target_transform = 'log1p' if source.is_log else None
        has_split = frame['split'].notna().any()
        super().__init__(
            frame,
            chosen,
            task=task,
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
        for column in METADATA:
            check_known(f'{path} has no column', column, frame)
        frame.attrs['source'] = str(path)
        return frame

    def _filter(
        self, source: _Benchmark, frame: pd.DataFrame, names: Sequence[str]
    ) -> pd.DataFrame:
        """Keep the rows that the suite's own loaders keep."""
        conditions = [pair for pair in (source.drop, source.keep) if pair is not None]
        for column in (*names, *(column for column, _ in conditions)):
            check_known(f'{frame.attrs["source"]} has no column', column, frame)
        kept = np.ones(len(frame), bool)
        if source.drop is not None:
            column, value = source.drop
            kept &= (frame[column] != value).to_numpy()
        if source.keep is not None:
            column, value = source.keep
            kept &= (frame[column] == value).to_numpy()
        if source.pool:
            pool = self._read(source.pool)
            ids = pool.loc[pool['random_sample'] == 1, 'id']
            kept &= frame['id'].isin(ids).to_numpy()
        if source.config.startswith('usavars_'):
            kept &= (frame[names[0]] != _USAVARS_NO_DATA).to_numpy()
        if source.config in ('sustainbench', 'cdc_places', 'bt_biomass'):
            kept &= frame[names[0]].notna().to_numpy()
        # Columns that nobody asked for may hold values of several kinds.
        columns = list(dict.fromkeys(('lon', 'lat', 'split', *names)))
        filtered = frame.loc[kept, columns].reset_index(drop=True)
        filtered.attrs = frame.attrs
        return filtered


def _find_targets(benchmark: str, frame: pd.DataFrame) -> tuple[str, ...]:
    """Find the targets of a benchmark without a list, by the rules of the suite."""
    if benchmark == 'pdfm-conus27':
        return tuple(c for c in map(str, frame) if c not in (*METADATA, *PDFM_METADATA))
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
    return ((by_name + prices + candidates)[0],)


def _choose_targets(
    names: Sequence[str], targets: str | Sequence[str] | None, task: Task | None
) -> tuple[str, ...]:
    if targets is None:
        return tuple(names[:1] if task == 'classification' else names)
    chosen = (targets,) if isinstance(targets, str) else tuple(targets)
    for name in chosen:
        check_known('No target', name, names)
    return chosen


def _infer_task(frame: pd.DataFrame, name: str) -> Task:
    known = frame[name].dropna().astype(object)
    is_word = pd.to_numeric(known, errors='coerce').isna()
    if is_word.any():
        if not is_word.all():
            raise ValueError(
                f'{frame.attrs["source"]} has numbers and words in {name!r}, such as '
                f'{known[~is_word].iloc[0]!r} and {known[is_word].iloc[0]!r}, so that '
                'it is not clear whether these are classes.'
            )
        return 'classification'
    numbers = pd.to_numeric(frame[name].astype(object)).to_numpy(np.float64)
    whole = np.isfinite(numbers).all() and np.allclose(numbers, np.round(numbers))
    few = len(np.unique(numbers)) <= MAX_CLASSES
    return 'classification' if whole and few else 'regression'
