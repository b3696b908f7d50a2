# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Modules that compute bands of a map: concept scores, colours and predictions."""

from collections.abc import Callable, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..concepts.concept import Concept
from ..embed.points import embed_points
from ..geo.raster_grid import RasterGrid
from ..io.geotiff import Band
from ..models.protocols import GroundedEncoder, check_encoder
from ..tasks import LocationClassification, LocationRegression
from ..utils.hashing import hash_state
from ..utils.modes import evaluating

# Number of points that principal components are fitted on, its minimum, and the seed.
SAMPLE_SIZE, MIN_SAMPLE = 4096, 32
SAMPLE_SEED = 0

# Percentiles of a component that map to 0 and 1.
DARK, BRIGHT = 2.0, 98.0

# Keys and names of the outputs of a regression besides the prediction.
BOUNDS = {'lower': 'lower bound', 'upper': 'upper bound'}


class ConceptScores(nn.Module):
    """Scores of selected concepts of an encoder."""

    def __init__(
        self, encoder: nn.Module, names: Sequence[str], calibrated: bool = True
    ) -> None:
        """Initialize a new ConceptScores instance.

        Args:
            encoder: An encoder with concept scores.
            names: Names, ids or aliases of concepts, in the order of the outputs.
            calibrated: Return probabilities of classes, and quantities in their units,
                instead of standardised scores.

        Raises:
            ValueError: If the encoder has no concept scores, or a concept is unknown (with
                near matches).
        """
        super().__init__()
        self.encoder = check_encoder(encoder, GroundedEncoder)
        self.calibrated = calibrated
        self.indices = [self.encoder.bank.index(name) for name in names]

    @property
    def bands(self) -> list[Band]:
        """Name, unit and kind of each output."""
        bank = self.encoder.bank
        return [self._band(bank[index]) for index in self.indices]

    def _band(self, concept: Concept) -> Band:
        if not self.calibrated:
            return Band(concept.name, kind='score', id=concept.id)
        if concept.kind == 'class':
            return Band(concept.name, kind='probability', id=concept.id)
        return Band(concept.name, unit=concept.unit, id=concept.id)

    def forward(self, points: Tensor) -> Tensor:
        """Forward pass.

        Args:
            points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.

        Returns:
            Scores of shape ``(N, k)``.
        """
        scores = self.encoder.concepts(points, calibrated=self.calibrated)
        return scores[:, self.indices]


class PrincipalColours(nn.Module):
    """The first three principal components of embeddings as red, green and blue.

    The 2nd percentile of the fitted embeddings maps to 0 and the 98th to 1. Values
    outside this range are not clipped, so colours are linear in the embedding.
    """

    mean: Tensor
    axes: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, encoder: nn.Module, embedding: Tensor) -> None:
        """Initialize a new PrincipalColours instance.

        Args:
            encoder: A location encoder.
            embedding: Embeddings of shape ``(N, d)`` that the components are fitted on.

        Raises:
            ValueError: If there are fewer than three embeddings or features.
        """
        super().__init__()
        if min(embedding.shape) < 3:
            raise ValueError(
                'Three colours need embeddings of at least shape (3, 3), got '
                f'{tuple(embedding.shape)}.'
            )
        embedding = embedding.double()
        mean = embedding.mean(dim=0)
        _, spread, axes = torch.linalg.svd(embedding - mean, full_matrices=False)
        axes = axes[:3].T
        # The sign of a component is arbitrary; make its largest entry positive.
        largest = axes.gather(0, axes.abs().argmax(dim=0, keepdim=True))
        axes = axes * torch.where(largest < 0, -1.0, 1.0)
        values = ((embedding - mean) @ axes).numpy()
        low, high = torch.from_numpy(np.percentile(values, [DARK, BRIGHT], axis=0))
        self.encoder = encoder
        self.variance: list[float] = (spread[:3] ** 2 / (spread**2).sum()).tolist()
        for name, value in (('mean', mean), ('axes', axes), ('low', low)):
            self.register_buffer(name, value.float())
        # Avoid a division by 0 for a constant component.
        self.register_buffer('high', torch.where(high > low, high, low + 1).float())

    @classmethod
    def fit(
        cls,
        encoder: nn.Module,
        grid: RasterGrid,
        is_wanted: Callable[[NDArray[np.float64]], NDArray[np.bool_]] | None = None,
        **settings: Any,
    ) -> Self:
        """Fit components on points that are spread evenly over an area.

        Colours depend on the area but not on the resolution.

        Args:
            encoder: A location encoder.
            grid: The grid over the area.
            is_wanted: Function that returns a mask of the points to use, such as those on
                land.
            **settings: Options of :func:`~torchgeo_concepts.embed.points.embed_points`.

        Returns:
            The colours.

        Raises:
            ValueError: If too few points are left.
        """
        points = _sample(grid, is_wanted)
        if len(points) < MIN_SAMPLE:
            raise ValueError(
                f'Colours need {MIN_SAMPLE} points, but only {len(points)} points of the '
                f'area {grid.area} are on the map. Use a larger area.'
            )
        embedding = embed_points(encoder, points, progress=False, **settings)
        return cls(encoder, embedding)

    @property
    def bands(self) -> list[Band]:
        """Name, unit and kind of each output."""
        return [
            Band(f'principal component {i}, {share:.0%} of variance', kind='colour')
            for i, share in enumerate(self.variance, start=1)
        ]

    def forward(self, points: Tensor) -> Tensor:
        """Forward pass.

        Args:
            points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.

        Returns:
            Red, green and blue of shape ``(N, 3)``.
        """
        centred = self.encoder(points).float() - self.mean
        colours: Tensor = (centred @ self.axes - self.low) / (self.high - self.low)
        return colours


