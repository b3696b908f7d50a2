# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Points as `(lon, lat)` in degrees, WGS84, longitude first.

:func:`check_points` is the only function that validates points. :func:`as_points`
converts arrays, tables and geometries to the tensors that it accepts.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
import torch
from geopandas.array import GeometryArray
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError
from torch import Tensor

WGS84 = CRS('OGC:CRS84')

# Pairs of usual names of longitude columns and of latitude columns.
DEGREE_NAMES = (
    (
        ('lon', 'longitude', 'lng', 'long', 'lon_deg', 'decimallongitude'),
        ('lat', 'latitude', 'lat_deg', 'decimallatitude'),
    ),
    (('x',), ('y',)),
)
PROJECTED_NAMES = ((('x', 'easting', 'e'), ('y', 'northing', 'n')),)

type PointsLike = (
    Tensor
    | NDArray[Any]
    | Sequence[Sequence[float] | shapely.Point]
    | pd.DataFrame
    | gpd.GeoSeries
    | gpd.GeoDataFrame
    | GeometryArray
)


def wrap_longitude(lon: Tensor) -> Tensor:
    """Wrap longitudes into [-180, 180].

    Longitudes in this range do not change, including 180 and -180, because some
    encoders embed these two differently.

    Args:
        lon: Longitudes in degrees, any shape, any finite value.

    Returns:
        Longitudes of the same meridians in [-180, 180].
    """
    # The remainder is exact, even if the multiple of 360 to subtract is not.
    lon = torch.fmod(lon, 360)
    return lon - 360 * torch.round(lon / 360)


def valid_points(points: Tensor) -> Tensor:
    """Return a mask of the points that are finite with a latitude in [-90, 90].

    Args:
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.

    Returns:
        Mask of shape ``(N,)``.
    """
    return torch.isfinite(points).all(dim=1) & (points[:, 1].abs() <= 90)


def describe_bad_point(lon: float, lat: float) -> str:
    """Describe what is wrong with a point that :func:`valid_points` rejects.

    Args:
        lon: Longitude in degrees.
        lat: Latitude in degrees.

    Returns:
        The reason, in a few words.
    """
    for name, value in (('longitude', lon), ('latitude', lat)):
        if not np.isfinite(value):
            return f'{name} is {value}'
    reason = f'latitude {lat:.9g} is outside [-90, 90]'
    if abs(lat) > 360:
        reason += '; for a projected CRS, pass crs (--crs on the command line)'
    return reason


def look_swapped(first: NDArray[Any], second: NDArray[Any]) -> bool:
    """Return True if two columns look like (lat, lon) instead of (lon, lat).

    Args:
        first: The column taken for longitudes.
        second: The column taken for latitudes.

    Returns:
        True if all of the first column could be latitudes, and at least a tenth of the
        second column could be longitudes but not latitudes.
    """
    finite = np.isfinite(first) & np.isfinite(second)
    first, second = np.abs(first[finite]), np.abs(second[finite])
    return bool(
        len(first)
        and (first <= 90).all()
        and (second <= 360).all()
        and (second > 90).mean() >= 0.1
    )


SWAPPED_HINT = (
    'Are lon and lat swapped? Points are (lon, lat), but here some latitudes are '
    'beyond 90 degrees and no longitude is.'
)


def check_points(points: Tensor) -> Tensor:
    """Validate points and wrap their longitudes.

    Values are checked in eager mode only. Under :func:`torch.compile` and
    :func:`torch.export.export`, only the shape is checked.

    Args:
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
            Integers become the default floating-point type.

    Returns:
        Points of shape ``(N, 2)`` with longitudes in [-180, 180]. The function is
        differentiable.

    Raises:
        TypeError: If *points* is not a tensor.
        ValueError: If the shape is not ``(N, 2)``, if the type is half precision or not
            real, if a value is NaN or infinite, or if a latitude is outside [-90, 90].
            The message names the first bad row.
    """
    if not isinstance(points, Tensor):
        raise TypeError(
            f'Points must be a tensor, not {type(points).__name__}. as_points() converts '
            'lists, arrays, data frames and geometries to one.'
        )
    if points.ndim != 2 or points.shape[1] != 2:
        hint = ''
        if points.ndim == 1 and points.shape[0] == 2:
            hint = ' For a single point, pass [[lon, lat]].'
        elif points.ndim == 2 and points.shape[0] == 2:
            hint = ' Pass the transpose, with one row for each point.'
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
    if not (torch.compiler.is_compiling() or points.is_meta):
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
        f'Row {row} is not a point on Earth: (lon, lat) = ({lon:.9g}, {lat:.9g}), '
        f'{describe_bad_point(lon, lat)}.'
    )
    if len(bad) > 1:
        message += f' {len(bad)} of {len(points)} rows are bad.'
    if look_swapped(*points.detach().cpu().double().numpy().T):
        message += f' {SWAPPED_HINT}'
    raise ValueError(message)


