# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""CoordBench, a suite of tables to evaluate location encoders on."""

import pathlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import pandas as pd
from torchgeo.datasets import DatasetNotFoundError
from torchgeo.datasets.utils import Path

from ..io.columns import Task
from ..utils.names import near_matches
from .point_table import PointTable
from .target_transforms import TargetTransformName

REPOSITORY = 'taylor-geospatial/coordbench'

# Columns that every table has and that are never targets.
METADATA = ('lon', 'lat', 'timestamp', 'timestamp_end', 'split', 'id')

PDFM_METADATA = (
    'place',
    'county',
    'state',
    'latitude',
    'longitude',
    'Count_Person',
    'imputation_split',
    'superresolution_split',
    'extrapolation_split',
)

# Labels with more integers than that are quantities.
MAX_CLASSES = 100


@dataclass(frozen=True)
class _Benchmark:
    """Where a benchmark has its targets, and how its own loader reads them.

    Attributes:
        config: Folder of the table.
        targets: Names of the columns. None of them means all that are no metadata.
        task: What they are for; None to tell it by the labels.
        drop: A value of each of these columns that stands for none, whose rows go.
        keep: The only value of each of these columns whose rows stay.
        pool: Config whose random sample has the ids of the rows that stay.
        is_log: Whether the loader takes the logarithm of one more.
    """

    config: str
    targets: tuple[str, ...] = ()
    task: Task | None = 'regression'
    drop: tuple[tuple[str, float], ...] = ()
    keep: tuple[tuple[str, float], ...] = ()
    pool: str = ''
    is_log: bool = False


_ECOREGION_OCEAN = (('ecoregion_class_index', -1),)
_SAMPLE = (('random_sample', 1),)

_LAND_COVER = (
    'water',
    'trees',
    'grass',
    'flooded_vegetation',
    'crops',
    'shrub_and_scrub',
    'built',
    'bare',
    'snow_and_ice',
)

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

_USAVARS = (
    'treecover',
    'elevation',
    'population',
    'nightlights',
    'income',
    'roads',
    'housing',
)
_USAVARS_LOG = ('population', 'nightlights', 'income', 'housing')
_USAVARS_NO_DATA = -999.0

_DEEPMIND = (
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
)

_BENCHMARKS = {
    'pdfm-conus27': _Benchmark('pdfm_conus27'),
    'satclip-air-temp': _Benchmark('air_temp', ('meanT',)),
    'california-housing': _Benchmark('california_housing', ('MedHouseVal',)),
    'satclip-country': _Benchmark(
        'satclip_country', ('country',), 'classification', drop=(('country', 0),)
    ),
    'satclip-ecoregion': _Benchmark(
        'satclip_ecoregion',
        ('ecoregion_class_index',),
        'classification',
        drop=_ECOREGION_OCEAN,
    ),
    'satclip-biome': _Benchmark(
        'satclip_ecoregion',
        ('biome_class_index',),
        'classification',
        drop=_ECOREGION_OCEAN,
    ),
    'satclip-population': _Benchmark('satclip_population', ('log_population',)),
    'satclip-elevation': _Benchmark('satclip_elevation', ('elevation',)),
    **{
        f'sustainbench-{name}': _Benchmark('sustainbench', (column,))
        for name, column in _SUSTAINBENCH.items()
    },
    'bt-cropharvest': _Benchmark('bt_cropharvest', ('label_name',), 'classification'),
    'bt-biomass': _Benchmark('bt_biomass', ('biomass_mean',)),
    'bt-landcover': _Benchmark('bt_landcover', _LAND_COVER, keep=_SAMPLE),
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
    'country': _Benchmark('country', ('country',), 'classification'),
    'ecoregions': _Benchmark('ecoregions', ('biome', 'ecoregion'), 'classification'),
    'worldclim-bio1': _Benchmark('worldclim_bio', ('bio1',)),
    'worldclim-bio12': _Benchmark('worldclim_bio', ('bio12',)),
    'soilgrids-soc': _Benchmark('soilgrids', ('soc',)),
    'soilgrids-phh2o': _Benchmark('soilgrids', ('phh2o',)),
    **{f'dm-{name}': _Benchmark(f'dm_{name}', ('label',), None) for name in _DEEPMIND},
}