def _sample(
    grid: RasterGrid,
    is_wanted: Callable[[NDArray[np.float64]], NDArray[np.bool_]] | None,
) -> Tensor:
    rng = np.random.default_rng(SAMPLE_SEED)
    west, south, east, north = grid.area
    low, high = np.sin(np.deg2rad([south, north]))
    parts: list[NDArray[np.float64]] = []
    # Small islands need many random points.
    for _ in range(50):
        lat = np.rad2deg(np.arcsin(rng.uniform(low, high, SAMPLE_SIZE)))
        points = np.column_stack((rng.uniform(west, east, SAMPLE_SIZE), lat))
        points = points[grid.contains(points)]
        parts.append(points if is_wanted is None else points[is_wanted(points)])
        if sum(map(len, parts)) >= SAMPLE_SIZE:
            break
    return torch.from_numpy(np.concatenate(parts)[:SAMPLE_SIZE])


class Predictions(nn.Module):
    """Predictions of a trained task as a function of points."""

    def __init__(self, task: Any) -> None:
        """Initialize a new Predictions instance.

        Args:
            task: A trained LocationRegression or LocationClassification.
        """
        super().__init__()
        self.task = task
        with torch.no_grad(), evaluating(task):
            found = task.predict_step({'point': torch.zeros(1, 2)}, 0)
        self.keys = [key for key in ('prediction', *BOUNDS) if key in found]

    @property
    def bands(self) -> list[Band]:
        """Name, unit and kind of each output."""
        if isinstance(self.task, LocationClassification):
            return [Band('class', kind='class', classes=self.task.classes)]
        return [
            Band(f'{name}, {BOUNDS[key]}' if key in BOUNDS else name, unit)
            for name, unit in zip(self.task.target_names, self.task.units, strict=True)
            for key in self.keys
        ]

    def forward(self, points: Tensor) -> Tensor:
        """Forward pass.

        Args:
            points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.

        Returns:
            Predictions of each target with the bounds of its interval, or class numbers,
            of shape ``(N, bands)``.
        """
        found = self.task.predict_step({'point': points}, 0)
        parts = [found[key].float() for key in self.keys]
        return torch.stack(parts, dim=-1).reshape(len(points), -1)


def load_predictions(path: Path) -> tuple[Predictions, dict[str, str]]:
    """Load the trained task of a checkpoint.

    Args:
        path: A checkpoint of LocationRegression or LocationClassification.

    Returns:
        Its predictions, and their metadata for a map.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is not such a checkpoint, or the task needs inputs other
            than points.
    """
    saved = _read_checkpoint(path)
    location = saved.get('location')
    if location is None:
        raise ValueError(
            f'{path} is not a checkpoint of LocationRegression or LocationClassification.'
        )
    needed = ', '.join(map(repr, location['extra_names']))
    needed = f'the columns {needed}' if needed else ''
    if saved['hyper_parameters']['image_model'] is not None:
        needed = 'images'
    if needed:
        raise ValueError(
            f'The model of {path} needs {needed} besides points, but a map has only '
            'points.'
        )
    is_class = 'classes' in location['targets']
    kind = LocationClassification if is_class else LocationRegression
    task = kind.load_from_checkpoint(path, map_location='cpu', weights_only=True)
    return Predictions(task), {
        'task': kind.__name__,
        'checkpoint': path.name,
        'checkpoint_sha256': hash_state(saved['state_dict']),
        'feature': 'predictions',
    }


def _read_checkpoint(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f'No checkpoint {path}.')
    try:
        saved: Any = torch.load(path, map_location='cpu', weights_only=True)
    except (EOFError, RuntimeError, UnpicklingError) as error:
        raise ValueError(f'{path} cannot be read as a checkpoint.') from error
    return saved if isinstance(saved, dict) else {}
