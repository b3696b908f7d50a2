# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Alignment of images and locations in a shared space of embeddings and concepts."""

import warnings
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torchgeo.datasets.utils import Sample

from ..models.alignment import AlignedEmbeddings
from ..retrieval.candidates import Candidates, candidate_points
from ..retrieval.gallery import Gallery
from ..retrieval.geolocator import Geolocator
from ..utils.markdown import markdown_table
from ._alignment_base import AlignmentTask
from .losses import concept_divergence

# Columns of the table that a test prints.
ACCURACIES = {
    'acc@1km': 'Street 1 km',
    'acc@25km': 'City 25 km',
    'acc@200km': 'Region 200 km',
    'acc@750km': 'Country 750 km',
    'acc@2500km': 'Continent 2500 km',
}


class ConceptAlignment(AlignmentTask):
    """Task that aligns images with the locations where they were taken, using concepts.

    The loss is InfoNCE plus *divergence_weight* times the divergence of concepts. It is
    the loss of the paper with ``align='z'``, ``image_projection='mlp'``, ``unit=False``
    and a weight of 1. It is the loss of GeoCLIP with ``align='x'`` and a weight of 0.

    The default compares embeddings and concepts without divergence. On patches of
    satellite imagery, it located images better than the paper's loss and worse than
    GeoCLIP's. With labels from maps in the batches, ``supervision='both'`` and a label
    weight of 0.5 give the concepts their meaning; this located patches about as well as
    GeoCLIP's loss.

    If you use this task in your research, please cite the following paper:

    * https://doi.org/10.48550/arXiv.2509.01910
    """

    # Training ---------------------------------------------------------------------------

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
            points: Points of the images, of shape ``(N, 2)``.
            labels: Labels of the concepts at the points, in the order of the dataset's
                bank, if there is supervision.
            maps: Points without images, and their labels, which supervise locations
                only.

        Returns:
            Losses by name, and the accuracy of retrieval within the batch.

        Raises:
            ValueError: If there is supervision but no labels.
        """
        options, alignment = self.loss_options, self.model.alignment
        number = len(points)
        # The encoder is called once, for the points of the batch, the queue and maps.
        negatives = self.queue() if self.training else points[:0]
        map_points = points[:0] if maps is None else maps[0]
        x_image = self.model.tower(images)
        x_all = self.model.encoder(torch.cat((points, negatives, map_points)))
        aligned: AlignedEmbeddings = alignment(x_image, x_all)
        pairs = alignment.pairs(aligned)
        if options.contrasted == 'mean':
            pairs = [_side_by_side(pairs)]
        end = number + len(negatives)
        contrasts = [self.contrast(x, y[:number], y[number:end]) for x, y in pairs]
        parts = {'contrast': torch.stack(contrasts).mean()}
        if options.divergence_weight:
            z_location = aligned.z_location[:number]
            parts['divergence'] = concept_divergence(
                aligned.z_image, z_location, options.divergence, options.sigma
            )
        if options.drift_weight:
            parts['drift'] = alignment.basis.drift_penalty()
        if self.supervision is not None:
            parts['labels'] = self._label_loss(aligned, labels, maps)
        weights = {
            'divergence': options.divergence_weight,
            'drift': options.drift_weight,
            'labels': options.label_weight,
        }
        loss = parts['contrast']
        for name, weight in weights.items():
            if name in parts:
                loss = loss + weight * parts[name]
        with torch.no_grad():
            similar = torch.stack([x @ y[:number].T for x, y in pairs]).sum(dim=0)
            own = torch.arange(number, device=points.device)
            retrieval = (similar.argmax(dim=1) == own).float().mean()
        return parts | {'loss': loss, 'retrieval': retrieval}

    def training_step(self, batch: Sample, batch_idx: int) -> Tensor:
        """Compute the loss of a training batch.

        Args:
            batch: Images and points.
            batch_idx: Index of the batch.

        Returns:
            The loss.
        """
        labels, maps = batch.get('concepts'), None
        if self.supervision is not None and 'map_point' in batch:
            maps = batch['map_point'], batch['map_concepts']
        parts = self.losses(batch['image'], batch['point'], labels, maps)
        self.queue.push(batch['point'])
        self._log_parts('train', parts, len(batch['point']))
        self.log('train_scale', self.contrast.scale.detach())
        return parts['loss']

    def _log_parts(
        self, stage: Literal['train', 'val'], parts: dict[str, Tensor], number: int
    ) -> None:
        values = {f'{stage}_{name}': value for name, value in parts.items()}
        self.log_dict(values, batch_size=number, sync_dist=True)

    def on_fit_start(self) -> None:
        """Restore the random state of a checkpoint, or warn about random weights."""
        if self._random_state is not None:
            if self.trainer.ckpt_path and self.trainer.world_size == 1:
                # The loader that is created next draws the seed of its workers.
                torch.set_rng_state(self._random_state.cpu())
            return
        tower = self.model.tower
        has_weights = any(True for _ in tower.backbone.parameters())
        if tower.frozen and has_weights and self.weights['backbone'] is None:
            warnings.warn(
                f'{self.hparams["image_tower"]} is frozen with random weights. Pass '
                'image_weights, or freeze=[].',
                stacklevel=1,
            )
        is_random = self.model.alignment.basis.source.startswith('random')
        if is_random and self._uses_concepts:
            warnings.warn(
                'Without text_embeddings, the concept basis is random, and its names '
                'have no meaning.',
                stacklevel=1,
            )

    def on_train_epoch_end(self) -> None:
        """Log the drift of the concept directions.

        Raises:
            ValueError: If no training batch was full.
        """
        if not self.trainer.global_step:
            raise ValueError(
                'No training batch was full. Lower batch_size, or num_workers, since '
                'each worker fills its own batches.'
            )
        drift = self.model.alignment.basis.drift().detach()
        self.log_dict({'drift_mean': drift.mean(), 'drift_min': drift.min()})

    # Evaluation -------------------------------------------------------------------------

    def validation_step(self, batch: Sample, batch_idx: int) -> None:
        """Compute the loss of a validation batch, and add its images to the search.

        Args:
            batch: Images and points.
            batch_idx: Index of the batch.
        """
        # Features are computed once for the loss, the entropy and the search.
        features, points = self.model.tower.features(batch['image']), batch['point']
        parts = self.losses(features, points, batch.get('concepts'))
        self._log_parts('val', parts, len(points))
        x_image = self.model.tower(features)
        self.val_entropy.update(self.model.alignment.project_image(x_image))
        self.search.add(self.model.embed_images(features), points)

    def on_validation_epoch_end(self) -> None:
        """Search the gallery for all images, and log the metrics."""
        _, _, points, found = self.search.run(self.model, self.device)
        self.val_metrics.update(found, points)
        self.log_dict(self.val_metrics.compute())
        self.val_metrics.reset()
        self.log('val_concept_entropy', self.val_entropy)

    def test_step(self, batch: Sample, batch_idx: int) -> None:
        """Add a test batch to the search.

        Args:
            batch: Images and points.
            batch_idx: Index of the batch.
        """
        self.search.add(self.model.embed_images(batch['image']), batch['point'])

    def on_test_epoch_end(self) -> None:
        """Search the gallery for all images, log the metrics, and print the table."""
        gallery, queries, points, found = self.search.run(
            self.model, self.device, self.drop_test_points
        )
        self.test_metrics.update(found, points)
        values = self.test_metrics.compute()
        if gallery.area_km2 is not None:
            ranks = gallery.ranks(queries, points.cpu()).to(self.device)
            self.test_area.update(ranks * gallery.area_km2)
            area = self.test_area.compute()
            values |= {f'test_{name}': value for name, value in area.items()}
        self.test_metrics.reset()
        self.test_area.reset()
        self.log_dict(values)
        cells = [f'{100 * float(values[f"test_{name}"]):.2f}' for name in ACCURACIES]
        cells.append(f'{float(values["test_median_km"]):.0f} km')
        cells.append(f'{float(values["test_geoscore"]):.0f}')
        if self.trainer.is_global_zero:
            print(f'\nAmong {len(gallery):,} candidates, in % of the images:\n')
            titles = [*ACCURACIES.values(), 'Median', 'GeoScore']
            print(markdown_table(titles, [cells], right=titles), end='')

    def on_predict_start(self) -> None:
        """Encode the gallery once."""
        self._predict_gallery: Gallery | None = self.search.encode(self.model)

    def predict_step(self, batch: Sample, batch_idx: int) -> Tensor:
        """Locate images.

        Args:
            batch: Images.
            batch_idx: Index of the batch.

        Returns:
            The best point of the gallery for each image, of shape ``(N, 2)``.
        """
        assert self._predict_gallery is not None
        queries = self.model.embed_images(batch['image'])
        return self._predict_gallery.search(queries).points[:, 0]

    def on_predict_end(self) -> None:
        """Free the memory of the gallery."""
        self._predict_gallery = None

    def geolocator(
        self, candidates: Candidates | Tensor | str, folder: Path | str | None = None
    ) -> Geolocator:
        """Build a geolocator that searches candidates in the space used in training.

        Args:
            candidates: Candidate points, or their name as in
                :func:`~torchgeo_concepts.retrieval.candidates.candidate_points`.
            folder: Folder of the gallery. None to keep it in memory.

        Returns:
            A geolocator for images that are preprocessed as for CLIP.
        """
        if isinstance(candidates, str):
            candidates = candidate_points(candidates, download=self.download)
        scale = self.contrast.scale.item()
        return Geolocator.build(self.model, candidates, folder, scale=scale)


def _side_by_side(pairs: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Concatenate spaces, so that dot products are means of those in each space."""
    image, place = (torch.cat(parts, dim=1) for parts in zip(*pairs, strict=True))
    return image / len(pairs), place
