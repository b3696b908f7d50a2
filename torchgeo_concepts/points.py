# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""The point contract: `(lon, lat)` in degrees, WGS84, longitude first.

:func:`check_points` is the one function that validates points, and :func:`as_points`
brings anything that holds points into the form that it accepts.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from torch import Tensor

__all__ = (
    'PointsLike',
    'as_points',
    'check_points',
    'describe_bad_point',
    'find_coordinate_columns',
    'valid_points',
    'wrap_longitude',
)

WGS84 = CRS('OGC:CRS84')

LON_NAMES = ('lon', 'longitude', 'lng', 'long', 'x', 'lon_deg', 'decimallongitude')
LAT_NAMES = ('lat', 'latitude', 'y', 'lat_deg', 'decimallatitude')

type PointsLike = (
    Tensor
    | NDArray[Any]
    | Sequence[Sequence[float]]
    | pd.DataFrame
    | gpd.GeoSeries
    | gpd.GeoDataFrame
)


def wrap_longitude(lon: Tensor) -> Tensor:
    """Wrap longitudes into [-180, 180].

    Longitudes that already lie there are returned bit for bit, 180 and -180 included,
    so that the result of an encoder that tells the two apart does not change.

    Args:
        lon: Longitudes in degrees, any shape, any finite value.

    Returns:
        Longitudes of the same meridians in [-180, 180].
    """
    # The remainder is exact, also for values whose multiples of 360 are not.
    lon = torch.fmod(lon, 360)
    return lon - 360 * torch.round(lon / 360)


def valid_points(points: Tensor) -> Tensor:
    """Tell which points are finite with a latitude in [-90, 90].

    Args:
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.

    Returns:
        Boolean tensor of shape ``(N,)``.
    """
    return torch.isfinite(points).all(dim=1) & (points[:, 1].abs() <= 90)


def describe_bad_point(lon: float, lat: float) -> str:
    """Say what is wrong with a point that :func:`valid_points` rejects.

    Args:
        lon: Longitude in degrees.
        lat: Latitude in degrees.

    Returns:
        The reason, in a few words.
    """
    for name, value in (('longitude', lon), ('latitude', lat)):
        if not np.isfinite(value):
            return f'{name} is {value}'
    return f'latitude {lat:.9g} is outside [-90, 90]'


def look_swapped(first: NDArray[Any], second: NDArray[Any]) -> bool:
    """Tell whether two columns read as (lat, lon) rather than as (lon, lat).

    Args:
        first: The column taken for longitudes.
        second: The column taken for latitudes.

    Returns:
        True if the second column holds values that no latitude has and the first has
        none that a latitude could not have.
    """
    first, second = first[np.isfinite(first)], second[np.isfinite(second)]
    return bool((np.abs(second) > 90).any() and (np.abs(first) <= 90).all())


SWAPPED_HINT = (
    'Are lon and lat swapped? Points are (lon, lat), and here the longitudes would '
    'pass for latitudes while the latitudes would not.'
)


def check_points(points: Tensor) -> Tensor:
    """Validate points and wrap their longitudes.

    Values are only looked at in eager mode: under :func:`torch.compile` and
    :func:`torch.export.export` the shape alone is checked.

    Args:
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
            Integers become the default floating-point type.

    Returns:
        Points of shape ``(N, 2)`` with longitudes in [-180, 180]. Gradients flow.

    Raises:
        ValueError: If the shape is not ``(N, 2)``, if the type is too coarse to hold
            degrees, if any value is NaN or infinite, or if a latitude is outside
            [-90, 90]. The message names the first bad row.
    """
    if points.ndim != 2 or points.shape[1] != 2:
        hint = ''
        if points.ndim == 1 and points.shape[0] == 2:
            hint = ' For a single point, pass [[lon, lat]].'
        elif points.ndim == 2 and points.shape[0] == 2:
            hint = ' Pass the transpose, one row a point.'
        raise ValueError(
            'Points must have shape (N, 2) as (lon, lat) in degrees, '
            f'not {tuple(points.shape)}.{hint}'
        )
    if points.dtype in (torch.float16, torch.bfloat16):
        raise ValueError(
            f'Points in {points.dtype} are rounded by up to half a degree. Pass them '
            'in float32 or float64; an encoder may still compute in half precision.'
        )
    if points.is_complex() or points.dtype == torch.bool:
        raise ValueError(f'Points must be real numbers, not {points.dtype}.')
    if not points.is_floating_point():
        points = points.to(torch.get_default_dtype())
    if not torch.compiler.is_compiling():
        _check_values(points)
    return torch.stack((wrap_longitude(points[:, 0]), points[:, 1]), dim=1)


