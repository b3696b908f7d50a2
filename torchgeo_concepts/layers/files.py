# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Layers of one's own: any raster or vector file."""

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import rasterio
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from rasterio.errors import RasterioError
from rasterio.windows import Window

from ..geo.points import WGS84, is_lonlat, lonlat_from_crs, one_crs, parse_crs
from ..utils.names import near_matches, slug
from .base import GROUPS, Layer

# Pixels on each side of what is read at once.
TILE = 2048


class FileLayer(Layer):
    """A layer of a raster file in any CRS, such as a GeoTIFF.

    Only the parts around the points are read. Values are unknown outside the raster and
    where it has no data. Quantities on a grid of longitudes and latitudes are
    interpolated across the dateline if it goes around the Earth, and across the poles
    that it reaches.
    """

    def __init__(
        self,
        path: Path | str,
        name: str,
        *,
        unit: str = '',
        classes: Mapping[int, str] | None = None,
        band: int = 1,
        crs: Any = None,
        **info: Any,
    ) -> None:
        """Initialize a new FileLayer instance.

        Args:
            path: The file.
            name: Identifier of lower-case words joined by hyphens.
            unit: Unit of a quantity, which is interpolated between pixels.
            classes: Names of classes by code, if the file has classes.
            band: Number of the band, from 1.
            crs: Coordinate reference system of a file that does not state its own.
            **info: What :class:`~.base.Layer` takes.

        Raises:
            ValueError: If the file cannot be read, has no such band or no CRS, or there
                is no such group.
        """
        _check_group(info)
        super().__init__(name, unit=unit, classes=classes, **info)
        self.path = Path(path)
        self.band = band
        try:
            with rasterio.open(self.path) as file:
                own = None if file.crs is None else CRS.from_wkt(file.crs.to_wkt())
                self._size = (file.height, file.width)
                self._inverse = ~file.transform
                self._bounds = tuple(float(edge) for edge in file.bounds)
                bands, step = int(file.count), abs(float(file.transform.a))
        except RasterioError as error:
            raise ValueError(f'{path} cannot be read as a raster: {error}') from error
        if not 1 <= band <= bands:
            raise ValueError(f'{path} has no band {band}: it has {bands}.')
        given = None if crs is None else parse_crs(crs)
        self._crs = one_crs(f'Pixels of {path}', own, given)
        if not self.resolution_km:
            unit_km = 111.2 if self._crs.is_geographic else 0.001
            self.resolution_km = step * unit_km
        self._goes_around, self._reaches_poles = self._seams()

    def _seams(self) -> tuple[bool, tuple[bool, bool]]:
        """Tell whether columns go around the Earth, and which last rows are at a pole."""
        a, b, _, d, e, _ = self._inverse[:6]
        if not self._crs.is_geographic or b or d:
            return False, (False, False)
        # Steps are often rounded, so that edges miss by some of a pixel.
        around = abs(abs(360 * a) - self._size[1]) < 0.5
        _, bottom, _, top = self._bounds
        north, south = (
            around and abs(abs(lat) - 90) * abs(e) < 0.5 for lat in (top, bottom)
        )
        return around, (north, south)

    @property
    def version(self) -> str:
        """Name of the file, and a hash of its content and of how it is read."""
        # A hash stays the same when the file is copied, as a time would not.
        with rasterio.open(self.path) as file:
            # Statistics are not read, and viewers write them.
            paths = [Path(x) for x in file.files if not x.endswith('.aux.xml')]
            index = self.band - 1
            how = (
                self.band,
                self._crs.to_wkt(),
                tuple(file.transform),
                file.nodatavals[index],
                file.scales[index],
                file.offsets[index],
                self.kind,
            )
        digest = hashlib.sha256(repr(how).encode())
        for path in paths:
            about = path.stat()
            digest.update(_file_hash(path, about.st_size, about.st_mtime_ns))
        return f'{self.path.name} {digest.hexdigest()[:16]}'

    def local_probes(self, number: int) -> NDArray[np.float64]:
        """Return points spread over the raster, always the same.

        Args:
            number: How many, before those without a place on the Earth are left out.

        Returns:
            Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
        """
        # Rows may count from the south.
        low, high = np.sort(np.reshape(self._bounds, (2, 2)), axis=0)
        xy = np.random.default_rng(0).uniform(low, high, (number, 2))
        return _on_earth(self._crs, xy)

    def values(
        self, lon: NDArray[np.float64], lat: NDArray[np.float64]
    ) -> NDArray[Any]:
        """Read the layer at coordinates that are known to be valid."""
        x, y = _to_crs(self._crs, lon, lat)
        if self._crs.is_geographic:
            # Files may count longitudes from 0, or go on beyond 180.
            left = self._bounds[0]
            x = left + (x - left) % 360
        a, b, c, d, e, f = self._inverse[:6]
        height, width = self._size
        # Coordinates are infinite where a projection has no place for a point.
        with np.errstate(invalid='ignore'):
            column, row = a * x + b * y + c, d * x + e * y + f
            if self._goes_around:
                # Rounded steps leave a part of a pixel open.
                column = np.clip(column, 0, width)
                north, south = self._reaches_poles
                row = np.clip(row, 0 if north else None, height if south else None)
            inside = (row >= 0) & (row <= height) & (column >= 0) & (column <= width)
        result = np.full(len(lon), np.nan)
        places = np.flatnonzero(inside)
        tiles = (row[places] // TILE).astype(np.int64) * (width // TILE + 1)
        tiles += (column[places] // TILE).astype(np.int64)
        order = np.argsort(tiles, kind='stable')
        breaks = np.flatnonzero(np.diff(tiles[order])) + 1
        with rasterio.open(self.path) as file:
            for part in np.split(places[order], breaks):
                if len(part):
                    result[part] = self._read(file, row[part], column[part])
        return result

    def _read(
        self, file: Any, row: NDArray[np.float64], column: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        top, left = int(row.min()) - 1, int(column.min()) - 1
        bottom, right = int(row.max()) + 2, int(column.max()) + 2
        if self.kind == 'class':
            pixels, top, left = self._pixels(file, top, left, bottom, right)
            height, width = self._size
            i = np.minimum(np.floor(row).astype(np.int64), height - 1) - top
            j = np.minimum(np.floor(column).astype(np.int64), width - 1) - left
            values: NDArray[np.float64] = pixels[i, j]
            return values
        pixels, top, left = self._across(file, top, left, bottom, right)
        return _between(pixels, row - top, column - left)

    def _pixels(
        self, file: Any, top: int, left: int, bottom: int, right: int
    ) -> tuple[NDArray[np.float64], int, int]:
        """Read what the raster has of a window, and say where that begins."""
        top, left = max(top, 0), max(left, 0)
        rows = min(bottom, self._size[0]) - top
        columns = min(right, self._size[1]) - left
        window = Window(left, top, columns, rows)
        try:
            masked = file.read(self.band, window=window, masked=True)
        except RasterioError as error:
            raise ValueError(f'{self.path} is damaged: {error}') from error
        pixels = np.ma.filled(masked.astype(np.float64), np.nan)
        pixels = pixels * file.scales[self.band - 1] + file.offsets[self.band - 1]
        return pixels, top, left

    def _across(
        self, file: Any, top: int, left: int, bottom: int, right: int
    ) -> tuple[NDArray[np.float64], int, int]:
        """Read a window that goes on by a pixel across the dateline and the poles."""
        height, width = self._size
        pixels, y, x = self._pixels(file, top, left, bottom, right)
        if self._goes_around and left < 0:
            west, _, _ = self._pixels(file, top, width - 1, bottom, width)
            pixels, x = np.hstack((west, pixels)), -1
        if self._goes_around and right > width:
            east, _, _ = self._pixels(file, top, 0, bottom, 1)
            pixels = np.hstack((pixels, east))
        # Beyond a pole lies the same row, on the other side of the Earth.
        opposite = (np.arange(pixels.shape[1]) + x + width // 2) % width
        north, south = self._reaches_poles
        if north and top < 0:
            row, _, _ = self._pixels(file, 0, 0, 1, width)
            pixels, y = np.vstack((row[:, opposite], pixels)), -1
        if south and bottom > height:
            row, _, _ = self._pixels(file, height - 1, 0, height, width)
            pixels = np.vstack((pixels, row[:, opposite]))
        return pixels, y, x


@lru_cache
def _file_hash(path: Path, size: int, mtime_ns: int) -> bytes:
    """Hash a file again only when its size or time have changed."""
    with path.open('rb') as file:
        return hashlib.file_digest(file, 'sha256').digest()


def check_layer_name(name: str) -> None:
    """Check the name of a layer that is to ground concepts.

    Args:
        name: The name.

    Raises:
        ValueError: If it is not lower-case words joined by hyphens.
    """
    near = slug(name)
    if name != near or not name:
        hint = f' Did you mean {near!r}?' if near else ''
        raise ValueError(
            f'Layer {name!r} must be named with lower-case words of a-z and 0-9 joined '
            f'by hyphens.{hint}'
        )


def _check_group(info: Mapping[str, Any]) -> None:
    group = info.get('group', 'own')
    if group not in GROUPS:
        raise ValueError(f'No group {group!r}. {near_matches(group, GROUPS)}')


def _between(
    pixels: NDArray[np.float64], row: NDArray[np.float64], column: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Interpolate between the middles of pixels as :func:`~.grid.bilinear` does.

    Towards the edge of the raster, the last pixels go on.
    """
    y, x = row - 0.5, column - 0.5
    top, left = np.floor(y), np.floor(x)
    total, known = np.zeros(len(row)), np.zeros(len(row))
    for down in (0, 1):
        for right in (0, 1):
            i = np.clip(top + down, 0, pixels.shape[0] - 1).astype(np.int64)
            j = np.clip(left + right, 0, pixels.shape[1] - 1).astype(np.int64)
            weight = np.abs(1 - down - (y - top)) * np.abs(1 - right - (x - left))
            values = pixels[i, j]
            is_known = ~np.isnan(values)
            total += np.where(is_known, weight * values, 0.0)
            known += np.where(is_known, weight, 0.0)
    enough = known >= 0.5 - 1e-9
    return np.where(enough, total / np.where(enough, known, 1.0), np.nan)


def _to_crs(
    crs: CRS, lon: NDArray[np.float64], lat: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if is_lonlat(crs):
        return lon, lat
    transformer = Transformer.from_crs(WGS84, crs, always_xy=True)
    x, y = transformer.transform(lon, lat)
    return np.asarray(x), np.asarray(y)


def _on_earth(crs: CRS, xy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return longitudes and latitudes of coordinates that have them."""
    points = np.stack(lonlat_from_crs(crs, *xy.T), axis=1)
    points = points[np.isfinite(points).all(axis=1)]
    points[:, 1] = np.clip(points[:, 1], -90, 90)
    return points


class PolygonLayer(Layer):
    """A layer of the polygons of a vector file in any CRS.

    Points on an outline are inside, and the first of several polygons counts. Polygons
    across the dateline may be split there, or go on beyond 180°.
    """

    def __init__(
        self,
        path: Path | str,
        name: str,
        *,
        column: str | None = None,
        unit: str = '',
        outside: float | None = None,
        crs: Any = None,
        **info: Any,
    ) -> None:
        """Initialize a new PolygonLayer instance.

        Args:
            path: The file.
            name: Identifier of lower-case words joined by hyphens.
            column: Column of values: numbers in *unit*, or names of classes, numbered
                from 1 in alphabetical order. Without one, the value inside is 1.
            unit: Unit of numbers.
            outside: Value outside; 0 by default without *column*, else NaN.
            crs: Coordinate reference system of a file that does not state its own.
            **info: What :class:`~.base.Layer` takes.

        Raises:
            ValueError: If the file cannot be read, has no such column, no polygons or no
                CRS, if *name* is no identifier or there is no such group.
        """
        check_layer_name(name)
        _check_group(info)
        self.path = Path(path)
        try:
            frame = gpd.read_file(self.path)
        except (OSError, RuntimeError) as error:
            raise ValueError(f'{path} cannot be read as polygons: {error}') from error
        given = None if crs is None else parse_crs(crs)
        self._crs = one_crs(f'Polygons of {path}', frame.crs, given)
        polygons = frame[frame.geom_type.isin(['Polygon', 'MultiPolygon'])]
        if polygons.empty:
            raise ValueError(f'{path} has no polygons.')
        self._values, classes = _column(polygons, column, path)
        super().__init__(name, unit=unit, classes=None if unit else classes, **info)
        default = 0.0 if column is None else np.nan
        self.outside = default if outside is None else outside
        self._polygons = np.asarray(polygons.geometry.array)
        self._version = f'{self.path.name} {self._hash()}'
        shapely.prepare(self._polygons)
        self._tree = shapely.STRtree(self._polygons)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Prepare the polygons again, which is lost when they are sent."""
        self.__dict__.update(state)
        shapely.prepare(self._polygons)

    def _hash(self) -> str:
        # What was read, as a Shapefile keeps its columns in another file.
        digest = hashlib.sha256(self._values.tobytes())
        for shape in shapely.to_wkb(self._polygons):
            digest.update(shape)
        how = (self._crs.to_wkt(), float(self.outside), self.kind, self.classes)
        digest.update(repr(how).encode())
        return digest.hexdigest()[:16]

    @property
    def version(self) -> str:
        """Name of the file, and a hash of what was read of it."""
        return self._version

    def local_probes(self, number: int) -> NDArray[np.float64]:
        """Return points in and around the polygons, always the same.

        Args:
            number: How many, before those without a place on the Earth are left out.

        Returns:
            Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
        """
        # The same number of each polygon, so that small ones are not missed.
        which = np.arange(number) * len(self._polygons) // number
        bounds = shapely.bounds(self._polygons)[which]
        share = np.random.default_rng(0).random((number, 2))
        return _on_earth(
            self._crs, bounds[:, :2] + share * (bounds[:, 2:] - bounds[:, :2])
        )

    def values(
        self, lon: NDArray[np.float64], lat: NDArray[np.float64]
    ) -> NDArray[Any]:
        """Read the layer at coordinates that are known to be valid."""
        x, y = _to_crs(self._crs, lon, lat)
        first = np.full(len(lon), len(self._polygons))
        for shift in (0, 360, -360) if self._crs.is_geographic else (0,):
            points = shapely.points(x + shift, y)
            point, polygon = self._tree.query(points)
            hit = shapely.intersects_xy(
                self._polygons[polygon], x[point] + shift, y[point]
            )
            np.minimum.at(first, point[hit], polygon[hit])
        values: NDArray[Any] = np.append(self._values, self.outside)[first]
        return values


def _column(
    polygons: gpd.GeoDataFrame, column: str | None, path: Path | str
) -> tuple[NDArray[np.float64], dict[int, str]]:
    """Return the value of each polygon, and names of classes if values are names."""
    if column is None:
        return np.ones(len(polygons)), {0: 'outside', 1: 'inside'}
    if column not in polygons:
        hint = near_matches(column, map(str, polygons.columns))
        raise ValueError(f'{path} has no column {column!r}. {hint}')
    values = polygons[column]
    if pd.api.types.is_numeric_dtype(values):
        codes = values.to_numpy(dtype=np.float64, na_value=np.nan)
        whole = np.unique(codes[np.isfinite(codes)]).astype(np.int64)
        return codes, {int(code): str(code) for code in whole}
    names = sorted(values.dropna().astype(str).unique())
    numbers = {name: number for number, name in enumerate(names, start=1)}
    codes = values.astype(str).map(numbers).to_numpy(dtype=np.float64, na_value=np.nan)
    return codes, {number: name for name, number in numbers.items()}
