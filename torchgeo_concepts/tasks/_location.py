# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""What prediction at points has in common, whatever is predicted."""

import re
import time
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from lightning.pytorch.utilities import rank_zero_info, rank_zero_only, rank_zero_warn
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import SGD, AdamW
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import Dataset
from torchgeo.datasets.utils import Sample
from torchgeo.tasks import BaseTask

from ..datasets.point_table import PointTable
from ..evaluate.probes import LinearFit
from ..models.blueprints import build_encoder, encoder_blueprint, named_encoder
from ..models.features import coordinate_features
from ..models.loading import find_encoder
from ..models.location_model import LocationModel, make_head
from ..models.tower_loading import load_image_tower
from ..plot.point_maps import point_map, point_size
from ..utils.distributed import gather_objects
from ..utils.files import atomic_path
from ..utils.modes import evaluating
from ._feature_tables import FeatureTable, whole_dataset
from ._search import cosine_factor, search_head

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Rows whose features are kept in memory, and rows that statistics are taken of if
# there are more, or if they have images.
MAX_CACHED_ROWS, STATISTICS_ROWS = 500_000, 20_000

MAX_SEARCH_EPOCHS = 50

# What the search may choose.
SEARCHED = ('lr', 'weight_decay', 'hidden_dim', 'depth', 'dropout')


