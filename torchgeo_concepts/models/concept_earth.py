# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""A compact location encoder that learned named concepts from maps of the Earth."""

import itertools
import json
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..concepts.bank import ConceptBank
from ..geo.points import check_points, wrap_longitude
from ..utils.files import atomic_path
from ..utils.version import VERSION
from ._chunks import in_chunks
from .alignment import ConceptBasis
from .earth_grid import EarthGrid, SphericalWaves

# Levels of the grid, from 30 degrees to 0.125, and the features of their nodes: most
# where GeoCLIP's embeddings change, over some hundred kilometres.
ROWS = (6, 12, 24, 48, 96, 192, 384, 768, 1440)
GRID_FEATURES = (4, 4, 16, 32, 32, 24, 8, 4, 4)

# A point takes many small steps, each of which has a cost of its own.
CPU_CHUNK = 4096


@dataclass(frozen=True)
class ConceptScale:
    """How concept scores, which are standardised, become values.

    Attributes:
        mean: Mean of each label, of length ``k``.
        std: Standard deviation of each label.
        is_log: Which labels are ``log10(1 + value)``.
        is_class: Which concepts hold or do not, so that values are probabilities.
    """

    mean: Sequence[float]
    std: Sequence[float]
    is_log: Sequence[bool]
    is_class: Sequence[bool]

    def __post_init__(self) -> None:
        """Check that all lengths agree.

        Raises:
            ValueError: If they do not.
        """
        lengths = {name: len(value) for name, value in asdict(self).items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f'A scale needs as many of each, not {lengths}.')


