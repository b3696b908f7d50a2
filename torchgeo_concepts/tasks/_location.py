# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Training and evaluation of tasks that predict at points."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim import SGD, AdamW
from torchgeo.datasets.utils import Sample

from ..models.features import coordinate_features
from ..utils.distributed import gather_objects
from ..utils.markdown import markdown_table
from ._error_maps import log_error_maps
from ._feature_tables import concatenate, whole_dataset
from ._location_base import LocationBase, model_inputs
from ._schedules import with_cosine


class LocationTask(LocationBase):
    """Base class that trains and evaluates a head on the features of points."""

    # Training ---------------------------------------------------------------------------

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Initialize the optimizer and learning rate scheduler.

        Returns:
            AdamW, with a separate learning rate for the encoder, and a cosine decay.
        """
        model = self._model()
        head = list(model.head.parameters())
        if self.is_closed_form:
            return SGD(head, lr=0.0)
        known = set(map(id, head))
        groups: list[dict[str, Any]] = [{'params': head, 'lr': self.hparams['lr']}]
        encoder = [
            p for p in model.parameters() if p.requires_grad and id(p) not in known
        ]
        if encoder:
            groups.append({'params': encoder, 'lr': self.hparams['encoder_lr']})
        optimizer = AdamW(groups, weight_decay=self.hparams['weight_decay'])
        if self.trainer.estimated_stepping_batches == float('inf'):
            return optimizer
        return with_cosine(optimizer, self.trainer)

    def outputs(self, batch: Sample, split: str = '') -> Tensor:
        """Compute the outputs of the head.

        Args:
            batch: Points, and further inputs of the model.
            split: 'train' or 'val' to use the cached features of that split, if any.

        Returns:
            Outputs of shape ``(N, num_outputs)``.
        """
        model = self._model()
        table = self._cache.get(split)
        if table is not None:
            inputs = table.lookup(batch['row']).to(batch['point'].device)
        else:
            inputs = model_inputs(model, batch)
        outputs: Tensor = model(inputs)
        return outputs

    def labels(self, batch: Sample) -> Tensor:
        """Return the labels of a batch, on the scale that the model was trained on."""
        labels: Tensor = batch['label']
        return labels

    def training_step(self, batch: Sample, batch_idx: int) -> Tensor | None:
        """Compute the loss of a training batch.

        Args:
            batch: Points and labels.
            batch_idx: Index of the batch.

        Returns:
            The loss, or None if :meth:`setup` fitted the head.
        """
        if self.is_closed_form:
            if batch_idx == 0:
                # Without a step, no checkpoint is written.
                self.optimizers().step()
            return None
        loss = self.loss(self.outputs(batch, 'train'), self.labels(batch))
        self.log('train_loss', loss, batch_size=len(batch['point']))
        return loss

    def on_train_epoch_end(self) -> None:
        """Stop after one epoch if :meth:`setup` fitted the head."""
        if self.is_closed_form:
            self.trainer.should_stop = True

    # Evaluation -------------------------------------------------------------------------

    def validation_step(self, batch: Sample, batch_idx: int) -> None:
        """Keep the outputs of a validation batch.

        Args:
            batch: Points and labels.
            batch_idx: Index of the batch.
        """
        is_fitting = self.trainer.state.fn == 'fit'
        self._keep(batch, 'val' if is_fitting else '')

    def test_step(self, batch: Sample, batch_idx: int) -> None:
        """Keep the outputs of a test batch.

        Args:
            batch: Points and labels.
            batch_idx: Index of the batch.
        """
        self._keep(batch)

    def _keep(self, batch: Sample, split: str = '') -> None:
        kept = {
            'point': batch['point'],
            'output': self.outputs(batch, split).float(),
            'label': self.labels(batch),
        }
        if 'row' in batch:
            kept['row'] = batch['row']
        self._kept.append({name: value.cpu() for name, value in kept.items()})

    def _gathered(self) -> dict[str, Tensor]:
        """Return the outputs and labels of all processes, without repeated rows."""
        own = concatenate(self._kept)
        self._kept.clear()
        kept = concatenate(gather_objects(own))
        if 'row' in kept:
            # Distributed samplers repeat rows, so that all processes have the same number.
            first = torch.from_numpy(np.unique(kept['row'], return_index=True)[1])
            kept = {name: values[first] for name, values in kept.items()}
        return kept

    def on_validation_epoch_end(self) -> None:
        """Log the loss and the metrics of all validation rows."""
        if not self._kept:
            return
        kept = self._gathered()
        if self.trainer.sanity_checking:
            return
        if self.trainer.state.fn == 'fit':
            self.calibrate(kept)
        self._log_scores(kept, 'val')

    def on_test_epoch_end(self) -> None:
        """Log the metrics, print them with the baseline, and draw error maps."""
        if not self._kept:
            return
        kept = self._gathered()
        rows = self._log_scores(kept, 'test')
        if self.trainer.is_global_zero:
            header, *body = rows
            print(f'\nOn {len(kept["label"]):,} test points:\n')
            print(markdown_table(header, body, right=header[1:]), end='')
            log_error_maps(self, kept['point'], self.errors(kept))

    def _log_scores(self, kept: dict[str, Tensor], stage: str) -> list[list[str]]:
        values, rows = self.scores(kept, stage)
        loss = self.loss(kept['output'], kept['label']).item()
        named = {f'{stage}_{name}': value for name, value in values.items()}
        self.log_dict({f'{stage}_loss': loss, **named}, sync_dist=True)
        return rows

    def baseline_outputs(self, points: Tensor) -> Tensor:
        """Compute the outputs of the baseline at points, on the CPU."""
        if self.baseline is None:
            raise RuntimeError('The baseline is missing. Fit the task first.')
        weight, bias = self.baseline.weight.cpu(), self.baseline.bias.cpu()
        return F.linear(coordinate_features(points.float()), weight, bias)

    def on_validation_start(self) -> None:
        """Check that the task is trained and that the data have its targets."""
        self.check_targets()

    def on_test_start(self) -> None:
        """Check that the task is trained and that the data have its targets."""
        self.check_targets()

    def on_predict_start(self) -> None:
        """Check that the task is trained."""
        self._model()

    def check_targets(self) -> None:
        """Check that the task is trained and that the data have its targets.

        Raises:
            ValueError: If the data have other targets or classes.
        """
        self._model()
        split = 'test' if self.trainer.testing else 'val'
        datamodule = getattr(self.trainer, 'datamodule', None)
        dataset = whole_dataset(getattr(datamodule, f'{split}_dataset', None))
        names = getattr(dataset, 'classes', ()) or getattr(dataset, 'target_names', ())
        if names and tuple(names) != self.label_names:
            raise ValueError(
                f'The model predicts {_listed(self.label_names)}, but the data have '
                f'{_listed(names)}. Use data with the same names in the same order.'
            )


def _listed(names: Sequence[str]) -> str:
    listed = ', '.join(map(repr, names[:5])) + (', ...' if len(names) > 5 else '')
    return f'{len(names)} targets or classes ({listed})'
