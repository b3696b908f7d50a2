# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Layers of one's own: any raster or vector file."""

from collections.abc import Mapping
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

from ...names import near_matches
from ...points import WGS84, is_lonlat, one_crs, parse_crs
from .base import Layer

__all__ = ('FileLayer', 'PolygonLayer')

# Pixels on each side of what is read at once.
TILE = 2048


class FileLayer(Layer):
    """A layer of a raster file in any CRS, such as a GeoTIFF.

    Only the parts around the points are read. Values are unknown outside the raster and
    where it has no data.
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
            ValueError: If the file cannot be read, has no such band or no CRS.
        """
        super().__init__(name, unit=unit, classes=classes, **info)
        self.path = Path(path)
        self.band = band
        try:
            with rasterio.open(self.path) as file:
                own = None if file.crs is None else CRS.from_wkt(file.crs.to_wkt())
                self._size = (file.height, file.width)
                self._inverse = ~file.transform
                self._left, bands = float(file.bounds.left), int(file.count)
                degrees = abs(float(file.transform.a))
        except RasterioError as error:
            raise ValueError(f'{path} cannot be read as a raster: {error}') from error
        if not 1 <= band <= bands:
            raise ValueError(f'{path} has no band {band}: it has {bands}.')
        given = None if crs is None else parse_crs(crs)
        self._crs = one_crs(f'Pixels of {path}', own, given)
        if not self.resolution_km:
            unit_km = 111.2 if self._crs.is_geographic else 0.001
            self.resolution_km = degrees * unit_km

    @property
    def version(self) -> str:
        """Name and size of the file."""
        return f'{self.path.name} {self.path.stat().st_size}'

    def values(
        self, lon: NDArray[np.float64], lat: NDArray[np.float64]
    ) -> NDArray[Any]:
        """Read the layer at coordinates that are known to be valid."""
        x, y = _to_crs(self._crs, lon, lat)
        if self._crs.is_geographic:
            # Files may count longitudes from 0, or go on beyond 180.
            x = self._left + (x - self._left) % 360
        a, b, c, d, e, f = self._inverse[:6]
        column, row = a * x + b * y + c, d * x + e * y + f
        height, width = self._size
        with np.errstate(invalid='ignore'):
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
        height, width = self._size
        top, left = max(int(row.min()) - 1, 0), max(int(column.min()) - 1, 0)
        rows = min(int(row.max()) + 2, height) - top
        columns = min(int(column.max()) + 2, width) - left
        window = Window(left, top, columns, rows)
        try:
            masked = file.read(self.band, window=window, masked=True)
        except RasterioError as error:
            raise ValueError(f'{self.path} is damaged: {error}') from error
        pixels = np.ma.filled(masked.astype(np.float64), np.nan)
        pixels = pixels * file.scales[self.band - 1] + file.offsets[self.band - 1]
        if self.kind == 'class':
            i = np.minimum(np.floor(row).astype(np.int64), height - 1) - top
            j = np.minimum(np.floor(column).astype(np.int64), width - 1) - left
            values: NDArray[np.float64] = pixels[i, j]
            return values
        return _between(pixels, row - top, column - left)


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
                CRS.
        """
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
        shapely.prepare(self._polygons)
        self._tree = shapely.STRtree(self._polygons)

    @property
    def version(self) -> str:
        """Name and size of the file."""
        return f'{self.path.name} {self.path.stat().st_size}'

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
