# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Losses of embeddings and concepts."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..geo.points import check_points
from ..models.earth_grid import unit_vectors
from ..utils.distributed import gather, global_rank
from ..utils.names import check_choice

DivergenceKind = Literal['paper', 'cauchy_schwarz', 'mmd']

EARTH_RADIUS_KM = 6371.0

# Maximum inverse temperature. Higher values may make training unstable.
MAX_SCALE = 100.0


def info_nce(
    query: Tensor,
    key: Tensor,
    scale: Tensor | float = 1.0,
    negatives: Tensor | None = None,
    symmetric: bool = False,
) -> Tensor:
    r"""Compute InfoNCE, which contrasts the key of each query with all other keys.

    .. math::
        -\frac{1}{N} \sum_i \log \frac{\exp(s \, q_i \cdot k_i)}
        {\sum_j \exp(s \, q_i \cdot k_j) + \sum_m \exp(s \, q_i \cdot n_m)}

    In data-parallel training, keys come from the batches of all processes. The mean of
    the losses of all processes is then the loss of the global batch.

    If you use this loss in your research, please cite the following paper:

    * https://doi.org/10.48550/arXiv.1807.03748

    Args:
        query: Queries of shape ``(N, d)``, images here. Products of unit vectors are
            cosines.
        key: Keys of shape ``(N, d)``, locations here, in the order of the queries.
        scale: Factor of the similarities, the inverse of a temperature.
        negatives: Additional keys of shape ``(M, d)`` that belong to no query.
        symmetric: Average with the loss in the other direction, from keys to queries,
            which does not use the additional keys.

    Returns:
        The loss, a scalar.
    """
    query, key = _full_precision(query), _full_precision(key)
    with torch.autocast(query.device.type, enabled=False):
        own, rank, keys = len(query), global_rank(), gather(key)
        target = torch.arange(own, device=query.device) + rank * own
        if negatives is not None:
            keys = torch.cat((keys, _full_precision(negatives)))
        loss = F.cross_entropy(scale * query @ keys.T, target)
        if symmetric:
            back = F.cross_entropy(scale * key @ gather(query).T, target)
            loss = (loss + back) / 2
    return loss


class InfoNCE(nn.Module):
    """InfoNCE with a trained temperature.

    If you use this loss in your research, please cite the following paper:

    * https://doi.org/10.48550/arXiv.1807.03748
    """

    def __init__(self, logit_scale: float = 2.6593, symmetric: bool = False) -> None:
        """Initialize a new InfoNCE instance.

        Args:
            logit_scale: Natural logarithm of the initial inverse temperature.
                The default is that of CLIP and GeoCLIP, a temperature of 0.07.
            symmetric: Contrast in both directions, not only from images to locations.
        """
        super().__init__()
        self.logit_scale = nn.Parameter(torch.tensor(float(logit_scale)))
        self.symmetric = symmetric

    @property
    def scale(self) -> Tensor:
        """Inverse temperature, the factor of the similarities."""
        scale = self.logit_scale.exp()
        # The gradient ignores the bound, so that training can return from it.
        return scale + (scale.clamp(max=MAX_SCALE) - scale).detach()

    def forward(
        self, query: Tensor, key: Tensor, negatives: Tensor | None = None
    ) -> Tensor:
        """Forward pass.

        Args:
            query: Queries of shape ``(N, d)``.
            key: Keys of shape ``(N, d)``, in the order of the queries.
            negatives: Additional keys of shape ``(M, d)``.

        Returns:
            The loss, a scalar.
        """
        return info_nce(query, key, self.scale, negatives, self.symmetric)


class PointQueue(nn.Module):
    """Points of earlier batches, for use as additional negatives.

    The queue starts empty and keeps the latest points of the batches of all processes.
    Gaussian noise displaces the points whenever they are used, so that the negatives are
    not always at the same places.

    If you use this queue in your research, please cite the following paper:

    * https://doi.org/10.48550/arXiv.2309.16020
    """

    points: Tensor
    pushed: Tensor

    def __init__(self, size: int = 4096, noise_km: float = 1.0) -> None:
        """Initialize a new PointQueue instance.

        Args:
            size: Maximum number of points, may be 0. More points give more negatives and
                take more time.
            noise_km: Standard deviation of the displacement to the east and to the
                north, in kilometres.
        """
        super().__init__()
        self.size = size
        self.noise_km = noise_km
        self.register_buffer('points', torch.zeros(size, 2))
        self.register_buffer('pushed', torch.zeros((), dtype=torch.long))

    def __len__(self) -> int:
        """Return the number of points in the queue."""
        return min(int(self.pushed), self.size)

    @torch.no_grad()
    def push(self, points: Tensor) -> None:
        """Add the points of a batch, and remove the oldest points.

        Args:
            points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
        """
        points = check_points(points).to(self.points)
        # Samplers assign samples to processes in turn. Restore the original order.
        everywhere = gather(points).view(-1, len(points), 2).transpose(0, 1)
        everywhere = everywhere.reshape(-1, 2)
        latest = everywhere[len(everywhere) - min(self.size, len(everywhere)) :]
        if self.size:
            start = self.pushed + len(everywhere) - len(latest)
            slots = torch.arange(len(latest), device=latest.device) + start
            self.points[slots % self.size] = latest
        self.pushed += len(everywhere)

    @torch.no_grad()
    def forward(self) -> Tensor:
        """Return the queued points, displaced by noise.

        Returns:
            Points of shape ``(len(self), 2)`` as ``(longitude, latitude)`` in degrees.
        """
        unit = unit_vectors(self.points[: len(self)])
        # The noise is the same in each process, and when training resumes.
        generator = torch.Generator().manual_seed(int(self.pushed))
        noise = torch.randn(unit.shape, generator=generator).to(unit)
        # In three dimensions, poles and antimeridian need no special case.
        noise *= self.noise_km / EARTH_RADIUS_KM
        x, y, z = F.normalize(unit + noise, dim=1).unbind(dim=1)
        moved = torch.stack((torch.atan2(y, x), torch.asin(z.clamp(-1, 1))), dim=1)
        return torch.rad2deg(moved)


