# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""What an audit works on: points, what maps say there, and what encoders make of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from torchgeo_concepts.concepts.bank import ConceptBank
from torchgeo_concepts.datasets.grounded_points import BLOCK_DEGREES, held_out_blocks
from torchgeo_concepts.datasets.point_sampling import land_points
from torchgeo_concepts.embed.points import embed_points
from torchgeo_concepts.evaluate.benchmark.tasks import Table
from torchgeo_concepts.evaluate.bootstrap import BlockBootstrap
from torchgeo_concepts.geo.splits import Rows, block_split
from torchgeo_concepts.layers.grounding import Groundings, read_groundings
from torchgeo_concepts.models.features import FeatureKind

# No point of these was drawn for training, which used seed 0.
FRESH = 30_000_001

# How many points are tried for each that trains: a tenth lie in blocks that are held out.
TRIED = 4

# A class must hold, and fail, at so many points, and hold in so many blocks.
MIN_POINTS, MIN_BLOCKS = 20, 3

# Names of the two sets of points whose labels are known.
TRAIN, TEST = 'train', 'test'


@dataclass(frozen=True, eq=False)
class Study:
    """What all controls share.

    Attributes:
        bank: The concepts.
        basis: Directions of the concepts, of shape ``(k, d)``.
        groundings: What maps say of them.
        points: Points on land that train and that test, the latter in held-out blocks,
            and those of the tables, by name.
        labels: Labels of the points that train and that test.
        x: Embeddings of all points.
        z: Concept scores of all points.
        tables: What is predicted downstream.
        draws: Draws of blocks of the points that test.
    """

    bank: ConceptBank
    basis: Tensor
    groundings: Groundings
    points: Mapping[str, Tensor]
    labels: Mapping[str, NDArray[np.float64]]
    x: Mapping[str, Tensor]
    z: Mapping[str, Tensor]
    tables: Sequence[Table]
    draws: BlockBootstrap

    @cached_property
    def is_class(self) -> NDArray[np.bool_]:
        """Which concepts hold or do not."""
        return np.array([kind == 'class' for kind in self.groundings.kinds])

    @cached_property
    def can_score(self) -> NDArray[np.bool_]:
        """Which concepts vary enough on the points to be scored."""
        return np.array([self._varies(column) for column in range(len(self.bank))])

    def _varies(self, column: int) -> bool:
        train, test = (self.labels[part][:, column] for part in (TRAIN, TEST))
        if not self.is_class[column]:
            return all(
                np.isfinite(label).sum() >= MIN_POINTS and np.nanstd(label) > 0
                for label in (train, test)
            )
        blocks = len(np.unique(self.draws.block[test == 1]))
        counts = [(label == value).sum() for label in (train, test) for value in (0, 1)]
        return min(counts) >= MIN_POINTS and blocks >= MIN_BLOCKS

    @cached_property
    def learning(self) -> tuple[Rows, Rows]:
        """Points to fit directions on, and those to choose their penalty on."""
        split = block_split(self.points[TRAIN], (0.8, 0.2, 0.0))
        return split.train, split.val


def make_study(
    encoder: nn.Module, number: int, seed: int, tables: Sequence[Table], samples: int
) -> Study:
    """Draw points, look up maps, and encode.

    Args:
        encoder: A grounded encoder.
        number: Number of points to train on, and most rows of a table.
        seed: Seed of points and rows.
        tables: What is predicted downstream.
        samples: Number of draws of blocks.

    Returns:
        The study.

    Raises:
        ValueError: If the encoder is not grounded, or maps of its concepts are not
            known here.
    """
    bank, basis = grounded_parts(encoder)
    groundings = _groundings_of(bank)
    tried = land_points(TRIED * number, FRESH + seed)
    held_out = held_out_blocks(tried)
    tables = [table.sample(number, seed) for table in tables]
    points = {
        TRAIN: tried[~held_out][:number],
        TEST: tried[held_out],
        **{table.name: table.points for table in tables},
    }
    labels = {
        part: groundings.labels(points[part]).astype(np.float64)
        for part in (TRAIN, TEST)
    }
    return Study(
        bank,
        basis,
        groundings,
        points,
        labels,
        encode(encoder, points, 'x'),
        encode(encoder, points, 'z'),
        tables,
        # The very blocks that are held out.
        BlockBootstrap.from_points(
            points[TEST], samples, BLOCK_DEGREES, origin=(-180.0, -90.0)
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
    bank: Any = getattr(encoder, 'bank', None)
    basis: Any = getattr(encoder, 'basis', None)
    if not hasattr(encoder, 'concepts') or basis is None or not len(bank or ()):
        raise ValueError(
            f'{type(encoder).__name__} has no concepts that maps taught, with scores and '
            "directions. Audit a grounded encoder, such as 'concept_earth:GROUNDED'."
        )
    return bank, basis.directions.detach().T


def _groundings_of(bank: ConceptBank) -> Groundings:
    known = {grounding.concept: grounding for grounding in read_groundings()}
    missing = [concept for concept in bank.ids if concept not in known]
    if missing:
        raise ValueError(
            f'No map of this package tells {", ".join(missing[:5])}'
            f'{" and others" if len(missing) > 5 else ""}, so that names cannot be '
            'scored. Audit an encoder whose concepts the layers of the package taught.'
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
        name: embed_points(encoder, some, features=kind, device='cpu', progress=False)
        for name, some in points.items()
    }


def onto(x: Mapping[str, Tensor], directions: Tensor) -> dict[str, Tensor]:
    """Project embeddings of several sets of points onto unit directions.

    Args:
        x: Embeddings of shape ``(N, d)`` by name.
        directions: Directions of shape ``(k, d)``.

    Returns:
        Cosines of shape ``(N, k)`` by name.
    """
    units = F.normalize(directions.float(), dim=1)
    return {name: F.normalize(some, dim=1) @ units.T for name, some in x.items()}


def rotated(points: Tensor, degrees: float) -> Tensor:
    """Turn points around the axis of the Earth.

    Args:
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
        degrees: How far to the east.

    Returns:
        Points of the same shape.
    """
    return points + torch.tensor([degrees, 0.0])
