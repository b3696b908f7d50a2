# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Layers: maps that return a class or a quantity for any point on Earth."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..concepts.concept import ConceptKind
from ..geo.points import PointsLike, as_points
from ..io.cache import cached_array
from ..utils.distributions import installed_file, required_file
from ..utils.names import check_known, slug
from .grid import Floats, Registration, bilinear, nearest

# Groups of layers, each of which can be excluded as a whole.
_GROUPS = 'climate terrain land-cover people water imagery geometry own'
GROUPS = tuple(_GROUPS.split())


@dataclass(frozen=True, kw_only=True)
class Source:
    """Files with the data of layers, and their terms of use.

    Attributes:
        distribution: Package on PyPI that has the files, empty if none does.
        files: Paths of the files inside the distribution.
        terms: Terms of use of the data, and a note if they could not be verified from
            the package alone.
        citation: The publication to cite.
        install: Command that installs the distribution, if the extra ``layers`` does not.
    """

    distribution: str = ''
    files: tuple[str, ...] = ()
    terms: str = ''
    citation: str = ''
    install: str = ''

    @property
    def is_installed(self) -> bool:
        """True if all files exist on this machine."""
        return all(installed_file(self.distribution, file) for file in self.files)

    @property
    def version(self) -> str:
        """Name and version of the distribution, empty without a distribution."""
        if not self.distribution:
            return ''
        self.paths()
        return f'{self.distribution} {metadata.version(self.distribution)}'

    def paths(self) -> tuple[Path, ...]:
        """Find the files without importing the distribution.

        Returns:
            Their paths.

        Raises:
            ImportError: If a file is missing; the message names the command that
                installs it.
        """
        if self.install and not self.is_installed:
            raise ImportError(
                f'{self.files[0]} of {self.distribution} is needed. Install it with '
                f"'{self.install}'."
            )
        return tuple(
            required_file(self.distribution, file, 'layers') for file in self.files
        )

    def key(self) -> str:
        """Return a string that changes with the data: version and size of the files."""
        size = sum(path.stat().st_size for path in self.paths())
        return f'{self.version} {size}'


class Layer(ABC):
    """Map that returns a class or a quantity for any point on Earth.

    Attributes:
        name: Identifier of lower-case words joined by hyphens.
        title: Readable name.
        group: One of :data:`GROUPS`.
        kind: ``'class'`` if values are codes of classes, else ``'quantity'``.
        unit: Unit of a quantity, ``'1'`` if it has none.
        resolution_km: Distance between values at the equator in km, 0 if the layer is
            computed exactly.
        classes: Names of the classes by code, None for a quantity.
        source: Source of the data.
    """

    def __init__(
        self,
        name: str,
        *,
        title: str = '',
        group: str = 'own',
        unit: str = '',
        resolution_km: float = 0.0,
        classes: Mapping[int, str] | None = None,
        source: Source | None = None,
    ) -> None:
        """Initialize a new Layer instance.

        Args:
            name: Identifier of lower-case words joined by hyphens.
            title: Readable name. By default, *name* with spaces.
            group: One of :data:`GROUPS`.
            unit: Unit of a quantity, ``'1'`` if it has none.
            resolution_km: Distance between values at the equator in km.
            classes: Names of the classes by code, for a layer of classes.
            source: Source of the data.

        Raises:
            ValueError: If the group does not exist, or the layer has both a unit and
                classes, or neither.
        """
        check_groups([group])
        if (classes is None) != bool(unit):
            raise ValueError(
                f"Layer {name!r} needs either classes or a unit ('1' for a plain number)."
            )
        self.name = name
        self.title = title or name.replace('-', ' ')
        self.group = group
        self.kind: ConceptKind = 'quantity' if classes is None else 'class'
        self.unit = unit
        self.resolution_km = resolution_km
        self.classes = classes
        self.source = source or Source()

    @property
    def version(self) -> str:
        """Name and version of the distribution of the data."""
        return self.source.version

    @property
    def is_installed(self) -> bool:
        """True if the data are on this machine."""
        return self.source.is_installed

    def __call__(self, points: PointsLike) -> NDArray[np.float32]:
        """Return the values at points.

        Args:
            points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees, or
                any other form that :func:`~torchgeo_concepts.geo.points.as_points` takes.

        Returns:
            Values of shape ``(N,)``: codes of classes, or quantities in :attr:`unit`; NaN
            where unknown.
        """
        return self.at(*coordinates(points))

    def at(self, lon: Floats, lat: Floats) -> NDArray[np.float32]:
        """Return the values at coordinates that :func:`coordinates` has validated.

        Args:
            lon: Longitudes of shape ``(N,)`` in [-180, 180].
            lat: Latitudes of shape ``(N,)``.

        Returns:
            Values of shape ``(N,)``, as :meth:`__call__` returns them.
        """
        values: NDArray[Any] = self.values(lon, lat)
        return values.astype(np.float32, copy=False)

    @abstractmethod
    def values(self, lon: Floats, lat: Floats) -> NDArray[Any]:
        """Compute the values at valid coordinates, as numbers of any type.

        Args:
            lon: Longitudes of shape ``(N,)`` in [-180, 180].
            lat: Latitudes of shape ``(N,)``.

        Returns:
            Values of shape ``(N,)``, NaN where unknown.
        """

    def __repr__(self) -> str:
        """Return a summary."""
        what = self.unit if self.classes is None else f'{len(self.classes)} classes'
        return f'{type(self).__name__}({self.name!r}, {what})'


