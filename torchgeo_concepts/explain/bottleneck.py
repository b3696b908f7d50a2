# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Sparse linear models of named concepts, held against a black box."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..concepts.bank import ConceptBank
from ..evaluate.linear_heads import LASSO_STEPS, scale_of
from ..evaluate.probes import NEVER
from ..geo.splits import Folds, block_folds
from ..utils.names import with_unit
from ._scores import check_scores

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# Penalties that are tried, as parts of the least one that leaves no feature.
PENALTIES = tuple(10 ** np.linspace(-0.1, -2.8, 8))

# liblinear penalises the intercept too, less so the larger the constant that it scales.
INTERCEPT_SCALING = 100.0

# Weights that a text and a figure show, and letters of a name.
SHOWN, NAME = 12, 44


@dataclass(frozen=True)
class CurvePoint:
    """How well a model of one penalty does on blocks that were held out.

    Attributes:
        penalty: The penalty, as a part of the least one that leaves no feature.
        used: Number of features with a weight, the mean over the folds.
        scores: Score on each fold.
    """

    penalty: float
    used: float
    scores: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean score over the folds."""
        return float(np.mean(self.scores))

    @property
    def error(self) -> float:
        """Standard error of the mean score."""
        return float(np.std(self.scores, ddof=1) / np.sqrt(len(self.scores)))


@dataclass(frozen=True, eq=False)
class Bottleneck:
    """A sparse linear model of concept scores, and how it compares with a black box.

    Called with scores it predicts, so that it is a head for
    :func:`~torchgeo_concepts.explain.smallest_change`.

    Attributes:
        bank: The concepts.
        classes: Names of the classes, or None of a quantity.
        unit: Unit of the quantity.
        metric: What scores are: ``'R²'`` or ``'accuracy'``.
        weight: Weights of standardised scores, of shape ``(t, k)``, most of them 0.
        bias: Intercepts of shape ``(t,)``.
        mean: Means of the scores, of shape ``(k,)``.
        std: Their standard deviations.
        curve: The model at each penalty, the sparsest first.
        black_box: The same kind of model, of an embedding, at each penalty.
        chosen: Number of the point of the curve whose penalty the model has.
        chance: Score of a model without features.
    """

    bank: ConceptBank
    classes: tuple[str, ...] | None
    unit: str
    metric: str
    weight: Tensor
    bias: Tensor
    mean: Tensor
    std: Tensor
    curve: tuple[CurvePoint, ...]
    black_box: tuple[CurvePoint, ...]
    chosen: int
    chance: float

    def __call__(self, scores: Tensor) -> Tensor:
        """Predict.

        Args:
            scores: Scores of shape ``(N, k)``.

        Returns:
            Predictions of shape ``(N,)``, or the log-odds of each class against the
            others, of shape ``(N, C)``.
        """
        weight, bias, mean, std = (
            part.to(scores) for part in (self.weight, self.bias, self.mean, self.std)
        )
        output = (scores - mean) / std @ weight.T + bias
        return output if self.classes is not None else output[:, 0]

    @property
    def used(self) -> int:
        """Number of concepts with a weight."""
        return int((self.weight != 0).any(dim=0).sum())

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each weight that is not 0, the largest of a class first.

        A weight is what one standard deviation of a concept adds to the prediction, or
        to the log-odds of the class.
        """
        rows = [
            {
                **({} if self.classes is None else {'class': self.classes[target]}),
                'concept': self.bank[concept].name,
                'category': self.bank[concept].category,
                'weight': self.weight[target, concept].item(),
            }
            for target, concept in self.weight.nonzero().tolist()
        ]
        columns = ['class', 'concept', 'category', 'weight']
        frame = pd.DataFrame(rows, columns=columns[self.classes is None :])
        size = frame['weight'].abs()
        keys = [-size.to_numpy()]
        if self.classes is not None:
            keys.append(frame['class'].map(self.classes.index).to_numpy())
        return frame.iloc[np.lexsort(keys)].reset_index(drop=True)

    def curve_frame(self) -> pd.DataFrame:
        """Return a row for each penalty, of the concepts and of the black box."""
        return pd.DataFrame(
            [
                {
                    'features': name,
                    'penalty': point.penalty,
                    'used': point.used,
                    self.metric: point.mean,
                    'standard error': point.error,
                }
                for name, points in (
                    ('concepts', self.curve),
                    ('black box', self.black_box),
                )
                for point in points
            ]
        )

    def __str__(self) -> str:
        """Return scores and the largest weights."""
        own, best = self.curve[self.chosen], _best(self.curve)
        box = _best(self.black_box)
        rows = (
            (f'{self.used} of {len(self.bank)} concepts', own),
            (f'{best.used:.0f} concepts, which do best', best),
            (f'black box, {box.used:.0f} unnamed features', box),
        )
        lines = [f'{self.metric} on blocks that were held out']
        lines += [
            f'  {name:<{NAME}}{point.mean:>8.3f} (standard error {point.error:.3f})'
            for name, point in rows
        ]
        lines += [
            f'  {"no features":<{NAME}}{self.chance:>8.3f}',
            f'{with_unit("weights", self._weight_unit)} of the model of all rows',
        ]
        for row in self.to_frame().head(SHOWN).to_dict('records'):
            label = ': '.join(row[key] for key in ('class', 'concept') if key in row)
            lines.append(f'  {label:<{NAME}}{row["weight"]:>+8.3f}')
        return '\n'.join(lines)

    def plot(self) -> 'Figure':
        """Draw scores against the number of concepts, and the largest weights.

        Returns:
            The figure, with the concepts whose weights are largest over all classes.
        """
        from matplotlib import pyplot as plt

        figure, (left, right) = plt.subplots(
            1, 2, figsize=(10, 4.4), layout='constrained'
        )
        self._draw_curve(left)
        self._draw_weights(right)
        return figure

    def _draw_curve(self, axes: Any) -> None:
        from ..plot.maps import CLASS_COLOURS

        for points, name, colour, marker in (
            (self.curve, 'concepts', CLASS_COLOURS[4], 'o'),
            (self.black_box, 'black box', CLASS_COLOURS[0], 's'),
        ):
            axes.errorbar(
                [point.used for point in points if point.used],
                [point.mean for point in points if point.used],
                [point.error for point in points if point.used], fmt=f'{marker}-', color=colour,
                label=name, capsize=3, markersize=5,
            )  # fmt: skip
        own = self.curve[self.chosen]
        axes.plot(
            own.used, own.mean, 'o', markersize=13, markerfacecolor='none',
            markeredgecolor='0.1', label='chosen',
        )  # fmt: skip
        axes.axhline(self.chance, color='0.4', linestyle=':', label='no features')
        axes.set_xscale('log')
        ticks = [n for n in (1, 3, 10, 30, 100, 300) if n <= axes.get_xlim()[1]]
        axes.set_xticks(ticks, [str(n) for n in ticks])
        axes.set_xticks([], minor=True)
        axes.set_xlabel('features with a weight, mean over folds')
        axes.set_ylabel(f'{self.metric} on held-out blocks')
        axes.legend(
            loc='upper center', bbox_to_anchor=(0.5, -0.16), ncols=2, frameon=False
        )
        axes.spines[['top', 'right']].set_visible(False)

    @property
    def _weight_unit(self) -> str:
        return self.unit if self.classes is None else 'log-odds'

    def _draw_weights(self, axes: Any) -> None:
        from ..plot.maps import CLASS_COLOURS

        order = self.weight.abs().sum(dim=0).argsort(descending=True)
        order = order[: min(SHOWN, self.used)]
        names = [self.bank[number].name for number in order.tolist()]
        axes.set_yticks(range(len(names)), names)
        label = with_unit('weight of a standard deviation', self._weight_unit)
        if self.classes is not None:
            _draw_table(axes, self.weight[:, order].T, self.classes, label)
            return
        values = self.weight[0, order].tolist()
        colours = [CLASS_COLOURS[5 if value > 0 else 4] for value in values]
        axes.barh(range(len(names)), values, color=colours)
        axes.invert_yaxis()
        axes.axvline(0, color='0.3', linewidth=0.8)
        axes.set_xlabel(label)
        axes.spines[['top', 'right']].set_visible(False)


