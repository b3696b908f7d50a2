# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Layers of your own raster files, and of your own vector files of polygons."""

import hashlib
from collections.abc import Iterable, Mapping
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
from ..utils.names import check_known
from .base import Layer, check_layer_name
from .grid import Floats, interpolate

# Pixels on each side of a block that is read at once.
TILE = 2048

# Turns by which a polygon may continue beyond the antimeridian, in degrees.
TURNS = (0, 360, -360)


class FileLayer(Layer):
    """Layer of a raster file in any CRS, such as a GeoTIFF.

    Only the parts of the file around the points are read. Values are unknown outside the
    raster and where it has no data. A quantity in longitude and latitude is interpolated
    across the dateline if the raster goes around the Earth, and across a pole if the
    raster reaches it.
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
            crs: Coordinate reference system, if the file does not state its own.
            **info: Arguments of :class:`~.base.Layer`.

        Raises:
            ValueError: If the file cannot be read, has no such band or no CRS, or the
                group does not exist.
        """
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
            self.resolution_km = step * (111.2 if self._crs.is_geographic else 0.001)
        self._goes_around, self._has_north, self._has_south = self._seams()

    def _seams(self) -> tuple[bool, bool, bool]:
        """Return whether the raster spans all longitudes and reaches each pole."""
        a, b, _, d, e, _ = self._inverse[:6]
        # Many files have rounded pixel sizes, so their edges are slightly off.
        around = abs(abs(360 * a) - self._size[1]) < 0.5
        if not self._crs.is_geographic or b or d or not around:
            return False, False, False
        _, bottom, _, top = self._bounds
        north, south = (abs(abs(lat) - 90) * abs(e) < 0.5 for lat in (top, bottom))
        return True, north, south

    @property
    def version(self) -> str:
        """Name of the file, and a hash of its content and interpretation."""
        # A hash of the content stays the same when the file is copied; a time does not.
        with rasterio.open(self.path) as file:
            # Viewers store statistics in .aux.xml files, which do not change the values.
            paths = [Path(x) for x in file.files if not x.endswith('.aux.xml')]
            index = self.band - 1
            interpretation = (
                self.band,
                self._crs.to_wkt(),
                tuple(file.transform),
                file.nodatavals[index],
                file.scales[index],
                file.offsets[index],
                self.kind,
            )
        digest = hashlib.sha256(repr(interpretation).encode())
        for path in paths:
            status = path.stat()
            digest.update(_file_hash(path, status.st_size, status.st_mtime_ns))
        return f'{self.path.name} {digest.hexdigest()[:16]}'

    def local_probes(self, number: int) -> Floats:
        """Return points spread over the raster, the same in every call.

        Args:
            number: Number of points, before those that are not on the Earth are dropped.

        Returns:
            Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
        """
        # The bottom is above the top if rows run from south to north.
        low, high = np.sort(np.reshape(self._bounds, (2, 2)), axis=0)
        return points_on_earth(
            self._crs, np.random.default_rng(0).uniform(low, high, (number, 2))
        )

    def values(self, lon: Floats, lat: Floats) -> NDArray[Any]:
        """Compute the values at valid coordinates."""
        x, y = to_crs(self._crs, lon, lat)
        if self._crs.is_geographic:
            # Files may count longitudes from 0, or continue beyond 180.
            left = self._bounds[0]
            x = left + (x - left) % 360
        a, b, c, d, e, f = self._inverse[:6]
        height, width = self._size
        # Coordinates are infinite where a projection is not defined.
        with np.errstate(invalid='ignore'):
            column, row = a * x + b * y + c, d * x + e * y + f
            if self._goes_around:
                # Rounded pixel sizes leave a small gap at the dateline and the poles.
                column = np.clip(column, 0, width)
                north = 0 if self._has_north else None
                row = np.clip(row, north, height if self._has_south else None)
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

    def _read(self, file: Any, row: Floats, column: Floats) -> Floats:
        """Read the values at rows and columns that lie in one block of the file."""
        height, width = self._size
        top, left = int(row.min()) - 1, int(column.min()) - 1
        bottom, right = int(row.max()) + 2, int(column.max()) + 2
        pixels = self._pixels(file, top, left, bottom, right)
        first_row, first_column = max(top, 0), max(left, 0)
        if self.kind == 'class':
            i = np.minimum(np.floor(row).astype(np.int64), height - 1) - first_row
            j = np.minimum(np.floor(column).astype(np.int64), width - 1) - first_column
            classes: Floats = pixels[i, j]
            return classes
        if self._goes_around and left < 0:
            west = self._pixels(file, top, width - 1, bottom, width)
            pixels, first_column = np.hstack((west, pixels)), -1
        if self._goes_around and right > width:
            pixels = np.hstack((pixels, self._pixels(file, top, 0, bottom, 1)))
        # The row beyond a pole is the same row, on the other side of the Earth.
        columns = np.arange(pixels.shape[1]) + first_column
        opposite = (columns + width // 2) % width
        if self._has_north and top < 0:
            north = self._pixels(file, 0, 0, 1, width)
            pixels, first_row = np.vstack((north[:, opposite], pixels)), -1
        if self._has_south and bottom > height:
            south = self._pixels(file, height - 1, 0, height, width)
            pixels = np.vstack((pixels, south[:, opposite]))

        def value_at(i: NDArray[np.int64], j: NDArray[np.int64]) -> Floats:
            # The outermost pixels continue to the edge of the raster.
            last_row, last_column = np.subtract(pixels.shape, 1)
            values: Floats = pixels[np.clip(i, 0, last_row), np.clip(j, 0, last_column)]
            return values

        return interpolate(value_at, row - first_row - 0.5, column - first_column - 0.5)

    def _pixels(
        self, file: Any, top: int, left: int, bottom: int, right: int
    ) -> Floats:
        """Read the part of a window that lies inside the raster."""
        height, width = self._size
        top, left = max(top, 0), max(left, 0)
        window = Window(left, top, min(right, width) - left, min(bottom, height) - top)
        try:
            masked = file.read(self.band, window=window, masked=True)
        except RasterioError as error:
            raise ValueError(f'{self.path} is damaged: {error}') from error
        pixels = np.ma.filled(masked.astype(np.float64), np.nan)
        scale, offset = file.scales[self.band - 1], file.offsets[self.band - 1]
        values: Floats = pixels * scale + offset
        return values


@lru_cache
def _file_hash(path: Path, size: int, mtime_ns: int) -> bytes:
    """Hash a file; size and time are arguments, so a changed file is hashed again."""
    with path.open('rb') as file:
        return hashlib.file_digest(file, 'sha256').digest()


def to_crs(crs: CRS, lon: Floats, lat: Floats) -> tuple[Floats, Floats]:
    """Project longitudes and latitudes in degrees into a CRS."""
    if is_lonlat(crs):
        return lon, lat
    transformer = Transformer.from_crs(WGS84, crs, always_xy=True)
    x, y = transformer.transform(lon, lat)
    return np.asarray(x), np.asarray(y)


def points_on_earth(crs: CRS, xy: Floats) -> Floats:
    """Return coordinates in degrees, without those that are not on the Earth."""
    points = np.stack(lonlat_from_crs(crs, *xy.T), axis=1)
    points = points[np.isfinite(points).all(axis=1)]
    points[:, 1] = np.clip(points[:, 1], -90, 90)
    return points


class PolygonLayer(Layer):
    """Layer of the polygons of a vector file in any CRS.

    Points on an outline are inside. Where polygons overlap, the first one counts.
    Polygons across the antimeridian may be split there, or continue beyond 180°.
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
            column: Column of values: numbers in *unit*, or names of classes, which get
                codes from 1 in alphabetical order. Without it, the value inside is 1.
            unit: Unit of numbers.
            outside: Value outside all polygons. By default, 0 without *column*, else NaN.
            crs: Coordinate reference system, if the file does not state its own.
            **info: Arguments of :class:`~.base.Layer`.

        Raises:
            ValueError: If the file cannot be read, has no such column, no polygons or no
                CRS, if *name* is not an identifier, or if the group does not exist.
        """
        check_layer_name(name)
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
        self._tree = shapely.STRtree(self._polygons)

    def _hash(self) -> str:
        # Hash the data read, because a Shapefile stores its columns in another file.
        digest = hashlib.sha256(self._values.tobytes())
        for shape in shapely.to_wkb(self._polygons):
            digest.update(shape)
        how = (self._crs.to_wkt(), float(self.outside), self.kind, self.classes)
        digest.update(repr(how).encode())
        return digest.hexdigest()[:16]

    @property
    def version(self) -> str:
        """Name of the file, and a hash of the data read from it."""
        return self._version

    def local_probes(self, number: int) -> Floats:
        """Return points in and around the polygons, the same in every call.

        Args:
            number: Number of points, before those that are not on the Earth are dropped.

        Returns:
            Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
        """
        # Every polygon gets the same number of points, so that small ones are not
        # missed.
        which = np.arange(number) * len(self._polygons) // number
        bounds = shapely.bounds(self._polygons)[which]
        share = np.random.default_rng(0).random((number, 2))
        return points_on_earth(
            self._crs, bounds[:, :2] + share * (bounds[:, 2:] - bounds[:, :2])
        )

    def values(self, lon: Floats, lat: Floats) -> NDArray[Any]:
        """Compute the values at valid coordinates."""
        x, y = to_crs(self._crs, lon, lat)
        first = first_polygon(
            self._tree, x, y, TURNS if self._crs.is_geographic else (0,)
        )
        values: NDArray[Any] = np.append(self._values, self.outside)[first]
        return values


def first_polygon(
    tree: shapely.STRtree, x: Floats, y: Floats, turns: Iterable[float] = TURNS
) -> NDArray[np.int64]:
    """Find the first polygon that contains each point, or has it on its outline.

    Args:
        tree: The polygons.
        x: First coordinates of shape ``(N,)``.
        y: Second coordinates of shape ``(N,)``.
        turns: Numbers to add to the first coordinates, to search beyond the antimeridian.

    Returns:
        Indices of polygons, of shape ``(N,)``; the number of polygons for points that
        no polygon contains.
    """
    polygons = tree.geometries
    shapely.prepare(polygons)
    first = np.full(len(x), len(polygons))
    for turn in turns:
        # The tree compares only bounding boxes, because it cannot use prepared polygons.
        point, polygon = tree.query(shapely.points(x + turn, y))
        hit = shapely.intersects_xy(polygons[polygon], x[point] + turn, y[point])
        np.minimum.at(first, point[hit], polygon[hit])
    return first


def _column(
    polygons: gpd.GeoDataFrame, column: str | None, path: Path | str
) -> tuple[Floats, dict[int, str]]:
    """Return the value of each polygon, and the names of classes by code."""
    if column is None:
        return np.ones(len(polygons)), {0: 'outside', 1: 'inside'}
    check_known(f'{path} has no column', column, polygons.columns)
    values = polygons[column]
    if pd.api.types.is_numeric_dtype(values):
        codes = values.to_numpy(dtype=np.float64, na_value=np.nan)
        whole = np.unique(codes[np.isfinite(codes)]).astype(np.int64)
        return codes, {int(code): str(code) for code in whole}
    names = sorted(values.dropna().astype(str).unique())
    numbers = {name: number for number, name in enumerate(names, start=1)}
    codes = values.astype(str).map(numbers).to_numpy(dtype=np.float64, na_value=np.nan)
    return codes, {number: name for name, number in numbers.items()}
