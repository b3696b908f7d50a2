# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Image towers, which take images to the space of locations."""

from typing import Any, Self

import torch
from torch import Tensor, nn

from .geoclip import GeoCLIPImageMLP_Weights, geoclip_image_mlp


class ImageTower(nn.Module):
    """A backbone that turns images into features, and a head that turns these around.

    A frozen backbone stays in eval mode and gets no gradients, whatever is done to the
    tower.
    """

    def __init__(
        self, backbone: nn.Module, head: nn.Module, frozen: bool = True
    ) -> None:
        """Initialize a new ImageTower instance.

        Args:
            backbone: Maps images of shape ``(N, C, H, W)`` to features ``(N, f)``.
            head: Maps features to embeddings ``(N, d)``.
            frozen: Keep the backbone as it is and train the head alone.
        """
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.frozen = frozen
        self.backbone.requires_grad_(not frozen)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Set the mode of the tower, but for a frozen backbone.

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
        """Compute what the head takes, which may be cached if the backbone is frozen.

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
                'This tower takes cached features. For images, put the backbone that '
                'made them before its head: ImageTower(backbone, tower.head).'
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


def clip_image_tower(
    clip: nn.Module,
    weights: GeoCLIPImageMLP_Weights | str | None = GeoCLIPImageMLP_Weights.MP16,
    *,
    download: bool = False,
) -> ImageTower:
    """GeoCLIP's image tower: a frozen CLIP ViT-L/14 and GeoCLIP's head on it.

    If you use this model in your research, please cite the following paper:

    * https://doi.org/10.48550/arXiv.2309.16020

    Args:
        clip: An open_clip model whose images have 768 features, such as
            ``open_clip.create_model('ViT-L-14-quickgelu', 'openai')``, which GeoCLIP
            was trained on.
        weights: Weights of the head, or their name. None for a fresh head.
        download: Download the weights of the head if they are not on this machine.

    Returns:
        The tower. Preprocess images with the transforms of the open_clip model.

    Raises:
        ValueError: If the model has no image features of that number.
    """
    visual = getattr(clip, 'visual', None)
    if not isinstance(visual, nn.Module):
        raise ValueError(f'{type(clip).__name__} is no open_clip model.')
    dim = getattr(visual, 'output_dim', None)
    if dim != 768:
        raise ValueError(f"GeoCLIP's head takes 768 features, the model has {dim}.")
    return ImageTower(visual, geoclip_image_mlp(weights, download=download))


def image_tower(
    backbone: nn.Module,
    embed_dim: int = 512,
    frozen: bool = True,
    num_features: int | None = None,
) -> ImageTower:
    """Any timm or TorchGeo backbone, with a fresh head.

    Args:
        backbone: Maps images to features; a classifier that timm put on it is removed.
        embed_dim: Number of features of an embedding.
        frozen: Keep the backbone as it is and train the head alone.
        num_features: Number of features of the backbone, if it does not say itself.

    Returns:
        The tower.

    Raises:
        ValueError: If the number of features is not known.
    """
    reset: Any = getattr(backbone, 'reset_classifier', None)
    if callable(reset):
        reset(0)
    num_features = num_features or getattr(backbone, 'num_features', None)
    if num_features is None:
        raise ValueError(
            f'{type(backbone).__name__} does not say how many features it has. Pass '
            'num_features.'
        )
    head = nn.Sequential(
        nn.Linear(num_features, num_features),
        nn.ReLU(),
        nn.Linear(num_features, embed_dim),
    )
    return ImageTower(backbone, head, frozen)
