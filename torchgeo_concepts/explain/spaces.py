# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Figures of embeddings: principal components, clusters and modality gap."""

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from torch import Tensor

from ..plot.maps import CLASS_COLOURS
from ..plot.point_maps import draw_points, point_map, point_size
from ..utils.names import with_unit
from ._scores import check_rows


def plot_components(
    embedding: Tensor, values: Tensor, name: str = '', unit: str = ''
) -> Figure:
    """Draw the first two principal components of embeddings, coloured by values.

    Args:
        embedding: Embeddings of shape ``(N, d)``.
        values: A number for each embedding, of shape ``(N,)``; NaN is grey.
        name: Name of the values.
        unit: Unit of the values.

    Returns:
        The figure.

    Raises:
        ValueError: If the numbers of values and embeddings differ.
    """
    check_rows(values=values, embeddings=embedding)
    figure, axes, parts = _draw_axes(embedding)
    size, numbers = point_size(len(parts)), values.double().numpy()
    known = np.isfinite(numbers)
    draw_points(axes, parts[~known], s=size, color='0.8')
    low, high = np.percentile(numbers[known], [1, 99]) if known.any() else (0, 1)
    drawn = draw_points(
        axes, parts[known], s=size, c=numbers[known], vmin=low, vmax=high
    )
    figure.colorbar(drawn, label=with_unit(name, unit), extend='both')
    return figure


def _draw_axes(embedding: Tensor) -> tuple[Figure, Axes, NDArray[np.float64]]:
    """Compute the first two principal components, and make axes for them."""
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


def plot_clusters(
    embedding: Tensor, points: Tensor, number: int = 8, seed: int = 0
) -> tuple[Figure, NDArray[np.int64]]:
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
    check_rows(points=points, embeddings=embedding)
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
        style = {'s': size, 'color': CLASS_COLOURS[cluster]}
        label = f'{cluster + 1} ({inside.mean():.0%})'
        draw_points(axes, lonlat[inside], label=label, **style)
    title = 'cluster, and its share of the points'
    figure.legend(loc='outside lower center', ncols=4, markerscale=3, title=title)
    return figure, clusters


def plot_modality_gap(
    first: Tensor, second: Tensor, names: tuple[str, str] = ('images', 'locations')
) -> tuple[Figure, dict[str, float]]:
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
    for place, (points, marker) in enumerate(
        zip(np.split(parts, 2), 'o^', strict=True)
    ):
        style = {'s': size, 'color': CLASS_COLOURS[5 - place], 'marker': marker}
        draw_points(axes, points, label=names[place], **style)
    axes.set_title(
        f'gap {numbers["gap"]:.2f}; cosine {numbers["paired"]:.2f} of pairs, '
        f'{numbers["unpaired"]:.2f} of others',
        fontsize=10,
    )
    axes.legend(markerscale=2)
    return figure, numbers
