# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Datasets of points, and of images and the points where they were taken."""

from ..io.images import UnreadableImageError
from .blue_marble import BlueMarble
from .cached_features import CachedFeatures
from .city_climate import CityClimate
from .city_population import CityPopulation
from .coordbench import CoordBench
from .country_of_city import CountryOfCity
from .earth_imagery import EARTH_PICTURES, EarthPicture
from .feature_caching import cache_features
from .global_air_temperature import GlobalAirTemperature
from .grounded_points import GroundedPoints
from .im2gps import Im2GPS
from .im2gps3k import Im2GPS3k
from .image_points import ImagePoints
from .mosaiks_labels import MOSAIKSLabels
from .mp16 import MP16
from .osv5m import OSV5M
from .point_table import PointTable
from .shards import ImagePointShards, UnreadableShardError
from .us_census_tracts import USCensusTracts
from .yfcc4k import YFCC4k
from .yfcc26k import YFCC26k

__all__ = (
    'EARTH_PICTURES',
    'MP16',
    'OSV5M',
    'BlueMarble',
    'CachedFeatures',
    'CityClimate',
    'CityPopulation',
    'CoordBench',
    'CountryOfCity',
    'EarthPicture',
    'GlobalAirTemperature',
    'GroundedPoints',
    'Im2GPS',
    'Im2GPS3k',
    'ImagePointShards',
    'ImagePoints',
    'MOSAIKSLabels',
    'PointTable',
    'USCensusTracts',
    'UnreadableImageError',
    'UnreadableShardError',
    'YFCC4k',
    'YFCC26k',
    'cache_features',
)
