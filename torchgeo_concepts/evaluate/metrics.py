# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Metrics of geo-localization, with geodesic distances on WGS84."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from pyproj import Geod
from torch import Tensor
from torchmetrics import MeanMetric, Metric
from torchmetrics.utilities import dim_zero_cat

from ..geo.points import check_points

# Street, city, region, country and continent: https://arxiv.org/abs/1705.04838
THRESHOLDS_KM = (1.0, 25.0, 200.0, 750.0, 2500.0)

# Scale of the score for a map of the whole world: https://arxiv.org/abs/2404.18873
GEO_SCORE_SCALE_KM = 1492.7

# Areas from that of a town to that of a continent.
AREAS_KM2 = (1e2, 1e3, 1e4, 1e5, 1e6, 1e7)

_WGS84 = Geod(ellps='WGS84')


def geodesic_km(preds: Tensor, target: Tensor) -> Tensor:
    """Compute the geodesic distance of each prediction from its target.

    Args:
        preds: Predicted points of shape ``(N, 2)`` as ``(longitude, latitude)`` in
            degrees.
        target: True points of shape ``(N, 2)``.

    Returns:
        Distances on WGS84 in kilometres, of shape ``(N,)``, in float64.

    Raises:
        ValueError: If the numbers of points differ, or a point is not on Earth.
    """
    if len(preds) != len(target):
        raise ValueError(
            f'Expected {len(target)} predictions, one for each target, got {len(preds)}.'
        )
    start, end = (
        check_points(p).detach().cpu().double().numpy() for p in (preds, target)
    )
    _, _, metres = _WGS84.inv(start[:, 0], start[:, 1], end[:, 0], end[:, 1])
    return torch.as_tensor(metres, device=target.device) / 1000


def distance_accuracy(
    preds: Tensor, target: Tensor, thresholds_km: Sequence[float] = THRESHOLDS_KM
) -> Tensor:
    """Compute the share of predictions within each distance.

    Args:
        preds: Predicted points of shape ``(N, 2)`` as ``(longitude, latitude)`` in
            degrees.
        target: True points of shape ``(N, 2)``.
        thresholds_km: Distances in kilometres.

    Returns:
        Share of predictions, of shape ``(len(thresholds_km),)``; NaN without predictions.

    Example:
        >>> preds = torch.tensor([[2.35, 48.86], [2.35, 48.86]])
        >>> target = torch.tensor([[2.35, 48.86], [-0.13, 51.51]])
        >>> distance_accuracy(preds, target, (1, 750))
        tensor([0.5000, 1.0000])
    """
    distances = geodesic_km(preds, target)
    limits = distances.new_tensor(thresholds_km)
    return (distances[:, None] <= limits).float().mean(dim=0)


def geo_score(preds: Tensor, target: Tensor) -> Tensor:
    r"""Compute the mean GeoGuessr score of predictions.

    .. math::
        \frac{1}{N} \sum_i 5000 \, \exp(-d_i / 1492.7\,\text{km})

    Args:
        preds: Predicted points of shape ``(N, 2)`` as ``(longitude, latitude)`` in
            degrees.
        target: True points of shape ``(N, 2)``.

    Returns:
        The score, 5000 at best; NaN without predictions.

    Example:
        >>> points = torch.tensor([[2.35, 48.86]])
        >>> geo_score(points, points)
        tensor(5000.)
    """
    return _geo_scores(preds, target).mean().float()


def _geo_scores(preds: Tensor, target: Tensor) -> Tensor:
    return 5000 * torch.exp(-geodesic_km(preds, target) / GEO_SCORE_SCALE_KM)