def _draw_table(axes: Any, weight: Tensor, classes: Sequence[str], label: str) -> None:
    """Draw weights of concepts as rows and of classes as columns."""
    limit = max(float(weight.abs().max()), 1e-9) if weight.numel() else 1.0
    image = axes.imshow(
        weight.numpy(), cmap='PuOr_r', vmin=-limit, vmax=limit, aspect='auto'
    )
    axes.set_xticks(range(len(classes)), classes)
    for row, values in enumerate(weight.tolist()):
        for column, value in enumerate(values):
            if value:
                # Dark cells need light letters.
                colour = 'white' if abs(value) > 0.6 * limit else 'black'
                axes.text(
                    column, row, f'{value:+.1f}', ha='center', va='center',
                    color=colour, fontsize=8,
                )  # fmt: skip
    axes.figure.colorbar(image, ax=axes, label=label)


def concept_bottleneck(
    z: Tensor,
    target: Tensor,
    points: Tensor,
    bank: ConceptBank,
    x: Tensor,
    *,
    classes: Sequence[str] | None = None,
    unit: str = '',
    num_folds: int = 5,
    block_degrees: float = 10,
    seed: int = 0,
) -> Bottleneck:
    """Fit a sparse linear model of concepts, and compare it with one of an embedding.

    No one has labelled concepts at these points: the scores are those of an encoder. A
    quantity is predicted by a Lasso; classes by L1-penalised logistic regressions, one
    for each class against the others. The same is done with the embedding, whose
    numbers have no names. Of the penalties whose score is within one standard error of
    the best, the model has the one with the fewest concepts. Scores are on blocks that
    were held out; those of the best penalties are slightly high, equally for both.

    Args:
        z: Concept scores of shape ``(N, k)``.
        target: Values of shape ``(N,)``, or numbers of classes, if *classes* are given.
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
        bank: The concepts, in the order of the scores.
        x: Embeddings of shape ``(N, d)``.
        classes: Names of the classes.
        unit: Unit of the quantity.
        num_folds: Number of folds.
        block_degrees: Side of a block, each of which is in one fold.
        seed: Seed of the folds.

    Returns:
        The model, and how well both do.

    Raises:
        ValueError: If the scores are not of the bank; if there is not one row of each;
            if a target is missing, no number of a class, or the same everywhere; if an
            embedding is not finite; if the points lie in fewer blocks than folds; or if
            a quantity does not vary in a fold.
    """
    y = _check_inputs(z, target, points, bank, x, classes)
    folds = _check_folds(block_folds(points, num_folds, seed, block_degrees), points)
    num_classes = 0 if classes is None else len(classes)
    if not num_classes:
        _check_variation(y, folds)
    curve = _curve(z.double(), y, folds, num_classes)
    black_box = _curve(x.double(), y, folds, num_classes)
    best = _best(curve)
    chosen = next(
        n for n, point in enumerate(curve) if point.mean >= best.mean - best.error
    )
    mean, std = scale_of(z.double())
    weight, bias = _fit_path((z.double() - mean) / std, y, num_classes)[chosen]
    scored = [_score(y[f], _constant(y, f, num_classes), num_classes) for f in folds]
    return Bottleneck(
        bank,
        None if classes is None else tuple(classes),
        unit,
        'accuracy' if num_classes else 'R²',
        weight,
        bias,
        mean,
        std,
        curve,
        black_box,
        chosen,
        float(np.mean(scored)),
    )


