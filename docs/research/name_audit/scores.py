# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""How an audit scores names against maps, and features downstream."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from torch import Tensor

from torchgeo_concepts.evaluate.agreement import Floats
from torchgeo_concepts.evaluate.benchmark.scores import make_folds, why_undefined
from torchgeo_concepts.evaluate.benchmark.tasks import Table
from torchgeo_concepts.evaluate.bootstrap import BlockBootstrap, interval
from torchgeo_concepts.evaluate.linear_heads import held_out_predictions
from torchgeo_concepts.evaluate.probes import ridge_probe

from .controls import ReadOut
from .study import TEST, TRAIN, Study

# What is measured of names.
AUC, R2 = 'AUC of classes', 'R² of quantities'

SPLITS = ('random', 'blocks')

# Difference of two scores that is rounding.
SAME = 1e-6


@dataclass(frozen=True, eq=False)
class Value:
    """A score with the interval that holds 95% of the draws.

    Attributes:
        value: The score.
        low: Lower end.
        high: Upper end.
        draws: The score in each draw, of shape ``(seeds, draws)``.
    """

    value: float
    low: float
    high: float
    draws: Floats

    def reaches(self, other: 'Value') -> bool:
        """Tell whether the other score is not reliably higher, draw by draw.

        Args:
            other: A score in the same draws.
        """
        low, _ = interval(other.draws - self.draws)
        return low <= SAME


# A measure, and the split by which a target was predicted; empty for names.
type Measure = tuple[str, str]


def truth_draws(study: Study, read_out: ReadOut) -> dict[Measure, Floats]:
    """Score names against maps, in blocks that were held out.

    Args:
        study: What all controls share.
        read_out: What has the names.

    Returns:
        Mean AUC of classes, and median R² of quantities, in each draw of blocks.
    """
    train, test = (read_out.values[part].double().numpy() for part in (TRAIN, TEST))
    auc, r2 = [], []
    for column, concept in enumerate(read_out.concepts):
        if not study.can_score[concept]:
            continue
        own, label = test[:, column], study.labels[TEST][:, concept]
        if study.is_class[concept]:
            auc.append(study.draws.auc(own, label))
        else:
            taught = study.labels[TRAIN][:, concept]
            r2.append(study.draws.r2(label, rising_line(train[:, column], taught, own)))
    draws = {}
    if auc:
        draws[AUC, ''] = np.nanmean(auc, axis=0)
    if r2:
        draws[R2, ''] = np.nanmedian(r2, axis=0)
    return draws


def rising_line(train: Floats, label: Floats, values: Floats) -> Floats:
    """Bring values to the scale of labels by a line that does not fall.

    What is large where its name is small is not what its name says.

    Args:
        train: Values of shape ``(N,)`` to fit the line to.
        label: Labels there, NaN where unknown.
        values: Values of shape ``(M,)`` to bring to their scale.

    Returns:
        Estimates of shape ``(M,)``.
    """
    known = ~np.isnan(label)
    x, y = train[known], label[known]
    variance = x.var()
    slope = ((x - x.mean()) * (y - y.mean())).mean() / variance if variance else 0.0
    return np.asarray((values - x.mean()) * max(slope, 0.0) + y.mean())


def downstream_draws(
    table: Table, x: Tensor, draws: BlockBootstrap, seed: int
) -> dict[Measure, Floats]:
    """Predict the targets of a table by ridge regression, and score each draw of blocks.

    Args:
        table: Points and targets.
        x: Features of shape ``(N, d)``.
        draws: Draws of blocks of the points.
        seed: Seed of the folds.

    Returns:
        R², the mean over the folds, in each draw, for each target and split; without
        those for which it is not defined.
    """
    found = {}
    for column, target in enumerate(table.targets):
        known = table.known(column)
        rows = torch.from_numpy(np.flatnonzero(known))
        y = table.values[rows, column]
        for split in SPLITS:
            folds = make_folds(table.points[rows], split, seed)
            if why_undefined(y.numpy(), folds, split):
                continue
            alpha = ridge_probe(x[rows], y, folds).alpha
            predicted = held_out_predictions(x[rows], y, folds, Ridge(alpha))
            scores = [
                draws.r2(_spread(y, rows[fold], fold, len(x)), _all(predicted, rows, x))
                for fold in folds
            ]
            found[target.title, split] = np.nanmean(scores, axis=0)
    return found


def _spread(y: Tensor, rows: Tensor, fold: NDArray[np.int64], number: int) -> Floats:
    """Return the values of a fold at their rows, NaN elsewhere."""
    spread = np.full(number, np.nan)
    spread[rows.numpy()] = y[fold].numpy()
    return spread


def _all(predicted: Tensor, rows: Tensor, x: Tensor) -> Floats:
    """Return predictions at their rows, 0 where there are none."""
    spread = np.zeros(len(x))
    spread[rows.numpy()] = predicted.numpy()
    return spread


def summed_up(draws: list[Floats]) -> Value:
    """Sum up the draws of several seeds, the first of each being that of all points."""
    value = float(np.mean([each[0] for each in draws]))
    drawn = np.stack(draws)[:, 1:]
    return Value(value, *interval(drawn), drawn)
