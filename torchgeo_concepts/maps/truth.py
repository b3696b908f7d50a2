# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Scores of concept maps against maps of the Earth."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ..evaluate.agreement import Floats, auc, pearson, spearman
from ..evaluate.autocorrelation import morans_i
from ..evaluate.bootstrap import BlockBootstrap, Estimate
from ..geo.points import PointsLike, as_points
from ..geo.splits import block_numbers
from ..layers.regions import Area, Regions, region_of, sample_area
from .map_score import MORAN_POINTS, NEIGHBOURS, MapScore, weighted_means
from .map_values import Map, MapValues, Truth, predicted_values, true_values

# Minimum number of points, and of regions, for a correlation.
MINIMUM = 3


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
    num_samples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> MapScore:
    """Score a map against the truth, with equal weights for equal areas.

    Map and truth are compared at the same points. By default, the points are spread
    evenly over the area, so a square degree at latitude 60° counts half as much as one
    at the equator. Confidence intervals come from resampling whole blocks or regions,
    because nearby points have similar values.

    Args:
        predicted: An encoder with concept scores, a GeoTIFF file (for example from
            ``torchgeo-concepts map``), a layer, a function of points, or values at
            *points*.
        truth: A layer or its name, a GeoTIFF file, a grounding, or values at *points*.
            By default, the grounding of the encoder's concept.
        concept: Name of the concept of an encoder.
        rule: Rule that turns values of a layer into labels, as in the table of groundings:
            ``'is CODE, CODE'``, ``'above X'``, ``'log'``, ...
        points: Points to compare at, instead of evenly spread points.
        weights: Weight of each of *points*, such as the cosines of the latitudes of a
            grid. By default, all weights are equal.
        area: Bounds, a polygon, or continents or countries by name, as
            :func:`~torchgeo_concepts.layers.regions.sample_area` takes them.
        land_only: Leave out the sea.
        number: Number of evenly spread points.
        regions: Polygons by name, a GeoDataFrame, or a layer of classes. If given, the
            means of regions are compared as well, with equal weights.
        min_points: Minimum number of points of a region; smaller regions are left out.
        band: Band of a GeoTIFF file, counted from 1.
        calibrated: Score probabilities of classes and quantities in their units, instead
            of standardised scores.
        moran: Compute Moran's I as well; needs the extra ``explain``.
        block_degrees: Side of the blocks that are resampled, in degrees.
        num_samples: Number of bootstrap samples.
        confidence: Confidence level of the intervals.
        seed: Seed of the bootstrap samples.

    Returns:
        The scores.

    Raises:
        ImportError: If *moran* is true and the extra ``explain`` is missing.
        ValueError: If map, truth, area or a region is invalid, or if map or truth is
            constant, so that no correlation is defined.
    """
    _check_settings(block_degrees, confidence, min_points, num_samples)
    where, weight = _points(points, weights, area, land_only, number)
    found = predicted_values(predicted, where, concept, band, calibrated)
    true = true_values(truth, where, rule, found.concept_id)
    frame = _compared(where, weight, found, true, block_degrees)
    table, left_out = _by_region(frame, regions, min_points)
    each = table.assign(weight=1.0, block=range(len(table)))
    settings = num_samples, confidence, seed
    return MapScore(
        name=found.name,
        truth=true.name,
        units=(found.unit, true.unit),
        by_point=_estimates(frame, true.is_class, *settings),
        by_region={} if table.empty else _estimates(each, False, *settings),
        moran=_moran(frame, seed) if moran else {},
        values=frame,
        regions=table,
        left_out=left_out,
        is_log=true.is_log,
        block_degrees=block_degrees,
        confidence=confidence,
        truth_title=true.title or true.name,
        polygons=regions,
    )


def _check_settings(
    block_degrees: float, confidence: float, min_points: int, num_samples: int
) -> None:
    if not 0 < block_degrees <= 180:
        raise ValueError(
            f'block_degrees must be above 0 and at most 180, got {block_degrees}.'
        )
    if not 0 < confidence < 1:
        raise ValueError(f'confidence must be between 0 and 1, got {confidence}.')
    if min_points < 1:
        raise ValueError(f'min_points must be at least 1, got {min_points}.')
    if num_samples < 0:
        raise ValueError(f'num_samples must be 0 or more, got {num_samples}.')


