# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Regular grids of pixels over a part of the Earth, in any CRS."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from rasterio import Affine
from rasterio.transform import array_bounds
from rasterio.windows import Window

from .points import WGS84, is_lonlat, parse_crs

type Bounds = tuple[float, float, float, float]
type Numbers = NDArray[np.float64]

WHOLE_EARTH: Bounds = (-180.0, -90.0, 180.0, 90.0)

# Default number of pixels along the longer side of a grid.
DEFAULT_SIZE = 720

# Rows and columns of the points that determine the extent of an area in a CRS.
LATTICE = (361, 721)

# Maximum error, in pixels, of a point that is projected to the Earth and back.
TOLERANCE = 0.1


@dataclass(frozen=True)
class RasterGrid:
    """Pixels of one size over a rectangle of a CRS, the first at the top left.

    Attributes:
        crs: The coordinate reference system.
        transform: Transform of column and row to coordinates in the CRS.
        width: Number of columns.
        height: Number of rows.
        area: Area that the grid covers, as ``(west, south, east, north)`` in degrees.
            ``east`` is beyond 180 if the area crosses the antimeridian.
    """

    crs: CRS
    transform: Affine
    width: int
    height: int
    area: Bounds = WHOLE_EARTH

    @classmethod
    def over(
        cls,
        bounds: Sequence[float] | None = None,
        crs: Any = 'EPSG:4326',
        *,
        resolution: float | None = None,
        width: int | None = None,
    ) -> 'RasterGrid':
        """Create the grid over an area.

        Args:
            bounds: West, south, east and north in degrees. An area with ``west > east``
                crosses the antimeridian. By default, the area of use of the CRS.
            crs: Coordinate reference system, in any form that pyproj reads.
            resolution: Size of a pixel in units of the CRS. The grid begins at the top
                left of the area, and its last pixels may reach beyond the area.
            width: Number of columns, instead of *resolution*. The grid covers exactly
                the area, with nearly square pixels. By default, there are 720 pixels
                along the longer side.

        Returns:
            The grid over the smallest rectangle of the CRS that contains the area.

        Raises:
            ValueError: If bounds, CRS or size are invalid, if the area is not on the
                map of the CRS, or if it lies at both ends of the map.
        """
        parsed = parse_crs(crs)
        area = _check_bounds(_default_bounds(parsed) if bounds is None else bounds)
        west, south, east, north = _extent(parsed, area)
        if resolution is not None and width is not None:
            raise ValueError('Give resolution= or width=, not both.')
        if resolution is not None:
            if not (np.isfinite(resolution) and resolution > 0):
                raise ValueError(f'resolution must be positive, not {resolution}.')
            columns = _steps(east - west, resolution)
            rows = _steps(north - south, resolution)
            steps = resolution, resolution
        else:
            tall = min(1.0, (east - west) / (north - south))
            columns = max(1, round(DEFAULT_SIZE * tall)) if width is None else width
            if columns < 1:
                raise ValueError(f'width must be at least 1, not {columns}.')
            rows = max(1, round((north - south) * columns / (east - west)))
            steps = (east - west) / columns, (north - south) / rows
        transform = Affine(steps[0], 0, west, 0, -steps[1], north)
        return cls(parsed, transform, columns, rows, area)

    @property
    def extent(self) -> Bounds:
        """West, south, east and north of the grid in its CRS."""
        bounds: Bounds = array_bounds(self.height, self.width, self.transform)
        return bounds

    def resized(self, width: int, height: int) -> 'RasterGrid':
        """Return a grid of the given size over the same rectangle."""
        step_x, _, west, _, step_y, north = self.transform[:6]
        step_x, step_y = step_x * self.width / width, step_y * self.height / height
        transform = Affine(step_x, 0, west, 0, step_y, north)
        return RasterGrid(self.crs, transform, width, height, self.area)

    def windows(self, size: int) -> Iterator[Window]:
        """Divide the grid into square windows, row by row.

        Args:
            size: Side of a window in pixels. Windows at the right and at the bottom may
                be smaller.

        Yields:
            Windows of the grid.
        """
        for row in range(0, self.height, size):
            for column in range(0, self.width, size):
                yield Window(
                    column,
                    row,
                    min(size, self.width - column),
                    min(size, self.height - row),
                )

    def points(self, window: Window | None = None) -> tuple[Numbers, NDArray[np.bool_]]:
        """Compute the points on Earth at the centres of pixels.

        Args:
            window: Part of the grid. By default, all of it.

        Returns:
            Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees, row by
            row, and a mask of the pixels that lie on Earth, of shape ``(N,)``. The other
            points are undefined.
        """
        window = Window(0, 0, self.width, self.height) if window is None else window
        columns = window.col_off + np.arange(window.width) + 0.5
        rows = window.row_off + np.arange(window.height) + 0.5
        step_x, _, west, _, step_y, north = self.transform[:6]
        x, y = np.meshgrid(west + columns * step_x, north + rows * step_y)
        x, y = x.ravel(), y.ravel()
        if self.crs.is_geographic:
            on_earth = np.abs(y) <= 90
        lon, lat = self._to_earth(x, y)
        if self.crs.is_projected:
            # Some projections map points beyond their edge to points inside.
            back = self._transformer.transform(lon, lat, direction='INVERSE')
            distances = (back[0] - x) / step_x, (back[1] - y) / step_y
            with np.errstate(invalid='ignore'):
                on_earth = np.hypot(*distances) <= TOLERANCE
        return np.column_stack((lon, lat)), on_earth

    def contains(self, points: Numbers) -> NDArray[np.bool_]:
        """Return a mask of the points that lie on the grid.

        Args:
            points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees,
                with longitudes in the range of :attr:`area`.

        Returns:
            Mask of shape ``(N,)``.
        """
        x, y = points.T
        if self.crs.is_projected:
            x, y = self._transformer.transform(x, y, direction='INVERSE')
        west, south, east, north = self.extent
        inside: NDArray[np.bool_] = (
            (x >= west) & (x <= east) & (y >= south) & (y <= north)
        )
        return inside

    def _to_earth(self, x: Numbers, y: Numbers) -> tuple[Numbers, Numbers]:
        if is_lonlat(self.crs):
            return x, y
        lon, lat = self._transformer.transform(x, y)
        return np.asarray(lon), np.asarray(lat)

    @cached_property
    def _transformer(self) -> Transformer:
        return Transformer.from_crs(self.crs, WGS84, always_xy=True)