class CoordinateColumnsError(ValueError):
    """Error of missing or ambiguous coordinate columns of a table.

    Attributes:
        reason: Sentence that describes what is wrong.
    """

    def __init__(self, reason: str) -> None:
        """Initialize a new CoordinateColumnsError instance.

        Args:
            reason: Sentence that describes what is wrong.
        """
        super().__init__(f'{reason} Name them with lon= and lat=.')
        self.reason = reason


def find_coordinate_columns(
    names: Iterable[str],
    lon: str | None = None,
    lat: str | None = None,
    *,
    projected: bool = False,
) -> tuple[str, str]:
    """Find the columns of a table that hold longitude and latitude.

    Args:
        names: Names of all columns.
        lon: Name of the longitude column. By default, it is found by its usual names.
        lat: Name of the latitude column. By default, it is found by its usual names.
        projected: Find eastings and northings instead.

    Returns:
        Names of the longitude and the latitude column.

    Raises:
        CoordinateColumnsError: If a column is not found, or several are possible.
        ValueError: If a named column does not exist.
    """
    names = list(names)
    for given in (lon, lat):
        if given is not None and given not in names:
            raise CoordinateColumnsError(
                f'No column {given!r}; the columns are {names}.'
            )
    if lon is not None and lat is not None:
        return lon, lat
    for usual in PROJECTED_NAMES if projected else DEGREE_NAMES:
        first, second = (
            [name for name in names if name.strip().lower() in among]
            if given is None
            else [given]
            for given, among in zip((lon, lat), usual, strict=True)
        )
        if len(first) == len(second) == 1:
            return first[0], second[0]
        if first and second:
            several = first if len(first) > 1 else second
            raise CoordinateColumnsError(f'Several columns are possible: {several}.')
    what = 'eastings and northings' if projected else 'longitudes and latitudes'
    raise CoordinateColumnsError(
        f'No two columns are clearly the {what} (the columns are {names}).'
    )


