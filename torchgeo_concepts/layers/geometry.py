# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Layers that are computed from longitude and latitude alone."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..geo.sphere import unit_vectors
from .base import Layer, Source
from .grid import Floats

# Tilt of the axis of the Earth in degrees, for the years around 2020.
OBLIQUITY = 23.44

# Height of the centre of the sun at sunrise in degrees: half its width, and refraction.
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

type Formula = Callable[[Floats, Floats], NDArray[Any]]


class FormulaLayer(Layer):
    """Layer that is a function of longitude and latitude."""

    def __init__(self, name: str, compute: Formula, **info: Any) -> None:
        """Initialize a new FormulaLayer instance.

        Args:
            name: Identifier of lower-case words joined by hyphens.
            compute: Returns values for longitudes and latitudes in degrees.
            **info: Arguments of :class:`~.base.Layer`.
        """
        super().__init__(name, **info)
        self._compute = compute

    def values(self, lon: Floats, lat: Floats) -> NDArray[Any]:
        """Compute the values at valid coordinates."""
        return self._compute(lon, lat)


# These are functions rather than lambdas, so that layers can be pickled.
def _latitude(lon: Floats, lat: Floats) -> Floats:
    return lat


def _from_equator(lon: Floats, lat: Floats) -> Floats:
    return np.abs(lat)


def _day_hours(declination: float, lon: Floats, lat: Floats) -> Floats:
    """Return hours between sunrise and sunset; declination is positive in summer."""
    # At exactly 90°, the cosine would cause a division by 0.
    phi = np.deg2rad(np.minimum(np.abs(lat), 89.999))
    delta = np.deg2rad(declination)
    cosine = (np.sin(np.deg2rad(SUNRISE)) - np.sin(phi) * np.sin(delta)) / (
        np.cos(phi) * np.cos(delta)
    )
    hours: Floats = np.rad2deg(np.arccos(np.clip(cosine, -1, 1))) / 7.5
    return hours


def _noon_sun(lon: Floats, lat: Floats) -> Floats:
    return np.minimum(90, 90 + OBLIQUITY - np.abs(lat))


def _geomagnetic_latitude(lon: Floats, lat: Floats) -> Floats:
    pole = unit_vectors(*(np.array([degrees]) for degrees in DIPOLE))[0]
    sine = np.clip(unit_vectors(lon, lat) @ pole, -1, 1)
    degrees: Floats = np.abs(np.rad2deg(np.arcsin(sine)))
    return degrees


LONGEST_DAY = partial(_day_hours, OBLIQUITY)
SHORTEST_DAY = partial(_day_hours, -OBLIQUITY)

# Title, unit and function of each layer.
FORMULAS: dict[str, tuple[str, str, Formula]] = {
    'latitude': ('latitude', 'degree', _latitude),
    'absolute-latitude': ('distance from the equator', 'degree', _from_equator),
    'longest-day': ('daylight of the longest day', 'hours', LONGEST_DAY),
    'shortest-day': ('daylight of the shortest day', 'hours', SHORTEST_DAY),
    'highest-noon-sun': ('greatest height of the sun in the year', 'degree', _noon_sun),
    'geomagnetic-latitude': (
        'distance from the geomagnetic equator',
        'degree',
        _geomagnetic_latitude,
    ),
}


def formula(name: str) -> Layer:
    """Return a layer that needs no data.

    Args:
        name: A key of :data:`FORMULAS`.
    """
    title, unit, compute = FORMULAS[name]
    source = MAGNETISM if name == 'geomagnetic-latitude' else ASTRONOMY
    return FormulaLayer(
        name, compute, title=title, group='geometry', unit=unit, source=source
    )


LAYERS = dict.fromkeys(FORMULAS, formula)