def _steps(length: float, step: float) -> int:
    """Return the number of steps that cover a length, up to a rounding error."""
    return max(1, int(np.ceil(length / step - 1e-6)))


def _default_bounds(crs: CRS) -> Sequence[float]:
    use = crs.area_of_use
    return WHOLE_EARTH if use is None else (use.west, use.south, use.east, use.north)


def _check_bounds(bounds: Sequence[float]) -> Bounds:
    """Validate bounds, and add 360 to the east if they cross the antimeridian."""
    if len(bounds) != 4:
        raise ValueError(
            f'bounds are west, south, east and north: four numbers, not {len(bounds)}.'
        )
    west, south, east, north = map(float, bounds)
    order = f'bounds are west, south, east, north in degrees, not {tuple(bounds)}: '
    if not np.isfinite([west, south, east, north]).all():
        raise ValueError(order + 'all must be finite.')
    if max(abs(south), abs(north)) > 90:
        raise ValueError(order + 'south and north are latitudes, within [-90, 90].')
    if south >= north:
        raise ValueError(order + 'south must be less than north.')
    if max(abs(west), abs(east)) > 360:
        raise ValueError(order + 'west and east are longitudes, within [-360, 360].')
    if west > east:
        east += 360
    if not 0 < east - west <= 360:
        raise ValueError(order + 'the width must be above 0 and at most 360 degrees.')
    return west, south, east, north


def _extent(crs: CRS, area: Bounds) -> Bounds:
    """Return the smallest rectangle of a CRS that contains an area."""
    if crs.is_geographic:
        _check_degrees(crs)
        return area
    west, south, east, north = area
    rows, columns = LATTICE
    lon, lat = np.meshgrid(
        np.linspace(west, east, columns), np.linspace(south, north, rows)
    )
    to_crs = Transformer.from_crs(WGS84, crs, always_xy=True)
    x, y = to_crs.transform(lon.ravel(), lat.ravel())
    known = np.isfinite(x) & np.isfinite(y)
    if np.unique(x[known]).size < 2 or np.unique(y[known]).size < 2:
        use = crs.area_of_use
        hint = '' if use is None else f', whose area is {use.name}: {use.bounds}'
        raise ValueError(f'The bounds {area} are not on the map of {crs.name}{hint}.')
    x, y = np.sort(x[known]), np.sort(y[known])
    if max(np.diff(x).max() / np.ptp(x), np.diff(y).max() / np.ptp(y)) > 0.5:
        raise ValueError(
            f'The bounds {area} lie at both ends of the map of {crs.name}. Pass a crs= '
            "whose centre is near them, such as 'EPSG:3832' for the Pacific, or "
            "'EPSG:4326', which continues beyond 180 degrees."
        )
    return float(x[0]), float(y[0]), float(x[-1]), float(y[-1])


def _check_degrees(crs: CRS) -> None:
    units = {axis.unit_name for axis in crs.axis_info[:2]}
    prime = crs.prime_meridian
    if units != {'degree'} or (prime is not None and prime.longitude != 0):
        raise ValueError(
            f'{crs.name} is not in degrees from Greenwich; take EPSG:4326 or a '
            'projected CRS.'
        )
