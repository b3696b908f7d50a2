# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Prediction of classes at points."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from torchgeo.datasets.utils import Sample

from ..evaluate.probes import LinearFit, fit_logistic
from ._location import LocationTask
from ._scores import classification_scores


class LocationClassification(LocationTask):
    """Task that predicts a class at points.

    It takes batches of :class:`~torchgeo_concepts.datamodules.PointTableDataModule`, or
    of another data module whose samples have a ``'point'`` and a ``'label'`` and whose
    dataset has ``classes``. Inputs are standardised with statistics of the training
    rows. Rows without a class are excluded from loss and metrics.

    The penalty and the searched options are chosen on the validation points, so
    validation metrics are slightly optimistic.
    """

    closed_form = 'logistic'

    def configure_models(self) -> None:
        """Initialize the classes, which :meth:`setup` reads from the data."""
        super().configure_models()
        self.classes: tuple[str, ...] = ()
        # True for classes that occur in training rows.
        self.register_buffer('is_known', torch.zeros(0, dtype=torch.bool))

    # Targets ----------------------------------------------------------------------------

    @property
    def num_outputs(self) -> int:
        """Number of classes."""
        return len(self.classes)

    def learn_targets(self, dataset: Any) -> None:
        """Read the names of the classes of a dataset.

        Args:
            dataset: The dataset.

        Raises:
            ValueError: If the targets are not classes.
        """
        classes = getattr(dataset, 'classes', ())
        if not classes:
            raise ValueError(
                'The targets are not classes. Use LocationRegression, or pass '
                "task='classification' to the dataset."
            )
        self.classes = self.label_names = tuple(map(str, classes))

    def fit_targets(self, labels: Tensor) -> None:
        """Find the classes that occur in training rows.

        Args:
            labels: Classes of shape ``(N,)``.

        Raises:
            ValueError: If the class is missing in all rows.
        """
        known = labels[labels >= 0]
        if not len(known):
            raise ValueError(
                f'The class is missing in all {len(labels)} training rows.'
            )
        self.is_known = torch.bincount(known, minlength=len(self.classes)) > 0

    def target_state(self) -> dict[str, Any]:
        """Return the names of the classes.

        Returns:
            Values that a checkpoint can store.
        """
        return {'classes': list(self.classes)}

    def restore_targets(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`target_state` returned.

        Args:
            state: The values.
        """
        self.classes = self.label_names = tuple(state['classes'])

    # Outputs ----------------------------------------------------------------------------

    def fit_linear(
        self, train: tuple[Tensor, Tensor], val: tuple[Tensor, Tensor] | None
    ) -> LinearFit:
        """Fit a logistic regression.

        Args:
            train: Standardised inputs and classes to train on.
            val: Inputs and classes on which the penalty is chosen.

        Returns:
            The fitted model.
        """
        return fit_logistic(*train, len(self.classes), *(val or (None, None)))

    def loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Compute the cross entropy where classes are known.

        Args:
            outputs: Log-odds of shape ``(N, c)``.
            labels: Classes of shape ``(N,)``, -1 where missing.

        Returns:
            The loss, 0 if no class is known.
        """
        total = F.cross_entropy(outputs, labels, ignore_index=-1, reduction='sum')
        return total / (labels >= 0).sum().clamp(min=1)

    def predict_step(self, batch: Sample, batch_idx: int) -> dict[str, Any]:
        """Predict at points.

        Args:
            batch: Points.
            batch_idx: Index of the batch.

        Returns:
            ``'point'``; ``'prediction'``, the index of the most likely class, of shape
            ``(N,)``; ``'class'``, a list of class names; ``'probability'`` of shape
            ``(N,)``; and the ``'row'`` of each point if the batch has it.
        """
        known = {name: batch[name] for name in ('row', 'point') if name in batch}
        best = self.outputs(batch).float().softmax(dim=1).max(dim=1)
        return known | {
            'prediction': best.indices,
            'class': [self.classes[number] for number in best.indices.tolist()],
            'probability': best.values,
        }

    # Evaluation -------------------------------------------------------------------------

    def scores(
        self, kept: Mapping[str, Tensor], stage: str
    ) -> tuple[dict[str, float], list[list[str]]]:
        """Compute metrics.

        Args:
            kept: Points, outputs and labels.
            stage: Either 'val' or 'test'.

        Returns:
            Metrics by name, and rows of a table.
        """
        values = classification_scores(kept['output'], kept['label'])
        rows = [['', 'accuracy', 'macro F1', 'top 5']]
        if stage != 'test':
            return values, rows
        self._warn_unknown(kept['label'])
        plain = classification_scores(
            self.baseline_outputs(kept['point']), kept['label']
        )
        named = {f'baseline_{name}': value for name, value in plain.items()}
        for title, found in (('this model', values), ('coordinates', plain)):
            rows.append([title, *(f'{value:.3f}' for value in found.values())])
        return values | named, rows

    def _warn_unknown(self, labels: Tensor) -> None:
        known = labels[labels >= 0]
        if not len(known):
            rank_zero_warn('The class is missing in all test rows.')
            return
        unseen = known[~self.is_known.cpu()[known]]
        if len(unseen):
            names = [self.classes[number] for number in unseen.unique().tolist()]
            listed = ', '.join(map(repr, names[:5])) + (', ...' if names[5:] else '')
            rank_zero_warn(
                f'{len(unseen)} of {len(known)} test rows have classes that no training '
                f'row has: {listed}. These rows count as errors.'
            )

    def errors(self, kept: Mapping[str, Tensor]) -> list[tuple[str, Tensor]]:
        """Compute the error of each prediction.

        Args:
            kept: Outputs and labels.

        Returns:
            1 for a wrong class, 0 for the right one, NaN if the class is missing.
        """
        labels = kept['label']
        wrong = (kept['output'].argmax(dim=1) != labels).float()
        return [('class', torch.where(labels >= 0, wrong, torch.nan))]