class CoordBench(PointTable):
    """CoordBench dataset.

    A suite of benchmarks that predict something from longitude and latitude alone, from
    13 sources: health, income, population, climate, soil, land cover, crops, countries
    and ecoregions.

    Dataset features:

    * 60 benchmarks on 40 tables, by the names that the leaderboard gives them, which
      :attr:`benchmarks` lists

    Dataset format:

    * ``data/CONFIG/data.parquet`` for each table, such as
      ``data/satclip_elevation/data.parquet``
    * each begins with the columns ``lon``, ``lat``, ``timestamp``, ``timestamp_end``,
      ``split`` and ``id``; all others are those of the source, unchanged

    Rows and values are those that the suite's own loaders take:

    * ``satclip-country`` without country 0, ``satclip-ecoregion`` and ``satclip-biome``
      without ecoregion -1, which are the sea
    * ``mosaiks-*`` without -999, and with the logarithm of one more for population,
      nightlights, income and housing
    * ``sustainbench-*``, ``places-*`` and ``bt-biomass`` without rows that have no value;
      the first have an official test set in the column ``split``
    * ``bt-landcover`` at the places of its random sample alone, and ``bt-bioclim``,
      ``bt-population`` and ``bt-distroad`` at those of the same ids
    * ``dm-*`` as classes if labels are at most 100 different integers
    * ``pdfm-conus27`` with all columns as targets that are no metadata, and ``mosaiks-*``
      with the column that has the label in its name, else ``price``, else the first

    The tables are at https://huggingface.co/datasets/taylor-geospatial/coordbench,
    downloaded on request, checked by Hugging Face's client. Their layout was read on that
    page, and these rules in the module ``torchgeo_bench.coordbench`` of
    https://github.com/torchgeo/torchgeo-bench. The tables themselves could not be read:
    that they have these columns, and how many rows, is not verified. Licences differ by
    table, and some do not allow to share it: the page lists them.

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
            targets: Those of its targets that are wanted. By default, all of them, and
                the first of ``'ecoregions'``, which has the classes ``'biome'`` and
                ``'ecoregion'``.
            target_transform: ``'benchmark'`` for what the suite's own loaders do, else as in
                :class:`PointTable`.
            download: Download the table into *root* if it is missing.

        Raises:
            DatasetNotFoundError: If the table is neither found nor downloaded.
            ValueError: If there is no such benchmark or target.
        """
        if benchmark not in _BENCHMARKS:
            raise ValueError(
                f'No benchmark {benchmark!r}. {near_matches(benchmark, _BENCHMARKS)}'
            )
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
            if column not in frame:
                raise ValueError(
                    f'{path} has no column {column!r}. '
                    f'{near_matches(column, frame.columns)}'
                )
        frame.attrs['source'] = str(path)
        return frame

    def _filter(
        self, source: _Benchmark, frame: pd.DataFrame, names: Sequence[str]
    ) -> pd.DataFrame:
        """Keep the rows that the suite's own loaders keep."""
        for column in (*names, *(c for c, _ in (*source.drop, *source.keep))):
            if column not in frame:
                raise ValueError(
                    f'{frame.attrs["source"]} has no column {column!r}. '
                    f'{near_matches(column, frame.columns)}'
                )
        kept = np.ones(len(frame), bool)
        for column, value in source.drop:
            kept &= (frame[column] != value).to_numpy()
        for column, value in source.keep:
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
    """Find targets by the rules of the suite, where it has no list of them."""
    if benchmark == 'pdfm-conus27':
        return tuple(c for c in map(str, frame) if c not in METADATA + PDFM_METADATA)
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
        if name not in names:
            raise ValueError(f'No target {name!r}. {near_matches(name, names)}')
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
