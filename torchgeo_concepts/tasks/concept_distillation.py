# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Training of a compact location encoder on a teacher's embeddings and on maps."""

import math
import os
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import AdamW
from torchgeo.datasets.utils import Sample
from torchgeo.tasks import BaseTask
from torchmetrics import MeanMetric
from torchmetrics.functional import r2_score
from torchmetrics.functional.classification import binary_auroc

from ..concepts.bank import ConceptBank
from ..models.concept_earth import GRID_FEATURES, ROWS, ConceptEarth
from ._schedules import with_cosine
from .losses import masked_mse


def concept_quality(scores: Tensor, labels: Tensor, is_class: Tensor) -> Tensor:
    """Compute the AUC of classes and the R² of quantities.

    Args:
        scores: Scores of shape ``(N, k)``.
        labels: Labels of shape ``(N, k)``, NaN where unknown.
        is_class: True for concepts that are classes, of shape ``(k,)``.

    Returns:
        AUC or R² of each concept, of shape ``(k,)``; NaN if its labels do not vary.
    """
    quality = torch.full((labels.shape[1],), torch.nan)
    for concept in range(labels.shape[1]):
        known = ~labels[:, concept].isnan()
        label, score = labels[known, concept], scores[known, concept]
        if len(label) < 2 or label.min() == label.max():
            continue
        if is_class[concept]:
            quality[concept] = binary_auroc(score, label.long())
        else:
            quality[concept] = r2_score(score.double(), label.double())
    return quality


