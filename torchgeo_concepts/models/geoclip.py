# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""GeoCLIP's location encoder, image head, logit scale and gallery."""

import math
from collections.abc import Mapping, Sequence
from functools import reduce
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torchvision.models._api import Weights

from ..geo.points import check_points
from ._chunks import in_chunks
from ._frequencies import Frequencies
from ._weights import DistributionWeights

# Coefficients of the projection: https://doi.org/10.1080/13658816.2018.1504949
A1, A2, A3, A4 = 1.340264, -0.081106, 0.000893, 0.003796

# GeoCLIP's scale: https://github.com/VicenteVivan/geo-clip (model/location_encoder.py)
EQUAL_EARTH_SCALE = 66.50336

# Weights below this are zeroed at load: see GeoCLIPLocation_Weights.
NEGLIGIBLE_WEIGHT = 1e-20

# Arguments of the encoder that weights determine.
ARGUMENTS = ('sigmas', 'num_frequencies', 'hidden_dim', 'embed_dim')


def equal_earth(points: Tensor) -> Tensor:
    """Project points with the Equal Earth projection, at GeoCLIP's scale.

    Args:
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.

    Returns:
        Coordinates of shape ``(N, 2)`` as ``(x, y)``, within [-1, 1].
    """
    # The highest frequencies amplify a last-bit difference, so the terms are summed in
    # the order in which GeoCLIP sums them.
    lon, lat = torch.deg2rad(points).unbind(dim=1)
    theta = torch.asin(math.sqrt(3) / 2 * torch.sin(lat))
    slope = 9 * A4 * theta**8 + 7 * A3 * theta**6 + 3 * A2 * theta**2 + A1
    x = 2 * math.sqrt(3) * lon * torch.cos(theta) / (3 * slope)
    y = A4 * theta**9 + A3 * theta**7 + A2 * theta**3 + A1 * theta
    return torch.stack((x, y), dim=1) * EQUAL_EARTH_SCALE / 180


class FourierFeatures(Frequencies):
    """Random Fourier features of planar coordinates.

    Neither autocast nor TensorFloat-32 reduces the precision of the phases.

    If you use this layer in your research, please cite the following paper:

    * https://doi.org/10.48550/arXiv.2006.10739
    """

    def __init__(self, sigma: float, num_frequencies: int = 256) -> None:
        """Initialize a new FourierFeatures instance.

        Args:
            sigma: Standard deviation of the frequencies. Higher values resolve finer
                detail and generalise over shorter distances.
            num_frequencies: Number of frequencies, half the number of features.
        """
        super().__init__()
        self.register_buffer('frequencies', torch.randn(num_frequencies, 2) * sigma)

    def forward(self, xy: Tensor) -> Tensor:
        """Forward pass.

        Args:
            xy: Coordinates of shape ``(N, 2)``.

        Returns:
            Cosines, then sines, of shape ``(N, 2 * num_frequencies)``.
        """
        x, y = (2 * math.pi * xy).chunk(2, dim=1)
        phase = torch.addcmul(x * self.frequencies[:, 0], y, self.frequencies[:, 1])
        return torch.cat((torch.cos(phase), torch.sin(phase)), dim=1)


class Capsule(nn.Module):
    """Location encoder of a single scale: Fourier features and four layers."""

    def __init__(
        self, sigma: float, num_frequencies: int, hidden_dim: int, embed_dim: int
    ) -> None:
        """Initialize a new Capsule instance."""
        super().__init__()
        self.fourier = FourierFeatures(sigma, num_frequencies)
        widths = (2 * num_frequencies, hidden_dim, hidden_dim, hidden_dim)
        layers: list[nn.Module] = []
        for width, next_width in pairwise(widths):
            layers += [nn.Linear(width, next_width), nn.ReLU(inplace=True)]
        self.mlp = nn.Sequential(*layers, nn.Linear(hidden_dim, embed_dim))

    def forward(self, xy: Tensor) -> Tensor:
        """Forward pass."""
        features: Tensor = self.fourier(xy)
        dtype = next(self.mlp.parameters()).dtype
        embedding: Tensor = self.mlp(features.to(dtype))
        return embedding


