# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""A compact location encoder whose named concepts are trained on maps of the Earth."""

import itertools
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from ..concepts.bank import ConceptBank
from ..geo.points import check_points, wrap_longitude
from ._chunks import in_chunks
from .alignment import ConceptBasis
from .concept_model import ConceptModel
from .earth_grid import EarthGrid, SphericalWaves

# Levels of the grid, from 30 to 0.125 degrees, and the number of features of their nodes.
# GeoCLIP's embeddings change most over a few hundred kilometres.
ROWS = (6, 12, 24, 48, 96, 192, 384, 768, 1440)
GRID_FEATURES = (4, 4, 16, 32, 32, 24, 8, 4, 4)

# A point takes many small operations, each with an overhead, so chunks are large.
CPU_CHUNK = 4096


@dataclass(frozen=True)
class ConceptScale:
    """Scale that converts standardised concept scores to values.

    Attributes:
        mean: Mean of each label, of length ``k``.
        std: Standard deviation of each label.
        is_log: True where labels are ``log10(1 + value)``.
        is_class: True for concepts that are present or absent, whose values are
            probabilities.
    """

    mean: Sequence[float]
    std: Sequence[float]
    is_log: Sequence[bool]
    is_class: Sequence[bool]

    def __post_init__(self) -> None:
        """Check that all parts have the same length."""
        lengths = {name: len(value) for name, value in asdict(self).items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(
                f'All parts of a scale must have the same length, got {lengths}.'
            )


@dataclass(frozen=True)
class Architecture:
    """Sizes of a ConceptEarth model.

    Attributes:
        embed_dim: Number of features of an embedding.
        hidden_dim: Number of hidden features.
        depth: Number of hidden layers.
        rows: Number of steps from pole to pole in each level of the grid.
        grid_features: Number of features of a node in each level of the grid.
        table_size: Maximum number of entries of a level of the grid.
        num_waves: Number of Fourier waves.
        num_components: Number of principal components that embeddings can be
            truncated to.
    """

    embed_dim: int = 512
    hidden_dim: int = 512
    depth: int = 2
    rows: Sequence[int] = ROWS
    grid_features: Sequence[int] = GRID_FEATURES
    table_size: int = 135_000
    num_waves: int = 128
    num_components: int = 128

    def __post_init__(self) -> None:
        """Check that each level of the grid has a number of features."""
        if len(self.rows) != len(self.grid_features):
            raise ValueError(
                f'Expected {len(self.rows)} grid_features, one for each of rows, got '
                f'{len(self.grid_features)}.'
            )


class ConceptEarth(ConceptModel):
    """Location encoder with embeddings in GeoCLIP's space and scores of named concepts.

    Features of grids and of waves go through one small network, which has two outputs:
    the embedding, and an estimate of each concept, trained on maps.
    """

    model_name = 'concept_earth'

    embedding_mean: Tensor
    embedding_std: Tensor
    components: Tensor
    mean: Tensor
    std: Tensor
    is_log: Tensor
    is_class: Tensor

    def __init__(
        self, bank: ConceptBank, scale: ConceptScale | None = None, **sizes: Any
    ) -> None:
        """Initialize a new ConceptEarth instance.

        Args:
            bank: The concepts.
            scale: Scale that converts scores to values. By default, values equal
                scores.
            **sizes: Attributes of :class:`Architecture`.

        Raises:
            ValueError: If the scale and the bank differ in length.
        """
        super().__init__()
        built = self.architecture = Architecture(**sizes)
        self.provenance: dict[str, Any] = {}
        self.truncate_dim: int | None = None
        levels = zip(built.rows, built.grid_features, strict=True)
        # Levels with the same number of features share a grid.
        self.grids = nn.ModuleList(
            EarthGrid([rows for rows, _ in group], features, built.table_size)
            for features, group in itertools.groupby(levels, key=itemgetter(1))
        )
        self.waves = SphericalWaves(built.num_waves)
        widths = [sum(part.output_dim for part in (*self.grids, self.waves))]
        widths += [built.hidden_dim] * built.depth
        layers: list[nn.Module] = []
        for width, following in itertools.pairwise(widths):
            layers += [nn.Linear(width, following), nn.GELU()]
        self.trunk = nn.Sequential(*layers)
        embed_dim = built.embed_dim
        self.embedding = nn.Linear(widths[-1], embed_dim)
        with warnings.catch_warnings():
            # A model trained by distillation alone has no concepts.
            warnings.filterwarnings('ignore', 'Initializing zero-element tensors')
            self.scores = nn.Linear(widths[-1], len(bank))
        self.basis = ConceptBasis.random(bank, embed_dim)
        num_components = min(built.num_components, embed_dim)
        self.register_buffer('embedding_mean', torch.zeros(embed_dim))
        self.register_buffer('embedding_std', torch.ones(()))
        self.register_buffer('components', torch.eye(embed_dim, num_components))
        if scale is None:
            none = [False] * len(bank)
            scale = ConceptScale([0.0] * len(bank), [1.0] * len(bank), none, none)
        self.set_scale(scale)

    def set_scale(self, scale: ConceptScale) -> None:
        """Set the scale that converts scores to values.

        Args:
            scale: The scale.

        Raises:
            ValueError: If the scale and the bank differ in length.
        """
        if len(scale.mean) != len(self.bank):
            raise ValueError(
                f'The bank has {len(self.bank)} concepts, but the scale has '
                f'{len(scale.mean)}.'
            )
        for name, values in vars(scale).items():
            dtype = torch.bool if name.startswith('is_') else torch.float32
            self.register_buffer(name, torch.tensor(values, dtype=dtype))

    def set_embedding_scale(
        self, mean: Tensor, std: Tensor, components: Tensor
    ) -> None:
        """Set mean, scale and principal components of the embeddings.

        Args:
            mean: Mean embedding, of shape ``(embed_dim,)``.
            std: One standard deviation for all features.
            components: Principal components as columns, sorted by descending variance.
                The model keeps the first ``num_components``.
        """
        self.embedding_mean.copy_(mean)
        self.embedding_std.copy_(std)
        self.components.copy_(components[:, : self.components.shape[1]])

    def truncate(self, dim: int | None) -> Self:
        """Truncate embeddings to their first principal components.

        Shorter truncations are prefixes of longer ones. Truncated embeddings are not in
        GeoCLIP's space. Projections do not change.

        Args:
            dim: Number of principal components, or None for whole embeddings.

        Returns:
            The model itself.

        Raises:
            ValueError: If the model has fewer components.
        """
        if dim is not None and not 1 <= dim <= self.components.shape[1]:
            raise ValueError(
                f'Embeddings can be truncated to 1 to {self.components.shape[1]} '
                f'components, not {dim}. Use None for whole embeddings.'
            )
        self.truncate_dim = dim
        return self

    @property
    def embed_dim(self) -> int:
        """Number of features of an embedding."""
        return self.truncate_dim or self.architecture.embed_dim

    def hidden(self, points: Tensor) -> Tensor:
        """Compute the hidden features that both outputs use.

        Args:
            points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.

        Returns:
            Features of shape ``(N, hidden_dim)``.
        """
        # In half precision, points would be rounded by up to half a degree.
        points = points.to(self.waves.frequencies.dtype)
        points = torch.stack((wrap_longitude(points[:, 0]), points[:, 1]), dim=1)
        parts = [part(points) for part in (*self.grids, self.waves)]
        features = torch.cat(parts, dim=1).to(self.embedding.weight.dtype)
        hidden: Tensor = self.trunk(features)
        return hidden

    def whole(self, hidden: Tensor) -> Tensor:
        """Compute whole embeddings.

        Args:
            hidden: Hidden features, from :meth:`hidden`.

        Returns:
            Embeddings in GeoCLIP's space, of shape ``(N, d)``, never truncated.
        """
        # The network output is standardised, so it has the same scale as the scores.
        x: Tensor = self.embedding(hidden) * self.embedding_std + self.embedding_mean
        return x

    def forward(self, points: Tensor) -> Tensor:
        """Forward pass.

        Args:
            points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.

        Returns:
            Embeddings of shape ``(N, embed_dim)``, not normalised.
        """
        return self._compute(points, self._embed)

    def _compute(self, points: Tensor, *outputs: Callable[[Tensor], Tensor]) -> Tensor:
        """Apply functions to the hidden features of points, and concatenate the outputs."""

        def compute(chunk: Tensor) -> Tensor:
            hidden = self.hidden(chunk)
            return torch.cat([output(hidden) for output in outputs], dim=1)

        return in_chunks(compute, check_points(points), CPU_CHUNK)

    def _embed(self, hidden: Tensor) -> Tensor:
        x = self.whole(hidden)
        if self.truncate_dim is None:
            return x
        return (x - self.embedding_mean) @ self.components[:, : self.truncate_dim]

    def concepts(self, points: Tensor, calibrated: bool = False) -> Tensor:
        """Score the concepts at points.

        Scores are standardised estimates. Scores of classes are compressed by an inverse
        hyperbolic sine, which hardly changes scores up to 1. Otherwise a rare class
        would score 30 standard deviations where it is present, and a linear model
        fitted where it is absent would extrapolate far.

        Args:
            points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
            calibrated: Return probabilities of classes, and quantities in their units,
                instead of scores.

        Returns:
            Scores of shape ``(N, k)``, in the order of the bank.
        """
        scores = self._compute(points, self._score)
        return self.calibrate(scores) if calibrated else scores

    def _score(self, hidden: Tensor) -> Tensor:
        estimates: Tensor = self.scores(hidden)
        return torch.where(self.is_class, estimates.asinh(), estimates)

    def with_concepts(self, points: Tensor) -> Tensor:
        """Compute embeddings and scores from the same hidden features.

        Args:
            points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.

        Returns:
            Embeddings and scores side by side, of shape ``(N, embed_dim + k)``.
        """
        return self._compute(points, self._embed, self._score)

    def calibrate(self, scores: Tensor) -> Tensor:
        """Convert scores to probabilities and units.

        Args:
            scores: Scores of shape ``(N, k)``, as :meth:`concepts` returns them.

        Returns:
            Values of the same shape.
        """
        estimates = torch.where(self.is_class, scores.sinh(), scores)
        values = estimates * self.std + self.mean
        values = torch.where(self.is_class, values.clamp(0, 1), values)
        return torch.where(self.is_log, 10 ** values.clamp(max=30) - 1, values)

    def standardise(self, values: Tensor) -> Tensor:
        """Convert probabilities and units to scores, the inverse of :meth:`calibrate`.

        Args:
            values: Values of shape ``(N, k)``. The score of a logarithmic quantity of -1
                or less is not finite.

        Returns:
            Scores of the same shape. For a probability of 0, the highest score that
            calibrates to 0; for 1, the lowest that calibrates to 1.
        """
        values = torch.where(self.is_log, torch.log10(1 + values), values)
        estimates = (values - self.mean) / self.std
        return torch.where(self.is_class, estimates.asinh(), estimates)

    def project(self, points: Tensor, basis: ConceptBasis | None = None) -> Tensor:
        """Project points onto the directions of concepts.

        Args:
            points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
            basis: Directions of another bank in the space of the embeddings, such as
                from :func:`~torchgeo_concepts.concepts.text.encode_text`. By default,
                the model's own trained directions, for :attr:`bank`.

        Returns:
            Projections of shape ``(N, k)``, in the order of the bank.
        """
        chosen = self.basis if basis is None else basis
        return self._compute(points, lambda hidden: chosen(self.whole(hidden)))

    def metadata(self) -> dict[str, str]:
        """Return the metadata that :meth:`from_metadata` takes."""
        return {
            **super().metadata(),
            'architecture': json.dumps(asdict(self.architecture)),
            'provenance': json.dumps(self.provenance),
        }

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> Self:
        """Build a model, without loading its weights.

        Args:
            metadata: Returned by :meth:`metadata`.

        Returns:
            The model.
        """
        bank = ConceptBank.from_json(metadata['bank'])
        model = cls(bank, **json.loads(metadata['architecture']))
        model.basis.source = metadata['basis_source']
        model.provenance = json.loads(metadata['provenance'])
        return model

    def save(self, path: Path | str, half: bool = True) -> None:
        """Write the model to a file that :meth:`load` reads.

        Args:
            path: A safetensors file.
            half: Write in float16, half the size.
        """
        kept = ('embedding_mean', 'embedding_std', 'mean', 'std', 'waves.frequencies')
        state = self.state_dict()
        # The initial directions are random, so only the final ones are stored.
        state['basis.initial'] = self.basis.directions.detach()
        del state['basis.offset']
        for name, value in state.items():
            if half and value.is_floating_point() and name not in kept:
                state[name] = value.half()
        self._write(path, state)
