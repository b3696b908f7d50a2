# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Splits of points into training, validation and test sets, and into folds.

Points near each other have similar values: a random split measures interpolation. Blocks,
and a buffer around the test points, measure performance far from the training points.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from ..utils.names import near_matches
from .points import check_points
from .sphere import RADIUS_KM, chord, unit_vectors

# Combines the row and the column of a block into one number.
ROW_STRIDE = 100_003

# Lower-case names of training, validation and test rows in columns of splits.
NAMES = (
    ('train', 'training', 'trainval', 'train_val'),
    ('val', 'valid', 'validation', 'dev'),
    ('test', 'testing', 'holdout'),
)
PARTS = {name: part for part, names in enumerate(NAMES) for name in names}

type Rows = NDArray[np.int64]
type Folds = Sequence[Rows]
type Fractions = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Split:
    """Row numbers of the training, validation and test set, in ascending order.

    Attributes:
        train: Training rows.
        val: Validation rows, possibly none.
        test: Test rows, possibly none.
    """

    train: Rows
    val: Rows
    test: Rows


# At random -----------------------------------------------------------------------------


def random_folds(number: int, folds: int = 5, seed: int = 0) -> Folds:
    """Split rows at random.

    Args:
        number: Number of rows.
        folds: Number of folds.
        seed: Seed of the split.

    Returns:
        The rows of each fold.
    """
    order = np.random.default_rng(seed).permutation(number)
    return [order[fold::folds] for fold in range(folds)]


def random_split(
    number: int, fractions: Fractions = (0.8, 0.1, 0.1), seed: int = 0
) -> Split:
    """Split rows at random.

    Args:
        number: Number of rows.
        fractions: Fractions of training, validation and test rows; the last two may be
            0.
        seed: Seed of the split.

    Returns:
        The split.

    Raises:
        ValueError: If the fractions do not sum to 1, or leave a set without rows.
    """
    check_fractions(fractions)
    order = np.random.default_rng(seed).permutation(number)
    num_test, num_val = (round(fractions[part] * number) for part in (2, 1))
    parts = np.zeros(number, int)
    parts[order[: num_test + num_val]] = 1
    parts[order[:num_test]] = 2
    split = _by_part(parts)
    for name, fraction in zip(('train', 'val', 'test'), fractions, strict=True):
        if fraction > 0 and not len(getattr(split, name)):
            raise ValueError(
                f'A fraction of {fraction:g} of {number} rows leaves {name!r} empty.'
            )
    return split


# By blocks -----------------------------------------------------------------------------


def block_folds(
    points: Tensor,
    folds: int = 5,
    seed: int = 0,
    degrees: float = 10,
    km: float | None = None,
) -> Folds:
    """Split points by blocks, each of which stays whole.

    Blocks of degrees end at the antimeridian, as in the protocol of CoordBench. Blocks
    of kilometres may cross it.

    Args:
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
        folds: Number of folds.
        seed: Seed of the split.
        degrees: Side of a block of longitude and latitude.
        km: Side of a block in km, instead of *degrees*. All blocks have the same area.

    Returns:
        The rows of each fold.
    """
    block = block_numbers(points, degrees, km)
    order = np.random.default_rng(seed).permutation(block.max() + 1)
    fold_of_row = order[block] % folds
    return [np.flatnonzero(fold_of_row == fold) for fold in range(folds)]


def block_split(
    points: Tensor,
    fractions: Fractions = (0.8, 0.1, 0.1),
    seed: int = 0,
    degrees: float = 10,
    km: float | None = None,
    buffer_km: float = 0,
) -> Split:
    """Split points by blocks, each of which stays whole.

    Args:
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
        fractions: Fractions of training, validation and test rows, met as nearly as
            whole blocks allow; the last two may be 0.
        seed: Seed of the split.
        degrees: Side of a block of longitude and latitude.
        km: Side of a block in km, instead of *degrees*. All blocks have the same area.
        buffer_km: Exclude training points nearer than this to a test point.

    Returns:
        The split.

    Raises:
        ValueError: If the fractions do not sum to 1, or there are fewer blocks than
            sets.
    """
    check_fractions(fractions)
    block = block_numbers(points, degrees, km)
    sizes = np.bincount(block)
    parts = sum(fraction > 0 for fraction in fractions)
    if len(sizes) < parts:
        side = f'{km:g} km' if km is not None else f'{degrees:g} degrees'
        raise ValueError(
            f'All {len(block)} points lie in {len(sizes)} block{"s"[: len(sizes) - 1]} of '
            f'{side}, too few for {parts} parts. Use smaller blocks, or split at random.'
        )
    free = list(np.random.default_rng(seed).permutation(len(sizes)))
    part_of_block = np.zeros(len(sizes), int)
    # Keep a block for each set that is chosen later; training is last.
    later = parts
    for part in (2, 1):
        if fractions[part] > 0:
            later -= 1
            chosen = _choose(sizes, free, fractions[part] * len(block), later)
            part_of_block[chosen] = part
            taken = set(chosen)
            free = [number for number in free if number not in taken]
    split = _by_part(part_of_block[block])
    return with_buffer(points, split, buffer_km)


