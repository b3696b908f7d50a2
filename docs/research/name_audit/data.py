# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Data of an audit: points, labels of maps there, embeddings and scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sampled_tables import sample_rows
from torch import Tensor, nn

from torchgeo_concepts.concepts.bank import ConceptBank
from torchgeo_concepts.datasets.grounded_points import BLOCK_DEGREES, held_out_blocks
from torchgeo_concepts.datasets.point_sampling import land_points
from torchgeo_concepts.embed.points import embed_points
from torchgeo_concepts.evaluate.benchmark.tasks import Table
from torchgeo_concepts.evaluate.bootstrap import BlockBootstrap
from torchgeo_concepts.geo.splits import Rows, block_split
from torchgeo_concepts.layers.grounding import Groundings, read_groundings
from torchgeo_concepts.models import ConceptEarth
from torchgeo_concepts.models.features import FeatureKind

# No released weights were trained on points of this seed; their points have seed 0.
FRESH = 30_000_001

# Points drawn for each training point, since a tenth lie in held-out blocks.
DRAWN = 4

# A scored class needs so many positive and negative points, and so many blocks.
MIN_POINTS, MIN_BLOCKS = 20, 3

# Names of the two sets of points with labels.
TRAIN, TEST = 'train', 'test'


@dataclass(frozen=True, eq=False)
class AuditData:
    """Points, labels and features that all controls share.

    Attributes:
        bank: The concepts.
        basis: Directions of the concepts, of shape ``(k, d)``.
        groundings: Rules that give labels of the concepts.
        points: Points by name: of training, of the test in held-out blocks, and of the
            tables.
        labels: Labels of the points of training and test.
        x: Embeddings of all points.
        z: Concept scores of all points.
        tables: Tables to predict downstream.
        bootstrap: Resampled blocks of the test points.
    """

    bank: ConceptBank
    basis: Tensor
    groundings: Groundings
    points: Mapping[str, Tensor]
    labels: Mapping[str, NDArray[np.float64]]
    x: Mapping[str, Tensor]
    z: Mapping[str, Tensor]
    tables: Sequence[Table]
    bootstrap: BlockBootstrap

    @cached_property
    def is_class(self) -> NDArray[np.bool_]:
        """True for classes, False for quantities."""
        return np.array([kind == 'class' for kind in self.groundings.kinds])

    @cached_property
    def can_score(self) -> NDArray[np.bool_]:
        """True for concepts that vary enough on the points."""
        return np.array([self._varies(column) for column in range(len(self.bank))])

    def _varies(self, column: int) -> bool:
        train, test = (self.labels[part][:, column] for part in (TRAIN, TEST))
        if not self.is_class[column]:
            return all(
                np.isfinite(label).sum() >= MIN_POINTS and np.nanstd(label) > 0
                for label in (train, test)
            )
        blocks = len(np.unique(self.bootstrap.block[test == 1]))
        counts = [(label == value).sum() for label in (train, test) for value in (0, 1)]
        return min(counts) >= MIN_POINTS and blocks >= MIN_BLOCKS

    @cached_property
    def fit_rows(self) -> tuple[Rows, Rows]:
        """Rows to fit directions on, and rows to choose their penalty on."""
        split = block_split(self.points[TRAIN], (0.8, 0.2, 0.0))
        return split.train, split.val


def make_audit_data(
    encoder: nn.Module,
    number: int,
    seed: int,
    tables: Sequence[Table],
    num_samples: int,
) -> AuditData:
    """Draw points, look up maps, and embed.

    Args:
        encoder: A grounded encoder.
        number: Number of training points, and most rows of a table.
        seed: Seed of points and rows.
        tables: Tables to predict downstream.
        num_samples: Number of resamples of blocks.

    Returns:
        The data.

    Raises:
        ValueError: If the encoder is not grounded, or no installed map has one of its
            concepts.
    """
    bank, basis = grounded_parts(encoder)
    groundings = _find_groundings(bank)
    drawn = land_points(DRAWN * number, FRESH + seed)
    held_out = held_out_blocks(drawn)
    tables = [sample_rows(table, number, seed) for table in tables]
    points = {
        TRAIN: drawn[~held_out][:number],
        TEST: drawn[held_out],
        **{table.name: table.points for table in tables},
    }
    labels = {
        part: groundings.labels(points[part]).astype(np.float64)
        for part in (TRAIN, TEST)
    }
    return AuditData(
        bank,
        basis,
        groundings,
        points,
        labels,
        encode(encoder, points, 'x'),
        encode(encoder, points, 'z'),
        tables,
        # The same blocks that are held out.
        BlockBootstrap.from_points(
            points[TEST], num_samples, BLOCK_DEGREES, origin=(-180.0, -90.0)
        ),
    )


def grounded_parts(encoder: nn.Module) -> tuple[ConceptBank, Tensor]:
    """Return the concepts of a grounded encoder, and their directions.

    Args:
        encoder: The encoder.

    Returns:
        The bank, and directions of shape ``(k, d)``.

    Raises:
        ValueError: If it has no concept scores or no directions.
    """
    if not isinstance(encoder, ConceptEarth) or not len(encoder.bank):
        raise ValueError(
            f'{type(encoder).__name__} has no concepts with scores and directions; audit '
            "a grounded encoder such as 'concept_earth:GROUNDED'."
        )
    return encoder.bank, encoder.basis.directions.detach().T


def _find_groundings(bank: ConceptBank) -> Groundings:
    known = {grounding.concept: grounding for grounding in read_groundings()}
    missing = [concept for concept in bank.ids if concept not in known]
    if missing:
        raise ValueError(
            f'No map of this package has {", ".join(missing[:5])}'
            f'{" and others" if len(missing) > 5 else ""}, so names cannot be scored. '
            'Audit an encoder that was trained on layers of this package.'
        )
    return Groundings(bank, [known[concept] for concept in bank.ids])


def encode(
    encoder: nn.Module, points: Mapping[str, Tensor], kind: FeatureKind
) -> dict[str, Tensor]:
    """Compute features of several sets of points.

    Args:
        encoder: A location encoder.
        points: Points by name.
        kind: Kind of the features.

    Returns:
        Features by name.
    """
    return {
        name: embed_points(encoder, own, features=kind, device='cpu', progress=False)
        for name, own in points.items()
    }


def project_onto(x: Mapping[str, Tensor], directions: Tensor) -> dict[str, Tensor]:
    """Project embeddings of several sets of points onto unit directions.

    Args:
        x: Embeddings of shape ``(N, d)`` by name.
        directions: Directions of shape ``(k, d)``.

    Returns:
        Cosines of shape ``(N, k)`` by name.
    """
    units = F.normalize(directions.float(), dim=1)
    return {name: F.normalize(own, dim=1) @ units.T for name, own in x.items()}


def rotate(points: Tensor, degrees: float) -> Tensor:
    """Rotate points around the axis of the Earth.

    Args:
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
        degrees: Angle to the east.

    Returns:
        Points of the same shape.
    """
    return points + torch.tensor([degrees, 0.0])
