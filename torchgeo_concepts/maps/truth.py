# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Concept maps, scored against maps of the Earth."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ..evaluate.agreement import Floats, auc, pearson, spearman
from ..evaluate.autocorrelation import morans_i
from ..evaluate.bootstrap import BlockBootstrap, Estimate
from ..geo.points import PointsLike, as_points
from ..geo.splits import Rows, block_numbers
from ..layers.regions import Area, Regions, region_of, sample_area
from .map_values import Map, MapValues, Truth, predicted_values, true_values

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# Fewest points, and regions, that a correlation is computed of.
FEWEST = 3

# Points that Moran's I is computed of, and neighbours of each.
MORAN_POINTS, NEIGHBOURS = 3000, 8

type Statistic = Callable[[Floats], float]

TITLES = {'pearson': 'Pearson', 'spearman': 'Spearman', 'auc': 'AUC'}


@dataclass(frozen=True, eq=False)
class MapScore:
    """How well a map agrees with the truth.

    Attributes:
        name: What the map is called.
        truth: What the truth is called.
        units: Units of map and truth, empty for plain numbers and probabilities, None
            if unknown.
        by_point: Estimates by name of the score: ``'pearson'``, ``'spearman'``, and of a
            class ``'auc'``.
        by_region: The same of the means of regions, empty without regions; no AUC.
        moran: Moran's I of ``'map'`` and ``'truth'``, and of the ``'error'``, which is
            what a line through the map leaves of the truth; empty if not asked for.
        values: A row for each point that both know: ``lon``, ``lat``, ``predicted``,
            ``truth``, ``weight``, ``block``.
        regions: A row for each region: ``region``, ``points``, and the means of
            ``predicted`` and ``truth``.
        left_out: Names of regions with too few points.
        is_log: Whether values are compared as ``log10(1 + value)``.
        block_degrees: Side of the blocks that were drawn for intervals.
        confidence: Share of draws that intervals hold.
        truth_title: What a figure calls the truth.
        drawn: The regions, whose outlines a figure has.
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
    drawn: Regions | None = field(default=None, repr=False)

    @property
    def is_class(self) -> bool:
        """Whether the truth is a class, which holds or does not."""
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
            f'{len(self.values):,} points in {where}: {_said(self.by_point)}',
        ]
        if self.by_region:
            lines.append(f'{len(self.regions)} regions: {_said(self.by_region)}')
        if self.left_out:
            lines.append(f'left out for too few points: {", ".join(self.left_out)}')
        if self.moran:
            parts = ', '.join(f'{name} {i:.3f}' for name, i in self.moran.items())
            lines.append(f"Moran's I: {parts}")
        lines.append(f'in brackets {self.confidence:.0%} intervals')
        return '\n'.join(lines)

    def plot(self) -> 'Figure':
        """Draw the map, the truth, and the means of regions or blocks.

        Returns:
            The figure.
        """
        from .score_figure import draw_score

        return draw_score(self)


def _said(estimates: Mapping[str, Estimate]) -> str:
    return ', '.join(f'{TITLES[name]} {value}' for name, value in estimates.items())


def score_map(
    predicted: Map,
    truth: Truth = None,
    *,
    concept: str | None = None,
    rule: str = '',
    points: PointsLike | None = None,
    weights: ArrayLike | None = None,
    area: Area | None = None,
    land_only: bool = False,
    number: int = 20_000,
    regions: Regions | None = None,
    min_points: int = 5,
    band: int = 1,
    calibrated: bool = True,
    moran: bool = True,
    block_degrees: float = 8,
    draws: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> MapScore:
    """Score a map against the truth, with equal weights for equal areas.

    Both are read at the same points, by default ones that are spread evenly over the
    area, so that a degree at 60° counts for half of one at the equator. Points near each
    other are alike: intervals come from drawing whole blocks, or whole regions, again.

    Args:
        predicted: An encoder with concept scores; a GeoTIFF file, such as one that
            ``torchgeo-concepts map`` wrote; a layer; a function of points; or values at
            *points*.
        truth: A layer or its name, a GeoTIFF file, what grounds a concept, or values at
            *points*. By default, what grounds the concept of the encoder.
        concept: Name of the concept, of an encoder.
        rule: Turns values of a layer into labels, as in the table of what grounds which
            concept: ``'is CODE, CODE'``, ``'above X'``, ``'log'``, ...
        points: Where to compare, instead of points that are spread evenly.
        weights: Weight of each of *points*, such as the cosines of the latitudes of a
            grid. By default, all count alike.
        area: Bounds, a polygon, or continents or countries by name, as
            :func:`~torchgeo_concepts.explain.sample_area` takes them.
        land_only: Leave out the sea.
        number: How many points to spread.
        regions: Polygons by name, a GeoDataFrame, or a layer of classes. Means of each
            region are compared as well, every region with the same weight.
        min_points: Fewest points of a region; others are left out.
        band: Band of a GeoTIFF file, from 1.
        calibrated: Score probabilities of classes and quantities in their units, instead
            of standardised scores.
        moran: Compute Moran's I as well; needs the extra ``explain``.
        block_degrees: Side of the blocks that are drawn again for intervals.
        draws: How many times they are drawn.
        confidence: Share of the draws that an interval holds.
        seed: Seed of the draws.

    Returns:
        The scores.

    Raises:
        ImportError: If Moran's I is asked for and the extra ``explain`` is missing.
        ValueError: If map, truth, area or a region is not what it must be; or map or
            truth do not vary, so that no correlation is defined.
    """
    _check_settings(block_degrees, confidence, min_points, draws)
    where, weight = _points(points, weights, area, land_only, number)
    said = predicted_values(predicted, where, concept, band, calibrated)
    true = true_values(truth, where, rule, said.concept_id)
    frame = _compared(where, weight, said, true, block_degrees)
    y, x, w = (frame[c].to_numpy() for c in ('predicted', 'truth', 'weight'))
    blocks = frame['block'].to_numpy()
    statistics: dict[str, Statistic] = {
        'pearson': lambda some: pearson(y, x, some),
        'spearman': spearman(y, x),
    }
    if true.is_class:
        statistics['auc'] = auc(y, x)
    by_point = _estimates(statistics, w, blocks, draws, confidence, seed)
    table, left_out = _by_region(frame, regions, min_points)
    return MapScore(
        name=said.name,
        truth=true.name,
        units=(said.unit, true.unit),
        by_point=by_point,
        by_region=_region_scores(table, draws, confidence, seed),
        moran=_moran(frame, seed) if moran else {},
        values=frame,
        regions=table,
        left_out=left_out,
        is_log=true.is_log,
        block_degrees=block_degrees,
        confidence=confidence,
        truth_title=true.title or true.name,
        drawn=regions,
    )


def _check_settings(
    block_degrees: float, confidence: float, min_points: int, draws: int
) -> None:
    if not 0 < block_degrees <= 180:
        raise ValueError(
            f'block_degrees must be within 0 and 180, not {block_degrees}.'
        )
    if not 0 < confidence < 1:
        raise ValueError(f'confidence must be within 0 and 1, not {confidence}.')
    if min_points < 1:
        raise ValueError(f'min_points must be at least 1, not {min_points}.')
    if draws < 0:
        raise ValueError(f'draws must be 0 or more, not {draws}.')


def _points(
    points: PointsLike | None,
    weights: ArrayLike | None,
    area: Area | None,
    land_only: bool,
    number: int,
) -> tuple[Tensor, NDArray[np.float64]]:
    """Choose where to compare, and what each point counts for."""
    if points is None:
        if weights is not None:
            raise ValueError('weights= are for points= of your own.')
        where = sample_area(area, number, land_only=land_only)
        return where, np.ones(len(where))
    if area is not None or land_only:
        raise ValueError('Choose points= yourself, or give area= and land_only=.')
    where = as_points(points)
    weight = np.ones(len(where)) if weights is None else np.asarray(weights, np.float64)
    if weight.shape != (len(where),):
        raise ValueError(
            f'{len(where)} points need as many weights, not {weight.shape}.'
        )
    bad = np.flatnonzero(~((weight >= 0) & np.isfinite(weight)))
    if len(bad):
        raise ValueError(
            f'Row {bad[0]}, counted from 0, has the weight {weight[bad[0]]}; weights '
            'must be finite and not negative.'
        )
    return where, weight


def _compared(
    points: Tensor,
    weight: NDArray[np.float64],
    said: MapValues,
    true: MapValues,
    block_degrees: float,
) -> pd.DataFrame:
    """Put beside each other what both maps know."""
    predicted = said.values
    if true.is_log:
        predicted = np.log10(1 + np.maximum(predicted, 0))
    known = ~np.isnan(predicted) & ~np.isnan(true.values) & (weight > 0)
    if known.sum() < FEWEST:
        raise ValueError(
            f'Map and truth both know only {known.sum()} of {len(points)} points: the '
            f'map {(~np.isnan(predicted)).sum()}, the truth '
            f'{(~np.isnan(true.values)).sum()}. Do they cover the area?'
        )
    there = points.detach().cpu().double()[torch.from_numpy(known)]
    lon, lat = there.numpy().T
    frame = pd.DataFrame(
        {
            'lon': lon,
            'lat': lat,
            'predicted': predicted[known],
            'truth': true.values[known],
            'weight': weight[known],
            'block': block_numbers(there, block_degrees, origin=(-180.0, -90.0)),
        }
    )
    for column, what in (('predicted', 'map'), ('truth', 'truth')):
        _check_varies(frame[column], f'The {what}', f'{len(frame):,} points')
    return frame


def _check_varies(values: pd.Series, what: str, where: str) -> None:
    if values.min() == values.max():
        raise ValueError(
            f'{what} is {values.iloc[0]:.6g} at all {where}, so that agreement is not '
            'defined. Take a larger area, or another map.'
        )


def _by_region(
    frame: pd.DataFrame, regions: Regions | None, min_points: int
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Average map and truth over each region."""
    columns = ['region', 'points', 'predicted', 'truth']
    if regions is None:
        return pd.DataFrame(columns=columns), ()
    points = as_points(frame)
    names, number = region_of(points, regions)
    inside = frame[number >= 0]
    numbers = number[number >= 0]
    count = np.bincount(numbers, minlength=len(names))
    total = np.bincount(numbers, inside['weight'], len(names))
    enough = count >= min_points
    if enough.sum() < FEWEST:
        raise ValueError(
            f'Only {enough.sum()} of {len(names)} regions have {min_points} points or '
            f'more of {len(frame):,}; agreement by region needs {FEWEST}. Take more '
            'points, or the area that the regions are in.'
        )
    means = {
        column: np.bincount(numbers, inside['weight'] * inside[column], len(names))[
            enough
        ]
        / total[enough]
        for column in ('predicted', 'truth')
    }
    # A layer of all countries has many that the area does not reach.
    reached = ~enough if isinstance(regions, Mapping) else ~enough & (count > 0)
    table = pd.DataFrame(
        {
            'region': np.array(names, dtype=object)[enough],
            'points': count[enough],
            **means,
        }
    )
    for column, what in (('predicted', 'map'), ('truth', 'truth')):
        _check_varies(table[column], f'The mean of the {what}', f'{len(table)} regions')
    return table, tuple(np.array(names, dtype=object)[reached])


