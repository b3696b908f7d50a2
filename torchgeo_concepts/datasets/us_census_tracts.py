# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Income and education by census tract of the United States."""

import pathlib
from collections.abc import Sequence

import pandas as pd
from torchgeo.datasets.utils import Path

from ..utils.names import check_known
from ._published import find_file
from .point_table import PointTable
from .target_transforms import TargetTransformOption

CENSUS = 'https://www2.census.gov'

# How tables call tracts, before the eleven digits of a tract.
TRACT = '1400000US'

UNITS = {'income': 'USD', 'bachelor': '', 'graduate': ''}


class USCensusTracts(PointTable):
    """US census tracts dataset.

    Median household income, and the shares of people with degrees, at the internal point
    of each census tract, by the American Community Survey (ACS).

    Dataset features:

    * about 85,000 tracts of the 50 states, the District of Columbia and Puerto Rico, by
      their census of 2020
    * ``income``, the median income of households in dollars
    * ``bachelor``, the share of people of 25 years and over whose highest degree is a
      bachelor's
    * ``graduate``, the share of those with a master's, professional or doctorate degree

    Dataset format:

    * ``YEAR_Gaz_tracts_national.txt``, or the zip file of it, with the columns ``GEOID``,
      ``INTPTLAT`` and ``INTPTLONG`` among others, separated by tabs or vertical bars
    * ``acsdt5yYEAR-b19013.dat`` and ``acsdt5yYEAR-b15003.dat``, the tables of income and
      of education of the 5-year estimates, separated by vertical bars, with ``GEO_ID``
      and ``B19013_E001``, or ``B15003_E001`` (people of 25 years and over) and
      ``B15003_E022`` to ``B15003_E025`` (bachelor's, master's, professional and
      doctorate degrees)
    * negative values, such as -666666666, mean that there is no estimate

    The files are those of https://www2.census.gov, downloaded on request: the tables
    have all areas of the country, of which only tracts are kept. Links and columns were
    read in public code that downloads these files, and the meaning of -666666666 in the
    answer of IPUMS to a question about it; no checksum was found, so none is verified.
    Medians above 250,000 dollars are known to be given as
    250,001, and are kept so. Data of
    the Census Bureau are in the public domain.

    Tasks of this kind, income and the shares of two degrees by tract, were used in
    https://arxiv.org/abs/2509.01910. Neither the year nor the definition of the shares
    that were used there could be verified, so numbers do not compare with those.
    """

    def __init__(
        self,
        root: Path = 'data',
        targets: str | Sequence[str] = ('income', 'bachelor', 'graduate'),
        *,
        year: int = 2021,
        target_transform: TargetTransformOption = None,
        download: bool = False,
    ) -> None:
        """Initialize a new USCensusTracts instance.

        Args:
            root: Folder of the tables.
            targets: ``'income'``, ``'bachelor'``, ``'graduate'`` or several of them.
            year: Last year of the estimates, 2021 or later, since tables of earlier
                years have another format.
            target_transform: As in :class:`PointTable`.
            download: Download what is missing into *root*.

        Raises:
            DatasetNotFoundError: If a table is neither found nor downloaded.
            ValueError: If a target is unknown, or a table lacks a column.
        """
        self.root = pathlib.Path(root)
        self.download = download
        self.year = year
        names = (targets,) if isinstance(targets, str) else tuple(targets)
        for name in names:
            check_known('No target', name, UNITS)
        if year < 2021:
            raise ValueError(f'There are no such tables of {year}; take 2021 or later.')
        frame = self._read_points()
        if 'income' in names:
            median = self._read_table('b19013', ['B19013_E001'])
            frame['income'] = median['B19013_E001']
        if {'bachelor', 'graduate'} & set(names):
            degrees = [f'B15003_E{line:03}' for line in (22, 23, 24, 25)]
            people = self._read_table('b15003', ['B15003_E001', *degrees])
            # Where nobody lives there is no share.
            total = people['B15003_E001'].where(people['B15003_E001'] > 0)
            frame['bachelor'] = people[degrees[0]] / total
            frame['graduate'] = people[degrees[1:]].sum(axis=1, skipna=False) / total
        frame.attrs['source'] = str(self.root)
        super().__init__(
            frame,
            names,
            task='regression',
            target_transform=target_transform,
            units={name: UNITS[name] for name in names},
            lon='INTPTLONG',
            lat='INTPTLAT',
        )

    def _read_points(self) -> pd.DataFrame:
        stem = f'{self.year}_Gaz_tracts_national'
        folder = f'{CENSUS}/geo/docs/maps-data/data/gazetteer/{self.year}_Gazetteer'
        path = find_file(
            self,
            (f'{stem}.txt', f'{stem}.zip'),
            {f'{stem}.zip': f'{folder}/{stem}.zip'},
        )
        # Headers end in spaces, and codes begin with zeros.
        table = pd.read_csv(path, sep=r'\s*[\t|]\s*', engine='python', dtype=str)
        table.columns = table.columns.str.strip()
        columns = ['GEOID', 'INTPTLONG', 'INTPTLAT']
        _check_columns(path, table, columns)
        points = table[columns].set_index('GEOID')
        return points.astype(float)

    def _read_table(self, name: str, columns: list[str]) -> pd.DataFrame:
        file = f'acsdt5y{self.year}-{name}.dat'
        folder = (
            f'{CENSUS}/programs-surveys/acs/summary_file/{self.year}/table-based-SF/data/'
            '5YRData'
        )
        path = find_file(self, (file,), {file: f'{folder}/{file}'})
        table = pd.read_csv(path, sep='|', dtype={'GEO_ID': str}, low_memory=False)
        _check_columns(path, table, ['GEO_ID', *columns])
        tracts = table[table['GEO_ID'].str.startswith(TRACT)]
        values = tracts.set_index(tracts['GEO_ID'].str.removeprefix(TRACT))[columns]
        numbers = values.apply(pd.to_numeric, errors='coerce')
        known: pd.DataFrame = numbers.where(numbers >= 0)
        return known


def _check_columns(
    path: pathlib.Path, table: pd.DataFrame, columns: Sequence[str]
) -> None:
    for column in columns:
        check_known(f'{path} has no column', column, map(str, table.columns))
