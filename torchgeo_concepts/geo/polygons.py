# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Validation of polygons in longitude and latitude."""

from typing import Any

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry


def check_polygon(polygon: Any, name: str) -> BaseGeometry:
    """Validate a polygon in longitude and latitude.

    Args:
        polygon: A polygon or multipolygon. It may continue beyond the antimeridian,
            such as from 170 to 190 degrees.
        name: Name of the polygon in errors.

    Returns:
        The polygon.

    Raises:
        ValueError: If it is not a polygon, is empty or invalid, has coordinates out of
            range, or is ambiguous at the antimeridian or a pole.
    """
    kinds = ('Polygon', 'MultiPolygon')
    if not isinstance(polygon, BaseGeometry) or polygon.geom_type not in kinds:
        kind = getattr(polygon, 'geom_type', type(polygon).__name__)
        raise ValueError(f'{name} must be a polygon, not a {kind}.')
    if polygon.is_empty:
        raise ValueError(f'{name} is empty: it has no area.')
    lon, lat = shapely.get_coordinates(polygon).T
    if not (np.abs(lat) <= 90).all() or not (np.abs(lon) <= 540).all():
        raise ValueError(
            f'{name} has coordinates out of range: longitudes {lon.min():.6g} to '
            f'{lon.max():.6g}, latitudes {lat.min():.6g} to {lat.max():.6g}. Polygons '
            'must be in degrees, longitude first.'
        )
    _check_edges(polygon, name)
    if not polygon.is_valid:
        reason = shapely.is_valid_reason(polygon)
        raise ValueError(
            f'{name} is not a valid polygon: {reason}. shapely.make_valid() may help; a '
            'polygon around a pole needs corners at the pole.'
        )
    return polygon


def _check_edges(polygon: BaseGeometry, name: str) -> None:
    """Validate that no edge spans 180 to 360 degrees, which would be ambiguous."""
    for ring in shapely.get_rings(shapely.get_parts(polygon)):
        steps = np.abs(np.diff(shapely.get_coordinates(ring)[:, 0]))
        far = steps[(steps > 180) & (steps < 360)]
        if len(far):
            raise ValueError(
                f'{name} has an edge that spans {far[0]:.6g} degrees of longitude. If '
                'it crosses the antimeridian, continue beyond 180, such as from 170 to '
                '190, or split it there. Around a pole, add corners at the pole. If it '
                'is really that wide, add corners along the edge.'
            )
