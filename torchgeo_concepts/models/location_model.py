# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""A head on what is known of points: features, further columns, images."""

from collections.abc import Sequence
from typing import Literal, Self, cast, get_args

import torch
from torch import Tensor, nn

from .features import InputKind, coordinate_features, features
from .image_towers import ImageTower

GradientHead = Literal['linear', 'mlp']


def make_head(
    kind: str,
    in_features: int,
    out_features: int,
    hidden_dim: int = 256,
    depth: int = 1,
    dropout: float = 0.1,
) -> nn.Module:
    """Make a head.

    Args:
        kind: ``'mlp'`` for a network, anything else for a linear layer.
        in_features: Number of inputs.
        out_features: Number of outputs.
        hidden_dim: Number of hidden features of a network.
        depth: Number of its hidden layers.
        dropout: Share of hidden features that are left out in training.

    Returns:
        The head.

    Raises:
        ValueError: If a size is not positive.
    """
    if kind != 'mlp':
        return nn.Linear(in_features, out_features)
    if hidden_dim < 1 or depth < 1:
        raise ValueError(
            f'A network needs a hidden_dim and a depth of at least 1, not {hidden_dim} '
            f"and {depth}. head='linear' has no hidden layer."
        )
    layers: list[nn.Module] = []
    for layer in range(depth):
        width = in_features if layer == 0 else hidden_dim
        layers += [nn.Linear(width, hidden_dim), nn.GELU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Linear(hidden_dim, out_features))


class LocationModel(nn.Module):
    """A head on the standardised features of points.

    What it takes are the features of a location encoder, those of an image backbone,
    and further columns, side by side and in this order.
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
            tower: Image tower, of which the backbone alone is used.
            num_extra: Number of further columns.
            frozen: Keep encoder and backbone as they are, also in eval mode.

        Raises:
            ValueError: If there are no such features.
        """
        super().__init__()
        if kind not in get_args(InputKind):
            raise ValueError(
                f'features must be one of {get_args(InputKind)}, not {kind!r}.'
            )
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
        """Set the mode of the model, but for a frozen encoder.

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
        """Set what inputs are standardised by.

        Args:
            mean: Mean of each input.
            std: Standard deviation of each.
        """
        self.register_buffer('mean', mean)
        self.register_buffer('std', std)

    def fit_statistics(self, inputs: Tensor) -> None:
        """Standardise by the inputs of training rows.

        Args:
            inputs: Inputs of shape ``(N, d)``, NaN where a column is missing.
        """
        known = ~inputs.isnan()
        number = known.sum(dim=0).clamp(min=1)
        values = torch.where(known, inputs, 0).double()
        mean = values.sum(dim=0) / number
        spread = torch.where(known, values - mean, 0).square().sum(dim=0) / number
        std = spread.sqrt()
        # Rounding must not be blown up to features.
        std[std <= 1e-6 * mean.abs()] = 1
        self.set_statistics(mean.float(), std.float())

    def inputs(
        self, points: Tensor, extra: Tensor | None = None, image: Tensor | None = None
    ) -> Tensor:
        """Compute what the head takes, before it is standardised.

        Args:
            points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
            extra: Further columns of shape ``(N, e)``, NaN where missing.
            image: Images of shape ``(N, C, H, W)``, or their features.

        Returns:
            Inputs of shape ``(N, d)``.

        Raises:
            ValueError: If images or columns are missing, or too many.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            parts = [self._locate(points)]
            if self.tower is not None:
                if image is None:
                    raise ValueError(
                        "A model with an image_model needs batches with an 'image'."
                    )
                parts.append(self.tower.features(image))
        num_extra = 0 if extra is None else extra.shape[1]
        if num_extra != self.num_extra:
            raise ValueError(
                f'The model has {self.num_extra} extra columns, the data {num_extra}. '
                'Name the same ones in extra of the dataset.'
            )
        if extra is not None:
            parts.append(extra)
        return torch.cat([part.float() for part in parts], dim=1)

    def _locate(self, points: Tensor) -> Tensor:
        if self.kind == 'coordinates' or self.encoder is None:
            return coordinate_features(points)
        return features(self.encoder, points, self.kind)

    def standardise(self, inputs: Tensor) -> Tensor:
        """Standardise inputs.

        Args:
            inputs: Inputs of shape ``(N, d)``.

        Returns:
            Inputs of the same shape; a missing column has its mean, 0.
        """
        scaled = (inputs - self.mean) / self.std
        number = scaled.shape[1] - self.num_extra
        return torch.cat((scaled[:, :number], scaled[:, number:].nan_to_num(0.0)), 1)

    def forward(
        self, points: Tensor, extra: Tensor | None = None, image: Tensor | None = None
    ) -> Tensor:
        """Forward pass.

        Args:
            points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
            extra: Further columns of shape ``(N, e)``.
            image: Images of shape ``(N, C, H, W)``, or their features.

        Returns:
            Outputs of the head.
        """
        inputs = self.inputs(points, extra, image)
        output: Tensor = self.head(self.standardise(inputs))
        return output


def freeze_unused(encoder: nn.Module, kind: InputKind) -> None:
    """Freeze what features do not depend on, which distributed training would wait for."""
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
