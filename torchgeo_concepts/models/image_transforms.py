# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Transforms of the images of samples, to one size and for image towers."""

import copy

import torch
from torch import Tensor, nn
from torchgeo.datasets.utils import Sample
from torchvision.transforms import InterpolationMode, v2

# Of the images that CLIP was trained on, https://arxiv.org/abs/2103.00020, whose
# released code has these figures for values in [0, 1].
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

_BICUBIC = InterpolationMode.BICUBIC


class _OfImage(nn.Module):
    """A transform of tensors, applied to the image of a sample."""

    def __init__(self, transform: nn.Module) -> None:
        super().__init__()
        self.transform = transform

    def forward(self, sample: Sample) -> Sample:
        """Transform the image of a sample.

        Args:
            sample: Sample with an image of shape ``(C, H, W)``, values in [0, 255].

        Returns:
            A sample with the transformed image.
        """
        changed = copy.copy(sample)
        changed['image'] = self.transform(sample['image'])
        return changed


class CenterCrop(_OfImage):
    """Resize the shorter side and crop the square in the middle, as CLIP does."""

    def __init__(self, size: int = 224) -> None:
        """Initialize a new CenterCrop instance.

        Args:
            size: Side of the square in pixels.
        """
        resize = v2.Resize(size, interpolation=_BICUBIC, antialias=True)
        super().__init__(
            nn.Sequential(_ToBytes(), resize, v2.CenterCrop(size), _ToFloats())
        )


class RandomCrop(_OfImage):
    """Crop, flip and recolour at random, as GeoCLIP does when it trains."""

    def __init__(self, size: int = 224) -> None:
        """Initialize a new RandomCrop instance.

        Args:
            size: Side of the square in pixels.
        """
        crop = v2.RandomResizedCrop(size, interpolation=_BICUBIC, antialias=True)
        jitter = v2.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)
        super().__init__(
            nn.Sequential(
                _ToBytes(),
                crop,
                v2.RandomHorizontalFlip(),
                v2.RandomApply([jitter], p=0.8),
                v2.RandomGrayscale(p=0.2),
                _ToFloats(),
            )
        )


class Normalize(nn.Module):
    """Scale the images of a batch from [0, 255] to mean 0 and standard deviation 1.

    Cached features, which are no images, are left alone.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        mean: tuple[float, ...] = CLIP_MEAN,
        std: tuple[float, ...] = CLIP_STD,
        scale: float = 255.0,
    ) -> None:
        """Initialize a new Normalize instance.

        Args:
            mean: Mean of each channel after scaling. By default, that of CLIP.
            std: Standard deviation of each channel after scaling.
            scale: What values are divided by first.
        """
        super().__init__()
        self.register_buffer('mean', torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer('std', torch.tensor(std).view(-1, 1, 1))
        self.scale = scale

    def extra_repr(self) -> str:
        """Return what sets this transform apart from others of its class."""
        mean, std = self.mean.flatten().tolist(), self.std.flatten().tolist()
        return f'mean={mean}, std={std}, scale={self.scale}'

    def forward(self, batch: Sample) -> Sample:
        """Normalise the images of a batch.

        Args:
            batch: Batch with images of shape ``(N, C, H, W)``, or features ``(N, f)``.

        Returns:
            The batch with normalised images.
        """
        images = batch['image']
        if images.ndim > 2:
            mean, std = self.mean.to(images.device), self.std.to(images.device)
            batch = {**batch, 'image': (images / self.scale - mean) / std}
        return batch


class ColourJitter(nn.Module):
    """Recolour the images of a batch, each at random.

    Brightness, contrast, saturation and the gain of each channel are multiplied by
    factors of their own.
    """

    def __init__(self, strength: float = 0.4) -> None:
        """Initialize a new ColourJitter instance.

        Args:
            strength: Factors are drawn from 1 - *strength* to 1 + *strength*, and those
                of channels from a quarter of that range around 1.

        Raises:
            ValueError: If it does not lie in [0, 1].
        """
        super().__init__()
        if not 0 <= strength <= 1:
            raise ValueError(f'strength must lie in [0, 1], not {strength}.')
        self.strength = strength

    def extra_repr(self) -> str:
        """Return what sets this transform apart from others of its class."""
        return f'strength={self.strength}'

    def forward(self, batch: Sample) -> Sample:
        """Recolour the images of a batch.

        Args:
            batch: Batch with images of shape ``(N, 3, H, W)`` in [0, 255].

        Returns:
            The batch with recoloured images in [0, 255].
        """
        images = batch['image'].flatten(2)
        # Drawn on the CPU, so that a run is the same on any device.
        drawn = torch.empty(len(images), 6).uniform_(-self.strength, self.strength)
        drawn = drawn.to(images)
        brightness, contrast, saturation = (1 + drawn[:, :3, None]).unbind(1)
        gain = (1 + drawn[:, 3:] / 4).unsqueeze(2) * brightness[..., None]
        mean = (images.mean(dim=2, keepdim=True) * gain).mean(dim=1, keepdim=True)
        # All are linear in the channels, so they are one product of matrices.
        grey = torch.full((3, 3), 1 / 3).to(images)
        own = torch.eye(3).to(images)
        mixed = saturation[..., None] * own + (1 - saturation[..., None]) * grey
        mixed = contrast[..., None] * mixed * gain.mT
        changed = torch.baddbmm((1 - contrast[..., None]) * mean, mixed, images)
        return {**batch, 'image': changed.clamp_(0, 255).view_as(batch['image'])}


class _ToBytes(nn.Module):
    """Resizing whole numbers is faster, and what CLIP was trained with."""

    def forward(self, image: Tensor) -> Tensor:
        return image.to(torch.uint8)


class _ToFloats(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return image.float()