class GeoCLIPLocation(nn.Module):
    """GeoCLIP location encoder.

    Projects points with Equal Earth and sums one capsule for each scale.

    If you use this model in your research, please cite the following paper:

    * https://doi.org/10.48550/arXiv.2309.16020
    """

    def __init__(
        self,
        sigmas: Sequence[float] = (1, 16, 256),
        num_frequencies: int = 256,
        hidden_dim: int = 1024,
        embed_dim: int = 512,
    ) -> None:
        """Initialize a new GeoCLIPLocation instance.

        Args:
            sigmas: Standard deviation of the Fourier frequencies of each capsule, in
                cycles over about half the width of the map. Higher values resolve finer
                detail.
            num_frequencies: Number of Fourier frequencies of a capsule.
            hidden_dim: Number of hidden features of a capsule.
            embed_dim: Number of output features.
        """
        super().__init__()
        self.embed_dim = embed_dim
        values = (list(sigmas), num_frequencies, hidden_dim, embed_dim)
        self.config = dict(zip(ARGUMENTS, values, strict=True))
        self.capsules = nn.ModuleList(
            Capsule(sigma, num_frequencies, hidden_dim, embed_dim) for sigma in sigmas
        )

    def forward(self, points: Tensor) -> Tensor:
        """Forward pass.

        Args:
            points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.

        Returns:
            Embeddings of shape ``(N, embed_dim)``, not normalised.

        Raises:
            ValueError: If a point is not valid; see
                :func:`~torchgeo_concepts.geo.points.check_points`.
        """
        return in_chunks(self._embed, check_points(points))

    def _embed(self, points: Tensor) -> Tensor:
        frequencies = self.capsules[0].get_buffer('fourier.frequencies')
        xy = equal_earth(points.to(frequencies.dtype))
        embedding: Tensor = reduce(
            torch.add, (capsule(xy) for capsule in self.capsules)
        )
        return embedding


_GEOCLIP_META = {
    'dataset': 'MP-16',
    'publication': 'https://doi.org/10.48550/arXiv.2309.16020',
    'repo': 'https://github.com/VicenteVivan/geo-clip',
    'license': 'MIT',
    'distribution': 'geoclip',
    'extra': 'geoclip',
}

# The commit is on the repository's main branch. The links were not tested, but the
# checksums are of the files in geoclip 1.2 and 1.3, so a wrong link fails.
_GEOCLIP_URL = (
    'https://github.com/VicenteVivan/geo-clip/raw/'
    '67f95e508a1369fd66ab07deb11864b02ef93034/'
)


def _geoclip_file(file: str, sha256: str, **meta: Any) -> Weights:
    return Weights(
        url=_GEOCLIP_URL + file,
        transforms=nn.Identity,
        meta={**_GEOCLIP_META, 'file': file, 'sha256': sha256, **meta},
    )


class GeoCLIPLocation_Weights(DistributionWeights):
    """GeoCLIP location encoder weights.

    The file holds denormal numbers, which weight decay left in dead units. Many
    processors multiply them slowly, so values below 1e-20 are zeroed at load. Embeddings
    do not change.
    """

    MP16 = _geoclip_file(
        'geoclip/model/weights/location_encoder_weights.pth',
        '94b80ae3af89fca78539e129dd2929d321247f5ceeeb0a31bc2c31041a253394',
        model='geoclip_location',
        sigmas=(1, 16, 256),
        num_frequencies=256,
        hidden_dim=1024,
        embed_dim=512,
    )

    def _read(self, file: Path) -> Mapping[str, Tensor]:
        return {
            _location_key(key): torch.where(value.abs() < NEGLIGIBLE_WEIGHT, 0, value)
            for key, value in super()._read(file).items()
        }


def _location_key(key: str) -> str:
    """Translate a key, such as ``LocEnc0.capsule.1.weight``, to this package's key."""
    capsule, part, index, name = key.split('.')
    capsule = capsule.replace('LocEnc', 'capsules.')
    if name == 'b':
        return f'{capsule}.fourier.frequencies'
    layer = 6 if part == 'head' else int(index) - 1
    return f'{capsule}.mlp.{layer}.{name}'


class GeoCLIPImageMLP_Weights(DistributionWeights):
    """Weights of GeoCLIP's head on CLIP ViT-L/14 image embeddings."""

    MP16 = _geoclip_file(
        'geoclip/model/weights/image_encoder_mlp_weights.pth',
        '5342c391eec961796d04d02f2bd670bfa97b34ce32c656d0e0676581103c2c14',
        model='geoclip_image_mlp',
    )


