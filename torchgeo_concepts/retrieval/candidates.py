# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Candidate points for the location of an image."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from pyproj import Proj
from torch import Tensor

from ..geo.points import check_points
from ..geo.sphere import golden_fractions
from ..io.tables import open_table
from ..layers import get_layer
from ..models.geoclip import geoclip_gallery

# Number of points to look up in the land mask at a time.
LATTICE_BLOCK = 4_000_000


@dataclass(frozen=True)
class Candidates:
    """Candidate points.

    Attributes:
        points: Points of shape ``(M, 2)`` as ``(longitude, latitude)`` in degrees.
        area_km2: Area that each point represents, if it is the same for all.
    """

    points: Tensor
    area_km2: float | None = None


def candidate_points(source: str, *, download: bool = False) -> Candidates:
    """Return the candidate points of a named source.

    Args:
        source: ``'geoclip'`` for GeoCLIP's 100,000 points of MP-16, ``'land:KM'`` for
            an equal-area lattice over land with one point in each square with a side of
            *KM* kilometres, or a table of points.
        download: Download GeoCLIP's gallery if it is not on this machine.

    Returns:
        The points.

    Raises:
        ValueError: If the spacing of a lattice is not a positive number.
        FileNotFoundError: If there is no such table, or GeoCLIP's gallery is not on
            this machine.
    """
    if source == 'geoclip':
        return Candidates(geoclip_gallery(download=download))
    if source.startswith('land:'):
        try:
            spacing_km = float(source.removeprefix('land:'))
        except ValueError:
            raise ValueError(
                f"'land:' needs a spacing in kilometres, such as 'land:25', not "
                f'{source!r}.'
            ) from None
        return Candidates(land_lattice(spacing_km), spacing_km**2)
    if not Path(source).exists():
        raise FileNotFoundError(
            f"{source!r} is neither 'geoclip', 'land:KM' nor a table of points."
        )
    return Candidates(read_points(Path(source)))


def read_points(path: Path | str) -> Tensor:
    """Read all points of a table.

    Args:
        path: Any file that :func:`~torchgeo_concepts.io.tables.open_table` reads.

    Returns:
        Points of shape ``(M, 2)`` as ``(longitude, latitude)`` in degrees, in float32.

    Raises:
        ValueError: If a row has no point on Earth; the message names the first.
    """
    batches = []
    for batch in open_table(Path(path)).batches():
        for row, problem in sorted(batch.problems.items()):
            raise ValueError(f'{path}, row {batch.first_row + row}: {problem}')
        batches.append(batch.points)
    if not batches:
        raise ValueError(f'{path} has no points.')
    return torch.from_numpy(np.concatenate(batches)).float()


def land_lattice(spacing_km: float) -> Tensor:
    """Spread points evenly over all land, each with the same area on WGS84.

    The points are those of a Fibonacci lattice that lie on land in global-land-mask,
    which resolves about a kilometre. This needs the extra ``layers``.

    Args:
        spacing_km: Side of a square with the area that a point represents. Land has
            about 149 million square kilometres, so 3.9 km give 10 million points.

    Returns:
        Points of shape ``(M, 2)`` as ``(longitude, latitude)`` in degrees.

    Raises:
        ValueError: If the spacing is not positive.
        ImportError: If global-land-mask is not installed.
    """
    if not spacing_km > 0:
        raise ValueError(f'spacing_km must be positive, not {spacing_km}.')
    land = get_layer('land')
    # Equal steps in the height of this projection have equal areas.
    equal_area = Proj(proj='cea', ellps='WGS84')
    right, top = equal_area(180, 90)
    number = max(1, round(4 * right * top / (1000 * spacing_km) ** 2))
    parts = []
    for start in range(0, number, LATTICE_BLOCK):
        index = np.arange(start, min(start + LATTICE_BLOCK, number))
        height = top * (1 - (2 * index + 1) / number)
        _, lat = equal_area(np.zeros(len(index)), height, inverse=True)
        lon = 360 * golden_fractions(index) - 180
        points = np.column_stack((lon, lat))[land.at(lon, lat) == 1]
        parts.append(points.astype(np.float32))
    return check_points(torch.from_numpy(np.concatenate(parts)))
