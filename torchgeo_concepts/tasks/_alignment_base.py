# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Model, labels, optimizer and checkpoints of ConceptAlignment."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import StepLR
from torchgeo.tasks import BaseTask
from torchmetrics import MetricCollection

from ..concepts.bank import ConceptBank
from ..datasets import CachedFeatures
from ..embed.points import count_features
from ..evaluate.metrics import (
    ConceptEntropy,
    DistanceAccuracy,
    GeoScore,
    MedianDistance,
    RecallVersusArea,
)
from ..layers.named_banks import read_bank
from ..models.alignment import (
    Align,
    AlignedEmbeddings,
    ConceptBasis,
    ImageLocationAlignment,
    ImageProjection,
)
from ..models.blueprints import build_encoder, encoder_blueprint, named_encoder
from ..models.concept_earth import ConceptScale
from ..models.concept_geoclip import ConceptGeoCLIP
from ..models.concept_supervision import ConceptSupervision, SupervisionKind
from ..models.geoclip import geoclip_logit_scale
from ..models.image_location import ImageLocationModel
from ..models.image_towers import ImageTower
from ..models.loading import DEFAULT_MODEL, DEFAULT_WEIGHTS, find_encoder
from ..models.location_model import freeze_unused
from ..models.tower_loading import load_image_tower
from ..utils.names import check_choice
from ._gallery_search import GallerySearch
from ._schedules import with_cosine
from .alignment_options import (
    DEFAULT_LOSS,
    DEFAULT_OPTIMIZER,
    FrozenPart,
    LossOptions,
    OptimizerOptions,
    as_options,
)
from .losses import InfoNCE, PointQueue, masked_mse