class GeoCLIPLogitScale_Weights(DistributionWeights):
    """GeoCLIP's trained logit scale."""

    MP16 = _geoclip_file(
        'geoclip/model/weights/logit_scale_weights.pth',
        '9568e2e09dd19083082bf285b2c0c126867e40dbd275a8ee8c621888b861904e',
        model='geoclip_logit_scale',
    )

    def _read(self, file: Path) -> Mapping[str, Tensor]:
        return {'logit_scale': torch.load(file, map_location='cpu', weights_only=True)}


class GeoCLIPGallery_Weights(DistributionWeights):
    """GeoCLIP's gallery: 100,000 points where photos of MP-16 were taken."""

    MP16_100K = _geoclip_file(
        'geoclip/model/gps_gallery/coordinates_100K.csv',
        '3a00b1ba58f13443db726533b6399b39609e292df09d4e58792fa5949d1838b1',
        model='geoclip_gallery',
        num_points=100_000,
    )

    def _read(self, file: Path) -> Mapping[str, Tensor]:
        lonlat = pd.read_csv(file)[['LON', 'LAT']].to_numpy()
        return {'points': torch.from_numpy(lonlat).float()}


def geoclip_location(
    weights: GeoCLIPLocation_Weights | str | None = None,
    *,
    download: bool = False,
    **kwargs: Any,
) -> GeoCLIPLocation:
    """Build a GeoCLIP location encoder.

    If you use this model in your research, please cite the following paper:

    * https://doi.org/10.48550/arXiv.2309.16020

    Args:
        weights: Pre-trained weights to load, or their name. If provided, the returned
            model is set to eval mode.
        download: Download the weights if they are not on this machine.
        **kwargs: Additional keyword arguments to pass to :class:`GeoCLIPLocation` if
            *weights* is None.

    Returns:
        A GeoCLIP location encoder.

    Raises:
        ValueError: If both weights and further arguments are given.
    """
    member: GeoCLIPLocation_Weights | None = GeoCLIPLocation_Weights.verify(weights)
    if member is None:
        return GeoCLIPLocation(**kwargs)
    if kwargs:
        given = sorted(kwargs)
        raise ValueError(f'The weights determine {given}. Omit these arguments.')
    model = GeoCLIPLocation(**{name: member.meta[name] for name in ARGUMENTS})
    model.load_state_dict(member.get_state_dict(download=download))
    return model.eval()


def geoclip_image_mlp(
    weights: GeoCLIPImageMLP_Weights | str | None = None, *, download: bool = False
) -> nn.Sequential:
    """Build GeoCLIP's head from CLIP ViT-L/14 to the location embedding space.

    GeoCLIP encodes text queries with the same head.

    If you use this model in your research, please cite the following paper:

    * https://doi.org/10.48550/arXiv.2309.16020

    Args:
        weights: Pre-trained weights to load, or their name. If provided, the returned
            model is set to eval mode.
        download: Download the weights if they are not on this machine.

    Returns:
        A module that maps embeddings of shape ``(N, 768)`` to ``(N, 512)``.
    """
    member: GeoCLIPImageMLP_Weights | None = GeoCLIPImageMLP_Weights.verify(weights)
    model = nn.Sequential(nn.Linear(768, 768), nn.ReLU(), nn.Linear(768, 512))
    if member is None:
        return model
    model.load_state_dict(member.get_state_dict(download=download))
    return model.eval()


def geoclip_logit_scale(
    weights: GeoCLIPLogitScale_Weights | str = GeoCLIPLogitScale_Weights.MP16,
    *,
    download: bool = False,
) -> Tensor:
    """Return GeoCLIP's trained logit scale.

    Args:
        weights: Weights to load, or their name.
        download: Download the weights if they are not on this machine.

    Returns:
        Natural logarithm of the factor on cosine similarities, a scalar.
    """
    member: GeoCLIPLogitScale_Weights = GeoCLIPLogitScale_Weights.verify(weights)
    return member.get_state_dict(download=download)['logit_scale']


def geoclip_gallery(*, download: bool = False) -> Tensor:
    """Return GeoCLIP's gallery of candidate points.

    Args:
        download: Download the gallery if it is not on this machine.

    Returns:
        Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
    """
    weights: GeoCLIPGallery_Weights = GeoCLIPGallery_Weights.MP16_100K
    return weights.get_state_dict(download=download)['points']
