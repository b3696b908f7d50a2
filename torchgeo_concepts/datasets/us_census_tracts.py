# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Income and education by census tract of the United States."""

import pathlib
from collections.abc import Sequence

import pandas as pd
from torchgeo.datasets.utils import Path

from ._published import check_columns, find_file
from .point_table import PointTable, as_names
from .target_transforms import TargetTransformOption

CENSUS = 'https://www2.census.gov'

# Prefix of the eleven digits of a tract in the tables.
TRACT = '1400000US'

UNITS = {'income': 'USD', 'bachelor': '', 'graduate': ''}


class USCensusTracts(PointTable):
    """US census tracts dataset.

    Median household income, and the shares of people with degrees, at the internal point
    of each census tract, from the American Community Survey (ACS).

    Dataset features:

    * about 85,000 tracts of the census of 2020 in the 50 states, the District of Columbia
      and Puerto Rico
    * ``income``, the median income of households in dollars
    * ``bachelor``, the share of people of 25 years and over whose highest degree is a
      bachelor's
    * ``graduate``, the share of those with a master's, professional or doctorate degree

    Dataset format:

    * ``YEAR_Gaz_tracts_national.txt``, or its zip file, with the columns ``GEOID``,
      ``INTPTLAT`` and ``INTPTLONG`` among others, separated by tabs or vertical bars
    * ``acsdt5yYEAR-b19013.dat`` and ``acsdt5yYEAR-b15003.dat``, the tables of income and
      of education of the 5-year estimates, separated by vertical bars, with ``GEO_ID``
      and ``B19013_E001``, or ``B15003_E001`` (people of 25 years and over) and
      ``B15003_E022`` to ``B15003_E025`` (bachelor's, master's, professional and
      doctorate degrees)
    * negative values, such as -666666666, mean that there is no estimate

    The files come from https://www2.census.gov and are downloaded on request. The
    tables have all areas of the country; only tracts are kept. Links and columns come
    from public code that downloads these files, and the meaning of -666666666 from an
    answer of IPUMS. No checksum was found, so none is verified. The Census Bureau gives
    medians above 250,000 dollars as 250,001, which is not changed. Its data are in the
    public domain.

    https://arxiv.org/abs/2509.01910 has similar tasks: income and the shares of two
    degrees by tract. Its year and its definition of the shares could not be verified, so
    scores are not comparable with it.
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
            download: Download missing files into *root*.

        Raises:
            DatasetNotFoundError: If a table is neither found nor downloaded.
            ValueError: If a target is unknown, or a table lacks a column.
        """
        self.root = pathlib.Path(root)
        self.download = download
        self.year = year
        names = as_names(targets, UNITS)
        if year < 2021:
            raise ValueError(f'year must be 2021 or later, not {year}.')
        frame = self._read_points()
        if 'income' in names:
            median = self._read_table('b19013', ['B19013_E001'])
            frame['income'] = median['B19013_E001']
        if {'bachelor', 'graduate'} & set(names):
            degrees = [f'B15003_E{line:03}' for line in (22, 23, 24, 25)]
            people = self._read_table('b15003', ['B15003_E001', *degrees])
            # A tract without people has no share.
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
        files = (f'{stem}.txt', f'{stem}.zip')
        path = find_file(self, files, {files[1]: f'{folder}/{files[1]}'})
        # Headers end in spaces, and codes begin with zeros.
        table = pd.read_csv(path, sep=r'\s*[\t|]\s*', engine='python', dtype=str)
        table.columns = table.columns.str.strip()
        columns = ['GEOID', 'INTPTLONG', 'INTPTLAT']
        check_columns(path, table, columns)
        return table[columns].set_index('GEOID').astype(float)

    def _read_table(self, name: str, columns: list[str]) -> pd.DataFrame:
        file = f'acsdt5y{self.year}-{name}.dat'
        folder = (
            f'{CENSUS}/programs-surveys/acs/summary_file/{self.year}/table-based-SF/data/'
            '5YRData'
        )
        path = find_file(self, (file,), {file: f'{folder}/{file}'})
        table = pd.read_csv(path, sep='|', dtype={'GEO_ID': str}, low_memory=False)
        check_columns(path, table, ['GEO_ID', *columns])
        tracts = table[table['GEO_ID'].str.startswith(TRACT)]
        values = tracts.set_index(tracts['GEO_ID'].str.removeprefix(TRACT))[columns]
        numbers = values.apply(pd.to_numeric, errors='coerce')
        known: pd.DataFrame = numbers.where(numbers >= 0)
        return known