def _best(curve: Sequence[CurvePoint]) -> CurvePoint:
    return max(curve, key=lambda point: point.mean)


def _check_inputs(
    z: Tensor,
    target: Tensor,
    points: Tensor,
    bank: ConceptBank,
    x: Tensor,
    classes: Sequence[str] | None,
) -> Tensor:
    """Return the target, in float64 or as numbers from 0."""
    check_scores(z, bank)
    sizes = {len(z), len(target), len(points), len(x)}
    if len(sizes) > 1 or target.ndim != 1 or x.ndim != 2:
        raise ValueError(
            f'{len(z)} rows of scores need as many targets, of shape (N,), points and '
            f'embeddings, not {tuple(target.shape)}, {len(points)} and {tuple(x.shape)}.'
        )
    if not x.isfinite().all():
        row = int((~x.isfinite().all(dim=1)).nonzero()[0])
        raise ValueError(
            f'Row {row} of the embeddings, counted from 0, is not finite. Leave out such '
            'rows.'
        )
    y = target.double()
    limit = np.inf if classes is None else len(classes)
    bad = ~y.isfinite()
    if classes is not None:
        bad |= (y < 0) | (y >= limit) | (y != y.round())
    if bad.any():
        row = int(bad.nonzero()[0])
        wanted = 'value' if classes is None else f'number of one of {limit} classes'
        raise ValueError(
            f'Row {row}, counted from 0, has no {wanted} but {target[row].item():g}. '
            'Leave out such rows.'
        )
    if not len(y) or (y == y[0]).all():
        raise ValueError('The target is the same everywhere: nothing is to be learned.')
    return y if classes is None else y.long()


