# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Scores of features by cross-validation, and the file that keeps them."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.metrics import r2_score
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neighbors import KNeighborsRegressor
from torch import Tensor

from ...geo.splits import Folds, block_folds, random_folds
from ..linear_heads import fold_splits
from ..probes import ridge_probes

Predictor = Literal['ridge', 'nearest', 'weighted', 'boosting']
SplitName = Literal['random', 'blocks']

# Part of the key of each score. Change it if the same input could get another score.
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
    """Return the reason why R² of a target is not defined.

    Args:
        values: Known values of shape ``(N,)``.
        folds: Rows of each fold.
        split: Name of the split.

    Returns:
        The reason, empty if R² is defined.
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
    """Score predictions of targets from features by cross-validation.

    Args:
        x: Features of shape ``(N, d)``.
        y: Values of shape ``(N, t)``.
        folds: Rows of each test fold; the other rows are trained on.
        predictor: The model to train.

    Returns:
        R² of each fold, for each target.
    """
    if predictor == 'ridge':
        return [list(probe.r2) for probe in ridge_probes(x, y, folds)]
    features, values = x.numpy(), y.numpy()
    scores = []
    for train, fold in fold_splits(len(features), folds):
        model: Any = MultiOutputRegressor(HistGradientBoostingRegressor(random_state=0))
        if predictor != 'boosting':
            number = 1 if predictor == 'nearest' else min(NEIGHBOURS, len(train))
            model = KNeighborsRegressor(number, weights='distance')
        predicted = model.fit(features[train], values[train]).predict(features[fold])
        scores.append(r2_score(values[fold], predicted, multioutput='raw_values'))
    rows: list[list[float]] = np.stack(scores, axis=1).tolist()
    return rows


@dataclass(frozen=True)
class BenchmarkScore:
    """Score of one target, split, seed and input, as a line of a file.

    Attributes:
        key: Hash of the protocol, data, split, seed and input.
        target: Table and column.
        split: Name of the split.
        seed: Seed of the split.
        input: Name of the input.
        r2: R² of each fold.
        dimensions: Number of features.
        points_per_second: Speed at which the features were computed, None if they were
            not computed.
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
        """Parse a line of a file; return None if the line has no score."""
        try:
            values = json.loads(line)
            made = cls(**{field.name: values[field.name] for field in fields(cls)})
            return made if np.isfinite(made.r2).all() and len(made.r2) else None
        except (ValueError, TypeError, KeyError):
            return None


class ScoreFile:
    """JSON Lines file of scores; each line is written when its score is known."""

    def __init__(self, path: Path) -> None:
        """Read the scores of a file.

        Args:
            path: The file, which need not exist. Lines without a valid score, such as
                an incomplete one, are ignored.
        """
        self.path = path
        text = (
            path.read_text(encoding='utf-8', errors='replace') if path.exists() else ''
        )
        self._is_broken_off = bool(text) and not text.endswith('\n')
        read = map(BenchmarkScore.parse, text.split('\n'))
        self.scores = {score.key: score for score in read if score is not None}

    def add(self, score: BenchmarkScore) -> None:
        """Add a score to the file."""
        line = json.dumps(asdict(score), allow_nan=False)
        with self.path.open('a', encoding='utf-8') as stream:
            stream.write('\n' * self._is_broken_off + line + '\n')
        self._is_broken_off = False
        self.scores[score.key] = score
