# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Heads that are networks, explained by integrated gradients."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..utils.modes import evaluating
from .heads import ConceptHead, device_of

# Number of rows in a batch, small enough for the cache of a processor.
ROWS = 64

# Number of points along the line; smooth networks have almost no gap with these.
STEPS = 16


@dataclass(frozen=True, eq=False)
class NetworkHead(ConceptHead):
    """A nonlinear head.

    Contributions are integrated gradients (https://arxiv.org/abs/1703.01365) along the
    straight line from the reference. Their sum differs from the difference of the
    predictions by a gap, which is part of each explanation and shrinks with more steps.

    Attributes:
        network: The network.
        outputs_of: Differentiable function from unscaled features to predictions.
        steps: Number of points along the line. More take longer and leave a smaller gap.
            Use ``dataclasses.replace`` to change it.
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
        gradients = _captum().IntegratedGradients(self._score)
        chosen = chosen.expand(len(inputs), -1)
        parts = [inputs[:0]]
        with evaluating(self.network):
            for rows, weights in zip(
                inputs.split(ROWS), chosen.split(ROWS), strict=True
            ):
                parts.append(
                    gradients.attribute(
                        rows.float(),
                        self.reference[None].float(),
                        additional_forward_args=(weights,),
                        n_steps=self.steps,
                    ).double()
                )
        return torch.cat(parts)

    def _score(self, inputs: Tensor, weights: Tensor) -> Tensor:
        outputs = self._outputs(inputs)
        return (outputs * weights.to(outputs)).sum(dim=1)

    def _outputs(self, inputs: Tensor) -> Tensor:
        return self.outputs_of(inputs.float().to(device_of(self.network)))


def _captum() -> Any:
    try:
        from captum import attr
    except ImportError as error:
        raise ImportError(
            'Explanations of networks need captum; install it with '
            "'pip install torchgeo-concepts[explain]'."
        ) from error
    return attr