def _points(
    points: PointsLike | None,
    weights: ArrayLike | None,
    area: Area | None,
    land_only: bool,
    number: int,
) -> tuple[Tensor, NDArray[np.float64]]:
    """Return the points to compare at, and their weights."""
    if points is None:
        if weights is not None:
            raise ValueError('weights= needs points=.')
        where = sample_area(area, number, land_only=land_only)
        return where, np.ones(len(where))
    if area is not None or land_only:
        raise ValueError('Pass either points=, or area= and land_only=.')
    where = as_points(points)
    weight = np.ones(len(where)) if weights is None else np.asarray(weights, np.float64)
    if weight.shape != (len(where),):
        raise ValueError(
            f'Expected {len(where)} weights, one for each point, got an array of shape '
            f'{weight.shape}.'
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
    found: MapValues,
    true: MapValues,
    block_degrees: float,
) -> pd.DataFrame:
    """Return a row for each point at which map and truth have values."""
    predicted = found.values
    if true.is_log:
        predicted = np.log10(1 + np.maximum(predicted, 0))
    known = ~np.isnan(predicted) & ~np.isnan(true.values) & (weight > 0)
    if known.sum() < MINIMUM:
        raise ValueError(
            f'Map and truth both have values at only {known.sum()} of {len(points)} '
            f'points: {(~np.isnan(predicted)).sum()} have a value of the map, '
            f'{(~np.isnan(true.values)).sum()} of the truth. Check that both cover the '
            'area.'
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
    _check_varies(frame, 'The {}', f'at all {len(frame):,} points')
    return frame


def _check_varies(table: pd.DataFrame, what: str, where: str) -> None:
    for column, name in (('predicted', 'map'), ('truth', 'truth')):
        values = table[column]
        if values.min() == values.max():
            raise ValueError(
                f'{what.format(name)} is {values.iloc[0]:.6g} {where}, so '
                'agreement is not defined. Use a larger area or another map.'
            )


def _by_region(
    frame: pd.DataFrame, regions: Regions | None, min_points: int
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return the weighted means of each region, and the names of omitted regions."""
    columns = ['region', 'points', 'predicted', 'truth']
    if regions is None:
        return pd.DataFrame(columns=columns), ()
    names, number = region_of(as_points(frame), regions)
    inside = number >= 0
    table = weighted_means(frame[inside], number[inside])
    table.insert(0, 'region', [names[row] for row in table.index])
    enough = table['points'] >= min_points
    if enough.sum() < MINIMUM:
        raise ValueError(
            f'Only {enough.sum()} of {len(names)} regions have at least {min_points} '
            f'of {len(frame):,} points; agreement by region needs {MINIMUM} regions. '
            'Use more points, or an area that covers the regions.'
        )
    # Many regions of a layer, such as countries, may lie outside the area.
    listed = names if isinstance(regions, Mapping) else table['region']
    kept = table.loc[enough, columns].reset_index(drop=True)
    _check_varies(kept, 'The mean of the {}', f'in all {len(kept)} regions')
    return kept, tuple(name for name in listed if name not in set(kept['region']))


def _estimates(
    table: pd.DataFrame, is_class: bool, num_samples: int, confidence: float, seed: int
) -> dict[str, Estimate]:
    """Estimate all scores of agreement from the same resampled blocks."""
    columns = ['predicted', 'truth', 'weight']
    y, x, weights = table[columns].to_numpy(np.float64).T
    statistics: dict[str, Callable[[Floats], float]] = {
        'pearson': lambda w: pearson(y, x, w),
        'spearman': spearman(y, x),
    }
    if is_class:
        statistics['auc'] = auc(y, x)
    block = table['block'].to_numpy()
    # A single block gives no interval, because all resamples are equal.
    bootstrap = BlockBootstrap(block, num_samples if block.any() else 0, seed)
    return {
        name: Estimate.from_samples(bootstrap.resample(statistic, weights), confidence)
        for name, statistic in statistics.items()
    }


def _moran(frame: pd.DataFrame, seed: int) -> dict[str, float]:
    """Compute Moran's I of map, truth and error on a sample of the points."""
    if len(frame) > MORAN_POINTS:
        frame = frame.sample(MORAN_POINTS, random_state=seed)
    y, x, w = (frame[c].to_numpy() for c in ('predicted', 'truth', 'weight'))
    dy, dx = y - np.average(y, weights=w), x - np.average(x, weights=w)
    spread = w @ dy**2
    error = dx - dy * (w @ (dx * dy) / spread if spread > 0 else 0)
    neighbours = min(NEIGHBOURS, len(frame) - 1)
    values = morans_i(as_points(frame), np.stack((y, x, error)), neighbours)
    return dict(zip(('map', 'truth', 'error'), map(float, values), strict=True))
