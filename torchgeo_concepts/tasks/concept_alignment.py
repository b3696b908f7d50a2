# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Training of images and locations that meet in a concept space."""

import warnings
from pathlib import Path
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, StepLR
from torchgeo.datasets.utils import Sample
from torchgeo.models import get_model, list_models
from torchgeo.tasks import BaseTask
from torchmetrics import MetricCollection

from .. import models
from ..concepts.bank import ConceptBank
from ..datasets import CachedFeatures
from ..evaluate.metrics import (
    ConceptEntropy,
    DistanceAccuracy,
    GeoScore,
    MedianDistance,
    RecallVersusArea,
)
from ..layers.named_banks import read_bank
from ..models.alignment import Align, AlignedEmbeddings, ImageProjection
from ..models.concept_earth import ConceptScale
from ..models.concept_supervision import SupervisionKind
from ..retrieval.candidates import Candidates, candidate_points
from ..retrieval.gallery import Gallery
from ..retrieval.geolocator import Geolocator
from ..utils.distributed import gather_objects
from ..utils.modes import evaluating
from ..utils.names import near_matches
from ._schedules import warm_cosine
from .losses import ConceptDivergence, DivergenceKind, InfoNCE, PointQueue, masked_mse

Schedule = Literal['epochs', 'cosine']
Contrasted = Literal['each', 'mean']