class AlignmentTask(BaseTask):
    """Base class of ConceptAlignment that builds, freezes, saves and loads a model."""

    ignore = (
        # A checkpoint contains these, so their files are not needed to load it.
        'image_weights',
        'head_weights',
        'bank',
        'text_embeddings',
        # Testing a checkpoint may use other values of these.
        'gallery',
        'drop_test_points',
        'download',
    )
    monitor = 'val_median_km'

    def __init__(
        self,
        image_tower: str = 'open_clip/ViT-L-14-quickgelu',
        image_weights: str | None = None,
        head_weights: str | None = None,
        location_encoder: str = DEFAULT_MODEL,
        location_weights: str | None = DEFAULT_WEIGHTS,
        location_kwargs: dict[str, Any] | None = None,
        bank: str | None = None,
        text_embeddings: str | None = None,
        *,
        align: Align = 'both',
        image_projection: ImageProjection = 'tied',
        unit: bool = True,
        supervision: SupervisionKind | None = None,
        loss: LossOptions | dict[str, Any] = DEFAULT_LOSS,
        optimizer: OptimizerOptions | dict[str, Any] = DEFAULT_OPTIMIZER,
        freeze: Sequence[FrozenPart] = ('backbone',),
        gallery: str = 'geoclip',
        drop_test_points: bool = False,
        download: bool = False,
    ) -> None:
        """Initialize a new task.

        Args:
            image_tower: Image backbone, named as in
                :func:`~torchgeo_concepts.models.load_image_tower`, such as
                ``open_clip/ViT-L-14-quickgelu``, ``timm/resnet18``, or
                ``features/768`` for cached features.
            image_weights: Weights of the backbone.
            head_weights: Weights of GeoCLIP's head on the backbone. None for a
                new head.
            location_encoder: Name of a location encoder in TorchGeo's registry, or a
                safetensors file of this package.
            location_weights: Name of its weights, a safetensors file of this package, or
                None for random weights.
            location_kwargs: Arguments of a location encoder with random weights, or
                *truncate_dim*, the number of principal components of the embedding to
                use.
            bank: CSV or YAML file of concepts, ``'general'`` for the bank of common
                nouns, ``'layers'`` for the concepts of the installed maps, or None for
                the curated bank. Groups of maps can be omitted, as in
                ``'layers without imagery, people'``.
            text_embeddings: Safetensors file whose tensor ``directions`` has one row for
                each concept, as ``torchgeo-concepts text-directions`` writes it. None
                for random directions, which have no meaning.
            align: Where images and locations are compared: embeddings (``'x'``),
                concepts (``'z'``, the paper) or both.
            image_projection: How images are projected onto concepts: by a network
                (``'mlp'``, the paper), or by the basis of the locations (``'tied'``).
            unit: Compare unit vectors. If false, use dot products, as in the paper.
            supervision: Train concepts on labels from maps, which batches must contain.
                ``'projections'`` supervises both concept projections, which gives the
                concepts their meaning; ``'heads'`` supervises separate linear layers;
                ``'both'`` supervises all of these. None for no supervision. Labelled
                points without images supervise locations only.
            loss: Parts of the loss and their weights, see
                :class:`~torchgeo_concepts.tasks.alignment_options.LossOptions`.
            optimizer: Learning rate and its schedule, see
                :class:`~torchgeo_concepts.tasks.alignment_options.OptimizerOptions`.
            freeze: Parts that are not trained: ``'backbone'``, ``'head'``,
                ``'location_encoder'``, ``'basis'`` or ``'logit_scale'``.
            gallery: Candidate points in validation and testing, named as in
                :func:`~torchgeo_concepts.retrieval.candidates.candidate_points`.
            drop_test_points: Remove points from the gallery that equal the point of a
                test image.
            download: Download weights that are not on this machine.

        Raises:
            ValueError: If an option, a model or its weights do not exist.
        """
        self.loss_options = as_options(LossOptions, loss)
        self.optimizer_options = as_options(OptimizerOptions, optimizer)
        for part in freeze:
            check_choice('freeze', part, FrozenPart)
        self.weights = {'backbone': image_weights, 'head': head_weights}
        self.bank_source, self.text_embeddings = bank, text_embeddings
        self.search = GallerySearch(gallery, download)
        self.drop_test_points = drop_test_points
        self.download = download
        # Hash of the backbone of the cached features, if the task uses cached features.
        self.features_made_by: str | None = None
        self._random_state: Tensor | None = None
        loss, optimizer = asdict(self.loss_options), asdict(self.optimizer_options)
        super().__init__()
        # A checkpoint contains the logit scale and the location encoder.
        loss.pop('logit_scale')
        self.hparams.update(
            loss=loss,
            optimizer=optimizer,
            location_encoder=find_encoder(location_encoder, location_weights).model,
            location_weights=None,
        )

    def configure_metrics(self) -> None:
        """Initialize the performance metrics."""
        metrics = MetricCollection(
            {
                'accuracy': DistanceAccuracy(),
                'median_km': MedianDistance(),
                'geoscore': GeoScore(),
            }
        )
        self.val_metrics = metrics.clone(prefix='val_')
        self.test_metrics = metrics.clone(prefix='test_')
        self.val_entropy = ConceptEntropy(len(self.bank))
        self.test_area = RecallVersusArea()

    # Building ---------------------------------------------------------------------------

    def configure_models(self) -> None:
        """Initialize the model."""
        hparams = self.hparams
        kwargs = dict(hparams['location_kwargs'] or {})
        encoder, blueprint = named_encoder(
            hparams['location_encoder'],
            hparams['location_weights'],
            truncate_dim=kwargs.pop('truncate_dim', None),
            model_kwargs=kwargs,
            download=self.download,
        )
        self._blueprint: dict[str, Any] | None = blueprint
        if isinstance(encoder, ConceptGeoCLIP):
            encoder = encoder.encoder
            self._blueprint = encoder_blueprint(encoder)
        name = type(encoder).__name__
        dim = count_features(encoder, name, device='cpu', progress=False)
        bank, unit = read_bank(self.bank_source), hparams['unit']
        tower = self._load_tower(dim, self.weights['backbone'], self.weights['head'])
        if self.text_embeddings is None:
            basis = ConceptBasis.random(bank, dim, unit)
        else:
            directions = _read_directions(self.text_embeddings)
            basis = ConceptBasis(bank, directions, 'text embeddings', unit)
        self._assemble(tower, encoder, basis)
        self.queue = PointQueue(
            self.loss_options.queue_size, self.loss_options.queue_noise_km
        )

    def _load_tower(
        self, dim: int, weights: str | None, head_weights: str | None
    ) -> ImageTower:
        return load_image_tower(
            self.hparams['image_tower'],
            weights,
            head_weights=head_weights,
            embed_dim=dim,
            frozen='backbone' in self.hparams['freeze'],
            download=self.download,
        )

    def _assemble(
        self, tower: ImageTower, encoder: nn.Module, basis: ConceptBasis
    ) -> None:
        kind = self.hparams['supervision']
        alignment = ImageLocationAlignment(
            basis, self.hparams['image_projection'], self.hparams['align']
        )
        self.model = ImageLocationModel(tower, encoder, alignment)
        self.supervision: ConceptSupervision | None = None
        if kind is not None:
            dim, num_concepts = basis.initial.shape
            self.supervision = ConceptSupervision(num_concepts, dim, kind)
        # Bank of the labels in batches, and the label column of each concept.
        self._labelled: ConceptBank | None = None
        self._columns: Tensor | None = None

    def configure_losses(self) -> None:
        """Initialize the losses."""
        options = self.loss_options
        scale = options.logit_scale
        if isinstance(scale, str):
            scale = geoclip_logit_scale(scale, download=self.download).item()
        self.contrast = InfoNCE(scale, symmetric=options.symmetric)
        self._freeze()

    @property
    def bank(self) -> ConceptBank:
        """The concepts."""
        return self.model.alignment.basis.bank

    @property
    def _uses_concepts(self) -> bool:
        return (
            self.hparams['align'] != 'x'
            or bool(self.loss_options.divergence_weight)
            or self.hparams['supervision'] in ('projections', 'both')
        )

    def _freeze(self) -> None:
        """Freeze the chosen parts, and parts without a gradient.

        Distributed training would wait for the missing gradients.
        """
        self.train()
        alignment, freeze = self.model.alignment, self.hparams['freeze']
        if 'location_encoder' not in freeze:
            freeze_unused(self.model.encoder, 'x')
        parts: dict[str, nn.Module | nn.Parameter] = {
            'head': self.model.tower.head,
            'location_encoder': self.model.encoder,
            'basis': alignment.basis,
            'logit_scale': self.contrast.logit_scale,
        }
        frozen = [part for name, part in parts.items() if name in freeze]
        if not self._uses_concepts:
            frozen.append(alignment.image_mlp)
            if not self.loss_options.drift_weight:
                frozen.append(alignment.basis)
        for part in frozen:
            part.requires_grad_(False)
            if isinstance(part, nn.Module):
                part.eval()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Initialize the optimizer and learning rate scheduler.

        Returns:
            AdamW, and the decay of its learning rate.
        """
        options = self.optimizer_options
        optimizer = AdamW(
            [p for p in self.parameters() if p.requires_grad],
            options.lr,
            weight_decay=options.weight_decay,
            fused=True,
        )
        if options.schedule == 'epochs':
            return [optimizer], [StepLR(optimizer, step_size=1, gamma=options.gamma)]
        return with_cosine(optimizer, self.trainer, options.warmup_steps)

    def setup(self, stage: str) -> None:
        """Find the labels of the concepts, and check the backbone of cached features.

        Args:
            stage: Either 'fit', 'validate', 'test', or 'predict'.

        Raises:
            ValueError: If cached features come from another backbone, or the dataset
                has labels for none of the concepts.
        """
        datamodule = getattr(self.trainer, 'datamodule', None)
        labelled = None if self.supervision is None else _labelled_part(datamodule)
        if labelled is not None:
            self._find_labels(labelled.bank)
            # Validation keeps the scale of the training data.
            if stage == 'fit':
                self._set_scale(labelled.scale())
        for name in ('train_source', 'val_source', 'test_source', 'predict_source'):
            source = getattr(datamodule, name, None)
            if isinstance(source, CachedFeatures):
                source.check_tower(self.model.tower)
                self._check_features(source.made_by)

    def _check_features(self, made_by: str | None) -> None:
        """Check that all cached features come from one backbone."""
        if None not in (made_by, self.features_made_by) and (
            made_by != self.features_made_by
        ):
            raise ValueError(
                'The cached features come from a different backbone than the features '
                'that this model was trained on. Cache them again with its backbone.'
            )
        self.features_made_by = self.features_made_by or made_by

    # Labels from maps -------------------------------------------------------------------

    def _find_labels(self, labelled: ConceptBank) -> None:
        """Find the label column of each concept of the bank."""
        where = {concept: column for column, concept in enumerate(labelled.ids)}
        columns = [where.get(concept, len(labelled)) for concept in self.bank.ids]
        if min(columns) == len(labelled):
            raise ValueError(
                f'The dataset has labels for {len(labelled)} concepts, but for none of '
                f"the {len(columns)} concepts of the bank. Use bank='layers'."
            )
        self._labelled, self._columns = labelled, torch.tensor(columns)

    def _in_bank_order(self, values: Tensor, missing: float = torch.nan) -> Tensor:
        """Select the column of each concept, filled with *missing* if it has no labels."""
        if self._columns is None:
            return values
        padded = F.pad(values, (0, 1), value=missing)
        return padded[..., self._columns.to(values.device)]

    def _set_scale(self, scale: ConceptScale) -> None:
        """Use the statistics of the training data to standardise labels."""
        if self.supervision is not None:
            self.supervision.set_scale(
                self._in_bank_order(torch.tensor(scale.mean), 0.0),
                self._in_bank_order(torch.tensor(scale.std), 1.0),
            )
            if self.supervision.has_projections:
                self.model.alignment.basis.source = 'learned from layers'

    def _label_loss(
        self,
        aligned: AlignedEmbeddings,
        labels: Tensor | None,
        maps: tuple[Tensor, Tensor] | None,
    ) -> Tensor:
        """Compute the mean squared error of estimates of standardised labels.

        The first locations belong to the images, the last locations to *maps*.
        """
        supervision = self.supervision
        if supervision is None or labels is None:
            raise ValueError(
                f'supervision={self.hparams["supervision"]!r} needs batches with labels '
                "in 'concepts', such as those of BlueMarbleDataModule, or of "
                'ImagePointsDataModule with concepts=True.'
            )
        target = truth = supervision.standardise(self._in_bank_order(labels))
        if maps is not None:
            further = supervision.standardise(self._in_bank_order(maps[1]))
            truth = torch.cat((target, further))
        total = torch.zeros((), device=target.device)
        for image, location in supervision(aligned):
            places = location[: len(labels)]
            if maps is not None:
                places = torch.cat((places, location[-len(maps[1]) :]))
            total = total + (masked_mse(image, target) + masked_mse(places, truth)) / 2
        return total

    # Checkpoints ------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save what is needed to rebuild the model, and the random state.

        Args:
            checkpoint: The checkpoint.
        """
        checkpoint['location_encoder'] = self._blueprint
        checkpoint['bank'] = self.bank.to_json()
        checkpoint['basis_source'] = self.model.alignment.basis.source
        checkpoint['random_state'] = torch.get_rng_state()
        checkpoint['features_made_by'] = self.features_made_by

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Build the model of a checkpoint; Lightning then loads its weights.

        Args:
            checkpoint: The checkpoint.
        """
        bank = ConceptBank.from_json(checkpoint['bank'])
        blueprint = checkpoint['location_encoder']
        self._random_state = checkpoint['random_state']
        # The data module may be set up before or after the checkpoint is read.
        self._check_features(checkpoint['features_made_by'])
        if (bank, blueprint) != (self.bank, self._blueprint):
            labelled, self._blueprint = self._labelled, blueprint
            initial = checkpoint['state_dict']['model.alignment.basis.initial'].T
            source, unit = checkpoint['basis_source'], self.hparams['unit']
            tower = self.model.tower
            if initial.shape[1] != len(self.model.alignment.basis.initial):
                tower = self._load_tower(initial.shape[1], None, None)
            basis = ConceptBasis(bank, initial, source, unit)
            self._assemble(tower, build_encoder(blueprint), basis)
            self.val_entropy = ConceptEntropy(len(bank))
            if labelled is not None:
                self._find_labels(labelled)
            self._freeze()
        self.model.alignment.basis.source = checkpoint['basis_source']


def _labelled_part(datamodule: Any) -> Any:
    """Return the part of a data module that has labels of concepts, or None."""
    names = 'map_labels', 'train_dataset', 'val_dataset'
    parts = (getattr(datamodule, name, None) for name in names)
    return next((p for p in parts if getattr(p, 'bank', None) is not None), None)


def _read_directions(file: str) -> Tensor:
    if not Path(file).is_file():
        raise FileNotFoundError(f'No file {file}, given as text_embeddings.')
    tensors = load_file(file)
    if 'directions' not in tensors:
        raise ValueError(f"{file} has no tensor 'directions', only {sorted(tensors)}.")
    return F.normalize(tensors['directions'].float(), dim=1)
