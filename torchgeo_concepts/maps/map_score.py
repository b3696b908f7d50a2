# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Scores of a map against the truth, and their figure."""

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import shapely
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from ..evaluate.bootstrap import Estimate
from ..layers import Layer
from ..layers.regions import Regions, named_polygons
from ..plot.point_maps import draw_coast
from ..utils.names import with_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLES = {'pearson': 'Pearson', 'spearman': 'Spearman', 'auc': 'AUC'}

# Number of points for Moran's I, and neighbours of each.
MORAN_POINTS, NEIGHBOURS = 3000, 8

# Inches of two maps side by side, and of the scatter plot below them.
WIDTH, SCATTER_HEIGHT = 6.4, 3.6

# Degrees around the points.
MARGIN = 1.0

# Percentiles of a quantity at the ends of its colour scale.
CLIP = (1.0, 99.0)

# Characters per line of a title.
TITLE_WIDTH = 30

# Maximum number of regions with a name in the figure, and minimum distance between the
# names as shares of the axes.
NAMED, APART = 6, (0.06, 0.09)

BLUE, ORANGE = '#0072b2', '#d55e00'


@dataclass(frozen=True, eq=False)
class MapScore:
    """Agreement of a map with the truth.

    Attributes:
        name: Name of the map.
        truth: Name of the truth.
        units: Units of map and truth: empty for plain numbers and probabilities, None if
            unknown.
        by_point: Estimates of ``'pearson'``, ``'spearman'`` and, for a class, ``'auc'``.
        by_region: The same for the means of regions, without AUC; empty without regions.
        moran: Moran's I of ``'map'``, ``'truth'`` and ``'error'``, the residual of a
            linear regression of the truth on the map; empty if not computed.
        values: A row for each point where map and truth are known: ``lon``, ``lat``,
            ``predicted``, ``truth``, ``weight``, ``block``.
        regions: A row for each region: ``region``, ``points``, and the means of
            ``predicted`` and ``truth``.
        left_out: Names of regions with too few points.
        is_log: True if values are compared as ``log10(1 + value)``.
        block_degrees: Side of the blocks that are resampled, in degrees.
        confidence: Confidence level of the intervals.
        truth_title: Title of the truth in the figure.
        polygons: The regions, for their outlines in the figure.
    """

    name: str
    truth: str
    units: tuple[str | None, str | None]
    by_point: Mapping[str, Estimate]
    by_region: Mapping[str, Estimate]
    moran: Mapping[str, float]
    values: pd.DataFrame
    regions: pd.DataFrame
    left_out: tuple[str, ...] = ()
    is_log: bool = False
    block_degrees: float = 8
    confidence: float = 0.95
    truth_title: str = ''
    polygons: Regions | None = field(default=None, repr=False)

    @property
    def is_class(self) -> bool:
        """Return True if the truth is a class, with values 0 and 1."""
        return 'auc' in self.by_point

    def to_frame(self) -> pd.DataFrame:
        """Return all scores as a table.

        Returns:
            A row for each score: ``by`` (``'point'``, ``'region'``, ``'neighbours'``),
            ``score``, ``value``, ``low``, ``high`` and ``number`` of points or regions.
        """
        rows = [
            (by, name, estimate.value, estimate.low, estimate.high, number)
            for by, estimates, number in (
                ('point', self.by_point, len(self.values)),
                ('region', self.by_region, len(self.regions)),
            )
            for name, estimate in estimates.items()
        ]
        number = min(len(self.values), MORAN_POINTS)
        rows += [
            ('neighbours', f"Moran's I, {name}", value, np.nan, np.nan, number)
            for name, value in self.moran.items()
        ]
        columns = ['by', 'score', 'value', 'low', 'high', 'number']
        return pd.DataFrame(rows, columns=columns)

    def __str__(self) -> str:
        """Return the scores in a few lines."""
        blocks = self.values['block'].nunique()
        where = f'{blocks} blocks of {self.block_degrees:g} degrees'
        lines = [
            f'{self.name} against {self.truth}',
            f'{len(self.values):,} points in {where}: {_summary(self.by_point)}',
        ]
        if self.by_region:
            lines.append(f'{len(self.regions)} regions: {_summary(self.by_region)}')
        if self.left_out:
            lines.append(f'left out for too few points: {", ".join(self.left_out)}')
        if self.moran:
            parts = ', '.join(f'{name} {i:.3f}' for name, i in self.moran.items())
            lines.append(f"Moran's I: {parts}")
        lines.append(f'{self.confidence:.0%} intervals in brackets')
        return '\n'.join(lines)

    def plot(self) -> 'Figure':
        """Draw the map, the truth, and the means of regions (if there are any) or blocks.

        Returns:
            The figure.
        """
        from matplotlib import pyplot as plt

        lon = _unbroken(self.values['lon'].to_numpy())
        frame = self.values.assign(lon=lon)
        west, east = lon.min() - MARGIN, lon.max() + MARGIN
        south, north = frame['lat'].min() - MARGIN, frame['lat'].max() + MARGIN
        stretch = 1 / max(0.3, np.cos(np.deg2rad((south + north) / 2)))
        map_height = 0.46 * WIDTH * (north - south) / (east - west) * stretch
        map_height = float(np.clip(map_height, 1.2, 4)) + 1.3
        figure, panels = plt.subplot_mosaic(
            [['predicted', 'truth'], ['scatter', 'scatter']],
            figsize=(WIDTH, map_height + SCATTER_HEIGHT),
            height_ratios=(map_height, SCATTER_HEIGHT),
            layout='constrained',
        )
        titles = f'map: {self.name}', f'truth: {self.truth_title}'
        for column, title in zip(('predicted', 'truth'), titles, strict=True):
            axes = panels[column]
            axes.set(xlim=(west, east), ylim=(south, north), aspect=stretch)
            _draw_values(axes, self, frame, column)
            axes.set_title(textwrap.fill(title, TITLE_WIDTH), fontsize=11)
        panels['truth'].set_ylabel('')
        _draw_scatter(panels['scatter'], self)
        return figure


