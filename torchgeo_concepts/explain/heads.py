# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Heads that predict from concept scores, and what each feature adds to predictions."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self, get_args

import torch
from torch import Tensor, nn

from ..concepts.bank import ConceptBank
from ..embed.points import embed_points
from ..geo.points import PointsLike, as_points
from ..utils.names import near_matches, normalise

HeadFeatures = Literal['z', 'xz']


@dataclass(frozen=True, eq=False)
class Source:
    """Where a head takes its features from.

    Attributes:
        encoder: Location encoder with concept scores.
        bank: Its concepts.
        features: ``'z'`` for the scores, ``'xz'`` for embedding and scores side by side.
    """

    encoder: nn.Module
    bank: ConceptBank
    features: HeadFeatures

    @classmethod
    def of(cls, encoder: nn.Module | None, bank: ConceptBank | None, kind: str) -> Self:
        """Check that features have names.

        Args:
            encoder: The encoder.
            bank: Names of its concepts. By default the bank that it has.
            kind: What the head takes of it.

        Raises:
            ValueError: If no feature names a concept, or the bank is not that of the
                encoder.
        """
        if kind not in get_args(HeadFeatures) or encoder is None:
            raise ValueError(
                f'The head takes features {kind!r}, of which no number has the name of a '
                "concept. Fit one on features='z' or 'xz'."
            )
        bank = bank_of(encoder, bank)
        number = _embed(encoder, torch.zeros(1, 2), 'z').shape[1]
        if number != len(bank):
            raise ValueError(
                f'{type(encoder).__name__} has {number} concept scores, the bank '
                f'{len(bank)} concepts.'
            )
        return cls(encoder, bank, 'z' if kind == 'z' else 'xz')

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
    """What a head predicts.

    Attributes:
        names: Names of the targets or classes.
        units: Unit of each, empty for classes.
        is_class: They are log-odds of classes, up to a number common to all.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    is_class: bool = False

    @classmethod
    def of(
        cls,
        names: Sequence[str] | None,
        units: Sequence[str] | None,
        known: Sequence[str],
        is_class: bool = False,
    ) -> Self:
        """Name outputs.

        Args:
            names: Names of the outputs. By default those that are known.
            units: Unit of each. None by default.
            known: Names that the model has for them.
            is_class: They are log-odds of classes.

        Raises:
            ValueError: If there are not as many names or units as outputs.
        """
        for what, given in (('names', names), ('units', units)):
            if given is not None and len(given) != len(known):
                raise ValueError(
                    f'The model has {len(known)} outputs, but {len(given)} {what}.'
                )
        blank = ('',) * len(known)
        return cls(tuple(names or known), tuple(units or blank), is_class)

    def __len__(self) -> int:
        """Return the number of outputs."""
        return len(self.names)

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
    """Predicts from the concept scores of an encoder, or from embedding and scores.

    Attributes:
        source: Where its features come from.
        outputs: What it predicts.
        reference: Features of shape ``(d,)`` that contributions are relative to.
        base_name: What to call the prediction for these.
    """

    source: Source
    outputs: Outputs
    reference: Tensor
    base_name: str

    def __post_init__(self) -> None:
        """Check that the encoder has the features that the head takes.

        Raises:
            ValueError: If it has another number.
        """
        width, number = self.source.width, len(self.reference)
        if number != width:
            raise ValueError(
                f'The head takes {number} features, '
                f'{type(self.source.encoder).__name__} has {width} of '
                f'{self.source.features!r}.'
            )

    @abstractmethod
    def predict(self, inputs: Tensor) -> Tensor:
        """Predict all outputs from features of shape ``(N, d)``."""

    @abstractmethod
    def attribute(self, inputs: Tensor, chosen: Tensor) -> Tensor:
        """Tell what each feature adds to a weighted sum of the outputs.

        Args:
            inputs: Features of shape ``(N, d)``.
            chosen: Weight of each output, of shape ``(N, t)`` or ``(1, t)``.

        Returns:
            Contributions of shape ``(N, d)``, relative to the reference.
        """

    def relative_to(self, points: PointsLike) -> Self:
        """Return the head with contributions relative to the average of points.

        Args:
            points: A reference set of points.

        Raises:
            ValueError: If there are none.
        """
        tensor = as_points(points)
        if not len(tensor):
            raise ValueError('The reference has no points.')
        return replace(
            self,
            reference=self.source.inputs(tensor).mean(dim=0),
            base_name='average of the reference',
        )


@dataclass(frozen=True, eq=False)
class LinearHead(ConceptHead):
    """A head that is linear, so that contributions are exact.

    Attributes:
        weight: Weights of shape ``(t, d)``, of features as the encoder has them.
        bias: Intercepts of shape ``(t,)``.
    """

    weight: Tensor
    bias: Tensor

    def predict(self, inputs: Tensor) -> Tensor:
        """Predict all outputs.

        Args:
            inputs: Features of shape ``(N, d)``.

        Returns:
            Predictions of shape ``(N, t)``.
        """
        return inputs @ self.weight.T + self.bias

    def attribute(self, inputs: Tensor, chosen: Tensor) -> Tensor:
        """Tell what each feature adds to a weighted sum of the outputs.

        Args:
            inputs: Features of shape ``(N, d)``.
            chosen: Weight of each output, of shape ``(N, t)`` or ``(1, t)``.

        Returns:
            Contributions of shape ``(N, d)``, which sum to the difference to the
            prediction for the reference.
        """
        return (inputs - self.reference) * (chosen @ self.weight)


def bank_of(encoder: nn.Module, bank: ConceptBank | None = None) -> ConceptBank:
    """Return the bank that names the concepts of an encoder.

    Args:
        encoder: The encoder.
        bank: The bank that it should be. Needed if the encoder has none.

    Raises:
        ValueError: If there is no bank, or the encoder has another.
    """
    own: ConceptBank | None = getattr(encoder, 'bank', None)
    name = type(encoder).__name__
    if bank is None and own is None:
        raise ValueError(
            f'{name} has no bank, so nothing names its concepts. Pass bank=.'
        )
    if bank is None or own is None:
        return bank or own or ConceptBank([])
    if len(bank) != len(own):
        raise ValueError(
            f'The bank has {len(bank)} concepts, that of {name} {len(own)}.'
        )
    for place, (given, known) in enumerate(zip(bank.names, own.names, strict=True)):
        if given != known:
            raise ValueError(
                f'Concept {place}, counted from 0, is {given!r} in the bank, and '
                f'{known!r} in that of {name}.'
            )
    return own


def device_of(module: nn.Module) -> Literal['cpu', 'cuda']:
    """Return where a module computes.

    Args:
        module: The module.
    """
    parameter = next(module.parameters(), None)
    return 'cuda' if parameter is not None and parameter.is_cuda else 'cpu'


def _embed(encoder: nn.Module, points: PointsLike, kind: HeadFeatures) -> Tensor:
    device = device_of(encoder)
    return embed_points(encoder, points, features=kind, device=device, progress=False)
