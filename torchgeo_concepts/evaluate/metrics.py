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

# Areas from a town to a continent.
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


class _GeoMetric(Metric):
    """Metric that adds up batches."""

    is_differentiable = False
    full_state_update = False


class _Shares(_GeoMetric):
    """Shares of values within each of several limits."""

    higher_is_better = True

    within: Tensor
    total: Tensor

    def __init__(
        self, limits: Sequence[float], names: Sequence[str], **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.limits, self.names = limits, names
        count = torch.zeros(len(limits), dtype=torch.long)
        self.add_state('within', count, dist_reduce_fx='sum')
        self.add_state('total', torch.tensor(0), dist_reduce_fx='sum')

    def add(self, values: Tensor) -> None:
        """Add values of shape ``(N,)``."""
        limits = values.new_tensor(self.limits)
        self.within += (values[:, None] <= limits).sum(dim=0).to(self.within.device)
        self.total += len(values)

    def compute(self) -> dict[str, Tensor]:
        """Return the shares by name; NaN without values."""
        return dict(zip(self.names, self.within / self.total, strict=True))


class DistanceAccuracy(_Shares):
    """Share of predictions within each of several distances.

    Example:
        >>> metric = DistanceAccuracy((25, 750))
        >>> metric.update(torch.tensor([[2.35, 48.86]]), torch.tensor([[-0.13, 51.51]]))
        >>> metric.compute()
        {'acc@25km': tensor(0.), 'acc@750km': tensor(1.)}
    """

    def __init__(
        self, thresholds_km: Sequence[float] = THRESHOLDS_KM, **kwargs: Any
    ) -> None:
        """Initialize a new DistanceAccuracy instance.

        Args:
            thresholds_km: Distances in kilometres.
            **kwargs: Additional keyword arguments of :class:`torchmetrics.Metric`.
        """
        names = [f'acc@{limit:g}km' for limit in thresholds_km]
        super().__init__(thresholds_km, names, **kwargs)

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add predictions.

        Args:
            preds: Predicted points of shape ``(N, 2)`` as ``(longitude, latitude)`` in
                degrees.
            target: True points of shape ``(N, 2)``.
        """
        self.add(geodesic_km(preds, target))


class MedianDistance(_GeoMetric):
    """Median distance of predictions in kilometres.

    Example:
        >>> metric = MedianDistance()
        >>> metric.update(torch.tensor([[2.35, 48.86]]), torch.tensor([[-0.13, 51.51]]))
        >>> metric.compute().round()
        tensor(344.)
    """

    higher_is_better = False

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
        """Return the median; for an even number, the mean of the middle two values.

        NaN without predictions.
        """
        # The state is a tensor if processes have gathered it.
        distances: Any = dim_zero_cat(self.distances) if len(self.distances) else []
        return distances.quantile(0.5) if len(distances) else torch.tensor(math.nan)


class GeoScore(MeanMetric):
    r"""Mean GeoGuessr score of predictions, 5000 at best, NaN without predictions.

    .. math::
        \frac{1}{N} \sum_i 5000 \, \exp(-d_i / 1492.7\,\text{km})

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
        distances = geodesic_km(preds, target)
        super().update(5000 * torch.exp(-distances / GEO_SCORE_SCALE_KM))


class RecallVersusArea(_Shares):
    """Share of images found within each of several searched areas.

    If you use this metric in your research, please cite the following paper:

    * https://doi.org/10.48550/arXiv.2407.13862

    Example:
        >>> metric = RecallVersusArea((100, 10_000))
        >>> metric.update(torch.tensor([50.0, 5000.0]))
        >>> metric.compute()
        {'recall@100km2': tensor(0.5000), 'recall@10000km2': tensor(1.)}
    """

    def __init__(self, areas_km2: Sequence[float] = AREAS_KM2, **kwargs: Any) -> None:
        """Initialize a new RecallVersusArea instance.

        Args:
            areas_km2: Areas in square kilometres.
            **kwargs: Additional keyword arguments of :class:`torchmetrics.Metric`.
        """
        names = [f'recall@{area:.10g}km2' for area in areas_km2]
        super().__init__(areas_km2, names, **kwargs)

    def update(self, searched_km2: Tensor) -> None:
        """Add images.

        Args:
            searched_km2: Searched area of shape ``(N,)``, from the best candidate until
                the true place is found. With an equal-area gallery, this is the
                rank of :meth:`~torchgeo_concepts.retrieval.gallery.Gallery.ranks` times
                the area of a candidate.
        """
        self.add(searched_km2.double())


class ConceptEntropy(_GeoMetric):
    """Entropy of the top concepts, from 0 (always the same) to 1 (all equally often).

    If the entropy falls during training, few concepts dominate.

    Example:
        >>> metric = ConceptEntropy(4)
        >>> metric.update(torch.eye(4)[:2])
        >>> metric.compute()
        tensor(0.5000)
    """

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
        """Return the entropy divided by its maximum; NaN without projections."""
        entropy = torch.special.entr(self.counts / self.counts.sum()).sum()
        return torch.div(entropy, math.log(max(len(self.counts), 2)))