def _check_values(points: Tensor) -> None:
    valid = valid_points(points)
    if bool(valid.all()):
        return
    bad = torch.nonzero(~valid).flatten()
    row = int(bad[0])
    lon, lat = points[row].tolist()
    message = (
        f'Row {row} is no point on Earth: (lon, lat) = ({lon:.9g}, {lat:.9g}), '
        f'{describe_bad_point(lon, lat)}.'
    )
    if len(bad) > 1:
        message += f' {len(bad) - 1} more of {len(points)} rows are bad.'
    if look_swapped(*points.detach().cpu().double().numpy().T):
        message += f' {SWAPPED_HINT}'
    raise ValueError(message)


def find_coordinate_columns(
    names: Iterable[str], lon: str | None = None, lat: str | None = None
) -> tuple[str, str]:
    """Find the columns of a table that hold longitude and latitude.

    Args:
        names: Names of all columns.
        lon: Name of the longitude column, found by its usual names if not given.
        lat: Name of the latitude column, found by its usual names if not given.

    Returns:
        Names of the longitude and the latitude column.

    Raises:
        ValueError: If a column does not exist, is not found, or could be one of many.
    """
    names = list(names)
    return (
        _find_column(names, lon, 'lon', LON_NAMES),
        _find_column(names, lat, 'lat', LAT_NAMES),
    )


def _find_column(
    names: list[str], given: str | None, argument: str, usual: tuple[str, ...]
) -> str:
    if given is not None:
        if given in names:
            return given
        raise ValueError(f'No column {given!r}; the columns are {names}.')
    found = [name for name in names if name.strip().lower() in usual]
    # The plain name outranks the others: a table with 'lon' and 'x' is clear.
    for name in usual:
        exact = [f for f in found if f.strip().lower() == name]
        if len(exact) == 1 and name in ('lon', 'lat', 'longitude', 'latitude'):
            return exact[0]
    if len(found) == 1:
        return found[0]
    problem = f'several could be: {found}' if found else f'the columns are {names}'
    raise ValueError(
        f'No column is clearly the {"longitude" if argument == "lon" else "latitude"} '
        f'({problem}). Name it with {argument}=.'
    )