def block_numbers(
    points: Tensor,
    degrees: float = 10.0,
    km: float | None = None,
    origin: tuple[float, float] = (0.0, 0.0),
) -> Rows:
    """Return the number of the block of each point.

    Args:
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
        degrees: Side of a block.
        km: Side of a block in km, instead of *degrees*. All blocks have the same area.
        origin: Corner of a block of degrees, as ``(longitude, latitude)``.

    Returns:
        Numbers of shape ``(N,)``, counted from 0 over the blocks that have points.

    Raises:
        ValueError: If there are no points, or the side is not positive.
    """
    side = degrees if km is None else km
    if not (side > 0 and math.isfinite(side)):
        raise ValueError(f'The side of a block must be positive, not {side}.')
    if not len(points):
        raise ValueError('There are no points to split.')
    lonlat = check_points(points).detach().cpu().double().numpy()
    if km is None:
        lon, lat = np.floor((lonlat - origin) / degrees).T
        key = lat * ROW_STRIDE + lon
    else:
        key = _equal_area_cells(lonlat[:, 0], lonlat[:, 1], km)
    blocks: Rows = np.unique(key, return_inverse=True)[1].reshape(-1)
    return blocks


def _equal_area_cells(
    lon: NDArray[np.float64], lat: NDArray[np.float64], km: float
) -> NDArray[np.float64]:
    """Return the number of each point's cell, nearly square and of equal area."""
    rows = max(1, round(math.pi * RADIUS_KM / km))
    edges = (
        2 * math.pi * (RADIUS_KM / km) ** 2 * np.cos(np.linspace(0, np.pi, rows + 1))
    )
    columns = np.maximum(1, np.round(edges[:-1] - edges[1:]))
    before = np.concatenate(([0], np.cumsum(columns)))
    # The area of a row is proportional to its number of cells.
    depth = (1 - np.sin(np.deg2rad(lat))) / 2 * before[-1]
    row = np.clip(np.searchsorted(before, depth, 'right') - 1, 0, rows - 1)
    # Both ends of a row meet at the antimeridian.
    column = np.floor((lon + 180) / 360 * columns[row]) % columns[row]
    cells: NDArray[np.float64] = before[row] + column
    return cells


def _choose(
    sizes: NDArray[np.int64], free: Sequence[int], wanted: float, later: int
) -> list[int]:
    """Choose blocks with about the wanted number of points."""
    chosen, number = list[int](), 0
    for block in free:
        # Skip a block that would move the sum away from the wanted number.
        if len(chosen) < len(free) - later and sizes[block] < 2 * (wanted - number):
            chosen.append(block)
            number += int(sizes[block])
    return chosen or [min(free, key=lambda block: int(sizes[block]))]


# By a column, and by folds -------------------------------------------------------------


def column_split(
    names: Sequence[Any] | NDArray[Any],
    points: Tensor,
    val_fraction: float = 0.1,
    seed: int = 0,
    buffer_km: float = 0,
) -> Split:
    """Split rows by the names in a column of their table.

    Args:
        names: Name of the set of each row, such as ``'train'``, ``'val'`` and
            ``'test'``, in upper or lower case; rows without a name are excluded.
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
        val_fraction: Fraction of the training rows to validate on, chosen at random, if
            the column has no validation rows.
        seed: Seed of the validation rows.
        buffer_km: Exclude training points nearer than this to a test point.

    Returns:
        The split.

    Raises:
        ValueError: If a name is unknown, or there are no training or no test rows.
    """
    if len(names) != len(points):
        raise ValueError(f'Expected {len(points)} names, got {len(names)}.')
    words = ['' if pd.isna(n) else str(n).strip().lower() for n in names]
    for row, word in enumerate(words):
        if word and word not in PARTS:
            raise ValueError(
                f'Row {row}, counted from 0, has the unknown name {names[row]!r}. '
                f'{near_matches(word, PARTS)}'
            )
    split = _by_part(np.array([PARTS.get(word, -1) for word in words]))
    for part in ('train', 'test'):
        if not len(getattr(split, part)):
            known = sorted(set(words) - {''})[:10]
            raise ValueError(f'The column has no {part!r} row, only {known}.')
    if not len(split.val):
        split = _with_validation(split, val_fraction, seed)
    return with_buffer(points, split, buffer_km)