def as_points(
    data: PointsLike,
    *,
    lon: str | None = None,
    lat: str | None = None,
    crs: Any = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Convert points in any form to a tensor of valid points.

    Args:
        data: A tensor, an array or nested lists of shape ``(N, 2)``, longitude first; a
            DataFrame with columns of longitudes and latitudes; geopandas points; or a
            list of shapely points.
        lon: Name of a DataFrame's column of longitudes, or of eastings in *crs*. By
            default, it is found by its usual names. The geometry of a GeoDataFrame is
            used unless columns are named.
        lat: Name of a DataFrame's column of latitudes, or of northings in *crs*.
        crs: Coordinate reference system of *data*, in any form that pyproj reads. By
            default, that of a geopandas object, else degrees in WGS84. Reprojection
            stops the gradients of a tensor.
        dtype: Floating-point type of the result. By default, float32 stays float32, and
            everything else becomes float64, which keeps all digits.

    Returns:
        Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees, with
        longitudes in [-180, 180].

    Raises:
        ValueError: If a point is invalid; the message names the first bad row. If
            geopandas points have no CRS and none is given, or if their CRS differs from
            the given one.
    """
    given_crs = None if crs is None else parse_crs(crs)
    if isinstance(data, pd.DataFrame) and (
        not isinstance(data, gpd.GeoDataFrame) or lon is not None or lat is not None
    ):
        projected = given_crs is not None and given_crs.is_projected
        columns = find_coordinate_columns(
            map(str, data.columns), lon, lat, projected=projected
        )
        points = torch.from_numpy(_numbers(data[list(columns)].to_numpy()))
    elif isinstance(data, gpd.GeoDataFrame | gpd.GeoSeries | GeometryArray):
        given_crs = one_crs('The points', data.crs, given_crs)
        geometry = data.geometry if isinstance(data, gpd.GeoDataFrame) else data
        points = torch.from_numpy(_geometry_coordinates(gpd.GeoSeries(geometry)))
    elif isinstance(data, Tensor):
        is_integer = not (data.is_floating_point() or data.is_complex())
        points = data.double() if is_integer and data.dtype != torch.bool else data
    else:
        points = torch.from_numpy(_numbers(data))
    kept, has_pairs = points.dtype, points.ndim == 2 and points.shape[1] == 2
    if given_crs is not None and has_pairs and not is_lonlat(given_crs):
        xy = points.detach().cpu().double().numpy().T
        lonlat = np.column_stack(lonlat_from_crs(given_crs, *xy))
        points = torch.from_numpy(lonlat).to(points.device)
    return check_points(points).to(kept if dtype is None else dtype)


def _numbers(data: Any) -> NDArray[Any]:
    if isinstance(data, np.ma.MaskedArray):
        data = np.ma.filled(data.astype(np.float64), np.nan)
    try:
        array = np.asarray(data)
    except ValueError as error:
        raise ValueError(
            f'Points must be a table of shape (N, 2), but rows differ in shape: {error}'
        ) from error
    if array.size == 0 and array.ndim == 1:
        array = array.reshape(0, 2)
    if array.dtype.kind in 'bcmMV':
        raise ValueError(f'Points must be real numbers, not {array.dtype}.')
    if array.dtype == object and array.size and shapely.is_geometry(array).all():
        array = _geometry_coordinates(gpd.GeoSeries(array.ravel()))
    if array.dtype.kind in 'OSTU':
        array = _floats_from_objects(array)
    is_short = array.dtype in (np.float16, np.float32)
    dtype = array.dtype.type if is_short else np.float64
    # A copy, since tensors have no negative strides and no foreign byte order.
    return np.array(array, dtype=dtype, order='C')


def _floats_from_objects(array: NDArray[Any]) -> NDArray[np.float64]:
    floats = np.empty(array.shape)
    for index, value in np.ndenumerate(array):
        try:
            floats[index] = np.nan if value is None or value is pd.NA else value
        except (TypeError, ValueError) as error:
            row = index[0] if index else 0
            raise ValueError(
                f'Row {row} is not a point: {value!r} is not a number.'
            ) from error
    return floats


def _geometry_coordinates(geometry: gpd.GeoSeries) -> NDArray[np.float64]:
    wrong = np.flatnonzero((geometry.geom_type != 'Point').to_numpy())
    if len(wrong):
        row = int(wrong[0])
        if geometry.isna().iloc[row]:
            raise ValueError(f'Row {row} has no geometry.')
        raise ValueError(
            f'Row {row} is not a point but a {geometry.geom_type.iloc[row]}. Take '
            'representative_point() of polygons and lines first.'
        )
    return np.column_stack((geometry.x, geometry.y)).astype(np.float64)


def parse_crs(crs: Any) -> CRS:
    """Read a coordinate reference system of points.

    Args:
        crs: The system, in any form that pyproj reads.

    Returns:
        The system.

    Raises:
        ValueError: If it is unknown, or neither geographic nor projected.
    """
    try:
        parsed = CRS.from_user_input(crs)
    except CRSError as error:
        raise ValueError(
            f"{crs!r} is not a coordinate reference system such as 'EPSG:4326'."
        ) from error
    if not (parsed.is_geographic or parsed.is_projected):
        raise ValueError(
            f'{parsed.name} is a {parsed.type_name}: points need a CRS that is '
            'geographic or projected.'
        )
    return parsed


def one_crs(what: str, own: CRS | None, given: CRS | None) -> CRS:
    """Choose between the coordinate reference systems of data and of an argument.

    Args:
        what: Name of the data, in the plural, for errors.
        own: The system that the data state.
        given: The system that the user states.

    Returns:
        The system that is stated.

    Raises:
        ValueError: If neither is stated, or if they differ.
    """
    crs = own if own is not None else given
    if crs is None:
        raise ValueError(
            f"{what} have no CRS. Pass crs='EPSG:4326' if they are degrees of longitude "
            'and latitude, else the CRS that they are in.'
        )
    if given is not None and not crs.equals(given, ignore_axis_order=True):
        raise ValueError(f'{what} are in {crs.name}, not in {given.name}. Omit crs.')
    return parse_crs(crs)


def is_lonlat(crs: CRS) -> bool:
    """Return True if coordinates in a CRS are longitudes and latitudes in WGS84."""
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
