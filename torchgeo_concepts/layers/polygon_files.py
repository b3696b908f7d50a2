# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Layers of your own vector files of polygons."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from ..geo.points import one_crs, parse_crs
from ..utils.names import check_known
from .base import Layer, check_layer_name
from .files import points_on_earth, to_crs
from .grid import Floats

# Turns by which a polygon may continue beyond the antimeridian, in degrees.
TURNS = (0, 360, -360)


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
        # Hash what was read, because a Shapefile keeps its columns in another file.
        digest = hashlib.sha256(self._values.tobytes())
        for shape in shapely.to_wkb(self._polygons):
            digest.update(shape)
        how = (self._crs.to_wkt(), float(self.outside), self.kind, self.classes)
        digest.update(repr(how).encode())
        return digest.hexdigest()[:16]

    @property
    def version(self) -> str:
        """Return the name of the file, and a hash of what was read from it."""
        return self._version

    def local_probes(self, number: int) -> Floats:
        """Return points in and around the polygons, the same in every call.

        Args:
            number: Number of points, before those that are not on the Earth are dropped.

        Returns:
            Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
        """
        # Every polygon gets the same number, so that small ones are not missed.
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
        Indices of polygons, of shape ``(N,)``; the number of all polygons for points in
        none.
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
    """Return the value of each polygon, and names of classes if values are names."""
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
