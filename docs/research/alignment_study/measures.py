# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""What is measured of a model: where it puts patches, and what its embeddings know."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from torchgeo_concepts.embed.points import embed_points
from torchgeo_concepts.evaluate.benchmark.scores import make_folds
from torchgeo_concepts.evaluate.benchmark.tasks import Table
from torchgeo_concepts.evaluate.metrics import distance_accuracy, geodesic_km
from torchgeo_concepts.evaluate.probes import ridge_probes
from torchgeo_concepts.layers.grounding import Groundings
from torchgeo_concepts.models import ConceptSupervision, ImageLocationModel
from torchgeo_concepts.models.alignment import AlignedEmbeddings
from torchgeo_concepts.retrieval.gallery import Gallery
from torchgeo_concepts.tasks.concept_distillation import concept_quality
from torchgeo_concepts.utils.modes import evaluating

# City, region, country and continent, as papers on geo-localization have them.
KILOMETRES = (25, 200, 750, 2500)

BATCH = 1000


@dataclass(frozen=True, eq=False)
class Question:
    """Patches of a picture whose places are asked for.

    Attributes:
        picture: Name of the picture.
        where: Whether the places lie in blocks that are ``'seen'`` or ``'held-out'``.
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
class Exam:
    """What all arms are asked.

    Attributes:
        questions: Patches of pictures that no arm was trained on.
        candidates: Points to find them among, of shape ``(M, 2)``.
        points: Points in held-out blocks where maps tell the truth.
        groundings: What maps tell there.
        labels: Labels of shape ``(N, k)``, NaN where unknown.
        tables: What is predicted from embeddings.
    """

    questions: Sequence[Question]
    candidates: Tensor
    points: Tensor
    groundings: Groundings
    labels: Tensor
    tables: Sequence[Table]


@torch.no_grad()
def measure(
    model: ImageLocationModel, reading: ConceptSupervision | None, exam: Exam
) -> dict[str, float]:
    """Ask a model everything.

    Args:
        model: Images and locations.
        reading: What it estimates concepts with, if maps taught it.
        exam: The questions.

    Returns:
        Measurements by name: kilometres and shares of patches by picture and blocks,
        R² by table and column, and the area under the ROC curve of concepts.
    """
    metrics: dict[str, float] = {}
    with evaluating(model):
        gallery = gallery_of(model, exam.candidates)
        for question in exam.questions:
            metrics |= _distances(question, located(model, gallery, question.images))
        for table in exam.tables:
            metrics |= _downstream(model, table)
        metrics['auc'] = _concept_auc(model, reading, exam)
    return metrics


def gallery_of(model: ImageLocationModel, candidates: Tensor) -> Gallery:
    """Encode candidates as a model compares them.

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
def located(model: ImageLocationModel, gallery: Gallery, images: Tensor) -> Tensor:
    """Find where patches come from.

    Args:
        model: Images and locations.
        gallery: Candidates that the model has encoded.
        images: Normalised patches.

    Returns:
        The best candidate for each, of shape ``(N, 2)``.
    """
    found = [
        gallery.search(model.embed_images(part))[0][:, 0]
        for part in images.split(BATCH)
    ]
    return torch.cat(found)


def _distances(question: Question, found: Tensor) -> dict[str, float]:
    distances = geodesic_km(found, question.points)
    shares = distance_accuracy(found, question.points, KILOMETRES)
    metrics = {f'{question.name}/median_km': float(distances.median())}
    for kilometres, share in zip(KILOMETRES, shares.tolist(), strict=True):
        metrics[f'{question.name}/acc@{kilometres}km'] = share
    return metrics


def _downstream(model: ImageLocationModel, table: Table) -> dict[str, float]:
    """Predict the columns of a table, by blocks of 10 degrees."""
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
    model: ImageLocationModel, reading: ConceptSupervision | None, exam: Exam
) -> float:
    """Compute how well a location encoder tells classes where it was never trained.

    Projections count where no map taught: their names are those of the bank.
    """
    bank = model.alignment.basis.bank
    known = [
        column for column, c in enumerate(exam.groundings.bank.ids) if c in bank.ids
    ]
    if not known:
        return float('nan')
    x = embed_points(model.encoder, exam.points, device='cpu', progress=False)
    z = model.alignment.basis(x)
    says = (
        z
        if reading is None
        else reading.estimate_locations(AlignedEmbeddings(x, x, z, z))
    )
    columns = [bank.ids.index(exam.groundings.bank.ids[column]) for column in known]
    is_class = torch.tensor([exam.groundings.kinds[c] == 'class' for c in known])
    quality = concept_quality(says[:, columns], exam.labels[:, known], is_class)
    return float(quality[is_class].nanmean())