def _summary(estimates: Mapping[str, Estimate]) -> str:
    return ', '.join(f'{TITLES[name]} {value}' for name, value in estimates.items())


def _unbroken(lon: NDArray[np.float64]) -> NDArray[np.float64]:
    """Continue longitudes beyond 180 if the points cross the antimeridian."""
    order = np.sort(lon)
    gaps = np.diff(order)
    if not len(gaps) or gaps.max() <= max(20.0, order[0] + 360 - order[-1]):
        return lon
    start = order[gaps.argmax() + 1]
    return np.where(lon < start, lon + 360, lon)


def _limits(score: MapScore, column: str) -> tuple[float, float]:
    """Return the limits of the colour scale of map or truth, shared for equal units."""
    if score.is_class and (column == 'truth' or score.units[0] == ''):
        return 0.0, 1.0
    if not score.is_class and _same_scale(score):
        column = 'truth'
    low, high = np.percentile(score.values[column], CLIP).tolist()
    return (low, high) if low < high else (low, low + 1)


def _same_scale(score: MapScore) -> bool:
    return score.units[0] is not None and score.units[0] == score.units[1]


def _label(score: MapScore, column: str) -> str:
    """Return the label of the colour bar of a map."""
    unit = score.units[column == 'truth']
    if score.is_class and column == 'truth':
        return 'truth (0 or 1)'
    if score.is_log:
        return f'log₁₀(1 + value{f" in {unit}" if unit else ""})'
    if score.is_class and unit == '':
        return 'probability'
    return with_unit('value', unit or '')


def _mean_label(score: MapScore, column: str, of: str) -> str:
    """Return the label of the means of regions or blocks."""
    title = 'map' if column == 'predicted' else 'truth'
    if score.is_class and column == 'truth':
        return f'{title}: share of a {of}'
    return f'{title}: mean {_label(score, column)}\nof a {of}'