class ConceptAlignment(BaseTask):
    """Aligns images with the locations where they were taken, by way of concepts.

    The loss is InfoNCE plus *divergence_weight* times the divergence of concepts. With
    ``align='z'``, ``image_projection='mlp'``, ``unit=False`` and a weight of 1 it is the
    paper's, with ``align='x'`` and a weight of 0 GeoCLIP's. By default embeddings and
    concepts are compared, on one basis and without divergence, which found patches of
    satellite imagery better than the paper's loss and worse than GeoCLIP's. Where batches
    have labels of maps, ``reading='both'`` and ``label_weight=0.5`` give the concepts
    their meaning, and found them about as well as GeoCLIP's.

    If you use this task in your research, please cite the following paper:

    * https://doi.org/10.48550/arXiv.2509.01910
    """

    ignore = (
        # A checkpoint holds them, so they need not be found again to load it.
        'image_weights',
        'head_weights',
        'location_weights',
        'bank',
        'text_embeddings',
        'logit_scale',
        # A checkpoint should not overrule who tests it.
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
        location_encoder: str = 'geoclip_location',
        location_weights: str | None = None,
        location_kwargs: dict[str, Any] | None = None,
        bank: str | None = None,
        text_embeddings: str | None = None,
        *,
        align: Align = 'both',
        image_projection: ImageProjection = 'tied',
        unit: bool = True,
        divergence: DivergenceKind = 'paper',
        divergence_weight: float = 0.0,
        sigma: float = 1.0,
        drift_weight: float = 0.0,
        reading: SupervisionKind | None = None,
        label_weight: float = 1.0,
        symmetric: bool = False,
        contrasted: Contrasted = 'each',
        logit_scale: float | str = 2.6593,
        queue_size: int = 4096,
        queue_noise_km: float = 1.0,
        freeze_backbone: bool = True,
        freeze_head: bool = False,
        freeze_location_encoder: bool = False,
        freeze_basis: bool = False,
        freeze_logit_scale: bool = False,
        in_chans: int = 3,
        lr: float = 3e-5,
        weight_decay: float = 1e-6,
        gamma: float = 0.87,
        schedule: Schedule = 'epochs',
        warmup_steps: int = 0,
        gallery: str = 'geoclip',
        drop_test_points: bool = False,
        download: bool = False,
    ) -> None:
        """Initialize a new ConceptAlignment instance.

        Args:
            image_tower: Backbone of images, as
                :func:`~torchgeo_concepts.models.load_image_tower` names it, such as
                ``open_clip/ViT-L-14-quickgelu``, ``timm/resnet18``, or
                ``features/768`` for cached features.
            image_weights: Weights of the backbone.
            head_weights: Weights of GeoCLIP's head on it, or None for a fresh head.
            location_encoder: Name of a location encoder in TorchGeo's registry.
            location_weights: Weights of the location encoder. None to train it from
                scratch.
            location_kwargs: Arguments of a location encoder without weights.
            bank: CSV or YAML file of concepts, ``'general'`` for the bank of common
                nouns, ``'layers'`` for the concepts that installed maps tell, such as
                ``'layers without imagery, people'`` for those of some groups of maps
                alone, or None for the curated one.
            text_embeddings: Safetensors file whose ``directions`` are one row for each
                concept, such as :func:`~torchgeo_concepts.concepts.text.encode_text`
                caches. None for random directions, which name nothing.
            align: Where images and locations are compared: embeddings (``'x'``),
                concepts (``'z'``, the paper) or both.
            image_projection: How images reach concepts: a network of their own
                (``'mlp'``, the paper), or the basis of the locations (``'tied'``).
            unit: Compare unit vectors. If false, dot products as in the paper.
            divergence: Divergence of concepts between images and locations.
            divergence_weight: Its weight, the paper's lambda, which is 1 there. 0
                leaves it out.
            sigma: Width of its kernel.
            drift_weight: Weight of the penalty on directions that leave their start,
                and with it the meaning of their names.
            reading: How labels of concepts, which batches must have, teach:
                ``'projections'`` teaches the projections that images and locations are
                compared by, so that maps give them their names; ``'heads'`` teaches
                linear layers beside the comparison; ``'both'`` teaches both. By
                default, not at all. Points of maps that batches have beside those of
                images teach, too.
            label_weight: Weight of the error of what is read, in each of the ways.
            symmetric: Contrast locations with images too, not images with locations
                alone.
            contrasted: With ``align='both'``, whether embeddings and concepts should
                each tell an image's place (``'each'``), or their mean similarity, which
                places are searched by (``'mean'``).
            logit_scale: Natural logarithm of the initial factor of similarities, or
                weights that have it, ``GeoCLIPLogitScale_Weights.MP16``.
            queue_size: Number of points of earlier batches that are further negatives.
            queue_noise_km: Standard deviation of their displacement in kilometres.
            freeze_backbone: Leave the image backbone as it is.
            freeze_head: Leave the head on it as it is.
            freeze_location_encoder: Leave the location encoder as it is.
            freeze_basis: Leave the directions of concepts as they are.
            freeze_logit_scale: Leave the factor of similarities as it is.
            in_chans: Number of channels of an image.
            lr: Learning rate of AdamW. This and the two below are GeoCLIP's.
            weight_decay: Weight decay of AdamW.
            gamma: Factor of the learning rate after each epoch.
            schedule: ``'epochs'`` multiplies the learning rate by *gamma* after each
                epoch, ``'cosine'`` lets it fall along a cosine over all steps.
            warmup_steps: Steps until the learning rate of ``'cosine'`` is reached.
            gallery: Points to find images among in validation and testing, as
                :func:`~torchgeo_concepts.retrieval.candidates.candidate_points` names them.
            drop_test_points: Leave out points of the gallery that equal the point of an
                image they are tested on.
            download: Download weights that are not on this machine.
        """
        self.weights = {
            'image_tower': image_weights,
            'head': head_weights,
            'location_encoder': location_weights,
        }
        self.bank_source = bank
        self.text_embeddings = text_embeddings
        self.logit_scale = logit_scale
        self.gallery = gallery
        self._candidates: Candidates | None = None
        self.drop_test_points = drop_test_points
        self.download = download
        if location_weights is not None and location_kwargs:
            raise ValueError(
                'location_weights determine the location encoder; leave out '
                'location_kwargs.'
            )
        if location_encoder not in list_models():
            hint = near_matches(location_encoder, list_models())
            raise ValueError(f'No model {location_encoder!r}. {hint}')
        for argument, value, known in (
            ('schedule', schedule, get_args(Schedule)),
            ('contrasted', contrasted, get_args(Contrasted)),
        ):
            if value not in known:
                raise ValueError(f'{argument} must be one of {known}, not {value!r}.')
        # Hash of the backbone that made the cached features, if it trains on any.
        self.features_made_by: str | None = None
        super().__init__()

    def configure_models(self) -> None:
        """Initialize the model."""
        encoder = self._load_encoder()
        dim = _embed_dim(encoder)
        bank = read_bank(self.bank_source)
        tower = models.load_image_tower(
            self.hparams['image_tower'],
            self.weights['image_tower'],
            head_weights=self.weights['head'],
            embed_dim=dim,
            in_chans=self.hparams['in_chans'],
            frozen=self.hparams['freeze_backbone'],
            download=self.download,
        )
        if self.text_embeddings is None:
            basis = models.ConceptBasis.random(bank, dim, self.hparams['unit'])
        else:
            basis = models.ConceptBasis(
                bank,
                _read_directions(self.text_embeddings),
                'text embeddings',
                self.hparams['unit'],
            )
        self.model = models.ImageLocationModel(tower, encoder, self._align(basis))
        self.reading = self._read(len(bank), dim)
        # Concepts that labels are of, and which columns are those of the bank.
        self._labelled: ConceptBank | None = None
        self._columns: Tensor | None = None
        self.queue = PointQueue(
            self.hparams['queue_size'], self.hparams['queue_noise_km']
        )

    def configure_losses(self) -> None:
        """Initialize the losses."""
        scale = self.logit_scale
        if isinstance(scale, str):
            scale = models.geoclip_logit_scale(scale, download=self.download).item()
        self.contrast = InfoNCE(scale, symmetric=self.hparams['symmetric'])
        self.divergence = ConceptDivergence(
            self.hparams['divergence'], self.hparams['sigma']
        )
        self._freeze()

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
        self._queries: list[Tensor] = []
        self._points: list[Tensor] = []

    @property
    def bank(self) -> ConceptBank:
        """The concepts."""
        return self.model.alignment.basis.bank

    def geolocator(
        self, candidates: Candidates | Tensor, folder: Path | str | None = None
    ) -> Geolocator:
        """Search candidates with this model, as it was trained to compare.

        Args:
            candidates: Candidate points.
            folder: Where to keep the gallery. In memory if not given.

        Returns:
            A geolocator for images as CLIP takes them.
        """
        scale = self.contrast.scale.item()
        return Geolocator.build(self.model, candidates, folder, scale=scale)

    def _load_encoder(self) -> nn.Module:
        name, weights = (
            self.hparams['location_encoder'],
            self.weights['location_encoder'],
        )
        if weights is not None:
            encoder = models.load_encoder(name, weights, download=self.download)
        else:
            encoder = get_model(name, **(self.hparams['location_kwargs'] or {}))
        if isinstance(encoder, models.ConceptGeoCLIP):
            encoder = encoder.encoder
        return encoder

    def _align(self, basis: models.ConceptBasis) -> models.ImageLocationAlignment:
        return models.ImageLocationAlignment(
            basis, self.hparams['image_projection'], self.hparams['align']
        )

    def _read(self, num_concepts: int, dim: int) -> models.ConceptSupervision | None:
        reading = self.hparams['reading']
        if reading is None:
            return None
        return models.ConceptSupervision(num_concepts, dim, reading)

    @property
    def _uses_concepts(self) -> bool:
        return (
            self.hparams['align'] != 'x'
            or bool(self.hparams['divergence_weight'])
            or self.hparams['reading'] in ('projections', 'both')
        )

    def _freeze(self) -> None:
        """Give gradients, and the mode for training, to the parts that train."""
        self.train()
        alignment = self.model.alignment
        # Distributed training waits for gradients, which no loss would give these.
        no_images = not self._uses_concepts
        no_basis = no_images and not self.hparams['drift_weight']
        frozen: list[tuple[nn.Module | nn.Parameter, bool]] = [
            (self.model.tower.head, self.hparams['freeze_head']),
            (self.model.encoder, self.hparams['freeze_location_encoder']),
            (alignment.basis, self.hparams['freeze_basis'] or no_basis),
            (alignment.image_mlp, no_images),
            (self.contrast.logit_scale, self.hparams['freeze_logit_scale']),
        ]
        for part, is_frozen in frozen:
            if is_frozen:
                part.requires_grad_(False)
                if isinstance(part, nn.Module):
                    part.eval()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Initialize the optimizer and learning rate scheduler.

        Returns:
            AdamW, and the decay of its learning rate.
        """
        trained = [p for p in self.parameters() if p.requires_grad]
        optimizer = AdamW(
            trained,
            self.hparams['lr'],
            weight_decay=self.hparams['weight_decay'],
            fused=True,
        )
        scheduler: LRScheduler
        if self.hparams['schedule'] == 'cosine':
            total = int(self.trainer.estimated_stepping_batches)
            factor = warm_cosine(total, self.hparams['warmup_steps'])
            scheduler, interval = LambdaLR(optimizer, factor), 'step'
        else:
            scheduler = StepLR(optimizer, step_size=1, gamma=self.hparams['gamma'])
            interval = 'epoch'
        return {
            'optimizer': optimizer,
            'lr_scheduler': {'scheduler': scheduler, 'interval': interval},
        }

    def losses(
        self,
        images: Tensor,
        points: Tensor,
        labels: Tensor | None = None,
        maps: tuple[Tensor, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Compute the parts of the loss of a batch, and their sum.

        Args:
            images: Preprocessed images, or their cached features.
            points: Their points of shape ``(N, 2)``.
            labels: Labels of concepts at the points, as the dataset has them, if they
                teach.
            maps: Further points, which no image shows, and their labels. They teach
                locations alone.

        Returns:
            Losses by name, and the accuracy of retrieval within the batch.

        Raises:
            ValueError: If labels should teach and there are none.
        """
        # One pass of the encoder for all points: of the batch, the queue and of maps.
        negatives = self.queue() if self.training else points[:0]
        map_points = points[:0] if maps is None else maps[0]
        x_image = self.model.tower(images)
        x_all = self.model.encoder(torch.cat((points, negatives, map_points)))
        aligned: AlignedEmbeddings = self.model.alignment(x_image, x_all)
        number, compared = len(points), len(points) + len(negatives)
        pairs = self.model.alignment.pairs(aligned)
        if self.hparams['contrasted'] == 'mean':
            pairs = [_side_by_side(pairs)]
        contrast = torch.stack(
            [
                self.contrast(image, place[:number], place[number:compared])
                for image, place in pairs
            ]
        ).mean()
        parts = {'contrast': contrast, 'loss': contrast}
        if self.hparams['divergence_weight']:
            z_location = aligned.z_location[:number]
            parts['divergence'] = self.divergence(aligned.z_image, z_location)
            weighted = self.hparams['divergence_weight'] * parts['divergence']
            parts['loss'] = parts['loss'] + weighted
        if self.hparams['drift_weight']:
            parts['drift'] = self.model.alignment.basis.drift_penalty()
            weighted = self.hparams['drift_weight'] * parts['drift']
            parts['loss'] = parts['loss'] + weighted
        if self.reading is not None:
            parts['labels'] = self._label_loss(aligned, labels, maps, compared)
            weighted = self.hparams['label_weight'] * parts['labels']
            parts['loss'] = parts['loss'] + weighted
        with torch.no_grad():
            similar = sum(image @ place[:number].T for image, place in pairs)
            own = torch.arange(number, device=points.device)
            hits = torch.as_tensor(similar).argmax(dim=1) == own
            parts['retrieval'] = hits.float().mean()
        return parts

    def _label_loss(
        self,
        aligned: AlignedEmbeddings,
        labels: Tensor | None,
        maps: tuple[Tensor, Tensor] | None,
        compared: int,
    ) -> Tensor:
        """Compute by how much what is read misses the labels, in their deviations.

        Points of the batch are the first of all locations; those of maps follow those
        that images are compared with.
        """
        if self.reading is None or labels is None:
            raise ValueError(
                f'reading={self.hparams["reading"]!r} needs batches with labels of '
                "'concepts', such as those of BlueMarbleDataModule, or of "
                'ImagePointsDataModule with concepts=True.'
            )
        target = truth = self.reading.standardise(self._label_columns(labels))
        if maps is not None:
            told = self.reading.standardise(self._label_columns(maps[1]))
            truth = torch.cat((target, told))
        errors = []
        for image, location in self.reading(aligned):
            places = location[: len(labels)]
            if maps is not None:
                places = torch.cat((places, location[compared:]))
            parts = masked_mse(image, target), masked_mse(places, truth)
            errors.append(torch.stack(parts).mean())
        return torch.stack(errors).sum()

    def _label_columns(self, labels: Tensor) -> Tensor:
        """Put labels into the order of the bank, NaN for what no map tells."""
        if self._columns is None:
            return labels
        missing = labels.new_full((len(labels), 1), torch.nan)
        # The last column is that of all concepts that the dataset does not have.
        return torch.cat((labels, missing), dim=1)[:, self._columns.to(labels.device)]

    def training_step(self, batch: Sample, batch_idx: int) -> Tensor:
        """Compute the loss of a training batch.

        Args:
            batch: Images and points.
            batch_idx: Number of the batch.

        Returns:
            The loss.
        """
        labels, maps = batch.get('concepts'), None
        if self.reading is not None and 'map_point' in batch:
            maps = batch['map_point'], batch['map_concepts']
        parts = self.losses(batch['image'], batch['point'], labels, maps)
        self.queue.push(batch['point'])
        self._log('train', parts, len(batch['point']))
        self.log('train_scale', self.contrast.scale.detach())
        return parts['loss']

    def on_train_epoch_end(self) -> None:
        """Log how far the directions of concepts have drifted.

        Raises:
            ValueError: If there was no batch to train on.
        """
        if not self.trainer.global_step:
            raise ValueError(
                'There was no whole batch to train on. Lower batch_size; with workers, '
                'each fills batches of its own.'
            )
        drift = self.model.alignment.basis.drift().detach()
        self.log_dict({'drift_mean': drift.mean(), 'drift_min': drift.min()})

    def validation_step(self, batch: Sample, batch_idx: int) -> None:
        """Compute the loss of a validation batch, and keep it to search the gallery.

        Args:
            batch: Images and points.
            batch_idx: Number of the batch.
        """
        # What the backbone makes of images serves loss, entropy and search alike.
        features, points = self.model.tower.features(batch['image']), batch['point']
        parts = self.losses(features, points, batch.get('concepts'))
        self._log('val', parts, len(points))
        x_image = self.model.tower(features)
        self.val_entropy.update(self.model.alignment.project_image(x_image))
        self._keep(features, points)

    def on_validation_epoch_end(self) -> None:
        """Search the gallery for all images, and log the metrics."""
        self._evaluate(self.val_metrics)
        self.log('val_concept_entropy', self.val_entropy)

    def test_step(self, batch: Sample, batch_idx: int) -> None:
        """Keep a batch to search the gallery.

        Args:
            batch: Images and points.
            batch_idx: Number of the batch.
        """
        self._keep(batch['image'], batch['point'])

    def on_test_epoch_end(self) -> None:
        """Search the gallery for all images, log the metrics, and print the table."""
        gallery = self._evaluate(self.test_metrics, self.drop_test_points)
        _print_table(self.trainer.callback_metrics, len(gallery))

    def predict_step(self, batch: Sample, batch_idx: int) -> Tensor:
        """Find where images were taken.

        Args:
            batch: Images.
            batch_idx: Number of the batch.

        Returns:
            The best point of the gallery for each image, of shape ``(N, 2)``.
        """
        points, _ = self._predict_gallery.search(
            self.model.embed_images(batch['image'])
        )
        return points[:, 0]

    def on_predict_start(self) -> None:
        """Encode the gallery once."""
        self._predict_gallery = self._encode_gallery()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the bank, and the state of random numbers, with the weights.

        Args:
            checkpoint: The checkpoint.
        """
        basis = self.model.alignment.basis
        checkpoint['bank'] = self.bank.to_json()
        checkpoint['basis_source'] = basis.source
        checkpoint['random_state'] = torch.get_rng_state()
        checkpoint['features_made_by'] = self.features_made_by

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore what :meth:`on_save_checkpoint` saved.

        Args:
            checkpoint: The checkpoint.
        """
        bank = ConceptBank.from_json(checkpoint['bank'])
        self._random_state = checkpoint['random_state']
        # Data modules are set up before checkpoints are read, or after.
        self._check_features(checkpoint['features_made_by'])
        if bank != self.bank:
            initial = checkpoint['state_dict']['model.alignment.basis.initial'].T
            basis = models.ConceptBasis(
                bank, initial, checkpoint['basis_source'], self.hparams['unit']
            )
            self.model.alignment = self._align(basis)
            self.reading = self._read(len(bank), len(basis.initial))
            self.val_entropy = ConceptEntropy(len(bank))
            if self._labelled is not None:
                self._find_labels(self._labelled)
            self._freeze()
        self.model.alignment.basis.source = checkpoint['basis_source']

    def setup(self, stage: str) -> None:
        """Look up concepts in a dataset, and refuse features of another backbone.

        Args:
            stage: Either 'fit', 'validate', 'test', or 'predict'.

        Raises:
            ValueError: If another backbone made cached features, or the dataset has
                labels of none of the concepts.
        """
        datamodule = getattr(self.trainer, 'datamodule', None)
        labelled = _labelled_part(datamodule) if self.reading is not None else None
        if labelled is not None:
            self._find_labels(labelled.bank)
            # Whoever validates keeps the scale that was trained with.
            if stage == 'fit':
                self._set_scale(labelled.scale())
        for name in ('train_source', 'val_source', 'test_source', 'predict_source'):
            source = getattr(datamodule, name, None)
            if not isinstance(source, CachedFeatures):
                continue
            source.check_tower(self.model.tower)
            self._check_features(source.made_by)

    def _find_labels(self, known: ConceptBank) -> None:
        """Find the concepts among those that there are labels of."""
        where = {concept: column for column, concept in enumerate(known.ids)}
        columns = [where.get(concept, len(known)) for concept in self.bank.ids]
        if min(columns) == len(known):
            raise ValueError(
                f'None of the {len(columns)} concepts of the bank is among the '
                f"{len(known)} that the dataset has labels of. Use bank='layers'."
            )
        self._labelled, self._columns = known, torch.tensor(columns)

    def _set_scale(self, scale: ConceptScale) -> None:
        """Standardise labels as those that are trained on vary."""
        if self.reading is None or self._columns is None:
            return
        # What has no label is neither moved nor stretched.
        mean = torch.tensor([*scale.mean, 0.0])[self._columns]
        std = torch.tensor([*scale.std, 1.0])[self._columns]
        self.reading.set_scale(mean, std)
        if self.reading.has_projections:
            self.model.alignment.basis.source = 'learned from layers'

    def _check_features(self, made_by: str | None) -> None:
        """Refuse to mix features of two backbones."""
        if None not in (made_by, self.features_made_by) and (
            made_by != self.features_made_by
        ):
            raise ValueError(
                'The cached features were made by another backbone than the features '
                'that this model is trained on.'
            )
        self.features_made_by = self.features_made_by or made_by

    def on_fit_start(self) -> None:
        """Go on with the random numbers of a checkpoint, or warn of what is random."""
        state = getattr(self, '_random_state', None)
        if state is not None:
            if self.trainer.ckpt_path and self.trainer.world_size == 1:
                # Before the first loader, which draws the seed of its workers.
                torch.set_rng_state(state.cpu())
            return
        tower = self.model.tower
        has_weights = any(True for _ in tower.backbone.parameters())
        if tower.frozen and has_weights and self.weights['image_tower'] is None:
            warnings.warn(
                f'{self.hparams["image_tower"]} is frozen with random weights. Pass '
                'image_weights, or freeze_backbone=False.',
                stacklevel=1,
            )
        is_random = self.model.alignment.basis.source.startswith('random')
        if is_random and self._uses_concepts:
            warnings.warn(
                'Without text_embeddings the concept basis is random: its names mean '
                'nothing.',
                stacklevel=1,
            )

    def _log(self, stage: Literal['train', 'val'], parts: Any, number: int) -> None:
        values = {f'{stage}_{name}': value for name, value in parts.items()}
        self.log_dict(values, batch_size=number, sync_dist=True)

    def _keep(self, images: Tensor, points: Tensor) -> None:
        self._queries.append(self.model.embed_images(images).cpu())
        self._points.append(points.cpu())

    def _encode_gallery(self) -> Gallery:
        if self._candidates is None:
            self._candidates = candidate_points(self.gallery, download=self.download)
        candidates = self._candidates
        return Gallery.build(
            self.model,
            candidates.points,
            space=self.model.alignment.align,
            area_km2=candidates.area_km2,
            dtype='float32',
            progress=False,
        )

    def _evaluate(
        self, metrics: MetricCollection, drop_test_points: bool = False
    ) -> Gallery:
        """Search the gallery for all images that were kept, and log the metrics."""
        queries, points = torch.cat(self._queries), torch.cat(self._points)
        self._queries.clear()
        self._points.clear()
        gallery = self._encode_gallery()
        if drop_test_points:
            gallery = gallery.without(torch.cat(gather_objects(points)))
        found, _ = gallery.search(queries.to(self.device))
        metrics.update(found[:, 0].to(self.device), points.to(self.device))
        values = metrics.compute()
        metrics.reset()
        if metrics is self.test_metrics and gallery.area_km2 is not None:
            ranks = gallery.ranks(queries.to(self.device), points)
            self.test_area.update(ranks.to(self.device) * gallery.area_km2)
            area = self.test_area.compute()
            values |= {f'test_{name}': value for name, value in area.items()}
            self.test_area.reset()
        self.log_dict(values)
        return gallery


