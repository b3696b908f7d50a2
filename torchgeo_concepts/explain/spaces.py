# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Figures of embeddings: principal components, clusters and modality gap."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from torch import Tensor

from ..plot.maps import CLASS_COLOURS
from ..plot.point_maps import point_map, point_size
from ..utils.names import with_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# Classes beyond the number of colours get the same colours with another marker.
MARKERS = 'osv^D'


def plot_components(
    embedding: Tensor, values: Tensor | Sequence[str], name: str = '', unit: str = ''
) -> 'Figure':
    """Draw the first two principal components of embeddings, coloured by values.

    Args:
        embedding: Embeddings of shape ``(N, d)``.
        values: A number or a class name for each embedding; NaN is grey.
        name: Name of the values.
        unit: Unit of numbers.

    Returns:
        The figure.

    Raises:
        ValueError: If the numbers of values and embeddings differ, or there are too many
            classes.
    """
    if len(values) != len(embedding):
        raise ValueError(f'{len(values)} values for {len(embedding)} embeddings.')
    figure, axes, parts = _draw_axes(embedding)
    size = point_size(len(parts))
    if isinstance(values, Tensor):
        numbers = values.double().numpy()
        known = np.isfinite(numbers)
        _scatter(axes, parts[~known], size, '0.8')
        low, high = np.percentile(numbers[known], [1, 99]) if known.any() else (0, 1)
        x, y = parts[known].T
        drawn = axes.scatter(
            x, y, s=size, c=numbers[known], vmin=low, vmax=high, linewidths=0
        )
        figure.colorbar(drawn, label=with_unit(name, unit), extend='both')
        return figure
    classes, codes = np.unique(list(values), return_inverse=True)
    if len(classes) > len(CLASS_COLOURS) * len(MARKERS):
        raise ValueError(
            f'Colours and markers distinguish {len(CLASS_COLOURS) * len(MARKERS)} '
            f'classes, got {len(classes)}.'
        )
    for number, label in enumerate(classes):
        marker, colour = divmod(number, len(CLASS_COLOURS))
        _scatter(
            axes, parts[codes == number], size, CLASS_COLOURS[colour], label,
            MARKERS[marker],
        )  # fmt: skip
    figure.legend(loc='outside right upper', title=name, markerscale=3)
    return figure


def _draw_axes(embedding: Tensor) -> tuple['Figure', 'Axes', NDArray[np.float64]]:
    """Compute the first two principal components, and make axes for them."""
    from matplotlib import pyplot as plt

    if min(embedding.shape) < 2:
        raise ValueError(
            'Two principal components need embeddings of at least shape (2, 2), got '
            f'{tuple(embedding.shape)}.'
        )
    model = PCA(2, svd_solver='full')
    values = embedding.double().numpy()
    parts: NDArray[np.float64] = model.fit(values).transform(values)
    first, second = model.explained_variance_ratio_
    figure, axes = plt.subplots(figsize=(6, 5), layout='constrained')
    axes.set_xlabel(f'principal component 1 ({first:.0%} of variance)')
    axes.set_ylabel(f'principal component 2 ({second:.0%} of variance)')
    return figure, axes, parts


def _scatter(
    axes: 'Axes',
    points: NDArray[np.float64],
    size: float,
    colour: str,
    label: str = '',
    marker: str = 'o',
) -> None:
    x, y = points.T
    style: dict[str, Any] = {'color': colour, 'marker': marker, 'linewidths': 0}
    axes.scatter(x, y, s=size, label=label or None, **style)


def plot_clusters(
    embedding: Tensor, points: Tensor, number: int = 8, seed: int = 0
) -> tuple['Figure', NDArray[np.int64]]:
    """Draw clusters of embeddings on a map.

    Args:
        embedding: Embeddings of shape ``(N, d)``, clustered by k-means of unit vectors.
        points: Their points, of shape ``(N, 2)`` as ``(longitude, latitude)`` in
            degrees.
        number: Number of clusters, 2 to 8.
        seed: Seed of k-means.

    Returns:
        The figure, and the cluster number of each point; cluster 0 is the largest.

    Raises:
        ValueError: If the numbers of points and embeddings differ, or *number* is out of
            range.
    """
    if len(points) != len(embedding):
        raise ValueError(f'{len(points)} points for {len(embedding)} embeddings.')
    most = min(len(CLASS_COLOURS), len(points))
    if not 2 <= number <= most:
        raise ValueError(f'Expected 2 to {most} clusters, got {number}.')
    unit = F.normalize(embedding.double(), dim=1).numpy()
    found = KMeans(number, n_init=4, random_state=seed).fit_predict(unit)
    order = np.argsort(-np.bincount(found, minlength=number), kind='stable')
    clusters = np.argsort(order)[found]
    figure, axes = point_map(points)
    lonlat, size = points.double().numpy(), point_size(len(points))
    for cluster in range(number):
        inside = clusters == cluster
        label = f'{cluster + 1} ({inside.mean():.0%})'
        _scatter(axes, lonlat[inside], size, CLASS_COLOURS[cluster], label)
    title = 'cluster, and its share of the points'
    figure.legend(loc='outside lower center', ncols=4, markerscale=3, title=title)
    return figure, clusters


def plot_modality_gap(
    first: Tensor, second: Tensor, names: tuple[str, str] = ('images', 'locations')
) -> tuple['Figure', dict[str, float]]:
    """Draw two sets of embeddings of one space, and measure the gap between them.

    Args:
        first: Embeddings of shape ``(N, d)``, such as those of images.
        second: Embeddings of the same shape and order, such as those of the locations of
            the images.
        names: Names of the two sets.

    Returns:
        The figure, and the numbers on it: ``'gap'``, the distance between the means of
        the unit vectors; ``'paired'`` and ``'unpaired'``, the mean cosines of pairs with
        the same row and with different rows.

    Raises:
        ValueError: If the shapes differ, or there are fewer than two rows.
    """
    if first.shape != second.shape or first.ndim != 2 or len(first) < 2:
        raise ValueError(
            'Expected two tensors of one shape (N, d), N at least 2, got '
            f'{tuple(first.shape)} and {tuple(second.shape)}.'
        )
    first, second = (F.normalize(part.double(), dim=1) for part in (first, second))
    cosines = first @ second.T
    others = ~torch.eye(len(first), dtype=torch.bool)
    numbers = {
        'gap': float((first.mean(dim=0) - second.mean(dim=0)).norm()),
        'paired': float(cosines.diagonal().mean()),
        'unpaired': float(cosines[others].mean()),
    }
    figure, axes, parts = _draw_axes(torch.cat((first, second)))
    size = max(4.0, point_size(2 * len(first)))
    _scatter(axes, parts[: len(first)], size, CLASS_COLOURS[5], names[0])
    _scatter(axes, parts[len(first) :], size, CLASS_COLOURS[4], names[1], '^')
    axes.set_title(
        f'gap {numbers["gap"]:.2f}; cosine {numbers["paired"]:.2f} of pairs, '
        f'{numbers["unpaired"]:.2f} of others',
        fontsize=10,
    )
    axes.legend(markerscale=2)
    return figure, numbers
