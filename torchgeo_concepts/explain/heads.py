# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Heads that predict from concept scores and attribute predictions to features."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self, get_args

import torch
from torch import Tensor, nn

from ..concepts.bank import ConceptBank
from ..embed.points import embed_points
from ..geo.points import PointsLike, as_points
from ..models.protocols import GroundedEncoder, check_encoder
from ..utils.names import near_matches, normalise

HeadFeatures = Literal['z', 'xz']


@dataclass(frozen=True, eq=False)
class ScoreSource:
    """Input of a head: concept scores of an encoder, or embedding and scores.

    Attributes:
        encoder: A location encoder with concept scores.
        features: ``'z'`` for the scores, ``'xz'`` for embedding and scores side by side.
    """

    encoder: nn.Module
    features: HeadFeatures

    def __post_init__(self) -> None:
        """Validate that the features include the scores of all concepts.

        Raises:
            ValueError: If the features include no scores, the encoder has none, or the
                numbers of scores and concepts differ.
        """
        if self.features not in get_args(HeadFeatures):
            raise ValueError(
                f'The head takes features {self.features!r}, which have no names; fit '
                "a head on features='z' or 'xz'."
            )
        number = _embed(self.encoder, torch.zeros(1, 2), 'z').shape[1]
        if number != len(self.bank):
            raise ValueError(
                f'{type(self.encoder).__name__} has {number} concept scores, but '
                f'{len(self.bank)} concepts in its bank.'
            )

    @property
    def bank(self) -> ConceptBank:
        """The concepts of the encoder."""
        return check_encoder(self.encoder, GroundedEncoder).bank

    @property
    def width(self) -> int:
        """Number of features."""
        return self.inputs(torch.zeros(1, 2)).shape[1]

    def inputs(self, points: PointsLike) -> Tensor:
        """Compute features.

        Args:
            points: Points in any form that :func:`~torchgeo_concepts.geo.points.as_points`
                takes.

        Returns:
            Features of shape ``(N, d)`` in float64, on the CPU.
        """
        return _embed(self.encoder, points, self.features).double()


@dataclass(frozen=True)
class Outputs:
    """Names and units of the outputs of a head.

    Attributes:
        names: Names of the targets or classes.
        units: Unit of each, empty for classes.
        is_class: The outputs are log-odds of classes, up to a common constant.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    is_class: bool = False

    def __len__(self) -> int:
        """Return the number of outputs."""
        return len(self.names)

    def renamed(
        self, names: Sequence[str] | None, units: Sequence[str] | None
    ) -> 'Outputs':
        """Return the outputs with other names or units.

        Args:
            names: Names of the outputs. By default, no change.
            units: Unit of each output. By default, no change.

        Raises:
            ValueError: If the number of names or units differs from that of outputs.
        """
        for what, given in (('names', names), ('units', units)):
            if given is not None and len(given) != len(self):
                raise ValueError(
                    f'Expected {len(self)} {what}, one for each output, got {len(given)}.'
                )
        return Outputs(
            self.names if names is None else tuple(names),
            self.units if units is None else tuple(units),
            self.is_class,
        )

    def index(self, name: object) -> int:
        """Return the number of an output.

        Args:
            name: Its name; case, accents and punctuation do not matter.

        Raises:
            ValueError: If there is no such output; the message lists near matches.
        """
        text = str(name)
        if text in self.names:
            return self.names.index(text)
        known = [normalise(output) for output in self.names]
        if known.count(normalise(text)) != 1:
            raise ValueError(f'No target {text!r}. {near_matches(text, self.names)}')
        return known.index(normalise(text))


@dataclass(frozen=True, eq=False)
class ConceptHead(ABC):
    """Base class of heads.

    Attributes:
        source: Encoder and features.
        outputs: Names and units of the outputs.
        reference: Features of shape ``(d,)`` that contributions are relative to.
        base_name: Name of the prediction for the reference.
    """

    source: ScoreSource
    outputs: Outputs
    reference: Tensor
    base_name: str

    def __post_init__(self) -> None:
        """Validate the number of features.

        Raises:
            ValueError: If head and encoder differ in it.
        """
        width, number = self.source.width, len(self.reference)
        if number != width:
            raise ValueError(
                f'The head takes {number} features, but '
                f'{type(self.source.encoder).__name__} has {width} for '
                f'features={self.source.features!r}.'
            )

    @abstractmethod
    def predict(self, inputs: Tensor) -> Tensor:
        """Predict all outputs, of shape ``(N, t)``, from features of shape ``(N, d)``."""

    @abstractmethod
    def attribute(self, inputs: Tensor, chosen: Tensor) -> Tensor:
        """Compute the contribution of each feature to a weighted sum of the outputs.

        Args:
            inputs: Features of shape ``(N, d)``.
            chosen: Weight of each output, of shape ``(N, t)`` or ``(1, t)``.

        Returns:
            Contributions of shape ``(N, d)``, relative to the reference.
        """

    def relative_to(self, points: PointsLike) -> Self:
        """Return a head whose contributions are relative to the average of points.

        Args:
            points: The reference points.

        Raises:
            ValueError: If there are no points.
        """
        tensor = as_points(points)
        if not len(tensor):
            raise ValueError('The reference has no points.')
        reference = self.source.inputs(tensor).mean(dim=0)
        name = 'average of the reference'
        return replace(self, reference=reference, base_name=name)


@dataclass(frozen=True, eq=False)
class LinearHead(ConceptHead):
    """A linear head, whose contributions are exact.

    Attributes:
        weight: Weights of shape ``(t, d)``, of unscaled features.
        bias: Intercepts of shape ``(t,)``.
    """

    weight: Tensor
    bias: Tensor

    def predict(self, inputs: Tensor) -> Tensor:
        """Predict all outputs, of shape ``(N, t)``, from features of shape ``(N, d)``."""
        return inputs @ self.weight.T + self.bias

    def attribute(self, inputs: Tensor, chosen: Tensor) -> Tensor:
        """Compute the contribution of each feature to a weighted sum of the outputs.

        Args:
            inputs: Features of shape ``(N, d)``.
            chosen: Weight of each output, of shape ``(N, t)`` or ``(1, t)``.

        Returns:
            Contributions of shape ``(N, d)``, which sum to the prediction minus that for
            the reference.
        """
        return (inputs - self.reference) * (chosen @ self.weight)


def device_of(module: nn.Module) -> Literal['cpu', 'cuda']:
    """Return the type of the device of a module.

    Args:
        module: The module.
    """
    parameter = next(module.parameters(), None)
    return 'cuda' if parameter is not None and parameter.is_cuda else 'cpu'


def _embed(encoder: nn.Module, points: PointsLike, kind: HeadFeatures) -> Tensor:
    device = device_of(encoder)
    return embed_points(encoder, points, features=kind, device=device, progress=False)
