# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""How the benchmark scores features, and how it remembers scores."""

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ...geo.splits import Folds, block_folds, random_folds
from ..probes import ridge_probes

Predictor = Literal['ridge', 'nearest', 'weighted', 'boosting']
SplitName = Literal['random', 'blocks']

# Changes whenever the same input could get another score.
PROTOCOL = 'R² of five folds, 1'

NUM_FOLDS = 5
NEIGHBOURS = 10


def make_folds(points: Tensor, split: str, seed: int) -> Folds:
    """Split points into folds.

    Args:
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
        split: ``'random'``, or ``'blocks'`` for blocks of 10 degrees.
        seed: Seed of the split.

    Returns:
        The rows of each fold.
    """
    if split == 'random':
        return random_folds(len(points), NUM_FOLDS, seed)
    return block_folds(points, NUM_FOLDS, seed)


def why_undefined(values: NDArray[np.float64], folds: Folds, split: str) -> str:
    """Tell why a target has no score.

    Args:
        values: Values that are known, of shape ``(N,)``.
        folds: Rows of each fold.
        split: Name of the split.

    Returns:
        The reason, empty if it has one.
    """
    if len(values) < NUM_FOLDS:
        return f'{len(values)} rows have a value, fewer than the {NUM_FOLDS} folds'
    if values.min() == values.max():
        return 'all its values are the same'
    for fold in folds:
        if not len(fold):
            return f'its points leave a fold of {split} empty'
        if values[fold].min() == values[fold].max():
            return f'a fold of {split} has a single value'
    return ''


def score(
    x: Tensor, y: Tensor, folds: Folds, predictor: Predictor
) -> list[list[float]]:
    """Predict targets from features, and compare.

    Args:
        x: Features of shape ``(N, d)``.
        y: Values of shape ``(N, t)``.
        folds: Rows of each test fold; the others train.
        predictor: What learns.

    Returns:
        R² on each fold, for each target.
    """
    if predictor == 'ridge':
        return [list(probe.r2) for probe in ridge_probes(x, y, folds)]
    make = partial(_boosting if predictor == 'boosting' else _neighbours, predictor)
    features, values = x.numpy(), y.numpy()
    scores = np.empty((values.shape[1], len(folds)))
    for number, fold in enumerate(folds):
        train = np.ones(len(features), bool)
        train[fold] = False
        said = make(features[train], values[train], features[fold])
        truth = values[fold]
        total = np.square(truth - truth.mean(axis=0)).sum(axis=0)
        scores[:, number] = 1 - np.square(truth - said).sum(axis=0) / total
    rows: list[list[float]] = scores.tolist()
    return rows


def _neighbours(
    predictor: str, x: NDArray[Any], y: NDArray[Any], test: NDArray[Any]
) -> NDArray[Any]:
    from sklearn.neighbors import KNeighborsRegressor

    number = 1 if predictor == 'nearest' else min(NEIGHBOURS, len(x))
    model = KNeighborsRegressor(number, weights='distance')
    said: NDArray[Any] = model.fit(x, y).predict(test)
    return said


def _boosting(
    _: str, x: NDArray[Any], y: NDArray[Any], test: NDArray[Any]
) -> NDArray[Any]:
    from sklearn.ensemble import HistGradientBoostingRegressor

    columns = [
        HistGradientBoostingRegressor(random_state=0).fit(x, column).predict(test)
        for column in y.T
    ]
    return np.stack(columns, axis=1)


def score_key(digest: str, split: str, seed: int, identity: str) -> str:
    """Return what tells one score from all others.

    Args:
        digest: Hash of the points and the values.
        split: Name of the split.
        seed: Its seed.
        identity: What tells the input from all others.

    Returns:
        A hash.
    """
    parts = [PROTOCOL, digest, split, seed, identity]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Score:
    """One score, as it is remembered.

    Attributes:
        key: What :func:`score_key` returns.
        target: Table and column.
        split: Name of the split.
        seed: Its seed.
        input: Name of the input.
        r2: R² on each fold.
        dimensions: Number of features.
        points_per_second: How fast they were computed, None if nothing was.
    """

    key: str
    target: str
    split: str
    seed: int
    input: str
    r2: list[float]
    dimensions: int
    points_per_second: float | None

    @classmethod
    def parse(cls, line: str) -> Self | None:
        """Read a line of a file, None if it holds no score."""
        try:
            values = json.loads(line)
            made = cls(**{field.name: values[field.name] for field in fields(cls)})
            return made if np.isfinite(made.r2).all() and len(made.r2) else None
        except (ValueError, TypeError, KeyError):
            return None


class ScoreFile:
    """Scores in a file of JSON lines, to which each new one is added at once."""

    def __init__(self, path: Path) -> None:
        """Read what is there.

        Args:
            path: The file, which need not exist. Lines that hold no score, such as one
                that was interrupted, are ignored.
        """
        self.path = path
        self.scores: dict[str, Score] = {}
        text = (
            path.read_text(encoding='utf-8', errors='replace') if path.exists() else ''
        )
        self._is_broken_off = bool(text) and not text.endswith('\n')
        for score in map(Score.parse, text.split('\n')):
            if score is not None:
                self.scores[score.key] = score

    def add(self, score: Score) -> None:
        """Remember a score."""
        line = json.dumps(asdict(score), allow_nan=False)
        with self.path.open('a', encoding='utf-8') as stream:
            stream.write('\n' * self._is_broken_off + line + '\n')
        self._is_broken_off = False
        self.scores[score.key] = score

    def get(self, key: str) -> Score | None:
        """Find a score by its key."""
        return self.scores.get(key)

    def __contains__(self, key: str) -> bool:
        """Tell whether a score is there."""
        return key in self.scores
