# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Figures of several concept maps side by side."""

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from ..embed.points import embed_points
from ..geo.raster_grid import RasterGrid
from ..plot.maps import plot_map
from .bands import ConceptScores
from .encoder_maps import map_values

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def concept_atlas(
    encoder: nn.Module,
    concepts: Sequence[str],
    bounds: Sequence[float] | None = None,
    *,
    width: int = 360,
    calibrated: bool = True,
    land_only: bool = False,
) -> 'Figure':
    """Draw maps of several concepts side by side.

    Args:
        encoder: An encoder with concept scores.
        concepts: Names, ids or aliases of up to twelve concepts.
        bounds: West, south, east and north of the area in degrees. By default, the Earth.
        width: Number of pixel columns of each map.
        calibrated: Draw probabilities, and quantities in their units, instead of
            standardised scores.
        land_only: Leave out the sea.

    Returns:
        The figure.

    Raises:
        ValueError: If the encoder has no concept scores, a concept is unknown, the number
            of concepts is not from one to twelve, or the bounds are invalid.
    """
    if not 1 <= len(concepts) <= 12:
        raise ValueError(f'Expected one to twelve concepts, got {len(concepts)}.')
    scores = ConceptScores(encoder, concepts, calibrated)
    grid = RasterGrid.over(bounds, width=width)
    with tempfile.TemporaryDirectory() as folder:
        path = map_values(
            partial(embed_points, scores, progress=False),
            Path(folder) / 'atlas.tif',
            grid,
            scores.bands,
            land_only=land_only,
            progress=False,
        )
        return plot_map(path)