def concept_divergence(
    z_image: Tensor,
    z_location: Tensor,
    kind: DivergenceKind = 'paper',
    sigma: float = 1.0,
) -> Tensor:
    r"""Compute the divergence between concept projections of images and locations.

    With the Gaussian kernel :math:`K(a, b) = \exp(-|a - b|^2 / 2 \sigma^2)`:

    .. math::
        \text{paper:} \quad \frac{1}{N^2} \sum_{ij}
        \log K(u_i, u_j) + \log K(v_i, v_j) - 2 \log K(u_i, v_j)

        \text{cauchy\_schwarz:} \quad \log \frac{1}{N^2} \sum_{ij} K(u_i, u_j)
        + \log \frac{1}{N^2} \sum_{ij} K(v_i, v_j)
        - 2 \log \frac{1}{N^2} \sum_{ij} K(u_i, v_j)

        \text{mmd:} \quad \frac{1}{N^2} \sum_{ij}
        K(u_i, u_j) + K(v_i, v_j) - 2 K(u_i, v_j)

    The logarithm of the kernel is a squared distance, so ``'paper'`` (Eq. 6) is
    :math:`|\bar u - \bar v|^2 / \sigma^2`, which depends only on the means. The other
    two are zero only if the distributions are the same.

    In data-parallel training, the batches of all processes are used together.

    If you use this loss in your research, please cite the following paper:

    * https://doi.org/10.48550/arXiv.2509.01910

    Args:
        z_image: Projections of images, of shape ``(N, k)``.
        z_location: Projections of their locations, of shape ``(N, k)``.
        kind: Divergence to compute.
        sigma: Width of the kernel. Except for ``'paper'``, much smaller distances have
            little effect, and much larger ones all have the same effect.

    Returns:
        The divergence, a scalar of at least 0.
    """
    check_choice('kind', kind, DivergenceKind)
    images = gather(_full_precision(z_image))
    locations = gather(_full_precision(z_location))
    with torch.autocast(images.device.type, enabled=False):
        logs = [
            -_squared_distances(a, b) / (2 * sigma**2)
            for a, b in ((images, images), (locations, locations), (images, locations))
        ]
    if kind == 'paper':
        own, other, cross = (log.mean() for log in logs)
    elif kind == 'mmd':
        own, other, cross = (log.exp().mean() for log in logs)
    else:
        # The numbers of pairs cancel.
        own, other, cross = (log.flatten().logsumexp(dim=0) for log in logs)
    return own + other - 2 * cross


def _full_precision(vectors: Tensor) -> Tensor:
    """Convert half precision, which is too coarse for small differences, to float32."""
    half = vectors.dtype in (torch.float16, torch.bfloat16)
    return vectors.float() if half else vectors


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    # The gradient of torch.cdist is undefined at distance 0.
    return (a * a).sum(1)[:, None] + (b * b).sum(1)[None] - 2 * a @ b.T


def masked_mse(
    prediction: Tensor, target: Tensor, weight: Tensor | None = None
) -> Tensor:
    """Compute the mean squared error where the target is known.

    Args:
        prediction: Predictions of any shape.
        target: Targets of the same shape, NaN where unknown.
        weight: Weights of a shape that broadcasts to the errors. By default, all errors
            have the same weight.

    Returns:
        The loss, a scalar; 0 if nothing is known.

    Example:
        >>> masked_mse(torch.tensor([1.0, 2.0]), torch.tensor([3.0, torch.nan]))
        tensor(4.)
    """
    known = ~target.isnan()
    error = torch.where(known, prediction - target.nan_to_num(), 0).square()
    if weight is not None:
        error = error * weight
    return error.sum() / known.sum().clamp(min=1)
