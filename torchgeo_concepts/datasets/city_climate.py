# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Temperature and precipitation of cities."""

from collections.abc import Sequence

import pandas as pd

from ..utils.distributions import required_file
from .point_table import PointTable, as_names
from .target_transforms import TargetTransformOption

_MONTHS = 'jan feb mar apr may jun jul aug sep oct nov dec'
MONTHS = tuple(f'{month}_c' for month in _MONTHS.split())
UNITS = {**dict.fromkeys((*MONTHS, 'annual_c'), '°C'), 'annual_mm': 'mm'}


class CityClimate(PointTable):
    """City climate dataset.

    Climatological normals of 1981 to 2010 for cities of the world, from CHELSA 2.1.

    Dataset features:

    * 270 cities, one of them listed twice
    * the mean temperature of each month, ``jan_c`` to ``dec_c``, and of the year,
      ``annual_c``, in °C
    * the mean annual precipitation, ``annual_mm``, in mm, corrected with stations of
      GHCN-M; monthly precipitation is not included

    Dataset format:

    * ``world-temperature.csv`` and ``world-rainfall.csv`` in the installed distributions
      ``world-temperature-data`` and ``world-rainfall-data``, with the columns ``city``,
      ``country_iso2``, ``lat``, ``lon`` and those above, and with the cities in the
      same order

    It needs the extra ``cities``; nothing is downloaded. The data are by GeoRank.place
    under CC-BY-4.0: "Temperature data © GeoRank.place (georank.place), CC-BY-4.0, derived
    from CHELSA v2.1", and likewise for rainfall. These facts come from version 0.1.0 of
    the distributions. With 270 cities and a grid of 0.05 degrees, scores are rough.

    If you use this dataset in your research, please cite the following sources:

    * https://georank.place
    * https://doi.org/10.1038/sdata.2017.122

    Attributes:
        cities: Names of all cities, by row of the table.
    """

    def __init__(
        self,
        targets: str | Sequence[str] = 'annual_c',
        *,
        target_transform: TargetTransformOption = None,
    ) -> None:
        """Initialize a new CityClimate instance.

        Args:
            targets: Names of the columns to predict, or ``'months'`` for the mean
                temperatures of the twelve months.
            target_transform: As in :class:`PointTable`.

        Raises:
            ImportError: If the distributions are not installed.
            ValueError: If there is no such column.
        """
        is_months = as_names(targets) == ('months',)
        names = MONTHS if is_months else as_names(targets, UNITS)
        frame = _read_cities()
        self.cities = tuple(frame['city'])
        super().__init__(
            frame,
            names,
            task='regression',
            target_transform=target_transform,
            units={name: UNITS[name] for name in names},
        )


def _read_cities() -> pd.DataFrame:
    frames = [
        pd.read_csv(
            required_file(
                f'world-{what}-data', f'world_{what}_data/world-{what}.csv', 'cities'
            ),
            # NA is Namibia.
            keep_default_na=False,
        ).drop(columns='source')
        for what in ('temperature', 'rainfall')
    ]
    keys = ['city', 'country_iso2', 'lat', 'lon']
    if not frames[0][keys].equals(frames[1][keys]):
        raise ValueError(
            'world-temperature-data and world-rainfall-data list different cities. '
            'Install the same version of both.'
        )
    joined = frames[0].assign(annual_mm=frames[1]['annual_mm'])
    joined.attrs['source'] = 'world-temperature.csv'
    return joined