def _draw_values(
    axes: 'Axes', score: MapScore, frame: pd.DataFrame, column: str
) -> None:
    """Draw the values of map or truth, with the coastline and the regions."""
    draw_coast(axes)
    west, east = axes.get_xlim()
    # Dots touch each other; a map has half the width of the figure.
    places = np.column_stack((frame['lon'], frame['lat'] * float(axes.get_aspect())))
    apart = np.median(cKDTree(places).query(places, k=2)[0][:, 1])
    side = 1.4 * apart * 0.38 * WIDTH * 72 / (east - west)
    low, high = _limits(score, column)
    drawn = axes.scatter(
        frame['lon'],
        frame['lat'],
        c=frame[column],
        s=float(np.clip(side**2, 0.4, 40)),
        cmap='cividis' if (low, high) == (0, 1) else 'viridis',
        vmin=low,
        vmax=high,
        marker='s',
        linewidths=0,
        rasterized=True,
    )
    axes.set_xlabel('longitude [°]', fontsize=11)
    axes.set_ylabel('latitude [°]', fontsize=11)
    axes.locator_params(nbins=5)
    bar = axes.figure.colorbar(drawn, ax=axes, orientation='horizontal', shrink=0.9)
    bar.set_label(_label(score, column), fontsize=11)
    _draw_outlines(axes, score)


def _draw_outlines(axes: 'Axes', score: MapScore) -> None:
    if score.polygons is None or isinstance(score.polygons, Layer):
        return
    for polygon in named_polygons(score.polygons).values():
        for ring in shapely.get_rings(shapely.get_parts(polygon.simplify(0.05))):
            x, y = shapely.get_coordinates(ring).T
            axes.plot(x, y, color='white', linewidth=1.0)
            axes.plot(x, y, color='0.2', linewidth=0.4)


def _draw_scatter(axes: 'Axes', score: MapScore) -> None:
    by_region = not score.regions.empty
    table = score.regions
    if not by_region:
        table = weighted_means(score.values, score.values['block'])
    what = 'region' if by_region else f'block of {score.block_degrees:g}°'
    estimates = score.by_region or score.by_point
    x, y = table['truth'].to_numpy(), table['predicted'].to_numpy()
    axes.scatter(x, y, s=30, color=BLUE, alpha=0.8, linewidths=0)
    if _same_scale(score):
        ends = min(x.min(), y.min()), max(x.max(), y.max())
        axes.plot(ends, ends, color='0.5', linestyle='--', label='map = truth')
    slope, start = np.polyfit(x, y, 1)
    line = np.array([x.min(), x.max()])
    axes.plot(line, start + slope * line, color=ORANGE, label='least squares')
    if by_region:
        _name_farthest(axes, table, y - start - slope * x)
    scores = [
        f'{name.capitalize()} {estimates[name]}' for name in ('pearson', 'spearman')
    ]
    of = f'{len(table)} regions' if by_region else f'{len(score.values):,} points'
    axes.set_title('\n'.join((f'{of}: {scores[0]}', scores[1])), fontsize=11)
    axes.set_xlabel(_mean_label(score, 'truth', what).replace('\n', ' '), fontsize=11)
    axes.set_ylabel(_mean_label(score, 'predicted', what), fontsize=11)
    axes.legend(frameon=False, loc='lower right')
    axes.spines[['top', 'right']].set_visible(False)


def weighted_means(frame: pd.DataFrame, group: ArrayLike) -> pd.DataFrame:
    """Return the weighted means of map and truth and the number of points by group.

    Args:
        frame: Points with the columns ``predicted``, ``truth`` and ``weight``.
        group: Group of each point.
    """
    weighted = frame[['predicted', 'truth']].mul(frame['weight'], axis=0)
    weighted = weighted.assign(weight=frame['weight'], points=1)
    totals = weighted.groupby(np.asarray(group)).sum()
    means = totals[['predicted', 'truth']].div(totals['weight'], axis=0)
    return means.assign(points=totals['points'])


def _name_farthest(
    axes: 'Axes', table: pd.DataFrame, error: NDArray[np.float64]
) -> None:
    """Write the names of the regions farthest from the line, without overlaps."""
    places = table[['truth', 'predicted']].to_numpy()
    spread = np.ptp(places, axis=0)
    named: list[int] = []
    for row in np.argsort(-np.abs(error)):
        apart = np.abs(places[named] - places[row]) / spread
        if len(named) == NAMED or (apart < APART).all(axis=1).any():
            continue
        named.append(int(row))
        is_above = error[row] > 0
        axes.annotate(
            str(table['region'].iloc[row]),
            places[row],
            xytext=(-5, 4) if is_above else (5, -9),
            textcoords='offset points',
            ha='right' if is_above else 'left',
            fontsize=10,
        )