def as_points(
    data: PointsLike,
    *,
    lon: str | None = None,
    lat: str | None = None,
    crs: Any = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Bring anything that holds points into a tensor of valid points.

    Args:
        data: A tensor, an array or nested lists of shape ``(N, 2)``, longitude first;
            a DataFrame with longitude and latitude columns; or geopandas points.
        lon: Name of a DataFrame's longitude column, found if not given.
        lat: Name of a DataFrame's latitude column, found if not given.
        crs: Coordinate reference system of *data*, in any form that pyproj reads.
            Geopandas objects know their own; anything else is taken for degrees of
            longitude and latitude in WGS84 if not given. Coordinates are reprojected,
            which cuts the gradients of a tensor.
        dtype: Floating-point type of the result. By default float32 and float64 are
            kept and everything else becomes the default type.

    Returns:
        Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees, with
        longitudes in [-180, 180].

    Raises:
        ValueError: If *data* holds anything but valid points; the message names the
            first bad row. If geopandas points have no CRS and none is given.
    """
    if isinstance(data, gpd.GeoDataFrame | gpd.GeoSeries):
        xy, crs = _geometry_coordinates(data.geometry, crs)
        points = torch.from_numpy(xy)
    elif isinstance(data, pd.DataFrame):
        columns = find_coordinate_columns(map(str, data.columns), lon, lat)
        points = torch.from_numpy(_numbers(data[list(columns)].to_numpy()))
    elif isinstance(data, Tensor):
        points = data
    else:
        points = torch.from_numpy(_numbers(data))
    if crs is not None:
        points = _reproject(points, crs)
    points = check_points(points)
    return points if dtype is None else points.to(dtype)


def _numbers(data: Any) -> NDArray[Any]:
    try:
        array = np.asarray(data)
    except ValueError as error:
        raise ValueError(
            f'Points must be a table of shape (N, 2), but rows differ: {error}'
        ) from error
    if array.size == 0 and array.ndim == 1:
        array = array.reshape(0, 2)
    if array.dtype.kind not in 'fiub':
        array = _floats_from_objects(array)
    if array.dtype.kind == 'u' or array.dtype == np.longdouble:
        array = array.astype(np.float64)
    # Tensors have no negative strides and no foreign byte order.
    return np.array(array, dtype=array.dtype.newbyteorder('='), order='C')


def _floats_from_objects(array: NDArray[Any]) -> NDArray[np.float64]:
    floats = np.empty(array.shape)
    for index, value in np.ndenumerate(array):
        try:
            floats[index] = np.nan if value is None or value is pd.NA else value
        except (TypeError, ValueError) as error:
            row = index[0] if index else 0
            raise ValueError(f'Row {row} is no point: {value!r} is no number.') from (
                error
            )
    return floats


def _geometry_coordinates(
    geometry: gpd.GeoSeries, crs: Any
) -> tuple[NDArray[np.float64], Any]:
    crs = geometry.crs if crs is None else crs
    if crs is None:
        raise ValueError(
            "The geometries have no CRS. Pass crs='EPSG:4326' if they are degrees of "
            'longitude and latitude, else the CRS that they are in.'
        )
    wrong = np.flatnonzero((geometry.geom_type != 'Point').to_numpy())
    if len(wrong):
        row = int(wrong[0])
        if geometry.isna().iloc[row]:
            raise ValueError(f'Row {row} has no geometry.')
        raise ValueError(
            f'Row {row} is no point but a {geometry.geom_type.iloc[row]}. Take '
            'representative_point() of polygons and lines first.'
        )
    return np.column_stack((geometry.x, geometry.y)).astype(np.float64), crs


def _reproject(points: Tensor, crs: Any) -> Tensor:
    crs = CRS.from_user_input(crs)
    if points.ndim != 2 or points.shape[1] != 2 or is_lonlat(crs):
        return points
    lon, lat = lonlat_from_crs(crs, *points.detach().cpu().double().numpy().T)
    return torch.from_numpy(np.column_stack((lon, lat))).to(points.device)


def is_lonlat(crs: CRS) -> bool:
    """Tell whether coordinates in a CRS are longitudes and latitudes in WGS84."""
    return crs.equals(WGS84, ignore_axis_order=True)


def lonlat_from_crs(
    crs: CRS, x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Reproject coordinates, x or easting first, to longitude and latitude.

    Args:
        crs: Coordinate reference system of the coordinates.
        x: First coordinates, easting or longitude.
        y: Second coordinates, northing or latitude.

    Returns:
        Longitudes and latitudes in degrees, WGS84; infinite where there are none.
    """
    transformer = Transformer.from_crs(crs, WGS84, always_xy=True)
    lon, lat = transformer.transform(x, y)
    return np.asarray(lon), np.asarray(lat)
