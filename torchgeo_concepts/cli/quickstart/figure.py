# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Maps and figure of the quickstart."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from torch import Tensor

from ...embed.points import embed_points
from ...evaluate.probes import LinearFit
from ...geo.raster_grid import RasterGrid
from ...io.geotiff import Band
from ...layers import get_layer
from ...maps.bands import ConceptScores
from ...maps.encoder_maps import map_values
from ...models.concept_earth import ConceptEarth
from ...plot.bars import draw_bars, draw_named_bars, signed
from ...plot.maps import draw_map
from ...utils.files import atomic_path
from .report import CREDITS, SHOWN, QuickstartReport, TargetScores

# The maps leave out Antarctica, which has no cities.
AREA = (-180.0, -60.0, 180.0, 84.0)

# Size in inches and resolution in pixels per inch.
SIZE, DPI = (16.0, 12.6), 100

# Colours that are distinct with any colour vision: Okabe and Ito (2008),
# https://jfly.uni-koeln.de/color/
COLOURS = {'ConceptEarth': '#0072b2', 'GeoCLIP': '#e69f00', 'coordinates': '#7f7f7f'}
OTHER_COLOUR = '#56b4e9'

# Characters per line of a remark, and of the concept names of all panels together.
REMARK_WIDTH, NAMES_WIDTH = 80, 72


def write_maps(
    output: Path, encoder: ConceptEarth, concept: int, head: LinearFit, width: int
) -> None:
    """Map a concept and the temperature predicted by a head.

    Args:
        output: GeoTIFF file to write.
        encoder: The encoder.
        concept: Index of the concept.
        head: Head of features ``'xz'``.
        width: Number of columns.
    """

    def values(points: Tensor) -> Tensor:
        xz = embed_points(encoder, points, features='xz', progress=False)
        value = encoder.calibrate(xz[:, encoder.embed_dim :])[:, concept]
        predicted = xz.double() @ head.weight[0] + head.bias[0]
        return torch.stack((value, predicted.float()), dim=1)

    [band] = ConceptScores(encoder, [encoder.bank.ids[concept]]).bands
    map_values(
        values,
        output,
        RasterGrid.over(AREA, width=width),
        [band, Band('annual mean temperature, predicted', '°C')],
        # Without the mask the sea is mapped too, and there is no coastline.
        land_only=get_layer('land').is_installed,
        tags={'encoder': 'concept_earth', 'weights': 'ConceptEarth_Weights.GROUNDED'},
        progress=False,
    )


def draw_report(
    report: QuickstartReport, marks: Sequence[tuple[str, float, float]]
) -> None:
    """Write the picture of a report.

    Args:
        report: The report.
        marks: Name, longitude and latitude of each place to mark on the map.
    """
    figure = Figure(figsize=SIZE, dpi=DPI)
    figure.set_layout_engine('constrained', w_pad=0.1, h_pad=0.08)
    parts = figure.subfigures(3, 1, height_ratios=(3.6, 3.4, 4.6), squeeze=False)
    top, middle, bottom = parts[:, 0]
    _draw_maps(top, report.maps, marks)
    for axes, target in zip(
        middle.subplots(1, len(report.targets)), report.targets, strict=True
    ):
        _draw_scores(axes, target)
    middle.suptitle('Predictions for held-out blocks of 10 degrees')
    _draw_explanations(bottom, report)
    figure.supxlabel(' '.join(CREDITS), fontsize=9, color='0.4')
    with atomic_path(report.picture) as temporary:
        figure.savefig(temporary, format='png')


def _draw_maps(
    figure: SubFigure, path: Path, marks: Sequence[tuple[str, float, float]]
) -> None:
    panels = figure.subplots(1, 2)
    for number, axes in enumerate(panels, start=1):
        draw_map(axes, path, number)
    panels[0].set_title(f'concept: {panels[0].get_title()}')
    for name, lon, lat in marks:
        panels[-1].plot(lon, lat, 'o', color='white', markeredgecolor='black')
        panels[-1].annotate(
            name,
            (lon, lat),
            xytext=(0, 7),
            textcoords='offset points',
            ha='center',
            bbox={'boxstyle': 'round', 'fc': 'white', 'ec': 'none', 'alpha': 0.75},
        )


def _draw_scores(axes: Axes, target: TargetScores) -> None:
    names = [score.features for score in target.scores]
    colours = [COLOURS.get(name.split(',')[0], OTHER_COLOUR) for name in names]
    lengths = [max(0.0, score.r2) for score in target.scores]
    draw_named_bars(axes, names, lengths, colours)
    for place, score in enumerate(target.scores):
        text = f'{score.r2:.3f}, error {score.error:.2f} {target.unit}'
        axes.text(lengths[place] + 0.01, place, text, va='center')
    axes.set_xlim(0, 1.5)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
    axes.set_xlabel(f'R²\n{textwrap.fill(target.remark, REMARK_WIDTH)}', fontsize=9)
    axes.set_title(target.target)


def _draw_explanations(figure: SubFigure, report: QuickstartReport) -> None:
    cities = report.explained.cities
    shown = [city.explanation.added(SHOWN) for city in cities]
    limit = max((abs(value) for rows in shown for _, value in rows), default=1.0)
    panels = figure.subplots(1, len(shown), squeeze=False)[0]
    width = NAMES_WIDTH // len(shown)
    for axes, city, rows in zip(panels, cities, shown, strict=True):
        draw_bars(axes, rows, 'contribution [°C]', name_width=width, form='.1f')
        axes.set_xlim(-1.55 * limit, 1.55 * limit)
        score, base = city.explanation.score, city.explanation.base
        axes.set_title(
            f'{city.city}: {score:.1f} °C, by CHELSA {city.truth:.1f} °C\n'
            f'average city {base:.1f} °C {signed(score - base, ".1f")} °C',
            fontsize=10,
        )
    figure.suptitle(report.explained_title)
