# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Image towers, which encode images into the location embedding space."""

from typing import Any, Self

import torch
from torch import Tensor, nn


class ImageTower(nn.Module):
    """A backbone that computes features of images, and a head that embeds them.

    A frozen backbone gets no gradients, and stays in eval mode when the tower is trained.
    """

    def __init__(
        self, backbone: nn.Module, head: nn.Module, frozen: bool = True
    ) -> None:
        """Initialize a new ImageTower instance.

        Args:
            backbone: Maps images of shape ``(N, C, H, W)`` to features ``(N, f)``.
            head: Maps features to embeddings ``(N, d)``.
            frozen: Train only the head.
        """
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.frozen = frozen
        self.backbone.requires_grad_(not frozen)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Set the mode of the tower, except for a frozen backbone.

        Args:
            mode: Training mode, or eval mode if false.

        Returns:
            The tower.
        """
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    def features(self, images: Tensor) -> Tensor:
        """Compute the inputs of the head, which can be cached if the backbone is frozen.

        Args:
            images: Preprocessed images of shape ``(N, C, H, W)``, or features of shape
                ``(N, f)``, which are returned as they are.

        Returns:
            Features of shape ``(N, f)``.
        """
        if images.ndim == 2:
            return images
        if isinstance(self.backbone, nn.Identity):
            raise ValueError(
                'This tower has no backbone and takes cached features. For images, use '
                'ImageTower(backbone, tower.head) with the backbone of these features.'
            )
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            features: Tensor = self.backbone(images)
        return features

    def forward(self, images: Tensor) -> Tensor:
        """Forward pass.

        Args:
            images: Preprocessed images of shape ``(N, C, H, W)``, or features of shape
                ``(N, f)`` that :meth:`features` returned.

        Returns:
            Embeddings of shape ``(N, d)``, not normalised.
        """
        embedding: Tensor = self.head(self.features(images))
        return embedding


def count_features(backbone: nn.Module) -> int | None:
    """Return the number of features of a backbone of timm or open_clip.

    Args:
        backbone: The backbone.

    Returns:
        The number, or None if the backbone does not have it as an attribute.
    """
    for name in ('num_features', 'output_dim'):
        number = getattr(backbone, name, None)
        if isinstance(number, int):
            return number
    return None


def image_tower(
    backbone: nn.Module,
    embed_dim: int = 512,
    frozen: bool = True,
    num_features: int | None = None,
) -> ImageTower:
    """Build a tower from any timm or TorchGeo backbone, with a new head.

    Args:
        backbone: Maps images to features. The classifier of a timm model is removed.
        embed_dim: Number of features of an embedding.
        frozen: Train only the head.
        num_features: Number of features of the backbone. By default, its attribute
            ``num_features`` or ``output_dim``.

    Returns:
        The tower.

    Raises:
        ValueError: If the number of features is not known.
    """
    reset: Any = getattr(backbone, 'reset_classifier', None)
    if callable(reset):
        reset(0)
    num_features = num_features or count_features(backbone)
    if num_features is None:
        raise ValueError(
            f'{type(backbone).__name__} has no attribute num_features. Pass '
            'num_features.'
        )
    head = nn.Sequential(
        nn.Linear(num_features, num_features),
        nn.ReLU(),
        nn.Linear(num_features, embed_dim),
    )
    return ImageTower(backbone, head, frozen)