class LocationTask(BaseTask):
    """Predicts something at points from the features of a location encoder."""

    ignore: Sequence[str] | str | None = (
        # A checkpoint holds them, so they need not be found again to load it.
        'weights',
        'image_weights',
        'download',
        # A checkpoint holds what was found.
        'search_trials',
    )
    #: The head that is fitted at once instead of trained.
    closed_form: str

    label_names: tuple[str, ...] = ()

    def receive(
        self,
        model: str | nn.Module,
        weights: str | None,
        features: str,
        head: str,
        freeze: bool,
        image_weights: str | None,
        search_trials: int,
        download: bool,
    ) -> None:
        """Keep, before modules can be assigned, what is no hyperparameter.

        Raises:
            ValueError: If there is no such model or head, or options contradict.
        """
        # In a tuple, since an encoder is no part of this module yet.
        self._sources = (model, weights, image_weights, download)
        self._num_trials = search_trials
        if isinstance(model, nn.Module):
            self.ignore = (*(self.ignore or ()), 'model')
        elif features != 'coordinates':
            find_encoder(model, weights)
        heads = ('linear', 'mlp', self.closed_form)
        if head not in heads:
            raise ValueError(f'head must be one of {heads}, not {head!r}.')
        self.is_closed_form = head == self.closed_form
        if self.is_closed_form and not freeze:
            raise ValueError(
                f'head={head!r} is fitted at once and trains no encoder. Take '
                "head='linear' with freeze=False."
            )
        if self._num_trials and (self.is_closed_form or not freeze):
            raise ValueError(
                "search_trials need freeze=True and head='linear' or 'mlp'; "
                f'{self.closed_form!r} chooses its penalty anyway.'
            )

    # Building ---------------------------------------------------------------------------

    def configure_models(self) -> None:
        """Leave the model to :meth:`setup`, which knows the data."""
        self.model: LocationModel | None = None
        self.baseline: nn.Linear | None = None
        self._blueprint: dict[str, Any] | None = None
        self._cache: dict[str, FeatureTable] = {}
        self._kept: list[dict[str, Tensor]] = []
        self.extra_names: tuple[str, ...] = ()
        # Of closed forms, training has nothing to step.
        self.automatic_optimization = not self.is_closed_form

    @property
    @abstractmethod
    def num_outputs(self) -> int:
        """Number of outputs of the head."""

    @abstractmethod
    def learn_targets(self, dataset: Any) -> None:
        """Learn what the targets of a dataset are called."""

    @abstractmethod
    def fit_targets(self, labels: Tensor) -> None:
        """Learn the scale of the labels of training rows."""

    @abstractmethod
    def fit_linear(
        self, train: tuple[Tensor, Tensor], val: tuple[Tensor, Tensor] | None
    ) -> LinearFit:
        """Fit a linear model of standardised inputs at once."""

    @abstractmethod
    def loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Compute the loss of outputs of the head where labels are known."""

    @abstractmethod
    def scores(
        self, kept: dict[str, Tensor], stage: str
    ) -> tuple[dict[str, float], list[list[str]]]:
        """Compute metrics of outputs, and the rows of the table that is printed."""

    @abstractmethod
    def errors(self, kept: dict[str, Tensor]) -> list[tuple[str, Tensor]]:
        """Compute what the maps of errors show, NaN where nothing is known."""

    @abstractmethod
    def target_state(self) -> dict[str, Any]:
        """Return what a checkpoint says of the targets."""

    @abstractmethod
    def restore_targets(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`target_state` returned."""

    def calibrate(self, kept: dict[str, Tensor]) -> None:
        """Learn from outputs on validation rows."""

    def setup(self, stage: str) -> None:
        """Build the model for the features and targets of the data.

        A head in closed form is fitted here.

        Args:
            stage: Either 'fit', 'validate', 'test', or 'predict'.

        Raises:
            ValueError: If there is no dataset to train on.
        """
        # If training resumes, the checkpoint replaces all of this after.
        if stage != 'fit' or (self.model is not None and not self.is_closed_form):
            return
        datamodule: Any = getattr(self.trainer, 'datamodule', None)
        train = getattr(datamodule, 'train_dataset', None)
        if train is None:
            raise ValueError(
                'There is no train_dataset. Pass a data module, such as '
                'PointTableDataModule.'
            )
        self._prepare(train, getattr(datamodule, 'val_dataset', None))

    def _prepare(self, train: Dataset[Sample], val: Dataset[Sample] | None) -> None:
        self.learn_targets(whole_dataset(train))
        self.extra_names = tuple(getattr(whole_dataset(train), 'extra_names', ()))
        model = self._make_model()
        model.to(self.trainer.strategy.root_device)
        known = self._table(model, train, 'train')
        compared = None if val is None else self._table(model, val, 'val')
        model.fit_statistics(known.inputs.to(self.trainer.strategy.root_device))
        self.fit_targets(known.labels)
        self.model = model
        self._fit_baseline(known, compared)
        if self._num_trials:
            self._search(known, compared)
        self._make_head()
        if self.is_closed_form:
            self._fit_head(known, compared)

    def _make_model(self) -> LocationModel:
        encoder: nn.Module | None = None
        if self.model is not None:
            encoder = self.model.encoder
        elif self.hparams['features'] != 'coordinates':
            encoder = self._make_encoder()
        return self._wrap(encoder, self._sources[2])

    def _make_encoder(self) -> nn.Module:
        model, weights, _, download = self._sources
        if isinstance(model, nn.Module):
            self._blueprint = encoder_blueprint(model)
            return model
        if weights is None and self.hparams['freeze']:
            rank_zero_warn(
                f'{model} is frozen with random weights. Name its weights, or pass '
                'freeze=False.'
            )
        encoder, self._blueprint = named_encoder(
            model,
            weights,
            self.hparams['model_kwargs'],
            truncate_dim=self.hparams['truncate_dim'],
            download=download,
        )
        return encoder

    def _wrap(
        self, encoder: nn.Module | None, image_weights: str | None
    ) -> LocationModel:
        tower, name = None, self.hparams['image_model']
        if name is not None:
            tower = load_image_tower(
                name,
                image_weights,
                in_chans=self.hparams['in_chans'],
                frozen=self.hparams['freeze'],
                download=self._sources[3],
            )
        return LocationModel(
            encoder,
            self.hparams['features'],
            tower,
            len(self.extra_names),
            self.hparams['freeze'],
        )

    def _make_head(self) -> None:
        model = self._model()
        options = {name: self.hparams[name] for name in SEARCHED[2:]}
        model.head = make_head(
            self.hparams['head'], len(model.mean), self.num_outputs, **options
        )

    def _model(self) -> LocationModel:
        if self.model is None:
            raise RuntimeError(
                f'This {type(self).__name__} has not been trained. Fit it, or pass the '
                'ckpt_path of one that was.'
            )
        return self.model

    # Features that are computed once ----------------------------------------------------

    def _table(
        self, model: LocationModel, dataset: Dataset[Sample], split: str
    ) -> FeatureTable:
        """Compute the inputs of a dataset, or of as many rows as statistics need."""
        device = self.trainer.strategy.root_device
        datamodule: Any = self.trainer.datamodule

        def inputs(batch: Sample) -> Tensor:
            batch = {name: value.to(device) for name, value in batch.items()
                     if isinstance(value, Tensor)}  # fmt: skip
            if 'image' in batch:
                # Images as training has them.
                batch = datamodule.on_after_batch_transfer(batch, 0)
            return _inputs(model, batch)

        number = len(dataset)  # type: ignore[arg-type]
        fits = isinstance(dataset, PointTable) and number <= MAX_CACHED_ROWS
        needs_all = self.is_closed_form or self._num_trials
        limit = None if needs_all or (fits and model.frozen) else STATISTICS_ROWS
        with torch.no_grad(), evaluating(model):
            table = FeatureTable.compute(dataset, inputs, limit, datamodule)
        if fits and model.frozen:
            self._cache[split] = table
        return table

    def on_fit_start(self) -> None:
        """Compute the features of frozen encoders, also if training resumes."""
        model, datamodule = self._model(), getattr(self.trainer, 'datamodule', None)
        for split in ('train', 'val'):
            dataset = getattr(datamodule, f'{split}_dataset', None)
            if (
                isinstance(dataset, PointTable)
                and split not in self._cache
                and model.frozen
                and not self.is_closed_form
                and len(dataset) <= MAX_CACHED_ROWS
            ):
                self._table(model, dataset, split)

    def on_fit_end(self) -> None:
        """Free the memory of the features."""
        self._cache.clear()

    def _standardised(self, table: FeatureTable) -> tuple[Tensor, Tensor]:
        model = self._model()
        return (
            model.standardise(table.inputs.to(model.mean.device)),
            table.labels.to(model.mean.device),
        )

    def _fit_baseline(self, train: FeatureTable, val: FeatureTable | None) -> None:
        """Fit what coordinates alone tell, to compare with."""
        inputs = coordinate_features(train.points).double()
        mean, std = inputs.mean(dim=0), inputs.std(dim=0, correction=0)
        std[std < 1e-6] = 1

        def scaled(table: FeatureTable) -> tuple[Tensor, Tensor]:
            values = (coordinate_features(table.points).double() - mean) / std
            return values, table.labels

        fit = self.fit_linear(scaled(train), None if val is None else scaled(val))
        self.baseline = nn.Linear(4, len(fit.bias)).requires_grad_(False)
        weight = fit.weight / std
        self.baseline.weight.copy_(weight)
        self.baseline.bias.copy_(fit.bias - weight @ mean)

    def _fit_head(self, train: FeatureTable, val: FeatureTable | None) -> None:
        start = time.perf_counter()
        inputs, labels = self._standardised(train)
        compared = None
        if val is not None:
            compared = tuple(part.cpu() for part in self._standardised(val))
        fit = self.fit_linear((inputs.cpu(), labels.cpu()), compared)  # type: ignore[arg-type]
        head = self._model().head
        with torch.no_grad():
            head.weight.copy_(fit.weight)  # type: ignore[operator]
            head.bias.copy_(fit.bias)  # type: ignore[operator]
        chosen = ', '.join(f'{penalty:.3g}' for penalty in dict.fromkeys(fit.penalty))
        rank_zero_info(
            f'head={self.closed_form!r} was fitted on {len(inputs):,} rows in '
            f'{time.perf_counter() - start:.1f} s, with a penalty of {chosen}. Training '
            'stops after one pass, which changes nothing.'
        )

    def _search(self, train: FeatureTable, val: FeatureTable | None) -> None:
        if val is None:
            raise ValueError('search_trials need points to validate on.')
        chosen: dict[str, Any] = {}
        if self.trainer.is_global_zero:
            chosen = self._search_here(train, val)
        # One choice for all processes, whatever their rounding.
        chosen = self.trainer.strategy.broadcast(chosen)
        self.hparams.update(chosen)

    def _search_here(self, train: FeatureTable, val: FeatureTable) -> dict[str, Any]:
        start = time.perf_counter()
        head, width = self.hparams['head'], len(self._model().mean)
        given = self.trainer.max_epochs or MAX_SEARCH_EPOCHS
        epochs = min(given, MAX_SEARCH_EPOCHS) if given > 0 else MAX_SEARCH_EPOCHS

        def make(options: dict[str, Any]) -> nn.Module:
            sizes = {name: options[name] for name in SEARCHED[2:]}
            return make_head(head, width, self.num_outputs, **sizes)

        trials = search_head(
            make,
            self.loss,
            self._standardised(train),
            self._standardised(val),
            {name: self.hparams[name] for name in SEARCHED},
            self._num_trials,
            epochs,
            getattr(self.trainer.datamodule, 'batch_size', None) or 512,
            head == 'mlp',
        )
        rank_zero_info(
            f'{self._num_trials} trials in {time.perf_counter() - start:.1f} s: '
            f'val_loss {min(trials.losses):.4f}, {trials.losses[0]:.4f} as given. '
            f'Chosen are {trials.best}.'
        )
        return trials.best

    # Training ---------------------------------------------------------------------------

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Initialize the optimizer and learning rate scheduler.

        Returns:
            AdamW, with a rate of its own for the encoder, and a cosine decay.
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
        total = self.trainer.estimated_stepping_batches
        if total == float('inf'):
            return optimizer
        schedule = LambdaLR(optimizer, lambda step: cosine_factor(step, int(total)))
        return {
            'optimizer': optimizer,
            'lr_scheduler': {'scheduler': schedule, 'interval': 'step'},
        }

    def outputs(self, batch: Sample, split: str = '') -> Tensor:
        """Compute the outputs of the head.

        Args:
            batch: Points, and what else the model takes.
            split: The part of the data, whose features may have been computed before.

        Returns:
            Outputs of shape ``(N, num_outputs)``.
        """
        model = self._model()
        table = self._cache.get(split)
        if table is not None:
            inputs = table.lookup(batch['row']).to(batch['point'].device)
        else:
            inputs = _inputs(model, batch)
        outputs: Tensor = model.head(model.standardise(inputs))
        return outputs

    def labels(self, batch: Sample) -> Tensor:
        """Return the labels of a batch, on the scale that the model was trained on."""
        labels: Tensor = batch['label']
        return labels

    def training_step(self, batch: Sample, batch_idx: int) -> Tensor | None:
        """Compute the loss of a training batch.

        Args:
            batch: Points and labels.
            batch_idx: Number of the batch.

        Returns:
            The loss, or None if the head was fitted at once.
        """
        if self.is_closed_form:
            if batch_idx == 0:
                # Counts as a step, without which no checkpoint is written.
                self.optimizers().step()
            return None
        loss = self.loss(self.outputs(batch, 'train'), self.labels(batch))
        self.log('train_loss', loss, batch_size=len(batch['point']))
        return loss

    def on_train_epoch_end(self) -> None:
        """Stop after one pass if the head was fitted at once."""
        if self.is_closed_form:
            self.trainer.should_stop = True

    # Evaluation -------------------------------------------------------------------------

    def validation_step(self, batch: Sample, batch_idx: int) -> None:
        """Keep the outputs of a validation batch.

        Args:
            batch: Points and labels.
            batch_idx: Number of the batch.
        """
        is_fitting = self.trainer.state.fn == 'fit'
        self._keep(batch, 'val' if is_fitting else '')

    def test_step(self, batch: Sample, batch_idx: int) -> None:
        """Keep the outputs of a test batch.

        Args:
            batch: Points and labels.
            batch_idx: Number of the batch.
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
        """Return what all processes kept, each row once."""
        own = {
            name: torch.cat([part[name] for part in self._kept])
            for name in self._kept[0]
        }
        self._kept.clear()
        parts = gather_objects(own)
        kept = {name: torch.cat([part[name] for part in parts]) for name in own}
        if 'row' in kept:
            # Samplers repeat rows to give all processes as many.
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
        """Log the metrics, print them beside those of coordinates, and draw errors."""
        if not self._kept:
            return
        kept = self._gathered()
        rows = self._log_scores(kept, 'test')
        _print_table(len(kept['label']), rows)
        errors = self.errors(kept)
        files = _file_names([name for name, _ in errors])
        for (name, error), file in zip(errors, files, strict=True):
            self._log_figure(name, file, kept['point'], error)

    def _log_scores(self, kept: dict[str, Tensor], stage: str) -> list[list[str]]:
        values, rows = self.scores(kept, stage)
        loss = self.loss(kept['output'], kept['label']).item()
        named = {f'{stage}_{name}': value for name, value in values.items()}
        self.log_dict({f'{stage}_loss': loss, **named}, sync_dist=True)
        return rows

    def baseline_outputs(self, points: Tensor) -> Tensor:
        """Compute what coordinates alone tell of points on the CPU."""
        if self.baseline is None:
            raise RuntimeError('The baseline is fitted when training starts.')
        weight, bias = self.baseline.weight.cpu(), self.baseline.bias.cpu()
        return F.linear(coordinate_features(points.float()), weight, bias)

    def _log_figure(self, name: str, file: str, points: Tensor, error: Tensor) -> None:
        """Draw errors for loggers that take figures, or into the folders of others."""
        known = error.isfinite()
        if not known.any() or not self.trainer.is_global_zero:
            return
        for logger in self.loggers:
            add = getattr(logger.experiment, 'add_figure', None)
            folder = getattr(logger, 'log_dir', None)
            if callable(add):
                figure = _error_map(points[known], error[known], name)
                add(f'test_errors/{name}', figure, self.global_step)
            elif folder is not None and Path(folder).is_dir():
                figure = _error_map(points[known], error[known], name)
                with atomic_path(Path(folder, f'test_errors_{file}.png')) as path:
                    figure.savefig(path, format='png', dpi=150)

    # Checkpoints ------------------------------------------------------------------------

    def on_validation_start(self) -> None:
        """Refuse to validate what was not trained, or has other targets."""
        self._check_evaluated('val')

    def on_test_start(self) -> None:
        """Refuse to test what was not trained, or has other targets."""
        self._check_evaluated('test')

    def on_predict_start(self) -> None:
        """Refuse to predict by what was not trained."""
        self._model()

    def _check_evaluated(self, split: str) -> None:
        self._model()
        datamodule = getattr(self.trainer, 'datamodule', None)
        dataset = whole_dataset(getattr(datamodule, f'{split}_dataset', None))
        names = getattr(dataset, 'classes', ()) or getattr(dataset, 'target_names', ())
        if names and tuple(names) != self.label_names:
            raise ValueError(
                f'The model predicts {_listed(self.label_names)}, the data have '
                f'{_listed(names)}. Both must have the same in the same order.'
            )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save how to build the model, and what the targets are, with the weights.

        Args:
            checkpoint: The checkpoint.
        """
        checkpoint['location'] = {
            'encoder': self._blueprint,
            'extra_names': list(self.extra_names),
            'options': {name: self.hparams[name] for name in SEARCHED},
            'targets': self.target_state(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Build the model that a checkpoint has the weights of.

        Args:
            checkpoint: The checkpoint.

        Raises:
            ValueError: If its encoder is of a class that only the caller has.
        """
        saved, state = checkpoint['location'], checkpoint['state_dict']
        self._cache.clear()
        self.hparams.update(saved['options'])
        self.extra_names = tuple(saved['extra_names'])
        self.restore_targets(saved['targets'])
        encoder = self._restored_encoder(saved['encoder'])
        self._blueprint = saved['encoder']
        # Weights of the image backbone are in the checkpoint.
        self.model = self._wrap(encoder, None)
        self.model.set_statistics(
            *(torch.zeros_like(state[f'model.{name}']) for name in ('mean', 'std'))
        )
        self._make_head()
        outputs, inputs = state['baseline.weight'].shape
        self.baseline = nn.Linear(inputs, outputs).requires_grad_(False)
        for name, _ in list(self.named_buffers(recurse=False)):
            self.register_buffer(name, torch.zeros_like(state[name]))

    def _restored_encoder(self, blueprint: dict[str, Any] | None) -> nn.Module | None:
        if self.hparams['features'] == 'coordinates':
            return None
        if blueprint is not None:
            return build_encoder(blueprint)
        if self.model is not None:
            return self.model.encoder
        if not isinstance(self._sources[0], nn.Module):
            raise ValueError(
                'The checkpoint was made with an encoder of your own. Pass an instance '
                f'of it: {type(self).__name__}.load_from_checkpoint(path, model=...).'
            )
        return self._sources[0]


def _inputs(model: LocationModel, batch: Sample) -> Tensor:
    return model.inputs(batch['point'].float(), batch.get('extra'), batch.get('image'))


def _listed(names: Sequence[str]) -> str:
    listed = ', '.join(map(repr, names[:5]))
    return (
        f'{len(names)} targets or classes ({listed}{", ..." if len(names) > 5 else ""})'
    )


def _file_names(names: Sequence[str]) -> list[str]:
    """Turn names of targets into parts of the names of files, all different."""
    safe = [re.sub(r'\W+', '_', name).strip('_')[:80] for name in names]
    if len({name.casefold() for name in safe}) < len(safe):
        return [f'{place}_{name}' for place, name in enumerate(safe)]
    return safe


def _error_map(points: Tensor, error: Tensor, name: str) -> 'Figure':
    from matplotlib import pyplot as plt

    figure, axes = point_map(points)
    # A few outliers would leave all other points in one colour.
    limit = float(np.quantile(error.abs(), 0.98)) or 1.0
    lon, lat = points.T.numpy()
    dots = axes.scatter(
        lon,
        lat,
        c=error,
        s=point_size(len(points)),
        cmap='RdBu_r',
        vmin=-limit,
        vmax=limit,
        linewidths=0,
    )
    figure.colorbar(dots, ax=axes, label=f'error of {name}', shrink=0.8, extend='both')
    plt.close(figure)
    return figure


@rank_zero_only
def _print_table(number: int, rows: list[list[str]]) -> None:
    header, *body = rows
    print(f'\nOn {number:,} points to test on:\n')
    for row in (header, ['---', *['---:'] * (len(header) - 1)], *body):
        print(f'| {" | ".join(row)} |')
