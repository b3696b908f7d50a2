# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""A head on features of points: embeddings, further columns, images."""

from collections.abc import Sequence
from typing import Self, cast

import torch
from torch import Tensor, nn

from ..utils.names import check_choice
from .features import InputKind, coordinate_features, features
from .image_towers import ImageTower


def make_head(
    kind: str,
    in_features: int,
    out_features: int,
    hidden_dim: int = 256,
    depth: int = 1,
    dropout: float = 0.1,
) -> nn.Module:
    """Build a head.

    Args:
        kind: ``'mlp'`` for a network, any other value for a linear layer.
        in_features: Number of inputs.
        out_features: Number of outputs.
        hidden_dim: Number of features of a hidden layer.
        depth: Number of hidden layers.
        dropout: Fraction of hidden features that are dropped in training.

    Returns:
        The head.
    """
    if kind != 'mlp':
        return nn.Linear(in_features, out_features)
    layers: list[nn.Module] = []
    width = in_features
    for _ in range(depth):
        layers += [nn.Linear(width, hidden_dim), nn.GELU(), nn.Dropout(dropout)]
        width = hidden_dim
    return nn.Sequential(*layers, nn.Linear(width, out_features))


class LocationModel(nn.Module):
    """A head on the standardised features of points.

    The head takes the features of a location encoder, the features of an image backbone
    and further columns, joined in this order.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        encoder: nn.Module | None,
        kind: InputKind = 'x',
        tower: ImageTower | None = None,
        num_extra: int = 0,
        frozen: bool = True,
    ) -> None:
        """Initialize a new LocationModel instance.

        Args:
            encoder: A location encoder, or None for ``'coordinates'``.
            kind: Features of points.
            tower: Image tower, whose head is removed.
            num_extra: Number of further columns.
            frozen: Do not train the encoder and the backbone, and keep them in eval mode.

        Raises:
            ValueError: If *kind* is unknown.
        """
        super().__init__()
        check_choice('features', kind, InputKind)
        self.encoder = encoder
        self.kind = kind
        self.tower = tower
        self.num_extra = num_extra
        self.frozen = frozen
        self.head: nn.Module = nn.Identity()
        self.set_statistics(torch.zeros(0), torch.ones(0))
        if tower is not None:
            tower.head = nn.Identity()
        if encoder is not None:
            encoder.requires_grad_(not frozen)
            if not frozen:
                freeze_unused(encoder, kind)
        self.train()

    def train(self, mode: bool = True) -> Self:
        """Set the mode of the model, except for a frozen encoder.

        Args:
            mode: Training mode, or eval mode if false.

        Returns:
            The model.
        """
        super().train(mode)
        if self.frozen and self.encoder is not None:
            self.encoder.eval()
        return self

    def set_statistics(self, mean: Tensor, std: Tensor) -> None:
        """Set the mean and standard deviation of the inputs.

        Args:
            mean: Mean of each input, of shape ``(d,)``.
            std: Standard deviation of each input, of shape ``(d,)``.
        """
        self.register_buffer('mean', mean)
        self.register_buffer('std', std)

    def fit_statistics(self, inputs: Tensor) -> None:
        """Compute the mean and standard deviation of training inputs.

        Args:
            inputs: Inputs of shape ``(N, d)``, NaN where a column is missing.
        """
        known = ~inputs.isnan()
        number = known.sum(dim=0).clamp(min=1)
        values = torch.where(known, inputs, 0).double()
        mean = values.sum(dim=0) / number
        spread = torch.where(known, values - mean, 0).square().sum(dim=0) / number
        std = spread.sqrt()
        # Dividing a constant input by its rounding error would create a noise feature.
        std[std <= 1e-6 * mean.abs()] = 1
        self.set_statistics(mean.float(), std.float())

    def inputs(
        self, points: Tensor, extra: Tensor | None = None, image: Tensor | None = None
    ) -> Tensor:
        """Compute the inputs of the head, before they are standardised.

        Args:
            points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
            extra: Further columns of shape ``(N, e)``, NaN where missing.
            image: Images of shape ``(N, C, H, W)``, or their features.

        Returns:
            Inputs of shape ``(N, d)``.

        Raises:
            ValueError: If images are missing, or the number of columns is wrong.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            if self.encoder is None or self.kind == 'coordinates':
                parts = [coordinate_features(points)]
            else:
                parts = [features(self.encoder, points, self.kind)]
            if self.tower is not None:
                if image is None:
                    raise ValueError(
                        "A model with an image_model needs batches with an 'image'."
                    )
                parts.append(self.tower.features(image))
        num_extra = 0 if extra is None else extra.shape[1]
        if num_extra != self.num_extra:
            raise ValueError(
                f'Expected {self.num_extra} extra columns, got {num_extra}. Pass the '
                'columns used in training to the dataset as extra=.'
            )
        if extra is not None:
            parts.append(extra)
        return torch.cat([part.float() for part in parts], dim=1)

    def standardise(self, inputs: Tensor) -> Tensor:
        """Standardise inputs.

        Args:
            inputs: Inputs of shape ``(N, d)``.

        Returns:
            Inputs of the same shape; a missing value becomes 0, the mean.
        """
        scaled = (inputs - self.mean) / self.std
        number = scaled.shape[1] - self.num_extra
        return torch.cat((scaled[:, :number], scaled[:, number:].nan_to_num(0.0)), 1)

    def forward(self, inputs: Tensor) -> Tensor:
        """Forward pass.

        Args:
            inputs: Inputs of shape ``(N, d)``, from :meth:`inputs`.

        Returns:
            Outputs of the head.
        """
        output: Tensor = self.head(self.standardise(inputs))
        return output


def freeze_unused(encoder: nn.Module, kind: InputKind) -> None:
    """Freeze parameters that get no gradient, as distributed training requires."""
    if kind == 'coordinates':
        return
    trained = [p for p in encoder.parameters() if p.requires_grad]
    with torch.enable_grad():
        total = features(encoder, torch.zeros(2, 2), kind).sum()
        gradients = torch.autograd.grad(total, trained, allow_unused=True)
    found = cast(Sequence[Tensor | None], gradients)
    for parameter, gradient in zip(trained, found, strict=True):
        if gradient is None:
            parameter.requires_grad_(False)
