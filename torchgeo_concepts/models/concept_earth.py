# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""A compact location encoder that learned named concepts from maps of the Earth."""

import itertools
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from .._files import atomic_path
from ..concepts.bank import ConceptBank
from ..points import check_points, wrap_longitude
from .alignment import ConceptBasis
from .earth_grid import EarthGrid, FourierFeatures

__all__ = ('ConceptEarth', 'Scale')


@dataclass(frozen=True)
class Scale:
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
        grid_features: Features of a node of the grid.
        table_size: Most entries of a level of the grid.
        num_waves: Number of Fourier waves.
    """

    embed_dim: int = 512
    hidden_dim: int = 512
    depth: int = 2
    rows: Sequence[int] = field(default=(6, 12, 24, 48, 96, 192, 384, 768, 1440, 2880))
    grid_features: int = 4
    table_size: int = 2**18
    num_waves: int = 128


class ConceptEarth(nn.Module):
    """Location encoder with embeddings in GeoCLIP's space and scores of named concepts.

    Features of grids and of waves go through one small network, which has two outputs:
    embeddings, and an estimate of each concept that was taught by maps.
    """

    embedding_mean: Tensor
    embedding_std: Tensor
    mean: Tensor
    std: Tensor
    is_log: Tensor
    is_class: Tensor

    def __init__(
        self, bank: ConceptBank, scale: Scale | None = None, **sizes: Any
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
        sizes_ = self.architecture
        self.grid = EarthGrid(sizes_.rows, sizes_.grid_features, sizes_.table_size)
        self.waves = FourierFeatures(sizes_.num_waves)
        widths = [self.grid.output_dim + self.waves.output_dim]
        widths += [sizes_.hidden_dim] * sizes_.depth
        layers: list[nn.Module] = []
        for width, following in itertools.pairwise(widths):
            layers += [nn.Linear(width, following), nn.GELU()]
        self.trunk = nn.Sequential(*layers)
        self.embedding = nn.Linear(widths[-1], sizes_.embed_dim)
        self.scores = nn.Linear(widths[-1], len(bank))
        self.basis = ConceptBasis.random(bank, sizes_.embed_dim)
        self.register_buffer('embedding_mean', torch.zeros(sizes_.embed_dim))
        self.register_buffer('embedding_std', torch.ones(()))
        self.set_scale(scale or _plain(bank))

    def set_scale(self, scale: Scale) -> None:
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

    @property
    def embed_dim(self) -> int:
        """Number of features of an embedding."""
        return self.architecture.embed_dim

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
        points = check_points(points).to(self.mean.dtype)
        points = torch.stack((wrap_longitude(points[:, 0]), points[:, 1]), dim=1)
        features = torch.cat((self.grid(points), self.waves(points)), dim=1)
        hidden: Tensor = self.trunk(features)
        return hidden

    def forward(self, points: Tensor) -> Tensor:
        """Forward pass.

        Args:
            points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.

        Returns:
            Embeddings of shape ``(N, embed_dim)``, not normalised.
        """
        return self.both(points)[0]

    def concepts(self, points: Tensor, calibrated: bool = False) -> Tensor:
        """Score the concepts at points.

        Args:
            points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
            calibrated: Give probabilities of classes, and quantities in their units,
                instead of standardised scores.

        Returns:
            Scores of shape ``(N, k)``, in the order of the bank.
        """
        scores: Tensor = self.scores(self.hidden(points))
        return self.calibrate(scores) if calibrated else scores

    def calibrate(self, scores: Tensor) -> Tensor:
        """Turn scores into probabilities and units.

        Args:
            scores: Standardised scores of shape ``(N, k)``.

        Returns:
            Values of the same shape.
        """
        values = scores * self.std + self.mean
        values = torch.where(self.is_class, values.clamp(0, 1), values)
        return torch.where(self.is_log, 10 ** values.clamp(max=30) - 1, values)

    def both(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Compute embeddings and scores in one pass.

        Args:
            points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.

        Returns:
            What :meth:`forward` and :meth:`concepts` return.
        """
        hidden = self.hidden(points)
        # The network learns what differs between places, on one scale with the scores.
        x = self.embedding(hidden) * self.embedding_std + self.embedding_mean
        return x, self.scores(hidden)

    def project(self, points: Tensor) -> Tensor:
        """Project points onto the directions of the concepts.

        Args:
            points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.

        Returns:
            Projections of shape ``(N, k)``, in the order of the bank.
        """
        projection: Tensor = self.basis(self(points))
        return projection

    def save(self, path: Path | str, half: bool = True) -> None:
        """Write the model to a file that :meth:`load` needs nothing beside.

        Args:
            path: A safetensors file.
            half: Write in float16, half the size.
        """
        import torchgeo_concepts

        metadata = {
            'model': 'concept_earth',
            'version': torchgeo_concepts.__version__,
            'architecture': json.dumps(asdict(self.architecture)),
            'bank': self.bank.to_json(),
            'basis_source': self.basis.source,
            'provenance': json.dumps(self.provenance),
        }
        kept = ('embedding_mean', 'embedding_std', 'mean', 'std', 'waves.frequencies')
        tensors = {
            name: value.half() if half and value.is_floating_point() and name not in kept
            else value
            for name, value in self.state_dict().items()
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
        model.load_state_dict(state)
        return model.eval()


def _plain(bank: ConceptBank) -> Scale:
    """Return the scale that changes nothing."""
    number = len(bank)
    return Scale([0.0] * number, [1.0] * number, [False] * number, [False] * number)