def recall_versus_area(
    searched_km2: Tensor, areas_km2: Sequence[float] = AREAS_KM2
) -> Tensor:
    """Compute the share of images found within a searched area.

    If you use this metric in your research, please cite the following paper:

    * https://doi.org/10.48550/arXiv.2407.13862

    Args:
        searched_km2: Area searched, best candidates first, until it contains the true
            place, of shape ``(N,)``. With an equal-area gallery, this is the rank of
            :meth:`~torchgeo_concepts.retrieval.gallery.Gallery.ranks` times the area of
            a candidate.
        areas_km2: Areas in square kilometres.

    Returns:
        Share of images, of shape ``(len(areas_km2),)``; NaN without images.

    Example:
        >>> recall_versus_area(torch.tensor([50.0, 5000.0]), (100, 10_000))
        tensor([0.5000, 1.0000])
    """
    limits = torch.tensor(areas_km2, dtype=torch.float64, device=searched_km2.device)
    return (searched_km2[:, None] <= limits).float().mean(dim=0)


def concept_entropy(counts: Tensor) -> Tensor:
    """Compute the evenness of top concepts, from 0 (always one) to 1 (all equally often).

    Args:
        counts: Number of times each concept has the largest projection, of shape ``(k,)``.

    Returns:
        Entropy of the shares divided by its maximum; NaN if all counts are 0.

    Example:
        >>> concept_entropy(torch.tensor([5, 5, 0, 0]))
        tensor(0.5000)
    """
    entropy: Tensor = torch.special.entr(counts / counts.sum()).sum()
    return entropy / math.log(max(len(counts), 2))


class DistanceAccuracy(Metric):
    """Share of predictions within each of several distances.

    Example:
        >>> metric = DistanceAccuracy((25, 750))
        >>> metric.update(torch.tensor([[2.35, 48.86]]), torch.tensor([[-0.13, 51.51]]))
        >>> metric.compute()
        {'acc@25km': tensor(0.), 'acc@750km': tensor(1.)}
    """

    higher_is_better = True
    is_differentiable = False
    full_state_update = False

    within: Tensor
    total: Tensor

    def __init__(
        self, thresholds_km: Sequence[float] = THRESHOLDS_KM, **kwargs: Any
    ) -> None:
        """Initialize a new DistanceAccuracy instance.

        Args:
            thresholds_km: Distances in kilometres.
            **kwargs: Additional keyword arguments of :class:`torchmetrics.Metric`.
        """
        super().__init__(**kwargs)
        self.thresholds_km = tuple(thresholds_km)
        count = torch.zeros(len(self.thresholds_km), dtype=torch.long)
        self.add_state('within', count, dist_reduce_fx='sum')
        self.add_state('total', torch.tensor(0), dist_reduce_fx='sum')

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add predictions.

        Args:
            preds: Predicted points of shape ``(N, 2)`` as ``(longitude, latitude)`` in
                degrees.
            target: True points of shape ``(N, 2)``.
        """
        distances = geodesic_km(preds, target)
        limits = distances.new_tensor(self.thresholds_km)
        self.within += (distances[:, None] <= limits).sum(dim=0).to(self.within.device)
        self.total += len(distances)

    def compute(self) -> dict[str, Tensor]:
        """Return the shares by name, such as ``acc@25km``."""
        names = [f'acc@{limit:g}km' for limit in self.thresholds_km]
        return dict(zip(names, self.within / self.total, strict=True))


class MedianDistance(Metric):
    """Median distance of predictions in kilometres.

    Example:
        >>> metric = MedianDistance()
        >>> metric.update(torch.tensor([[2.35, 48.86]]), torch.tensor([[-0.13, 51.51]]))
        >>> metric.compute().round()
        tensor(344.)
    """

    higher_is_better = False
    is_differentiable = False
    full_state_update = False

    distances: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        """Initialize a new MedianDistance instance.

        Args:
            **kwargs: Additional keyword arguments of :class:`torchmetrics.Metric`.
        """
        super().__init__(**kwargs)
        self.add_state('distances', [], dist_reduce_fx='cat')

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add predictions.

        Args:
            preds: Predicted points of shape ``(N, 2)`` as ``(longitude, latitude)`` in
                degrees.
            target: True points of shape ``(N, 2)``.
        """
        self.distances.append(geodesic_km(preds, target).float())

    def compute(self) -> Tensor:
        """Return the median, the mean of the middle two for an even number.

        NaN without predictions.
        """
        distances = _all(self.distances)
        return distances.quantile(0.5) if len(distances) else torch.tensor(math.nan)


