# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Figure of a map, the truth, and how well they agree by region."""

import textwrap
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..layers import Layer
from ..layers.regions import named_polygons
from ..plot.point_maps import draw_coast
from ..utils.names import with_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar
    from matplotlib.figure import Figure

    from .truth import MapScore


# Width and height in inches of maps side by side and a scatter below them.
WIDTH, SCATTER_HEIGHT = 6.4, 3.6

# Room around the points, in degrees.
MARGIN = 1.0

# Percentiles between which colours of quantities change.
CLIP = (1.0, 99.0)

# Characters to a line of a title.
TITLE_WIDTH = 30

# Regions farthest from the line that are named.
NAMED = 6

# Shares of the axes by which their names are apart.
APART = (0.06, 0.09)

BLUE, ORANGE = '#0072b2', '#d55e00'


def draw_score(score: 'MapScore') -> 'Figure':
    """Draw the map, the truth, and the means of regions, or of blocks without them.

    Args:
        score: What :func:`~torchgeo_concepts.explain.score_map` returned.

    Returns:
        The figure.
    """
    from matplotlib import pyplot as plt

    frame = score.values
    lon = _unbroken(frame['lon'].to_numpy())
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
    limits = _limits(score)
    for column, title in (('predicted', 'map'), ('truth', 'truth')):
        axes = panels[column]
        axes.set_xlim(west, east)
        axes.set_ylim(south, north)
        axes.set_aspect(stretch)
        bar = _draw_values(axes, lon, frame, column, limits[column], stretch)
        bar.set_label(_label(score, column), fontsize=11)
        _draw_outlines(axes, score)
        name = f'{title}: {score.name if column == "predicted" else score.truth_title}'
        axes.set_title(textwrap.fill(name, TITLE_WIDTH), fontsize=11)
    panels['truth'].set_ylabel('')
    _draw_scatter(panels['scatter'], score)
    return figure


def _unbroken(lon: NDArray[np.float64]) -> NDArray[np.float64]:
    """Let longitudes go on beyond 180 if the widest gap is not there."""
    order = np.sort(lon)
    gaps = np.diff(order)
    if not len(gaps) or gaps.max() <= max(20.0, order[0] + 360 - order[-1]):
        return lon
    start = order[gaps.argmax() + 1]
    return np.where(lon < start, lon + 360, lon)


def _limits(score: 'MapScore') -> dict[str, tuple[float, float]]:
    """Choose what the ends of the colours mean, the same if units are the same."""
    if score.is_class and score.units[0] == '':
        return dict.fromkeys(('predicted', 'truth'), (0.0, 1.0))
    limits = {}
    for column in ('predicted', 'truth'):
        low, high = np.percentile(score.values[column], CLIP)
        limits[column] = (float(low), float(high)) if low < high else (low, low + 1)
    if score.is_class:
        limits['truth'] = (0.0, 1.0)
    elif _same_scale(score):
        limits['predicted'] = limits['truth']
    return limits


def _same_scale(score: 'MapScore') -> bool:
    return score.units[0] is not None and score.units[0] == score.units[1]


def _label(score: 'MapScore', column: str) -> str:
    """Say what the colours of a map mean."""
    unit = score.units[column == 'truth']
    if score.is_class and column == 'truth':
        return '1 where it holds'
    if score.is_log:
        return f'log₁₀(1 + value{f" in {unit}" if unit else ""})'
    if score.is_class and unit == '':
        return 'probability'
    return with_unit('value', unit or '')


def _mean_label(score: 'MapScore', column: str, of: str) -> str:
    """Say what a mean of a region or block is."""
    title = 'map' if column == 'predicted' else 'truth'
    if score.is_class and column == 'truth':
        return f'{title}: share of a {of}'
    return f'{title}: mean {_label(score, column)}\nof a {of}'


def _draw_values(
    axes: 'Axes',
    lon: NDArray[np.float64],
    frame: pd.DataFrame,
    column: str,
    limits: tuple[float, float],
    stretch: float,
) -> 'Colorbar':
    draw_coast(axes)
    west, east = axes.get_xlim()
    # Dots are as large as the way to the next one on half the width of the figure.
    places = np.column_stack((lon, frame['lat'] * stretch))
    apart = np.median(cKDTree(places).query(places, k=2)[0][:, 1])
    side = 1.4 * apart * 0.38 * WIDTH * 72 / (east - west)
    drawn = axes.scatter(
        lon,
        frame['lat'],
        c=frame[column],
        s=float(np.clip(side**2, 0.4, 40)),
        cmap='cividis' if limits == (0.0, 1.0) else 'viridis',
        vmin=limits[0],
        vmax=limits[1],
        marker='s',
        linewidths=0,
        rasterized=True,
    )
    axes.set_xlabel('longitude [°]', fontsize=11)
    axes.set_ylabel('latitude [°]', fontsize=11)
    axes.locator_params(nbins=5)
    return axes.figure.colorbar(drawn, ax=axes, orientation='horizontal', shrink=0.9)


def _draw_outlines(axes: 'Axes', score: 'MapScore') -> None:
    if score.drawn is None or isinstance(score.drawn, Layer):
        return
    for polygon in named_polygons(score.drawn).values():
        for ring in shapely.get_rings(shapely.get_parts(polygon.simplify(0.05))):
            x, y = shapely.get_coordinates(ring).T
            axes.plot(x, y, color='white', linewidth=1.0)
            axes.plot(x, y, color='0.2', linewidth=0.4)


def _draw_scatter(axes: 'Axes', score: 'MapScore') -> None:
    by_region = not score.regions.empty
    table = score.regions if by_region else _block_means(score)
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


def _block_means(score: 'MapScore') -> pd.DataFrame:
    frame = score.values
    weighted = frame[['predicted', 'truth']].mul(frame['weight'], axis=0)
    totals = weighted.assign(weight=frame['weight']).groupby(frame['block']).sum()
    return totals[['predicted', 'truth']].div(totals['weight'], axis=0)


def _name_farthest(
    axes: 'Axes', table: pd.DataFrame, error: NDArray[np.float64]
) -> None:
    """Name regions far from the line, on the side away from it, without overlaps."""
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