def _labelled_part(datamodule: Any) -> Any:
    """Return the part of a data module that knows of labels, if any does."""
    names = 'map_labels', 'train_dataset', 'val_dataset'
    parts = (getattr(datamodule, name, None) for name in names)
    return next((p for p in parts if getattr(p, 'bank', None) is not None), None)


@torch.no_grad()
def _embed_dim(encoder: nn.Module) -> int:
    """Count the features of an embedding, by asking or by trying."""
    dim = getattr(encoder, 'embed_dim', None)
    if isinstance(dim, int):
        return dim
    try:
        with evaluating(encoder):
            shape = encoder(torch.zeros(1, 2)).shape
    except (RuntimeError, ValueError, TypeError) as error:
        raise ValueError(
            f'{type(encoder).__name__} is no location encoder: {error}'
        ) from error
    return int(shape[-1])


def _side_by_side(pairs: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Join spaces so that products in the joint one are means of those in each."""
    image, place = (torch.cat(parts, dim=1) for parts in zip(*pairs, strict=True))
    return image / len(pairs), place


def _read_directions(file: str) -> Tensor:
    if not Path(file).is_file():
        raise FileNotFoundError(f'No file {file} with text embeddings.')
    tensors = load_file(file)
    if 'directions' not in tensors:
        raise ValueError(f'{file} has {sorted(tensors)}, but no directions.')
    return F.normalize(tensors['directions'].float(), dim=1)


@rank_zero_only
def _print_table(metrics: dict[str, Tensor], num_candidates: int) -> None:
    """Print accuracies as papers on geo-localization do, in percent."""
    names = {
        'acc@1km': 'Street 1 km',
        'acc@25km': 'City 25 km',
        'acc@200km': 'Region 200 km',
        'acc@750km': 'Country 750 km',
        'acc@2500km': 'Continent 2500 km',
    }
    values = [f'{100 * float(metrics[f"test_{name}"]):.2f}' for name in names]
    values.append(f'{float(metrics["test_median_km"]):.0f} km')
    values.append(f'{float(metrics["test_geoscore"]):.0f}')
    header = [*names.values(), 'Median', 'GeoScore']
    rule = ['---:'] * len(header)
    print(f'\nAmong {num_candidates:,} candidates, in % of the images:\n')
    for row in (header, rule, values):
        print(f'| {" | ".join(row)} |')