def check_groups(groups: Iterable[str]) -> None:
    """Validate groups of layers.

    Args:
        groups: Names of groups.

    Raises:
        ValueError: If a group is not one of :data:`GROUPS`.
    """
    for group in groups:
        check_known('No group', group, GROUPS)


def check_layer_name(name: str) -> None:
    """Validate the name of a layer that adds concepts.

    Args:
        name: The name.

    Raises:
        ValueError: If the name is not lower-case words joined by hyphens.
    """
    identifier = slug(name)
    if name != identifier or not name:
        hint = f' Did you mean {identifier!r}?' if identifier else ''
        raise ValueError(
            f'The layer name {name!r} must be lower-case words of a-z and 0-9 joined by '
            f'hyphens.{hint}'
        )


def coordinates(points: PointsLike) -> tuple[Floats, Floats]:
    """Validate points and split them into longitudes and latitudes.

    Args:
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.

    Returns:
        Longitudes in [-180, 180] and latitudes, each of shape ``(N,)``. A pole has
        longitude 0, because it lies on every meridian.
    """
    degrees = as_points(points).detach().cpu().double().numpy()
    lon = np.where(np.abs(degrees[:, 1]) == 90, 0.0, degrees[:, 0])
    return lon, np.ascontiguousarray(degrees[:, 1])


class RasterLayer(Layer):
    """Layer on a grid that spans the Earth in steps of longitude and latitude.

    The grid is computed once on each machine, kept in a file, and mapped into memory.
    A layer of classes returns the class of the pixel that contains a point. A layer of a
    quantity interpolates between the four values around the point; see
    :func:`~.grid.interpolate` for unknown values.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[], NDArray[Any]],
        *,
        registration: Registration = 'cell',
        decode: Callable[[NDArray[np.float32]], NDArray[Any]] | None = None,
        stored_as: str = '',
        **info: Any,
    ) -> None:
        """Initialize a new RasterLayer instance.

        Args:
            name: Identifier of lower-case words joined by hyphens.
            make: Computes the grid of shape ``(H, W)``, north and west first. It is
                called when the layer is first read.
            registration: ``'cell'`` if each value covers the area of a pixel, ``'node'``
                if values of a quantity are at crossings of meridians and parallels,
                with both poles, and with the dateline once.
            decode: Converts the stored values, after interpolation.
            stored_as: Name of the grid file, if several layers share it. By default,
                *name*.
            **info: Arguments of :class:`Layer`.
        """
        super().__init__(name, **info)
        self.registration = registration
        self._make = make
        self._stored_as = stored_as or name
        self._decode = decode
        self._grid: NDArray[Any] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the grid, which is read again after unpickling."""
        return self.__dict__ | {'_grid': None}

    @property
    def grid(self) -> NDArray[Any]:
        """Grid of shape ``(H, W)``, mapped into memory, not decoded."""
        if self._grid is None:
            # Without a version, nothing would show that a cached grid is out of date.
            self._grid = (
                cached_array(self._stored_as, self.source.key(), self._make_grid)
                if self.source.distribution
                else self._make_grid()
            )
        return self._grid

    def _make_grid(self) -> NDArray[Any]:
        grid = self._make()
        if grid.ndim != 2 or 0 in grid.shape:
            raise ValueError(
                f'The grid of layer {self.name!r} must have shape (H, W), '
                f'not {grid.shape}.'
            )
        return grid

    def values(self, lon: Floats, lat: Floats) -> NDArray[Any]:
        """Compute the values at valid coordinates."""
        if self.kind == 'class':
            values = nearest(self.grid, lon, lat)
        else:
            values = bilinear(self.grid, lon, lat, self.registration)
        return values if self._decode is None else self._decode(values)


def raster(
    make: Callable[[], NDArray[Any]], title: str, unit: str = '', **info: Any
) -> Callable[[str], Layer]:
    """Return a builder of a raster layer, which takes the name of the layer.

    Args:
        make: Computes the grid.
        title: Readable name.
        unit: Unit of a quantity, empty for a layer of classes.
        **info: Further arguments of :class:`RasterLayer`.
    """
    return partial(RasterLayer, make=make, title=title, unit=unit, **info)
