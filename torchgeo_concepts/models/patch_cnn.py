# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""A small convolutional network for small image patches."""

from torch import Tensor, nn

# Channels of the layers, each of which halves the size of an image.
CHANNELS = (32, 64, 128, 256)


class PatchCNN(nn.Module):
    """Convolutional network that keeps positions within a patch.

    Networks for photos average over the image at the end. This one flattens the last
    feature map instead, because the position of a coastline in a patch helps to locate
    the patch.
    """

    def __init__(self, size: int = 32, in_chans: int = 3) -> None:
        """Initialize a new PatchCNN instance.

        Args:
            size: Side of an image in pixels, a multiple of 16.
            in_chans: Number of channels of an image.

        Raises:
            ValueError: If the size is not a positive multiple of 16.
        """
        super().__init__()
        if size < 16 or size % 16:
            raise ValueError(f'size must be a multiple of 16, not {size}.')
        self.size = size
        layers: list[nn.Module] = []
        before = in_chans
        for channels in CHANNELS:
            layers += [
                nn.Conv2d(before, channels, 3, 2, padding=1, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(inplace=True),
            ]
            before = channels
        self.layers = nn.Sequential(*layers, nn.Flatten())

    @property
    def num_features(self) -> int:
        """Number of features of an image."""
        return CHANNELS[-1] * (self.size // 16) ** 2

    def forward(self, images: Tensor) -> Tensor:
        """Forward pass.

        Args:
            images: Images of shape ``(N, in_chans, size, size)``.

        Returns:
            Features of shape ``(N, num_features)``.

        Raises:
            ValueError: If the images have another size.
        """
        if images.shape[2:] != (self.size, self.size):
            raise ValueError(
                f'Images must be {self.size} pixels wide and high, not '
                f'{tuple(images.shape[2:])}.'
            )
        features: Tensor = self.layers(images)
        return features