def _region_scores(
    table: pd.DataFrame, draws: int, confidence: float, seed: int
) -> dict[str, Estimate]:
    if table.empty:
        return {}
    y, x = (table[c].to_numpy(np.float64) for c in ('predicted', 'truth'))
    each = np.arange(len(table))
    equal = np.ones(len(table))
    statistics = {
        'pearson': lambda some: pearson(y, x, some),
        'spearman': spearman(y, x),
    }
    return _estimates(statistics, equal, each, draws, confidence, seed)


def _estimates(
    statistics: Mapping[str, Statistic],
    weights: Floats,
    blocks: Rows,
    draws: int,
    confidence: float,
    seed: int,
) -> dict[str, Estimate]:
    """Estimate statistics of weights, all in the same draws of blocks."""
    # Draws of one block are all alike, and no interval.
    drawn = BlockBootstrap(blocks, draws if blocks.any() else 0, seed)
    return {
        name: Estimate.from_samples(drawn.resample(statistic, weights), confidence)
        for name, statistic in statistics.items()
    }


def _moran(frame: pd.DataFrame, seed: int) -> dict[str, float]:
    """Compute Moran's I of map, truth and error, at some of the points."""
    if len(frame) > MORAN_POINTS:
        frame = frame.sample(MORAN_POINTS, random_state=seed)
    y, x = frame['predicted'].to_numpy(), frame['truth'].to_numpy()
    w = frame['weight'].to_numpy()
    dy, dx = y - np.average(y, weights=w), x - np.average(x, weights=w)
    spread = w @ dy**2
    error = dx - dy * (w @ (dx * dy) / spread if spread > 0 else 0)
    points = as_points(frame)
    neighbours = min(NEIGHBOURS, len(frame) - 1)
    values = morans_i(points, np.stack((y, x, error)), neighbours)
    return dict(zip(('map', 'truth', 'error'), map(float, values), strict=True))