class GeoScore(MeanMetric):
    """Mean GeoGuessr score of predictions, 5000 at best, NaN without predictions.

    Example:
        >>> metric = GeoScore()
        >>> metric.update(torch.tensor([[2.35, 48.86]]), torch.tensor([[2.35, 48.86]]))
        >>> metric.compute()
        tensor(5000.)
    """

    higher_is_better = True  # type: ignore[assignment]

    def update(self, preds: Tensor, target: Tensor) -> None:  # type: ignore[override]
        """Add predictions.

        Args:
            preds: Predicted points of shape ``(N, 2)`` as ``(longitude, latitude)`` in
                degrees.
            target: True points of shape ``(N, 2)``.
        """
        super().update(_geo_scores(preds, target))


class RecallVersusArea(Metric):
    """Share of images found within each of several searched areas.

    If you use this metric in your research, please cite the following paper:

    * https://doi.org/10.48550/arXiv.2407.13862

    Example:
        >>> metric = RecallVersusArea((100, 10_000))
        >>> metric.update(torch.tensor([50.0, 5000.0]))
        >>> metric.compute()
        {'recall@100km2': tensor(0.5000), 'recall@10000km2': tensor(1.)}
    """

    higher_is_better = True
    is_differentiable = False
    full_state_update = False

    searched: list[Tensor]

    def __init__(self, areas_km2: Sequence[float] = AREAS_KM2, **kwargs: Any) -> None:
        """Initialize a new RecallVersusArea instance.

        Args:
            areas_km2: Areas in square kilometres.
            **kwargs: Additional keyword arguments of :class:`torchmetrics.Metric`.
        """
        super().__init__(**kwargs)
        self.areas_km2 = tuple(areas_km2)
        self.add_state('searched', [], dist_reduce_fx='cat')

    def update(self, searched_km2: Tensor) -> None:
        """Add images.

        Args:
            searched_km2: Area searched until it contains the true place, of shape
                ``(N,)``.
        """
        self.searched.append(searched_km2.double())

    def compute(self) -> dict[str, Tensor]:
        """Return the shares by name, such as ``recall@10000km2``."""
        names = [f'recall@{area:.10g}km2' for area in self.areas_km2]
        shares = recall_versus_area(_all(self.searched), self.areas_km2)
        return dict(zip(names, shares, strict=True))

    def curve(self) -> tuple[Tensor, Tensor]:
        """Return the whole curve: areas in ascending order, and the recall at each."""
        areas = _all(self.searched).sort().values
        return areas, torch.arange(1, len(areas) + 1) / max(len(areas), 1)


def _all(state: list[Tensor] | Tensor) -> Tensor:
    """Concatenate a state, which is a tensor if processes have gathered it."""
    return dim_zero_cat(state) if len(state) else torch.empty(0)


class ConceptEntropy(Metric):
    """Evenness of top concepts, from 0 (always one) to 1 (all equally often).

    A value that falls during training shows that few concepts take over.

    Example:
        >>> metric = ConceptEntropy(4)
        >>> metric.update(torch.eye(4)[:2])
        >>> metric.compute()
        tensor(0.5000)
    """

    is_differentiable = False
    full_state_update = False

    counts: Tensor

    def __init__(self, num_concepts: int, **kwargs: Any) -> None:
        """Initialize a new ConceptEntropy instance.

        Args:
            num_concepts: Number of concepts.
            **kwargs: Additional keyword arguments of :class:`torchmetrics.Metric`.
        """
        super().__init__(**kwargs)
        counts = torch.zeros(num_concepts, dtype=torch.long)
        self.add_state('counts', counts, dist_reduce_fx='sum')

    def update(self, projections: Tensor) -> None:
        """Add projections of images or of points.

        Args:
            projections: Projections of shape ``(N, k)``.
        """
        first = projections.argmax(dim=1)
        self.counts += torch.bincount(first, minlength=len(self.counts))

    def compute(self) -> Tensor:
        """Return the evenness; NaN without projections."""
        return concept_entropy(self.counts)
