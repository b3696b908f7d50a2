# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Sparse linear models of concepts, and their figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ..concepts.bank import ConceptBank
from ..plot.bars import LESS, draw_bars
from ..plot.maps import CLASS_COLOURS
from ..utils.names import with_unit

# Maximum number of weights in the text and in the figure, and width of a name.
SHOWN, NAME = 12, 44


@dataclass(frozen=True)
class CurvePoint:
    """Held-out score of a model with one penalty.

    Attributes:
        penalty: The penalty, relative to the smallest one that removes all features.
        used: Mean number of features with a nonzero weight, over the folds.
        mean: Mean score over the folds.
        error: Standard error of the mean score.
    """

    penalty: float
    used: float
    mean: float
    error: float


@dataclass(frozen=True, eq=False)
class Bottleneck:
    """A sparse linear model of concept scores, compared with a black box.

    Calling it predicts from scores, so :func:`~torchgeo_concepts.explain.smallest_change`
    accepts it as a head.

    Attributes:
        bank: The concepts.
        classes: Names of the classes, or None for a quantity.
        unit: Unit of the quantity.
        metric: Metric of the held-out scores: ``'R²'`` or ``'accuracy'``.
        weight: Weights of standardised scores, of shape ``(t, k)``; most are 0.
        bias: Intercepts of shape ``(t,)``.
        mean: Mean of each concept score, of shape ``(k,)``.
        std: Standard deviation of each concept score.
        curve: Held-out score at each penalty, the sparsest model first.
        black_box: Held-out score at each penalty for models of an embedding.
        chosen: Index of the chosen penalty in the curve.
        chance: Held-out score of a model without features.
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
        """Predict from concept scores.

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
        """Number of concepts with a nonzero weight."""
        return int((self.weight != 0).any(dim=0).sum())

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each nonzero weight, the largest first within each class.

        A weight is the change of the prediction, or of the log-odds of the class, when a
        concept score rises by one standard deviation.
        """
        rows = [
            (label, self.bank[n].name, self.bank[n].category, weights[n])
            for label, weights in zip(
                self.classes or ('',), self.weight.tolist(), strict=True
            )
            for n in sorted(range(len(weights)), key=lambda n: -abs(weights[n]))
            if weights[n]
        ]
        columns = ['class', 'concept', 'category', 'weight']
        frame = pd.DataFrame(rows, columns=columns)
        return frame if self.classes else frame.drop(columns='class')

    def curve_frame(self) -> pd.DataFrame:
        """Return a row for each penalty and kind of model, with held-out scores."""
        curves = {'concepts': self.curve, 'black box': self.black_box}
        frames = {name: pd.DataFrame(list(points)) for name, points in curves.items()}
        frame = pd.concat(frames, names=['features', None]).reset_index(level=0)
        names = {'mean': self.metric, 'error': 'standard error'}
        return frame.reset_index(drop=True).rename(columns=names)

    def __str__(self) -> str:
        """Return the held-out scores and the largest weights."""
        own, best = self.curve[self.chosen], best_point(self.curve)
        box = best_point(self.black_box)
        rows = (
            (f'{self.used} of {len(self.bank)} concepts', own),
            (f'{best.used:.0f} concepts, with the best score', best),
            (f'black box, {box.used:.0f} unnamed features', box),
        )
        lines = [f'{self.metric} on held-out blocks']
        lines += [
            f'  {name:<{NAME}}{point.mean:>8.3f} (standard error {point.error:.3f})'
            for name, point in rows
        ]
        lines += [
            f'  {"no features":<{NAME}}{self.chance:>8.3f}',
            f'{with_unit("weights", self._weight_unit)} of the model fitted on all rows',
        ]
        for row in self.to_frame().head(SHOWN).to_dict('records'):
            label = ': '.join(row[key] for key in ('class', 'concept') if key in row)
            lines.append(f'  {label:<{NAME}}{row["weight"]:>+8.3f}')
        return '\n'.join(lines)

    def plot(self) -> Figure:
        """Draw scores against the number of features, and the largest weights.

        Returns:
            The figure. Concepts are ranked by the sum of their absolute weights.
        """
        figure, (left, right) = plt.subplots(
            1, 2, figsize=(10, 4.4), layout='constrained'
        )
        self._draw_curve(left)
        order = self.weight.abs().sum(dim=0).argsort(descending=True)
        order = order[: min(SHOWN, self.used)]
        names = [self.bank[number].name for number in order.tolist()]
        label = with_unit('weight of a standard deviation', self._weight_unit)
        if self.classes is not None:
            _draw_table(right, names, self.weight[:, order].T, self.classes, label)
            return figure
        values = self.weight[0, order].tolist()
        draw_bars(right, list(zip(names, values, strict=True)), label)
        return figure

    @property
    def _weight_unit(self) -> str:
        return self.unit if self.classes is None else 'log-odds'

    def _draw_curve(self, axes: Axes) -> None:
        for points, name, colour, marker in (
            (self.curve, 'concepts', LESS, 'o'),
            (self.black_box, 'black box', CLASS_COLOURS[0], 's'),
        ):
            shown = [point for point in points if point.used]
            axes.errorbar(
                [point.used for point in shown],
                [point.mean for point in shown],
                [point.error for point in shown],
                fmt=f'{marker}-',
                color=colour,
                label=name,
                capsize=3,
                markersize=5,
            )
        own = self.curve[self.chosen]
        ring: dict[str, Any] = {'markerfacecolor': 'none', 'markeredgecolor': '0.1'}
        axes.plot(own.used, own.mean, 'o', markersize=13, label='chosen', **ring)
        axes.axhline(self.chance, color='0.4', linestyle=':', label='no features')
        axes.set_xscale('log')
        ticks = [n for n in (1, 3, 10, 30, 100, 300) if n <= axes.get_xlim()[1]]
        axes.set_xticks(ticks, [str(n) for n in ticks])
        axes.set_xticks([], minor=True)
        axes.set_xlabel('features with a weight, mean over folds')
        axes.set_ylabel(f'{self.metric} on held-out blocks')
        place: dict[str, Any] = {'loc': 'upper center', 'bbox_to_anchor': (0.5, -0.16)}
        axes.legend(ncols=2, frameon=False, **place)
        axes.spines[['top', 'right']].set_visible(False)


def best_point(curve: Sequence[CurvePoint]) -> CurvePoint:
    """Return the point with the highest mean score.

    Args:
        curve: Score at each penalty.
    """
    return max(curve, key=lambda point: point.mean)


def _draw_table(
    axes: Axes, names: Sequence[str], weight: Tensor, classes: Sequence[str], label: str
) -> None:
    """Draw weights as a table of concepts (rows) and classes (columns)."""
    limit = max(float(weight.abs().max()), 1e-9) if weight.numel() else 1.0
    image = axes.imshow(
        weight.numpy(), cmap='PuOr_r', vmin=-limit, vmax=limit, aspect='auto'
    )
    axes.set_xticks(range(len(classes)), classes)
    axes.set_yticks(range(len(names)), names)
    centred: dict[str, Any] = {'ha': 'center', 'va': 'center', 'fontsize': 8}
    for row, column in weight.nonzero().tolist():
        value = weight[row, column].item()
        colour = 'white' if abs(value) > 0.6 * limit else 'black'
        axes.text(column, row, f'{value:+.1f}', color=colour, **centred)
    axes.figure.colorbar(image, ax=axes, label=label)
