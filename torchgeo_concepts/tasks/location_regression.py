# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Prediction of quantities at points."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from torchgeo.datasets.utils import Sample

from ..datasets.target_transforms import TargetTransform
from ..evaluate.intervals import (
    check_quantiles,
    conformal_margin,
    coverage,
    pinball_loss,
)
from ..evaluate.probes import LinearFit, fit_ridge
from ..utils.names import with_unit
from ._location import LocationTask
from ._scores import name_scores, regression_scores, score_table
from .losses import masked_mse

NO_MARGIN = (
    'The {:.0%} intervals are not calibrated: no validation epoch ran, or all its outputs '
    'were NaN. Fit again with a lower check_val_every_n_epoch and with '
    'limit_val_batches above 0, or load the checkpoint with conformal=None.'
)


class LocationRegression(LocationTask):
    """Task that predicts one or more quantities at points.

    It takes batches of :class:`~torchgeo_concepts.datamodules.PointTableDataModule`, or
    of another data module whose samples have a ``'point'`` and a ``'label'``. Inputs and
    labels are standardised with statistics of the training rows. Missing labels are
    excluded from loss and metrics. Metrics are in the units of the targets.

    The penalty, the searched options and the widths of intervals are chosen on the
    validation points, so validation metrics are slightly optimistic.
    """

    closed_form = 'ridge'
    label_mean: Tensor
    label_std: Tensor
    margin: Tensor

    def __init__(
        self,
        *args: Any,
        quantiles: Sequence[float] | None = None,
        conformal: float | None = None,
        **kwargs: Any,
    ) -> None:
        """Initialize a new LocationRegression instance.

        Args:
            *args: Arguments of :class:`LocationClassification`.
            quantiles: Quantiles to predict, in ascending order, such as
                ``(0.05, 0.5, 0.95)``. The median is the prediction; the outermost two
                are the bounds of an interval.
            conformal: Fraction of new values that intervals should contain, such as 0.9.
                The width of intervals, including those between quantiles, is calibrated
                on the validation points.
            **kwargs: Options of :class:`LocationClassification`. The head that is
                fitted before the first epoch is ``'ridge'``.

        Raises:
            ValueError: If a model, its weights or a head do not exist, or options
                contradict each other.
        """
        self.quantiles = None if quantiles is None else check_quantiles(quantiles)
        if conformal is not None and not 0 < conformal < 1:
            raise ValueError(f'conformal must lie between 0 and 1, not {conformal}.')
        self.conformal = conformal
        super().__init__(*args, **kwargs)
        if quantiles is not None and self.is_closed_form:
            raise ValueError("quantiles need head='linear' or 'mlp', not 'ridge'.")

    def configure_models(self) -> None:
        """Initialize the targets, which :meth:`setup` reads from the data."""
        super().configure_models()
        self.target_names: tuple[str, ...] = ()
        self.units: tuple[str, ...] = ()
        self.target_transform = TargetTransform.from_option((), None)
        for name in ('label_mean', 'label_std', 'margin'):
            self.register_buffer(name, torch.zeros(0))

    # Targets ----------------------------------------------------------------------------

    @property
    def num_outputs(self) -> int:
        """Number of targets times number of quantiles."""
        return len(self.target_names) * len(self.quantiles or (0.5,))

    def learn_targets(self, dataset: Any) -> None:
        """Read the names, units and transform of the targets of a dataset.

        Args:
            dataset: The dataset.

        Raises:
            ValueError: If the targets are classes.
        """
        if getattr(dataset, 'task', 'regression') != 'regression':
            raise ValueError(
                'The targets are classes. Use LocationClassification, or pass '
                "task='regression' to the dataset."
            )
        names = getattr(dataset, 'target_names', None)
        if names is None:
            number = dataset[0]['label'].numel()
            names = ['label'] if number == 1 else [f'label_{n}' for n in range(number)]
        self.target_names = self.label_names = tuple(names)
        self.units = tuple(getattr(dataset, 'units', ('',) * len(names)))
        target_transform = getattr(dataset, 'target_transform', None)
        if not isinstance(target_transform, TargetTransform):
            target_transform = TargetTransform.from_option(self.target_names, None)
        self.target_transform = target_transform

    def fit_targets(self, labels: Tensor) -> None:
        """Compute the mean and standard deviation of the labels of training rows.

        Args:
            labels: Labels of shape ``(N, t)``.

        Raises:
            ValueError: If a target is missing in all rows, or there are no validation
                points to calibrate intervals on.
        """
        datamodule = getattr(self.trainer, 'datamodule', None)
        has_val = getattr(datamodule, 'val_dataset', None) is not None
        if self.conformal is not None and not has_val:
            raise ValueError('conformal needs validation points.')
        scale = TargetTransform.from_option(self.target_names, 'standardise')
        scale = scale.fit(_columns(labels))
        self.label_mean = torch.tensor(scale.mean, dtype=torch.float64)
        self.label_std = torch.tensor(scale.std)
        self.margin = torch.full_like(self.label_std, torch.nan)

    def target_state(self) -> dict[str, Any]:
        """Return the names, units and transform of the targets.

        Returns:
            Values that a checkpoint can store.
        """
        return {
            'names': list(self.target_names),
            'units': list(self.units),
            'target_transform': {
                name: list(value)
                for name, value in asdict(self.target_transform).items()
            },
        }

    def restore_targets(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`target_state` returned.

        Args:
            state: The values.
        """
        self.target_names = self.label_names = tuple(state['names'])
        self.units = tuple(state['units'])
        self.target_transform = TargetTransform(
            **{name: tuple(value) for name, value in state['target_transform'].items()}
        )

    def labels(self, batch: Sample) -> Tensor:
        """Return the labels of a batch, on the scale that the model was trained on.

        Args:
            batch: The batch.

        Returns:
            Labels of shape ``(N, t)``.
        """
        labels = _columns(batch['label']).float()
        source = getattr(getattr(self.trainer, 'datamodule', None), 'dataset', None)
        other = getattr(source, 'target_transform', None)
        if not isinstance(other, TargetTransform) or other == self.target_transform:
            return labels
        # The dataset may scale its labels differently from the training data.
        return self.target_transform(other.inverse(labels))

    # Outputs ----------------------------------------------------------------------------

    def fit_linear(
        self, train: tuple[Tensor, Tensor], val: tuple[Tensor, Tensor] | None
    ) -> LinearFit:
        """Fit a ridge regression.

        Args:
            train: Standardised inputs and labels to train on.
            val: Inputs and labels on which the penalty is chosen.

        Returns:
            The fitted model of standardised labels.
        """
        x, y = train
        val_x, val_y = val or (None, None)
        compared = None if val_y is None else self._scaled(_columns(val_y))
        return fit_ridge(x, self._scaled(_columns(y)), val_x, compared)

    def _scaled(self, labels: Tensor) -> Tensor:
        mean, std = self.label_mean.to(labels.device), self.label_std.to(labels.device)
        return (labels - mean) / std

    def quantile_outputs(self, outputs: Tensor) -> Tensor:
        """Sort the outputs of the head, so that quantiles do not cross.

        Args:
            outputs: Outputs of shape ``(N, t * q)``.

        Returns:
            Standardised quantiles of shape ``(N, t, q)``, ascending.
        """
        shape = len(outputs), len(self.target_names), -1
        ordered: Tensor = outputs.reshape(shape).sort(dim=2).values
        return ordered

    def loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Compute the loss where labels are known.

        Args:
            outputs: Outputs of the head of shape ``(N, t * q)``.
            labels: Labels of shape ``(N, t)``.

        Returns:
            Mean squared error of standardised labels, or the pinball loss of quantiles.
        """
        target = self._scaled(_columns(labels))
        quantiles = self.quantile_outputs(outputs)
        if self.quantiles is not None:
            return pinball_loss(quantiles, target, self.quantiles)
        return masked_mse(quantiles[..., 0], target)

    def calibrate(self, kept: Mapping[str, Tensor]) -> None:
        """Calibrate the width of intervals on the validation rows.

        Args:
            kept: Outputs and labels of the validation rows.
        """
        if self.conformal is None:
            return
        quantiles = self.quantile_outputs(kept['output'])
        target = self._scaled(kept['label'])
        outside = torch.maximum(quantiles[..., 0] - target, target - quantiles[..., -1])
        margins = [
            conformal_margin(column[~column.isnan()], self.conformal)
            for column in outside.T
        ]
        self.margin.copy_(torch.tensor(margins))

    def values(self, outputs: Tensor) -> dict[str, Tensor]:
        """Convert outputs of the head to predictions.

        Args:
            outputs: Outputs of shape ``(N, t * q)``.

        Returns:
            ``'prediction'`` of shape ``(N, t)`` in the units of the targets, with
            ``'lower'`` and ``'upper'`` if there are intervals.
        """
        quantiles = self.quantile_outputs(outputs)
        middle = (self.quantiles or (0.5,)).index(0.5)
        parts = {'prediction': quantiles[..., middle]}
        if self.quantiles is not None or self.conformal is not None:
            margin = self.margin.to(outputs.device) if self.conformal else 0.0
            lower, upper = quantiles[..., 0] - margin, quantiles[..., -1] + margin
            # A negative margin must not make the bounds cross.
            parts |= {
                'lower': torch.minimum(lower, parts['prediction']),
                'upper': torch.maximum(upper, parts['prediction']),
            }
        return {name: self._unscaled(value) for name, value in parts.items()}

    def _unscaled(self, standardised: Tensor) -> Tensor:
        device = standardised.device
        labels = standardised * self.label_std.to(device) + self.label_mean.to(device)
        return self.target_transform.inverse(labels)

    def on_fit_end(self) -> None:
        """Free the memory of the features, and warn if intervals are not calibrated."""
        super().on_fit_end()
        if self._lacks_margin():
            rank_zero_warn(NO_MARGIN.format(self.conformal))

    def check_targets(self) -> None:
        """Check that intervals are calibrated and that the data have the same targets."""
        super().check_targets()
        if self.trainer.state.fn != 'fit':
            self._check_margin()

    def _check_margin(self) -> None:
        if self._lacks_margin():
            raise ValueError(NO_MARGIN.format(self.conformal))

    def _lacks_margin(self) -> bool:
        return self.conformal is not None and bool(self.margin.isnan().any())

    def predict_step(self, batch: Sample, batch_idx: int) -> dict[str, Any]:
        """Predict at points.

        Args:
            batch: Points.
            batch_idx: Index of the batch.

        Returns:
            ``'point'``, ``'prediction'`` of shape ``(N, t)`` in the units of the targets,
            ``'lower'`` and ``'upper'`` if there are intervals, and the ``'row'`` of
            each point if the batch has it.

        Raises:
            ValueError: If intervals are not calibrated.
        """
        self._check_margin()
        known = {name: batch[name] for name in ('row', 'point') if name in batch}
        return known | self.values(self.outputs(batch).float())

    # Evaluation -------------------------------------------------------------------------

    def scores(
        self, kept: Mapping[str, Tensor], stage: str
    ) -> tuple[dict[str, float], list[list[str]]]:
        """Compute metrics, in the units of the targets.

        Args:
            kept: Points, outputs and labels.
            stage: Either 'val' or 'test'.

        Returns:
            Metrics of each target where they are defined, and their means, by name; and
            rows of a table.
        """
        target = self.target_transform.inverse(kept['label'])
        values = self.values(kept['output'])
        columns = regression_scores(values['prediction'], target)
        plain = self._unscaled(self.baseline_outputs(kept['point']))
        if any(self.target_transform.is_log):
            columns['log_r2'] = self._log_r2(values['prediction'], target)
        if 'lower' in values:
            columns['coverage'] = _coverage(values, target)
        if stage == 'test':
            columns['baseline_r2'] = regression_scores(plain, target)['r2']
            if any(self.target_transform.is_log):
                columns['baseline_log_r2'] = self._log_r2(plain, target)
            self._warn_undefined(target, columns['r2'])
        confidence = self.conformal or 0.0
        if self.conformal is None and self.quantiles is not None:
            confidence = self.quantiles[-1] - self.quantiles[0]
        named = name_scores(columns, self.target_names)
        return named, score_table(columns, named, self._titles(), confidence)

    def _log_r2(self, preds: Tensor, target: Tensor) -> Tensor:
        is_log = torch.tensor(self.target_transform.is_log)
        scores = regression_scores(torch.log1p(preds), torch.log1p(target))['r2']
        return torch.where(is_log, scores, torch.nan)

    def _warn_undefined(self, target: Tensor, r2: Tensor) -> None:
        for name, values, score in zip(self.target_names, target.T, r2, strict=True):
            known = values[~values.isnan()]
            if not len(known):
                rank_zero_warn(f'{name!r} is missing in all test rows.')
            elif score.isnan():
                rank_zero_warn(
                    f'R² of {name!r} is undefined: all {len(known)} test rows have the '
                    f'same value, {float(known[0]):g}.'
                )
        if self.conformal is not None and self.margin.isinf().any():
            rank_zero_warn(
                f'The {self.conformal:.0%} intervals are infinite, since there are too few '
                'validation points.'
            )

    def errors(self, kept: Mapping[str, Tensor]) -> list[tuple[str, Tensor]]:
        """Compute the error of each prediction: prediction minus value.

        Args:
            kept: Outputs and labels.

        Returns:
            Name and errors of each target, in its unit.
        """
        target = self.target_transform.inverse(kept['label'])
        error = self.values(kept['output'])['prediction'] - target
        return list(zip(self._titles(), error.T, strict=True))

    def _titles(self) -> list[str]:
        return list(map(with_unit, self.target_names, self.units))


def _columns(labels: Tensor) -> Tensor:
    """Reshape labels of shape ``(N,)`` or ``(N, t)`` to ``(N, t)``."""
    return labels[:, None] if labels.ndim == 1 else labels


def _coverage(values: Mapping[str, Tensor], target: Tensor) -> Tensor:
    columns = zip(values['lower'].T, values['upper'].T, target.T, strict=True)
    return torch.stack(
        [
            coverage(*(part[~column[-1].isnan()] for part in column))
            for column in columns
        ]
    )
