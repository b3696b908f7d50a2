# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""What follows from longitude and latitude alone."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..geo.sphere import unit_vectors
from .base import Layer, Source

# Tilt of the axis of the Earth in degrees, for the years around 2020.
OBLIQUITY = 23.44

# Height of the sun's centre when its upper edge rises: half its width and refraction.
SUNRISE = -0.833

# The geomagnetic North Pole of 2020.
DIPOLE = (-72.68, 80.65)

ASTRONOMY = Source(
    terms='Computed; nobody holds rights in it.',
    citation='Meeus (1998), Astronomical Algorithms',
)
MAGNETISM = Source(
    terms='Computed from two published numbers; nobody holds rights in it.',
    citation='Chulliat et al. (2020), The US/UK World Magnetic Model for 2020-2025',
)

type Formula = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[Any]]


class FormulaLayer(Layer):
    """A layer that is a function of longitude and latitude."""

    def __init__(self, name: str, compute: Formula, **info: Any) -> None:
        """Initialize a new FormulaLayer instance.

        Args:
            name: Identifier of lower-case words joined by hyphens.
            compute: Gives values for longitudes and latitudes in degrees.
            **info: What :class:`~.base.Layer` takes.
        """
        super().__init__(name, **info)
        self._compute = compute

    def values(
        self, lon: NDArray[np.float64], lat: NDArray[np.float64]
    ) -> NDArray[Any]:
        """Read the layer at coordinates that are known to be valid."""
        return self._compute(lon, lat)


def _day_hours(
    lat: NDArray[np.float64], declination: float | NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return hours between sunrise and sunset, for a declination of the sun."""
    # At the very pole a cosine of 0 would divide by it.
    phi = np.deg2rad(np.clip(lat, -89.999, 89.999))
    delta = np.deg2rad(declination)
    cosine = (np.sin(np.deg2rad(SUNRISE)) - np.sin(phi) * np.sin(delta)) / (
        np.cos(phi) * np.cos(delta)
    )
    hours: NDArray[np.float64] = np.rad2deg(np.arccos(np.clip(cosine, -1, 1))) / 7.5
    return hours


def _geomagnetic_latitude(
    lon: NDArray[np.float64], lat: NDArray[np.float64]
) -> NDArray[np.float64]:
    pole = unit_vectors(*(np.array([degrees]) for degrees in DIPOLE))[0]
    sine = np.clip(unit_vectors(lon, lat) @ pole, -1, 1)
    degrees: NDArray[np.float64] = np.abs(np.rad2deg(np.arcsin(sine)))
    return degrees


# Functions with names, which processes that load data can be sent.
def _latitude(
    lon: NDArray[np.float64], lat: NDArray[np.float64]
) -> NDArray[np.float64]:
    return lat


def _absolute_latitude(
    lon: NDArray[np.float64], lat: NDArray[np.float64]
) -> NDArray[np.float64]:
    return np.abs(lat)


def _solstice_hours(
    declination: float, lon: NDArray[np.float64], lat: NDArray[np.float64]
) -> NDArray[np.float64]:
    return _day_hours(np.abs(lat), declination)


def _noon_sun(
    lon: NDArray[np.float64], lat: NDArray[np.float64]
) -> NDArray[np.float64]:
    return np.minimum(90, 90 + OBLIQUITY - np.abs(lat))


# Title, unit, source and function.
FORMULAS: dict[str, tuple[str, str, Source, Formula]] = {
    'latitude': ('latitude', 'degree', ASTRONOMY, _latitude),
    'absolute-latitude': (
        'distance from the equator',
        'degree',
        ASTRONOMY,
        _absolute_latitude,
    ),
    'longest-day': (
        'daylight of the longest day',
        'hours',
        ASTRONOMY,
        partial(_solstice_hours, OBLIQUITY),
    ),
    'shortest-day': (
        'daylight of the shortest day',
        'hours',
        ASTRONOMY,
        partial(_solstice_hours, -OBLIQUITY),
    ),
    'highest-noon-sun': (
        'greatest height of the sun in the year',
        'degree',
        ASTRONOMY,
        _noon_sun,
    ),
    'geomagnetic-latitude': (
        'distance from the geomagnetic equator',
        'degree',
        MAGNETISM,
        _geomagnetic_latitude,
    ),
}


def formula(name: str) -> Layer:
    """Return a layer that needs no data.

    Args:
        name: A key of :data:`FORMULAS`.
    """
    title, unit, source, compute = FORMULAS[name]
    return FormulaLayer(
        name, compute, title=title, group='geometry', unit=unit, source=source
    )