class ConceptDistillation(BaseTask):
    """Task that trains :class:`~torchgeo_concepts.models.ConceptEarth`.

    Embeddings are trained on those of a teacher, and concept scores on labels from maps.
    Concept directions are trained on the same labels, but do not change embeddings.
    """

    monitor = 'val_loss'

    def __init__(
        self,
        hidden_dim: int = 512,
        depth: int = 2,
        rows: Sequence[int] = ROWS,
        grid_features: Sequence[int] = GRID_FEATURES,
        table_size: int = 135_000,
        num_waves: int = 128,
        *,
        embedding_weight: float = 1.0,
        concept_weight: float = 1.0,
        quantity_weight: float = 16.0,
        projection_weight: float = 0.1,
        lr: float = 8e-3,
        grid_lr_factor: float = 5.0,
        weight_decay: float = 0.0,
        warmup_steps: int = 200,
    ) -> None:
        """Initialize a new ConceptDistillation instance.

        Args:
            hidden_dim: Number of features of a hidden layer. Fewer are faster.
            depth: Number of hidden layers.
            rows: Number of steps from pole to pole in each level of the grid. More steps
                give finer detail.
            grid_features: Number of features of a node in each level of the grid.
            table_size: Maximum number of entries of a level of the grid.
            num_waves: Number of Fourier waves.
            embedding_weight: Weight of the loss of embeddings.
            concept_weight: Weight of the loss of scores. A higher weight makes embeddings
                worse.
            quantity_weight: Weight of a quantity in the loss of scores, relative to a
                class. There are many classes, most of them coarse; quantities have
                finer detail.
            projection_weight: Weight of the loss of the concept directions. This loss
                does not change embeddings.
            lr: Learning rate of AdamW.
            grid_lr_factor: Learning rate of the grid, as a multiple of *lr*.
            weight_decay: Weight decay of AdamW.
            warmup_steps: Number of steps in which the learning rate rises linearly. It
                then decreases along a cosine to 0.
        """
        super().__init__()

    def configure_models(self) -> None:
        """Initialize without a model; :meth:`setup` builds it for the concepts."""
        self.model: ConceptEarth | None = None

    def configure_metrics(self) -> None:
        """Initialize the performance metrics."""
        self.val_cosine = MeanMetric()
        self.val_centred_cosine = MeanMetric()
        self._scores: list[Tensor] = []
        self._labels: list[Tensor] = []

    def setup(self, stage: str) -> None:
        """Build the model for the concepts of the dataset.

        Args:
            stage: Either 'fit', 'validate', 'test', or 'predict'.

        Raises:
            ValueError: If the model of a checkpoint has other concepts.
        """
        datamodule: Any = getattr(self.trainer, 'datamodule', None)
        dataset = getattr(datamodule, 'train_dataset', None)
        if dataset is None:
            return
        if self.model is None:
            self._build(dataset.bank)
            model = self._model()
            model.set_scale(dataset.scale())
            model.set_embedding_scale(*dataset.embedding_scale())
            model.provenance = {
                'layers': dataset.groundings.versions,
                'teacher': dataset.teacher,
                'points': len(dataset),
            }
        elif self.model.bank != dataset.bank:
            raise ValueError(
                f'The {len(dataset.bank)} concepts of the dataset differ from the '
                f'{len(self.model.bank)} of the model. Use a dataset with the same bank.'
            )

    def _build(self, bank: ConceptBank) -> None:
        names = ('hidden_dim', 'depth', 'rows', 'grid_features', 'table_size')
        sizes = {name: self.hparams[name] for name in (*names, 'num_waves')}
        self.model = ConceptEarth(bank, **sizes)
        self.model.basis.source = 'learned from layers'
        # Cosines with random directions have a variance of 1 / embed_dim. This factor
        # gives them the scale of scores.
        start = math.sqrt(self.model.embed_dim)
        self.projection_scale = nn.Parameter(torch.full((len(bank),), start))
        self.projection_shift = nn.Parameter(torch.zeros(len(bank)))

    def _model(self) -> ConceptEarth:
        if self.model is None:
            raise RuntimeError('The model is built when training starts.')
        return self.model

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Initialize the optimizer and learning rate scheduler.

        Returns:
            AdamW, with a separate learning rate for the grid, and a cosine decay.
        """
        grid = list(self._model().grids.parameters())
        known = set(map(id, grid))
        rest = [p for p in self.parameters() if id(p) not in known]
        lr = self.hparams['lr']
        optimizer = AdamW(
            [
                {'params': rest, 'lr': lr},
                {'params': grid, 'lr': lr * self.hparams['grid_lr_factor']},
            ],
            weight_decay=self.hparams['weight_decay'],
            fused=True,
        )
        return with_cosine(optimizer, self.trainer, self.hparams['warmup_steps'])

    def losses(self, batch: Sample) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Compute the parts of the loss of a batch, and their sum.

        Args:
            batch: Points, labels of concepts, and embeddings of the teacher.

        Returns:
            Losses by name, embeddings and scores.
        """
        model = self._model()
        hidden = model.hidden(batch['point'])
        x, scores = model.whole(hidden), model.scores(hidden)
        target = (batch['concepts'] - model.mean) / model.std
        cosines = model.basis(x.detach())
        projected = cosines * self.projection_scale + self.projection_shift
        difference = (x - batch['embedding']) / model.embedding_std
        quantity_weight = float(self.hparams['quantity_weight'])
        weight = torch.where(model.is_class, 1.0, quantity_weight)
        parts = {
            'embedding': difference.square().mean(),
            'concepts': masked_mse(scores, target, weight / weight.mean()),
            'projection': masked_mse(projected, target),
        }
        names = 'embedding_weight', 'concept_weight', 'projection_weight'
        weighted = [
            self.hparams[name] * part
            for name, part in zip(names, parts.values(), strict=True)
        ]
        return parts | {'loss': torch.stack(weighted).sum()}, x, scores

    def training_step(self, batch: Sample, batch_idx: int) -> Tensor:
        """Compute the loss of a training batch.

        Args:
            batch: Points, labels of concepts, and embeddings of the teacher.
            batch_idx: Index of the batch.

        Returns:
            The loss.
        """
        parts, _, _ = self.losses(batch)
        self._log_parts('train', parts, len(batch['point']))
        return parts['loss']

    def _log_parts(self, stage: str, parts: dict[str, Tensor], number: int) -> None:
        values = {f'{stage}_{name}': value for name, value in parts.items()}
        self.log_dict(values, batch_size=number, sync_dist=stage == 'val')

    def validation_step(self, batch: Sample, batch_idx: int) -> None:
        """Compute the losses of a validation batch, and cosines to teacher embeddings.

        Args:
            batch: Points, labels of concepts, and embeddings of the teacher.
            batch_idx: Index of the batch.
        """
        model = self._model()
        parts, x, scores = self.losses(batch)
        self._log_parts('val', parts, len(batch['point']))
        teacher, mean = batch['embedding'], model.embedding_mean
        self.val_cosine.update(F.cosine_similarity(x, teacher))
        self.val_centred_cosine.update(F.cosine_similarity(x - mean, teacher - mean))
        self._scores.append((scores * model.std + model.mean).cpu())
        self._labels.append(batch['concepts'].cpu())

    def on_validation_epoch_end(self) -> None:
        """Log the mean cosines, and the AUC and R² of concepts."""
        model = self._model()
        self.log('val_cosine', self.val_cosine)
        self.log('val_centred_cosine', self.val_centred_cosine)
        if len(model.bank):
            is_class = model.is_class.cpu()
            quality = concept_quality(
                torch.cat(self._scores), torch.cat(self._labels), is_class
            )
            self.log('val_auc', quality[is_class].nanmean())
            self.log('val_r2', quality[~is_class].nanmedian())
        self._scores.clear()
        self._labels.clear()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the bank and the provenance of the weights.

        Args:
            checkpoint: The checkpoint.
        """
        checkpoint['bank'] = self._model().bank.to_json()
        checkpoint['provenance'] = self._model().provenance | {
            'seed': int(seed) if (seed := os.environ.get('PL_GLOBAL_SEED')) else None,
            'steps': self.trainer.global_step,
            'training': {
                # Lightning's command line adds names that start with _.
                name: value
                for name, value in self.hparams.items()
                if not name.startswith('_')
            },
            'metrics': {
                name: round(float(value), 4)
                for name, value in self.trainer.callback_metrics.items()
                if name.startswith('val_')
            },
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Build the model of a checkpoint; Lightning then loads its weights.

        Args:
            checkpoint: The checkpoint.
        """
        if self.model is None:
            self._build(ConceptBank.from_json(checkpoint['bank']))
        self._model().provenance = checkpoint['provenance']
