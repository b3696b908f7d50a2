# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Splits by region: continents, countries, and polygons of any file."""

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
from . import get_layer
from .files import PolygonLayer
from .settlements import CONTINENTS, COUNTRIES, GEONAMES

WKT = re.compile(r'\s*(MULTI)?POLYGON\b', re.IGNORECASE)

# Letters of a region that messages show.
MAX_SHOWN = 60

type Region = str | Path | BaseGeometry | Sequence[str | Path | BaseGeometry]


def region_split(
    points: Tensor,
    region: Region,
    val_fraction: float = 0.1,
    seed: int = 0,
    buffer_km: float = 0,
) -> Split:
    """Test on a region, and train and validate on everything else.

    Args:
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
        region: Polygons in longitude and latitude, also as WKT; the path of a vector
            file of polygons in any CRS, such as GeoPackage or GeoJSON; names of
            continents, or names or two-letter codes of countries; several together.
            Polygons may reach beyond the antimeridian, as from 170 to 190 degrees.
            Points at sea, by the map of countries, lie in no continent or country.
        val_fraction: Share of the points outside, taken at random, to validate on.
        seed: Seed of what validates.
        buffer_km: Training points nearer to a test point are left out.

    Returns:
        The split.

    Raises:
        ValueError: If there is no such region, a file has no polygons, or the region
            has none of the points or all.
        ImportError: If names are given and the extra ``layers`` is not installed.
    """
    inside = in_region(points, region)
    if inside.all() or not inside.any():
        which = 'all' if inside.any() else 'none'
        raise ValueError(
            f'The region {_describe(region)} has {which} of the {len(inside)} points.'
        )
    return with_test(points, inside, val_fraction, seed, buffer_km)


def in_region(points: Tensor, region: Region) -> NDArray[np.bool_]:
    """Tell which points lie in a region.

    Args:
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
        region: As :func:`region_split` takes it.

    Returns:
        Whether each does, of shape ``(N,)``; those on a border do.

    Raises:
        ValueError: If there is no such region, or it cannot be told how a polygon lies
            to the antimeridian or to a pole.
    """
    checked = check_points(points).detach().cpu().double()
    lon, lat = checked.numpy().T
    inside = np.zeros(len(lon), bool)
    for part in _parts(region):
        if isinstance(part, str) and WKT.match(part):
            part = _read_wkt(part)
        if not isinstance(part, BaseGeometry):
            inside |= (_in_file if _is_file(part) else _in_named)(checked, str(part))
            continue
        check_polygon(part, 'The region')
        for turn in (-360, 0, 360):
            inside |= shapely.intersects_xy(part, lon + turn, lat)
    return inside


def _parts(region: Region) -> Sequence[str | Path | BaseGeometry]:
    return [region] if isinstance(region, str | Path | BaseGeometry) else region


def _read_wkt(text: str) -> BaseGeometry:
    try:
        return shapely.from_wkt(text)
    except shapely.GEOSException as error:
        raise ValueError(f'{_shown(text)} is no WKT of a polygon: {error}') from error


def _is_file(part: str | Path) -> bool:
    path = Path(part)
    # A file without a suffix may have the name of a country.
    is_known = path.suffix.lower() in VECTOR_SUFFIXES
    return isinstance(part, Path) or is_known or (path.suffix != '' and path.is_file())


def _in_file(points: Tensor, path: str) -> NDArray[np.bool_]:
    return np.asarray(PolygonLayer(path, 'region')(points) == 1)


def _in_named(points: Tensor, name: str) -> NDArray[np.bool_]:
    kind, code = _region_code(name)
    return np.asarray(get_layer(kind)(points) == code)


def _region_code(name: str) -> tuple[str, int]:
    """Find the layer that has a region, and its code there."""
    table = json.loads(GEONAMES.paths()[1].read_text(encoding='utf-8'))
    names = {
        **{code: ('country', n) for n, code in enumerate(COUNTRIES, start=1)},
        **{
            table[code]['name']: ('country', n)
            for n, code in enumerate(COUNTRIES, start=1)
            if code in table
        },
        # Last, since Antarctica is also a name of a country.
        **{title: ('continent', n) for n, title in enumerate(CONTINENTS.values(), 1)},
    }
    lowered = {known.casefold(): where for known, where in names.items()}
    if name.casefold() not in lowered:
        raise ValueError(
            f'{name!r} is no continent, no country, no WKT of a polygon and no file. '
            f'{near_matches(name, names)}'
        )
    return lowered[name.casefold()]


def _describe(region: Region) -> str:
    return ' and '.join(
        f'a {part.geom_type}' if isinstance(part, BaseGeometry) else _shown(str(part))
        for part in _parts(region)
    )


def _shown(text: str) -> str:
    return repr(text if len(text) <= MAX_SHOWN else f'{text[: MAX_SHOWN - 3]}...')