def fold_splits(
    points: Tensor,
    folds: Folds,
    val_fraction: float = 0.1,
    seed: int = 0,
    buffer_km: float = 0,
) -> list[Split]:
    """Make a split for each fold: test on the fold, train on the other folds.

    Args:
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
        folds: Rows of each fold.
        val_fraction: Fraction of the rows of the other folds to validate on, chosen at
            random.
        seed: Seed of the validation rows.
        buffer_km: Exclude training points nearer than this to a test point.

    Returns:
        A split for each fold.

    Raises:
        ValueError: If a fold is empty or has all points.
    """
    splits = []
    for number, fold in enumerate(folds):
        test = np.zeros(len(points), bool)
        test[fold] = True
        if test.all() or not test.any():
            raise ValueError(
                f'Fold {number} of {len(folds)} has {int(test.sum())} of the '
                f'{len(test)} points. Use fewer folds, or smaller blocks.'
            )
        splits.append(with_test(points, test, val_fraction, seed, buffer_km))
    return splits


def with_test(
    points: Tensor,
    test: NDArray[np.bool_],
    val_fraction: float,
    seed: int,
    buffer_km: float,
) -> Split:
    """Make a split from test rows, with random other rows for validation."""
    none = np.empty(0, np.int64)
    split = Split(np.flatnonzero(~test), none, np.flatnonzero(test))
    return with_buffer(points, _with_validation(split, val_fraction, seed), buffer_km)


def _with_validation(split: Split, fraction: float, seed: int) -> Split:
    """Move a fraction of the training rows to the validation set."""
    if not 0 <= fraction < 1:
        raise ValueError(
            f'val_fraction must be at least 0 and less than 1, not {fraction}.'
        )
    if fraction == 0:
        return split
    part = random_split(len(split.train), (1 - fraction, fraction, 0.0), seed)
    return replace(split, train=split.train[part.train], val=split.train[part.val])


# Shared code ---------------------------------------------------------------------------


def with_buffer(points: Tensor, split: Split, buffer_km: float) -> Split:
    """Exclude training points near a test point.

    Args:
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
        split: The split.
        buffer_km: Minimum distance on the sphere from a test point. 0 keeps all training
            points, including those at the location of a test point.

    Returns:
        The split without these training points.

    Raises:
        ValueError: If no training point remains, or the distance is negative.
    """
    if not (buffer_km >= 0 and math.isfinite(buffer_km)):
        raise ValueError(f'buffer_km must be 0 or more, not {buffer_km}.')
    if buffer_km == 0 or not len(split.test):
        return split
    # SciPy takes long to import, and models import this subpackage.
    from scipy.spatial import cKDTree

    lon, lat = check_points(points).detach().cpu().double().numpy().T
    vectors = unit_vectors(lon, lat)
    distance, _ = cKDTree(vectors[split.test]).query(
        vectors[split.train], distance_upper_bound=chord(buffer_km)
    )
    far = np.isinf(distance)
    if not far.any():
        raise ValueError(
            f'All {len(far)} training points lie within {buffer_km:g} km of a test point. '
            'Use a smaller buffer, or larger blocks.'
        )
    return replace(split, train=split.train[far])


def check_fractions(fractions: Fractions) -> None:
    """Validate split fractions.

    Args:
        fractions: Fractions of training, validation and test rows.

    Raises:
        ValueError: If they do not sum to 1, or the first is 0.
    """
    is_valid = len(fractions) == 3 and min(fractions) >= 0 < fractions[0]
    if not is_valid or abs(sum(fractions) - 1) > 1e-6:
        raise ValueError(
            'fractions must be three numbers (train, val, test) of at least 0, the first '
            f'more than 0, that sum to 1; got {fractions}, which sum to '
            f'{sum(fractions):g}.'
        )


def _by_part(parts: NDArray[np.int_]) -> Split:
    return Split(*(np.flatnonzero(parts == part) for part in range(3)))
