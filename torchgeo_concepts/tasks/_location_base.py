# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Model, features and checkpoints of tasks that predict at points."""

import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lightning.fabric.utilities import move_data_to_device
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from torch import Tensor, nn
from torch.utils.data import Dataset
from torchgeo.datasets.utils import Sample
from torchgeo.tasks import BaseTask

from ..datasets.point_table import PointTable
from ..evaluate.probes import LinearFit
from ..models.blueprints import build_encoder, encoder_blueprint, named_encoder
from ..models.features import InputKind, coordinate_features
from ..models.loading import DEFAULT_MODEL, DEFAULT_WEIGHTS, find_encoder
from ..models.location_model import LocationModel, make_head
from ..models.tower_loading import load_image_tower
from ..utils.modes import evaluating
from ._feature_tables import FeatureTable, whole_dataset
from ._search import search_head

# Maximum number of rows whose features are kept in memory. With more rows or with
# images, statistics are computed from a sample of rows.
MAX_CACHED_ROWS, STATISTICS_ROWS = 500_000, 20_000

MAX_SEARCH_EPOCHS = 50

# Options that the search chooses.
SEARCHED = ('lr', 'weight_decay', 'hidden_dim', 'depth', 'dropout')


class LocationBase(BaseTask):
    """Base class that builds, fits, saves and loads a model of point features."""

    ignore: Sequence[str] | str | None = (
        # A checkpoint contains the weights and the options that the search found.
        'image_weights',
        'download',
        'search_trials',
    )
    #: Name of the head that :meth:`setup` fits, before the first epoch.
    closed_form: str

    label_names: tuple[str, ...] = ()

    def __init__(
        self,
        model: str | nn.Module = DEFAULT_MODEL,
        weights: str | None = DEFAULT_WEIGHTS,
        model_kwargs: dict[str, Any] | None = None,
        features: InputKind = 'x',
        *,
        truncate_dim: int | None = None,
        image_model: str | None = None,
        image_weights: str | None = None,
        in_chans: int = 3,
        head: str = 'mlp',
        hidden_dim: int = 256,
        depth: int = 1,
        dropout: float = 0.1,
        freeze: bool = True,
        lr: float = 1e-3,
        encoder_lr: float = 1e-4,
        weight_decay: float = 1e-2,
        search_trials: int = 0,
        download: bool = False,
    ) -> None:
        """Initialize a new task.

        Args:
            model: Name of a location encoder in TorchGeo's registry, a safetensors file
                of this package, or a module that encodes points of shape ``(N, 2)`` as
                ``(longitude, latitude)``.
            weights: Name of its weights, a safetensors file of this package, or None for
                random weights.
            model_kwargs: Arguments of a model with random weights.
            features: ``'x'`` for the embedding, ``'z'`` for the concept scores, ``'xz'``
                for both, ``'coordinates'`` for sines and cosines of longitude and
                latitude, without an encoder.
            truncate_dim: Number of principal components of the embedding to use.
            image_model: Image backbone, named as in
                :func:`~torchgeo_concepts.models.load_image_tower`, whose features are
                appended to those of the point. Batches must then have an ``'image'``.
            image_weights: Weights of the backbone.
            in_chans: Number of channels of an image.
            head: ``'mlp'`` for a network, ``'linear'`` for a linear layer, or a model
                that is fitted before the first epoch: ``'ridge'`` in regression,
                ``'logistic'`` in classification.
            hidden_dim: Number of features of a hidden layer of the network.
            depth: Number of hidden layers of the network.
            dropout: Dropout rate of the hidden layers.
            freeze: Do not train the encoder and the backbone. Features of a table are
                then computed once.
            lr: Learning rate of the head.
            encoder_lr: Learning rate of the encoder and the backbone. Much higher rates
                destroy their pretrained features.
            weight_decay: Weight decay of AdamW.
            search_trials: Number of random combinations of learning rate, weight decay,
                size and dropout rate of the head to try. The task uses the one with the
                lowest validation loss, or the given options if they are better. Each
                trial has as many epochs as the task, at most 50.
            download: Download weights that are not on this machine.

        Raises:
            ValueError: If a model, its weights or a head do not exist, or options
                contradict each other.
        """
        # A tuple, since modules cannot be assigned before the base is initialized.
        self._sources = (model, weights, image_weights, download)
        self._num_trials = search_trials
        heads = ('linear', 'mlp', self.closed_form)
        if head not in heads:
            raise ValueError(f'head must be one of {heads}, not {head!r}.')
        self.is_closed_form = head == self.closed_form
        if self.is_closed_form and not freeze:
            raise ValueError(
                f'head={head!r} is fitted before training and trains no encoder. Use '
                "head='linear' with freeze=False."
            )
        if search_trials and (self.is_closed_form or not freeze):
            raise ValueError(
                "search_trials needs freeze=True and head='linear' or 'mlp'; "
                f'{self.closed_form!r} chooses its penalty itself.'
            )
        # A checkpoint contains the weights, so it loads without their file.
        saved: dict[str, Any] = {'weights': None}
        if isinstance(model, nn.Module):
            self.ignore = (*(self.ignore or ()), 'model')
        elif features != 'coordinates':
            saved['model'] = find_encoder(model, weights).model
        super().__init__()
        self.hparams.update(saved)

    # Building ---------------------------------------------------------------------------

    def configure_models(self) -> None:
        """Initialize the state; :meth:`setup` builds the model for the data."""
        self.model: LocationModel | None = None
        self.baseline: nn.Linear | None = None
        self._blueprint: dict[str, Any] | None = None
        self._cache: dict[str, FeatureTable] = {}
        self._kept: list[dict[str, Tensor]] = []
        self.extra_names: tuple[str, ...] = ()
        # A closed-form head has nothing to train.
        self.automatic_optimization = not self.is_closed_form

    @property
    @abstractmethod
    def num_outputs(self) -> int:
        """Number of outputs of the head."""

    @abstractmethod
    def learn_targets(self, dataset: Any) -> None:
        """Read the names of the targets of a dataset."""

    @abstractmethod
    def fit_targets(self, labels: Tensor) -> None:
        """Compute the statistics of the labels of training rows."""

    @abstractmethod
    def fit_linear(
        self, train: tuple[Tensor, Tensor], val: tuple[Tensor, Tensor] | None
    ) -> LinearFit:
        """Fit a linear model of standardised inputs."""

    @abstractmethod
    def loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Compute the loss of outputs of the head where labels are known."""

    @abstractmethod
    def scores(
        self, kept: dict[str, Tensor], stage: str
    ) -> tuple[dict[str, float], list[list[str]]]:
        """Compute metrics of outputs, and the rows of the printed table."""

    @abstractmethod
    def errors(self, kept: dict[str, Tensor]) -> list[tuple[str, Tensor]]:
        """Compute the errors of each target, NaN where it is unknown."""

    @abstractmethod
    def target_state(self) -> dict[str, Any]:
        """Return the names of the targets and their scale, for a checkpoint."""

    @abstractmethod
    def restore_targets(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`target_state` returned."""

    def calibrate(self, kept: dict[str, Tensor]) -> None:
        """Calibrate intervals, if there are any, on the outputs of validation rows."""

    def setup(self, stage: str) -> None:
        """Build the model for the features and targets of the data.

        This also fits a closed-form head.

        Args:
            stage: Either 'fit', 'validate', 'test', or 'predict'.

        Raises:
            ValueError: If there is no dataset to train on.
        """
        # If training resumes, the checkpoint then replaces the results of this method.
        if stage != 'fit' or (self.model is not None and not self.is_closed_form):
            return
        datamodule: Any = getattr(self.trainer, 'datamodule', None)
        train = getattr(datamodule, 'train_dataset', None)
        if train is None:
            raise ValueError(
                'The task needs a data module with a train_dataset, such as '
                'PointTableDataModule.'
            )
        self._prepare(train, getattr(datamodule, 'val_dataset', None))

    def _prepare(self, train: Dataset[Sample], val: Dataset[Sample] | None) -> None:
        self.learn_targets(whole_dataset(train))
        self.extra_names = tuple(getattr(whole_dataset(train), 'extra_names', ()))
        model = self._make_model(self._make_encoder(), self._sources[2])
        model.to(self.trainer.strategy.root_device)
        known = self._table(model, train, 'train')
        compared = None if val is None else self._table(model, val, 'val')
        model.fit_statistics(known.inputs.to(self.trainer.strategy.root_device))
        self.fit_targets(known.labels)
        self.model = model
        self._fit_baseline(known, compared)
        if self._num_trials:
            self._search(known, compared)
        self._model().head = self._build_head(self.hparams)
        if self.is_closed_form:
            self._fit_head(known, compared)

    def _make_encoder(self) -> nn.Module | None:
        model, weights, _, download = self._sources
        if self.hparams['features'] == 'coordinates':
            return None
        if self.model is not None:
            return self.model.encoder
        if isinstance(model, nn.Module):
            self._blueprint = encoder_blueprint(model)
            return model
        if weights is None and self.hparams['freeze']:
            rank_zero_warn(
                f'{model} is frozen with random weights. Pass the name of weights, or '
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

    def _make_model(
        self, encoder: nn.Module | None, image_weights: str | None
    ) -> LocationModel:
        tower, options = None, self.hparams
        if options['image_model'] is not None:
            tower = load_image_tower(
                options['image_model'],
                image_weights,
                in_chans=options['in_chans'],
                frozen=options['freeze'],
                download=self._sources[3],
            )
        number = len(self.extra_names)
        return LocationModel(
            encoder, options['features'], tower, number, options['freeze']
        )

    def _build_head(self, options: Mapping[str, Any]) -> nn.Module:
        sizes = {name: options[name] for name in ('hidden_dim', 'depth', 'dropout')}
        kind, width = self.hparams['head'], len(self._model().mean)
        return make_head(kind, width, self.num_outputs, **sizes)

    def _model(self) -> LocationModel:
        if self.model is None:
            raise RuntimeError(
                f'This {type(self).__name__} has not been trained. Fit it, or pass a '
                'ckpt_path.'
            )
        return self.model

    # Features that are computed once ----------------------------------------------------

    def _table(
        self, model: LocationModel, dataset: Dataset[Sample], split: str
    ) -> FeatureTable:
        """Compute the inputs of all rows, or of enough rows for statistics."""
        device = self.trainer.strategy.root_device
        datamodule: Any = self.trainer.datamodule

        def inputs(batch: Sample) -> Tensor:
            tensors = {k: v for k, v in batch.items() if isinstance(v, Tensor)}
            batch = move_data_to_device(tensors, device)
            if 'image' in batch:
                # Preprocess images as in training.
                batch = datamodule.on_after_batch_transfer(batch, 0)
            return model_inputs(model, batch)

        is_cached = model.frozen and _fits(dataset)
        needs_all = self.is_closed_form or self._num_trials or is_cached
        limit = None if needs_all else STATISTICS_ROWS
        with torch.no_grad(), evaluating(model):
            table = FeatureTable.compute(dataset, inputs, limit, datamodule)
        if is_cached:
            self._cache[split] = table
        return table

    def on_fit_start(self) -> None:
        """Compute the features of frozen encoders, also if training resumes."""
        model, datamodule = self._model(), getattr(self.trainer, 'datamodule', None)
        for split in ('train', 'val'):
            dataset: Any = getattr(datamodule, f'{split}_dataset', None)
            is_needed = model.frozen and not self.is_closed_form
            if is_needed and split not in self._cache and _fits(dataset):
                self._table(model, dataset, split)

    def on_fit_end(self) -> None:
        """Free the memory of the features."""
        self._cache.clear()

    def _standardised(
        self, table: FeatureTable, device: str | None = None
    ) -> tuple[Tensor, Tensor]:
        model = self._model()
        own = model.mean.device
        inputs, labels = model.standardise(table.inputs.to(own)), table.labels.to(own)
        return inputs.to(device), labels.to(device)

    def _fit_baseline(self, train: FeatureTable, val: FeatureTable | None) -> None:
        """Fit the baseline, a linear model of coordinates."""
        inputs = coordinate_features(train.points).double()
        mean, std = inputs.mean(dim=0), inputs.std(dim=0, correction=0)
        std[std < 1e-6] = 1

        def scaled(table: FeatureTable) -> tuple[Tensor, Tensor]:
            values = (coordinate_features(table.points).double() - mean) / std
            return values, table.labels

        fit = self.fit_linear(scaled(train), None if val is None else scaled(val))
        weight = fit.weight / std
        self.baseline = nn.Linear(4, len(fit.bias)).requires_grad_(False)
        bias = fit.bias - weight @ mean
        self.baseline.load_state_dict({'weight': weight, 'bias': bias})

    def _fit_head(self, train: FeatureTable, val: FeatureTable | None) -> None:
        start, head = time.perf_counter(), self._model().head
        fit = self.fit_linear(
            self._standardised(train, 'cpu'),
            None if val is None else self._standardised(val, 'cpu'),
        )
        head.load_state_dict({'weight': fit.weight, 'bias': fit.bias})
        penalties = ', '.join(f'{value:.3g}' for value in dict.fromkeys(fit.penalty))
        rank_zero_info(
            f'head={self.closed_form!r} was fitted on {len(train.labels):,} rows in '
            f'{time.perf_counter() - start:.1f} s, with a penalty of {penalties}. '
            'Training stops after one epoch, which does not change the head.'
        )

    def _search(self, train: FeatureTable, val: FeatureTable | None) -> None:
        """Choose options of the head by random search on the validation rows."""
        if val is None:
            raise ValueError('search_trials needs validation points.')
        chosen: dict[str, Any] = {}
        if self.trainer.is_global_zero:
            start = time.perf_counter()
            epochs = self.trainer.max_epochs or MAX_SEARCH_EPOCHS
            options, losses = search_head(
                self._build_head,
                self.loss,
                self._standardised(train),
                self._standardised(val),
                {name: self.hparams[name] for name in SEARCHED},
                self._num_trials,
                min(epochs, MAX_SEARCH_EPOCHS) if epochs > 0 else MAX_SEARCH_EPOCHS,
                getattr(self.trainer.datamodule, 'batch_size', None) or 512,
                self.hparams['head'] == 'mlp',
            )
            chosen = options[losses.index(min(losses))]
            rank_zero_info(
                f'Compared {self._num_trials} trials in '
                f'{time.perf_counter() - start:.1f} s: the best val_loss is '
                f'{min(losses):.4f}, and {losses[0]:.4f} with the given options. '
                f'The chosen options are {chosen}.'
            )
        # Rounding may differ between processes; all use the options of the first.
        self.hparams.update(self.trainer.strategy.broadcast(chosen))

    # Checkpoints ------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the options and targets that are needed to rebuild the model.

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
        """Build the model of a checkpoint; Lightning then loads its weights.

        Args:
            checkpoint: The checkpoint.

        Raises:
            ValueError: If the checkpoint cannot rebuild its encoder, and none is given.
        """
        saved, state = checkpoint['location'], checkpoint['state_dict']
        self._cache.clear()
        self.hparams.update(saved['options'])
        self.extra_names = tuple(saved['extra_names'])
        self.restore_targets(saved['targets'])
        encoder = self._restored_encoder(saved['encoder'])
        self._blueprint = saved['encoder']
        self.model = self._make_model(encoder, None)
        self.model.set_statistics(
            *(torch.zeros_like(state[f'model.{name}']) for name in ('mean', 'std'))
        )
        self._model().head = self._build_head(self.hparams)
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
                'The checkpoint has an encoder that is not part of this package or '
                'TorchGeo. Pass the encoder: '
                f'{type(self).__name__}.load_from_checkpoint(path, model=...).'
            )
        return self._sources[0]


def _fits(dataset: Any) -> bool:
    """Return True if a dataset is a table whose features fit into memory."""
    return isinstance(dataset, PointTable) and len(dataset) <= MAX_CACHED_ROWS


def model_inputs(model: LocationModel, batch: Sample) -> Tensor:
    """Compute the inputs of the head for a batch.

    Args:
        model: The model.
        batch: Points, and further inputs of the model.

    Returns:
        Inputs of shape ``(N, d)``.
    """
    return model.inputs(batch['point'].float(), batch.get('extra'), batch.get('image'))
