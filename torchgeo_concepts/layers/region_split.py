# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Splits by region: continents, countries, and polygons."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry
from torch import Tensor

from ..geo.points import check_points
from ..geo.polygons import check_polygon
from ..geo.splits import Split, with_test
from ..io.tables import VECTOR_SUFFIXES
from ..utils.names import near_matches
from .polygon_files import PolygonLayer, first_polygon
from .registry import get_layer
from .settlements import CONTINENTS, COUNTRIES, GEONAMES

WKT = re.compile(r'\s*(MULTI)?POLYGON\b', re.IGNORECASE)

# Maximum number of characters of a region in a message.
MAX_SHOWN = 60

type Region = str | Path | BaseGeometry | Sequence[str | Path | BaseGeometry]


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
        region: One or more of these: a polygon in longitude and latitude, also as WKT;
            the path of a vector file of polygons in any CRS, such as GeoPackage or
            GeoJSON; the name of a continent; the name or the two-letter code of a
            country. Polygons may continue beyond the antimeridian, as from 170 to 190
            degrees. Points at sea lie in no continent or country.
        val_fraction: Fraction of the points outside that becomes the validation set, at
            random.
        seed: Seed of the validation set.
        buffer_km: Training points closer to a test point than this are dropped.

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
    """Find the layer that has a region as a class, and its code there."""
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
    """Return the repr of a value, cut to what a message can show."""
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f'{text[: MAX_SHOWN - 3]}...'
