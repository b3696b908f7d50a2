# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Heads that predict from concept scores and attribute predictions to features."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self, get_args

import torch
from torch import Tensor, nn

from ..concepts.bank import ConceptBank
from ..embed.points import embed_points
from ..geo.points import PointsLike
from ..models.protocols import GroundedEncoder, check_encoder
from ..utils.modes import evaluating
from ..utils.names import check_known

HeadFeatures = Literal['z', 'xz']

# Number of rows in a batch of a network, small enough for the cache of a processor.
ROWS = 64

# Steps of integrated gradients, enough for almost no gap in smooth networks.
STEPS = 16


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


@dataclass(frozen=True, eq=False)
class ConceptHead(ABC):
    """Base class of heads.

    Attributes:
        source: Encoder and features.
        names: Names of the outputs, which are targets or classes.
        units: Unit of each output, empty for classes.
        is_class: The outputs are log-odds of classes, up to a common constant.
        reference: Features of shape ``(d,)`` that contributions are relative to.
        base_name: Name of the prediction for the reference.
    """

    source: ScoreSource
    names: tuple[str, ...]
    units: tuple[str, ...]
    is_class: bool
    reference: Tensor
    base_name: str

    def __post_init__(self) -> None:
        """Validate the number of features.

        Raises:
            ValueError: If the numbers of features of head and encoder differ.
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

    def renamed(self, names: Sequence[str] | None, units: Sequence[str] | None) -> Self:
        """Return a head whose outputs have other names or units.

        Args:
            names: Names of the outputs. By default, no change.
            units: Unit of each output. By default, no change.

        Raises:
            ValueError: If the number of names or units differs from that of outputs.
        """
        new = tuple(names or self.names), tuple(units or self.units)
        for what, given in zip(('names', 'units'), new, strict=True):
            if len(given) != len(self.names):
                raise ValueError(
                    f'Expected {len(self.names)} {what}, one for each output, got '
                    f'{len(given)}.'
                )
        return replace(self, names=new[0], units=new[1])

    def index(self, name: str) -> int:
        """Return the index of an output.

        Args:
            name: Name of the output.

        Raises:
            ValueError: If there is no such output; the message lists near matches.
        """
        check_known('No target', name, self.names)
        return self.names.index(name)


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
            Contributions of shape ``(N, d)``, which sum to the difference of the
            predictions for the inputs and for the reference.
        """
        return (inputs - self.reference) * (chosen @ self.weight)


@dataclass(frozen=True, eq=False)
class NetworkHead(ConceptHead):
    """A nonlinear head.

    Contributions are integrated gradients (https://arxiv.org/abs/1703.01365) along the
    straight line from the reference. Their sum deviates from the difference of the
    predictions by a gap. Each explanation shows the gap, which shrinks with more steps.

    Attributes:
        network: The network.
        outputs_of: Differentiable function from unscaled features to predictions.
        steps: Number of points along the line. More steps take longer and leave a
            smaller gap. Use ``dataclasses.replace`` to change the number.
    """

    network: nn.Module
    outputs_of: Callable[[Tensor], Tensor]
    steps: int = STEPS

    def predict(self, inputs: Tensor) -> Tensor:
        """Predict all outputs, of shape ``(N, t)``, from features of shape ``(N, d)``."""
        with torch.no_grad(), evaluating(self.network):
            return self._outputs(inputs).double().cpu()

    def attribute(self, inputs: Tensor, chosen: Tensor) -> Tensor:
        """Compute the contribution of each feature to a weighted sum of the outputs.

        Args:
            inputs: Features of shape ``(N, d)``.
            chosen: Weight of each output, of shape ``(N, t)`` or ``(1, t)``.

        Returns:
            Contributions of shape ``(N, d)``.

        Raises:
            ImportError: If captum is not installed.
        """
        try:
            from captum.attr import IntegratedGradients
        except ImportError as error:
            raise ImportError(
                'Explanations of networks need captum; install it with '
                "'pip install torchgeo-concepts[explain]'."
            ) from error
        gradients = IntegratedGradients(self._score)
        chosen = chosen.expand(len(inputs), -1)
        parts = [inputs[:0]]
        with evaluating(self.network):
            for rows, weights in zip(
                inputs.split(ROWS), chosen.split(ROWS), strict=True
            ):
                found = gradients.attribute(
                    rows.float(),
                    self.reference[None].float(),
                    additional_forward_args=(weights,),
                    n_steps=self.steps,
                )
                parts.append(found.double())
        return torch.cat(parts)

    def _score(self, inputs: Tensor, weights: Tensor) -> Tensor:
        outputs = self._outputs(inputs)
        return (outputs * weights.to(outputs)).sum(dim=1)

    def _outputs(self, inputs: Tensor) -> Tensor:
        return self.outputs_of(inputs.float().to(device_of(self.network)))


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
