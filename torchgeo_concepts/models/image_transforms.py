# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Image transforms of samples and batches, for image towers."""

import copy

import torch
from torch import Tensor, nn
from torchgeo.datasets.utils import Sample
from torchvision.transforms import InterpolationMode, v2

# Channel statistics of values in [0, 1], from the released code of CLIP:
# https://arxiv.org/abs/2103.00020
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

_BICUBIC = InterpolationMode.BICUBIC


class _OfImage(nn.Module):
    """Sequence of transforms, applied to the image of a sample as bytes.

    CLIP was trained on images that were resized as bytes.
    """

    def __init__(self, *transforms: nn.Module) -> None:
        super().__init__()
        self.transform = nn.Sequential(
            v2.ToDtype(torch.uint8), *transforms, v2.ToDtype(torch.float32)
        )

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
        super().__init__(resize, v2.CenterCrop(size))


class RandomCrop(_OfImage):
    """Crop, flip and recolour at random, as GeoCLIP does in training."""

    def __init__(self, size: int = 224) -> None:
        """Initialize a new RandomCrop instance.

        Args:
            size: Side of the square in pixels.
        """
        jitter = v2.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)
        super().__init__(
            v2.RandomResizedCrop(size, interpolation=_BICUBIC, antialias=True),
            v2.RandomHorizontalFlip(),
            v2.RandomApply([jitter], p=0.8),
            v2.RandomGrayscale(p=0.2),
        )


class Normalize(nn.Module):
    """Scale the images of a batch from [0, 255] to mean 0 and standard deviation 1.

    Cached features are returned unchanged.
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
            scale: Divisor of the values, applied first.
        """
        super().__init__()
        self.register_buffer('mean', torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer('std', torch.tensor(std).view(-1, 1, 1))
        self.scale = scale

    def extra_repr(self) -> str:
        """Return the arguments, which cache_features stores to detect changes."""
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
    """Recolour each image of a batch at random.

    Brightness, contrast, saturation and the gain of each channel get independent
    factors.
    """

    def __init__(self, strength: float = 0.4) -> None:
        """Initialize a new ColourJitter instance.

        Args:
            strength: Factors are uniform from 1 - *strength* to 1 + *strength*; the
                range of channel gains is a quarter as wide.

        Raises:
            ValueError: If *strength* does not lie in [0, 1].
        """
        super().__init__()
        if not 0 <= strength <= 1:
            raise ValueError(f'strength must lie in [0, 1], not {strength}.')
        self.strength = strength

    def extra_repr(self) -> str:
        """Return the argument."""
        return f'strength={self.strength}'

    def forward(self, batch: Sample) -> Sample:
        """Recolour the images of a batch.

        Args:
            batch: Batch with images of shape ``(N, 3, H, W)`` in [0, 255].

        Returns:
            The batch with recoloured images in [0, 255].
        """
        images = batch['image'].flatten(2)
        # Random numbers of the CPU are the same on all devices.
        change = torch.empty(len(images), 6).uniform_(-self.strength, self.strength)
        change = change.to(images)
        brightness, contrast, saturation = (1 + change[:, :3, None]).unbind(1)
        gain = (1 + change[:, 3:] / 4).unsqueeze(2) * brightness[..., None]
        mean = (images.mean(dim=2, keepdim=True) * gain).mean(dim=1, keepdim=True)
        # All changes are linear in the channels, so one matrix product applies them.
        grey = torch.full((3, 3), 1 / 3).to(images)
        own = torch.eye(3).to(images)
        mixed = saturation[..., None] * own + (1 - saturation[..., None]) * grey
        mixed = contrast[..., None] * mixed * gain.mT
        changed = torch.baddbmm((1 - contrast[..., None]) * mean, mixed, images)
        return {**batch, 'image': changed.clamp_(0, 255).view_as(batch['image'])}