@dataclass(frozen=True)
class Architecture:
    """Sizes of a ConceptEarth model.

    Attributes:
        embed_dim: Number of features of an embedding.
        hidden_dim: Number of hidden features.
        depth: Number of hidden layers.
        rows: Steps from pole to pole of each level of the grid.
        grid_features: Features of a node of each level of the grid.
        table_size: Most entries of a level of the grid.
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
        """Check that each level of the grid has its features.

        Raises:
            ValueError: If it has not.
        """
        if len(self.rows) != len(self.grid_features):
            raise ValueError(
                f'A grid of {len(self.rows)} levels needs as many grid_features, not '
                f'{len(self.grid_features)}.'
            )

    def make_grids(self) -> nn.ModuleList:
        """Make a grid for each number of features."""
        levels = zip(self.rows, self.grid_features, strict=True)
        grids = [
            EarthGrid([rows for rows, _ in some], features, self.table_size)
            for features, some in itertools.groupby(levels, key=itemgetter(1))
        ]
        return nn.ModuleList(grids)


class ConceptEarth(nn.Module):
    """Location encoder with embeddings in GeoCLIP's space and scores of named concepts.

    Features of grids and of waves go through one small network, which has two outputs:
    embeddings, and an estimate of each concept that was taught by maps.
    """

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
            scale: How scores become values. By default, they are values already.
            **sizes: Attributes of :class:`Architecture`.

        Raises:
            ValueError: If the scale is not that of the bank.
        """
        super().__init__()
        self.architecture = Architecture(**sizes)
        self.provenance: dict[str, Any] = {}
        self.truncate_dim: int | None = None
        sizes_ = self.architecture
        self.grids = sizes_.make_grids()
        self.waves = SphericalWaves(sizes_.num_waves)
        widths = [sum(part.output_dim for part in (*self.grids, self.waves))]
        widths += [sizes_.hidden_dim] * sizes_.depth
        layers: list[nn.Module] = []
        for width, following in itertools.pairwise(widths):
            layers += [nn.Linear(width, following), nn.GELU()]
        self.trunk = nn.Sequential(*layers)
        self.embedding = nn.Linear(widths[-1], sizes_.embed_dim)
        with warnings.catch_warnings():
            # A model without concepts is one that was taught by its teacher alone.
            warnings.filterwarnings('ignore', 'Initializing zero-element tensors')
            self.scores = nn.Linear(widths[-1], len(bank))
        self.basis = ConceptBasis.random(bank, sizes_.embed_dim)
        number = min(sizes_.num_components, sizes_.embed_dim)
        self.register_buffer('embedding_mean', torch.zeros(sizes_.embed_dim))
        self.register_buffer('embedding_std', torch.ones(()))
        self.register_buffer('components', torch.eye(sizes_.embed_dim, number))
        self.set_scale(scale or _plain(bank))

    def set_scale(self, scale: ConceptScale) -> None:
        """Set how scores become values.

        Args:
            scale: The scale.

        Raises:
            ValueError: If it is not that of the bank.
        """
        if len(scale.mean) != len(self.bank):
            raise ValueError(
                f'The bank has {len(self.bank)} concepts, the scale {len(scale.mean)}.'
            )
        for name, dtype in (
            ('mean', torch.float32),
            ('std', torch.float32),
            ('is_log', torch.bool),
            ('is_class', torch.bool),
        ):
            self.register_buffer(name, torch.tensor(getattr(scale, name), dtype=dtype))

    def set_embedding_scale(
        self, mean: Tensor, std: Tensor, components: Tensor
    ) -> None:
        """Set how embeddings are spread.

        Args:
            mean: Mean embedding, of shape ``(embed_dim,)``.
            std: One standard deviation for all features.
            components: Principal components as columns, that of the largest variance
                first. As many as the model keeps are taken.
        """
        self.embedding_mean.copy_(mean)
        self.embedding_std.copy_(std)
        self.components.copy_(components[:, : self.components.shape[1]])

    def truncate(self, dim: int | None) -> Self:
        """Choose how many numbers embeddings have.

        Short embeddings are the first principal components of long ones, so that those
        of any size begin with those of each smaller size. They are no longer in the
        space of the teacher; projections stay what they are.

        Args:
            dim: How many principal components, or None for whole embeddings.

        Returns:
            The model itself.

        Raises:
            ValueError: If the model does not have as many components.
        """
        if dim is not None and not 1 <= dim <= self.components.shape[1]:
            raise ValueError(
                f'Embeddings can be truncated to 1 to {self.components.shape[1]} '
                f'components, not {dim}; None leaves them whole.'
            )
        self.truncate_dim = dim
        return self

    @property
    def embed_dim(self) -> int:
        """Number of features of an embedding."""
        return self.truncate_dim or self.architecture.embed_dim

    @property
    def bank(self) -> ConceptBank:
        """The concepts, in the order of scores and projections."""
        return self.basis.bank

    @property
    def units(self) -> tuple[str, ...]:
        """Unit of each concept, empty for probabilities."""
        return tuple(concept.unit for concept in self.bank)

    def hidden(self, points: Tensor) -> Tensor:
        """Compute what both outputs are made of.

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
            hidden: What :meth:`hidden` returns.

        Returns:
            Embeddings in the space of the teacher, truncated or not.
        """
        # The network learns what differs between places, on one scale with the scores.
        x: Tensor = self.embedding(hidden) * self.embedding_std + self.embedding_mean
        return x

    def forward(self, points: Tensor) -> Tensor:
        """Forward pass.

        Args:
            points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.

        Returns:
            Embeddings of shape ``(N, embed_dim)``, not normalised.
        """
        return in_chunks(
            lambda some: self._embed(self.hidden(some)), check_points(points), CPU_CHUNK
        )

    def _embed(self, hidden: Tensor) -> Tensor:
        x = self.whole(hidden)
        if self.truncate_dim is None:
            return x
        return (x - self.embedding_mean) @ self.components[:, : self.truncate_dim]

    def concepts(self, points: Tensor, calibrated: bool = False) -> Tensor:
        """Score the concepts at points.

        Scores are standardised estimates. Those of classes are compressed by an inverse
        hyperbolic sine, which changes little up to 1: a rare class would otherwise stand
        30 standard deviations out where it holds, and a linear model that was fitted
        where it does not hold would go far astray.

        Args:
            points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
            calibrated: Give probabilities of classes, and quantities in their units,
                instead of scores.

        Returns:
            Scores of shape ``(N, k)``, in the order of the bank.
        """
        scores = in_chunks(
            lambda some: self._score(self.hidden(some)), check_points(points), CPU_CHUNK
        )
        return self.calibrate(scores) if calibrated else scores

    def _score(self, hidden: Tensor) -> Tensor:
        estimates: Tensor = self.scores(hidden)
        return torch.where(self.is_class, estimates.asinh(), estimates)

    def with_concepts(self, points: Tensor) -> Tensor:
        """Compute embeddings and scores in little more time than either takes.

        Args:
            points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.

        Returns:
            Embeddings and scores side by side, of shape ``(N, embed_dim + k)``.
        """

        def both(some: Tensor) -> Tensor:
            hidden = self.hidden(some)
            return torch.cat((self._embed(hidden), self._score(hidden)), dim=1)

        return in_chunks(both, check_points(points), CPU_CHUNK)

    def calibrate(self, scores: Tensor) -> Tensor:
        """Turn scores into probabilities and units.

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
        """Turn probabilities and units into scores, as :meth:`calibrate` turns them back.

        Args:
            values: Values of shape ``(N, k)``. No score has a logarithmic quantity of -1
                or less; what it gives there is not finite.

        Returns:
            Scores of the same shape. Of the many scores that are calibrated to a
            probability of 0 or of 1, it is the one nearest to the others.
        """
        values = torch.where(self.is_log, torch.log10(1 + values), values)
        estimates = (values - self.mean) / self.std
        return torch.where(self.is_class, estimates.asinh(), estimates)

    def project(self, points: Tensor, basis: ConceptBasis | None = None) -> Tensor:
        """Project points onto the directions of concepts.

        Args:
            points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
            basis: Directions of another bank in the space of the embeddings, such as
                those of :func:`~torchgeo_concepts.concepts.text.encode_text`. By
                default, those that were learned with the model, of :attr:`bank`.

        Returns:
            Projections of shape ``(N, k)``, in the order of the bank.
        """
        chosen = self.basis if basis is None else basis

        def onto(some: Tensor) -> Tensor:
            projection: Tensor = chosen(self.whole(self.hidden(some)))
            return projection

        return in_chunks(onto, check_points(points), CPU_CHUNK)

    def save(self, path: Path | str, half: bool = True) -> None:
        """Write the model to a file that :meth:`load` needs nothing beside.

        Args:
            path: A safetensors file.
            half: Write in float16, half the size.
        """
        metadata = {
            'model': 'concept_earth',
            'version': VERSION,
            'architecture': json.dumps(asdict(self.architecture)),
            'bank': self.bank.to_json(),
            'basis_source': self.basis.source,
            'provenance': json.dumps(self.provenance),
        }
        kept = ('embedding_mean', 'embedding_std', 'mean', 'std', 'waves.frequencies')
        state = self.state_dict()
        # Directions started at random: where they are now is all there is to know.
        state['basis.initial'] = self.basis.directions.detach()
        del state['basis.offset']
        tensors = {
            name: value.half() if half and value.is_floating_point() and name not in kept
            else value
            for name, value in state.items()
        }  # fmt: skip
        contiguous = {name: value.contiguous() for name, value in tensors.items()}
        with atomic_path(Path(path)) as temporary:
            save_file(contiguous, temporary, metadata)

    @classmethod
    def load(cls, path: Path | str) -> 'ConceptEarth':
        """Read a model that :meth:`save` wrote.

        Args:
            path: The file.

        Returns:
            The model in eval mode, in float32.

        Raises:
            ValueError: If the file holds another model.
        """
        with safe_open(path, 'pt') as file:
            metadata = file.metadata() or {}
            if metadata.get('model') != 'concept_earth':
                raise ValueError(f'{path} holds no concept_earth model.')
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        bank = ConceptBank.from_json(metadata['bank'])
        model = cls(bank, **json.loads(metadata['architecture']))
        model.basis.source = metadata['basis_source']
        model.provenance = json.loads(metadata['provenance'])
        state['basis.offset'] = torch.zeros_like(model.basis.offset)
        model.load_state_dict(state)
        return model.eval()


def _plain(bank: ConceptBank) -> ConceptScale:
    """Return the scale that changes nothing."""
    number = len(bank)
    return ConceptScale(
        [0.0] * number, [1.0] * number, [False] * number, [False] * number
    )
