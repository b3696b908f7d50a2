# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Scores of an audit: names against maps, and features downstream."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.linear_model import Ridge
from torch import Tensor

from torchgeo_concepts.evaluate.agreement import Floats, auc
from torchgeo_concepts.evaluate.benchmark.scores import make_folds, why_undefined
from torchgeo_concepts.evaluate.benchmark.tasks import Table
from torchgeo_concepts.evaluate.bootstrap import BlockBootstrap, interval
from torchgeo_concepts.evaluate.linear_heads import held_out_predictions
from torchgeo_concepts.evaluate.probes import ridge_probe

from .controls import ConceptFeatures
from .data import TEST, TRAIN, AuditData

# Measures of names.
AUC, R2 = 'AUC of classes', 'R² of quantities'

SPLITS = ('random', 'blocks')

# Difference of two scores that is rounding.
SAME = 1e-6

# A measure, and the split by which a target was predicted; empty for names.
type Measure = tuple[str, str]


@dataclass(frozen=True, eq=False)
class ScoreInterval:
    """Score with its 95% confidence interval.

    Attributes:
        value: The score.
        low: Lower end.
        high: Upper end.
        samples: The score in each resample, of shape ``(seeds, num_samples)``.
    """

    value: float
    low: float
    high: float
    samples: Floats

    @classmethod
    def from_samples(cls, samples: Sequence[Floats]) -> 'ScoreInterval':
        """Pool the samples of several seeds.

        Args:
            samples: Scores of each seed, that of all points first.
        """
        resampled = np.stack(samples)[:, 1:]
        value = float(np.mean([each[0] for each in samples]))
        return cls(value, *interval(resampled), resampled)

    def reaches(self, other: 'ScoreInterval') -> bool:
        """Return True unless the other score is higher in 97.5% of the resamples.

        Args:
            other: A score in the same resamples.
        """
        low, _ = interval(other.samples - self.samples)
        return low <= SAME


def score_names(data: AuditData, features: ConceptFeatures) -> dict[Measure, Floats]:
    """Score names against maps, in held-out blocks.

    Args:
        data: Data of the audit.
        features: Features with names of concepts.

    Returns:
        Mean AUC of classes, and median R² of quantities, in each resample of blocks.
    """
    train, test = (features.values[part].double().numpy() for part in (TRAIN, TEST))
    areas, r2 = [], []
    for column, concept in enumerate(features.concepts):
        if not data.can_score[concept]:
            continue
        own, label = test[:, column], data.labels[TEST][:, concept]
        if data.is_class[concept]:
            known = (~np.isnan(label)).astype(np.float64)
            area = auc(own, np.nan_to_num(label))
            areas.append(data.bootstrap.resample(area, known))
        else:
            train_label = data.labels[TRAIN][:, concept]
            estimate = rising_line(train[:, column], train_label, own)
            r2.append(data.bootstrap.r2(label, estimate))
    scores = {}
    if areas:
        scores[AUC, ''] = np.nanmean(areas, axis=0)
    if r2:
        scores[R2, ''] = np.nanmedian(r2, axis=0)
    return scores


def rising_line(train: Floats, label: Floats, values: Floats) -> Floats:
    """Scale values to labels by a fitted line with a slope of at least 0.

    A feature that is low where its concept is high gets no credit.

    Args:
        train: Values of shape ``(N,)`` to fit the line on.
        label: Labels there, NaN where unknown.
        values: Values of shape ``(M,)`` to scale.

    Returns:
        Estimates of shape ``(M,)``.
    """
    known = ~np.isnan(label)
    x, y = train[known], label[known]
    variance = x.var()
    slope = ((x - x.mean()) * (y - y.mean())).mean() / variance if variance else 0.0
    return np.asarray((values - x.mean()) * max(slope, 0.0) + y.mean())


def score_downstream(
    table: Table, x: Tensor, bootstrap: BlockBootstrap, seed: int
) -> dict[Measure, Floats]:
    """Predict the targets of a table by ridge regression, and score each resample.

    Args:
        table: Points and targets.
        x: Features of shape ``(N, d)``.
        bootstrap: Resampled blocks of the points.
        seed: Seed of the folds.

    Returns:
        R², averaged over the folds, in each resample, for each target and split for which
        it is defined.
    """
    scores = {}
    for column, target in enumerate(table.targets):
        rows = torch.from_numpy(np.flatnonzero(table.known(column)))
        y = table.values[rows, column]
        for split in SPLITS:
            folds = make_folds(table.points[rows], split, seed)
            if why_undefined(y.numpy(), folds, split):
                continue
            alpha = ridge_probe(x[rows], y, folds).alpha
            held_out = held_out_predictions(x[rows], y, folds, Ridge(alpha))
            predicted = np.zeros(len(x))
            predicted[rows] = held_out.numpy()
            r2 = []
            for fold in folds:
                truth = np.full(len(x), np.nan)
                truth[rows[fold]] = y[fold].numpy()
                r2.append(bootstrap.r2(truth, predicted))
            scores[target.title, split] = np.nanmean(r2, axis=0)
    return scores