def _check_folds(folds: Folds, points: Tensor) -> Folds:
    if any(len(fold) == 0 for fold in folds):
        raise ValueError(
            f'The {len(points)} points lie in too few blocks for {len(folds)} folds. Take '
            'fewer folds, or smaller blocks.'
        )
    return folds


def _check_variation(y: Tensor, folds: Folds) -> None:
    for number, fold in enumerate(folds):
        if (y[fold] == y[fold[0]]).all():
            raise ValueError(
                f'R² is not defined: fold {number}, counted from 0, has the value '
                f'{y[fold[0]].item():g} alone. Take fewer folds, smaller blocks, another '
                'seed, or classes.'
            )


# The models ----------------------------------------------------------------------------

type Fitted = tuple[Tensor, Tensor]


def _curve(
    features: Tensor, y: Tensor, folds: Folds, num_classes: int
) -> tuple[CurvePoint, ...]:
    """Score a model of each penalty on folds that were held out.

    A quantity has no classes.
    """
    used, scores = np.empty((2, len(PENALTIES), len(folds)))
    for number, fold in enumerate(folds):
        train = torch.ones(len(y), dtype=torch.bool)
        train[torch.from_numpy(fold)] = False
        mean, std = scale_of(features[train])
        scaled = (features - mean) / std
        path = _fit_path(scaled[train], y[train], num_classes)
        for place, (weight, bias) in enumerate(path):
            output = scaled[fold] @ weight.T + bias
            used[place, number] = (weight != 0).any(dim=0).sum()
            scores[place, number] = _score(y[fold], output, num_classes)
    return tuple(
        CurvePoint(penalty, float(row.mean()), tuple(score.tolist()))
        for penalty, row, score in zip(PENALTIES, used, scores, strict=True)
    )


def _score(y: Tensor, output: Tensor, num_classes: int) -> float:
    if num_classes:
        return float((output.argmax(dim=1) == y).double().mean())
    total = (y - y.mean()).square().sum()
    return 1 - float((y - output[:, 0]).square().sum() / total)


def _constant(y: Tensor, fold: NDArray[np.int64], num_classes: int) -> Tensor:
    """Predict a fold from the other rows without features."""
    train = torch.ones(len(y), dtype=torch.bool)
    train[torch.from_numpy(fold)] = False
    if num_classes:
        odds = torch.bincount(y[train], minlength=num_classes).double()
        return odds.expand(len(fold), -1)
    return y[train].mean().expand(len(fold), 1)


def _fit_path(x: Tensor, y: Tensor, num_classes: int) -> list[Fitted]:
    """Fit a model of each penalty to standardised features."""
    if num_classes:
        each = [
            _logistic_path(x, (y == number).double()) for number in range(num_classes)
        ]
        return [
            (torch.cat([w for w, _ in at]), torch.cat([b for _, b in at]))
            for at in zip(*each, strict=True)
        ]
    from sklearn.linear_model import lasso_path

    centred = y - y.mean()
    largest = float((x.T @ centred).abs().max() / len(y))
    _, weights, _ = lasso_path(
        x.numpy(), centred.numpy(), alphas=[p * largest for p in PENALTIES],
        max_iter=LASSO_STEPS,
    )  # fmt: skip
    return [(torch.from_numpy(w.copy())[None], y.mean()[None]) for w in weights.T]


def _logistic_path(x: Tensor, y: Tensor) -> list[Fitted]:
    """Fit logistic regressions of one class against all others."""
    from sklearn.linear_model import LogisticRegression

    if not 0 < y.sum() < len(y):
        # A class without a row is never predicted.
        never = torch.full((1,), NEVER if not y.any() else -NEVER, dtype=torch.float64)
        return [(torch.zeros(1, x.shape[1], dtype=torch.float64), never)] * len(
            PENALTIES
        )
    largest = float((x.T @ (y - y.mean())).abs().max())
    fitted = []
    for penalty in PENALTIES:
        model = LogisticRegression(
            C=1 / (penalty * largest), solver='liblinear', random_state=0,
            intercept_scaling=INTERCEPT_SCALING, **_l1(LogisticRegression),
        ).fit(x.numpy(), y.numpy())  # fmt: skip
        fitted.append(
            (torch.from_numpy(model.coef_), torch.from_numpy(model.intercept_))
        )
    return fitted


def _l1(kind: Any) -> dict[str, Any]:
    """Say in the words of the installed scikit-learn that the penalty is L1."""
    # From 1.8 on, penalty is deprecated.
    is_old = getattr(kind(), 'penalty', 'deprecated') == 'l2'
    return {'penalty': 'l1'} if is_old else {'l1_ratio': 1.0}
