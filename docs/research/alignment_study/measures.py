# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Measurements of a model: errors of location, downstream R², AUC of concepts."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from torchgeo_concepts.embed.points import embed_points
from torchgeo_concepts.evaluate.benchmark.scores import make_folds
from torchgeo_concepts.evaluate.benchmark.tasks import Table
from torchgeo_concepts.evaluate.metrics import geodesic_km
from torchgeo_concepts.evaluate.probes import ridge_probes
from torchgeo_concepts.layers.grounding import Groundings
from torchgeo_concepts.models import ImageLocationModel
from torchgeo_concepts.models.alignment import AlignedEmbeddings
from torchgeo_concepts.models.concept_supervision import ConceptSupervision
from torchgeo_concepts.retrieval.gallery import Gallery
from torchgeo_concepts.tasks.concept_distillation import concept_quality
from torchgeo_concepts.utils.modes import evaluating

# City, region, country and continent, the thresholds of papers on geo-localization.
KILOMETRES = (25, 200, 750, 2500)

BATCH = 1000


@dataclass(frozen=True, eq=False)
class PatchSet:
    """Patches of one picture to locate.

    Attributes:
        picture: Name of the picture.
        where: ``'seen'`` for patches in blocks that were trained on, or ``'held-out'``.
        images: Normalised patches of shape ``(N, 3, size, size)``.
        points: Their points of shape ``(N, 2)``.
    """

    picture: str
    where: str
    images: Tensor
    points: Tensor

    @property
    def name(self) -> str:
        """Picture and blocks."""
        return f'{self.picture}/{self.where}'


@dataclass(frozen=True, eq=False)
class EvaluationData:
    """Data that all arms are evaluated on.

    Attributes:
        patch_sets: Patches of pictures that no arm was trained on.
        candidates: Points to find them among, of shape ``(M, 2)``.
        points: Points in held-out blocks at which concepts are scored.
        groundings: Concepts with labels there.
        labels: Labels of shape ``(N, k)``, NaN where unknown.
        tables: Tables to predict from embeddings.
    """

    patch_sets: Sequence[PatchSet]
    candidates: Tensor
    points: Tensor
    groundings: Groundings
    labels: Tensor
    tables: Sequence[Table]


@torch.no_grad()
def measure(
    model: ImageLocationModel,
    supervision: ConceptSupervision | None,
    data: EvaluationData,
) -> dict[str, float]:
    """Compute all measurements of a model.

    Args:
        model: Images and locations.
        supervision: Estimator of concepts, if the model was trained on labels of maps.
        data: Data to evaluate on.

    Returns:
        Measurements by name: median error in kilometres and shares of patches by picture
        and blocks, R² by table and column, and mean AUC of concepts.
    """
    metrics: dict[str, float] = {}
    with evaluating(model):
        gallery = build_gallery(model, data.candidates)
        for patches in data.patch_sets:
            metrics |= _errors(patches, locate(model, gallery, patches.images))
        for table in data.tables:
            metrics |= _downstream(model, table)
        metrics['auc'] = _concept_auc(model, supervision, data)
    return metrics


def build_gallery(model: ImageLocationModel, candidates: Tensor) -> Gallery:
    """Encode candidates in the space that a model compares in.

    Args:
        model: Images and locations.
        candidates: Points of shape ``(M, 2)``.

    Returns:
        The gallery, in memory.
    """
    return Gallery.build(
        model, candidates, space=model.alignment.align, dtype='float32', progress=False
    )


@torch.no_grad()
def locate(model: ImageLocationModel, gallery: Gallery, images: Tensor) -> Tensor:
    """Find the best candidate for each patch.

    Args:
        model: Images and locations.
        gallery: Candidates that the model has encoded.
        images: Normalised patches.

    Returns:
        Points of shape ``(N, 2)``.
    """
    found = [
        gallery.search(model.embed_images(part)).points[:, 0]
        for part in images.split(BATCH)
    ]
    return torch.cat(found)


def _errors(patches: PatchSet, found: Tensor) -> dict[str, float]:
    distances = geodesic_km(found, patches.points)
    metrics = {f'{patches.name}/median_km': float(distances.median())}
    for kilometres in KILOMETRES:
        share = (distances <= kilometres).float().mean()
        metrics[f'{patches.name}/acc@{kilometres}km'] = float(share)
    return metrics


def _downstream(model: ImageLocationModel, table: Table) -> dict[str, float]:
    """Predict the columns of a table, in held-out blocks of 10 degrees."""
    metrics = {}
    x = embed_points(model.encoder, table.points, device='cpu', progress=False)
    for column, target in enumerate(table.targets):
        known = torch.from_numpy(table.known(column))
        folds = make_folds(table.points[known], 'blocks', 0)
        values = table.values[known, column][:, None]
        [score] = ridge_probes(x[known], values, folds)
        metrics[f'r2/{target.name}'] = score.mean
    return metrics


def _concept_auc(
    model: ImageLocationModel,
    supervision: ConceptSupervision | None,
    data: EvaluationData,
) -> float:
    """Compute the mean AUC of classes in blocks without training points.

    A model without labels of maps is scored by its projections onto the bank.
    """
    bank = model.alignment.basis.bank
    concepts = data.groundings.bank.ids
    known = [column for column, concept in enumerate(concepts) if concept in bank.ids]
    if not known:
        return float('nan')
    x = embed_points(model.encoder, data.points, device='cpu', progress=False)
    z = model.alignment.basis(x)
    scores = z
    if supervision is not None:
        estimates = supervision(AlignedEmbeddings(x, x, z, z))
        scores = torch.stack([location for _, location in estimates]).mean(dim=0)
    columns = [bank.ids.index(concepts[column]) for column in known]
    is_class = torch.tensor([data.groundings.kinds[c] == 'class' for c in known])
    quality = concept_quality(scores[:, columns], data.labels[:, known], is_class)
    return float(quality[is_class].nanmean())
