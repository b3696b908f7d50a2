# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Embeddings seen in two dimensions, and their clusters on a map."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..plot.maps import CLASS_COLOURS
from ..plot.point_maps import point_map, point_size
from ..utils.names import with_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# Classes are more than colours, so beyond these they also differ in their markers.
MARKERS = 'osv^D'


def plot_components(
    embedding: Tensor, values: Tensor | Sequence[str], name: str = '', unit: str = ''
) -> 'Figure':
    """Draw embeddings in their first two principal components, coloured by truth.

    Args:
        embedding: Embeddings of shape ``(N, d)``.
        values: A number or the name of a class for each; NaN is grey.
        name: What the colours mean.
        unit: Unit of the numbers.

    Returns:
        The figure.

    Raises:
        ValueError: If there is not one value for each embedding, or there are more
            classes than can be told apart.
    """
    from matplotlib import pyplot as plt

    if len(values) != len(embedding):
        raise ValueError(f'{len(values)} values for {len(embedding)} embeddings.')
    parts, shares = _components(embedding)
    figure, axes = plt.subplots(figsize=(6, 5), layout='constrained')
    size = point_size(len(parts))
    if isinstance(values, Tensor):
        numbers = values.double().numpy()
        known = np.isfinite(numbers)
        axes.scatter(
            parts[~known, 0], parts[~known, 1], s=size, color='0.8', linewidths=0
        )
        low, high = np.percentile(numbers[known], [1, 99]) if known.any() else (0, 1)
        drawn = axes.scatter(
            parts[known, 0],
            parts[known, 1],
            c=numbers[known],
            s=size,
            cmap='viridis',
            vmin=low,
            vmax=high,
            linewidths=0,
        )
        figure.colorbar(drawn, label=with_unit(name, unit), extend='both')
    else:
        _scatter_classes(axes, parts, list(values), size)
        figure.legend(loc='outside right upper', title=name, markerscale=3)
    axes.set_xlabel(f'principal component 1 ({shares[0]:.0%} of variance)')
    axes.set_ylabel(f'principal component 2 ({shares[1]:.0%} of variance)')
    return figure


def _components(embedding: Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the first two principal components, and their shares of the variance."""
    from sklearn.decomposition import PCA

    if min(embedding.shape) < 2:
        raise ValueError(
            'Two principal components need embeddings of at least shape (2, 2), not '
            f'{tuple(embedding.shape)}.'
        )
    model = PCA(2, svd_solver='full').fit(embedding.double().numpy())
    parts: NDArray[np.float64] = model.transform(embedding.double().numpy())
    return parts, model.explained_variance_ratio_


def _scatter_classes(
    axes: 'Axes', parts: NDArray[np.float64], names: list[str], size: float
) -> None:
    classes = sorted(set(names))
    if len(classes) > len(CLASS_COLOURS) * len(MARKERS):
        raise ValueError(
            f'{len(classes)} classes are more than colours and markers tell apart, '
            f'{len(CLASS_COLOURS) * len(MARKERS)}.'
        )
    column = np.array(names)
    for number, name in enumerate(classes):
        axes.scatter(
            parts[column == name, 0],
            parts[column == name, 1],
            s=size,
            color=CLASS_COLOURS[number % len(CLASS_COLOURS)],
            marker=MARKERS[number // len(CLASS_COLOURS)],
            linewidths=0,
            label=name,
        )


def plot_clusters(
    embedding: Tensor, points: Tensor, number: int = 8, seed: int = 0
) -> tuple['Figure', NDArray[np.int64]]:
    """Draw clusters of embeddings on a map.

    Args:
        embedding: Embeddings of shape ``(N, d)``; their directions are clustered, by
            k-means.
        points: Their points, of shape ``(N, 2)`` as ``(longitude, latitude)`` in
            degrees.
        number: Number of clusters, 2 to 8.
        seed: Seed of the clusters.

    Returns:
        The figure, and the cluster of each point, the largest first.

    Raises:
        ValueError: If there is not a point for each embedding, or the number is not
            one of these.
    """
    from sklearn.cluster import KMeans

    if len(points) != len(embedding):
        raise ValueError(f'{len(points)} points for {len(embedding)} embeddings.')
    if not 2 <= number <= min(len(CLASS_COLOURS), len(points)):
        raise ValueError(
            f'There can be 2 to {min(len(CLASS_COLOURS), len(points))} clusters, not '
            f'{number}.'
        )
    unit = F.normalize(embedding.double(), dim=1).numpy()
    found = KMeans(number, n_init=4, random_state=seed).fit_predict(unit)
    order = np.argsort(-np.bincount(found, minlength=number), kind='stable')
    clusters = np.argsort(order)[found]
    figure, axes = point_map(points)
    lonlat, size = points.double().numpy(), point_size(len(points))
    for cluster in range(number):
        some = lonlat[clusters == cluster]
        label = f'{cluster + 1} ({len(some) / len(lonlat):.0%})'
        colour = CLASS_COLOURS[cluster]
        lon, lat = some.T
        axes.scatter(lon, lat, s=size, color=colour, linewidths=0, label=label)
    figure.legend(
        loc='outside lower center',
        ncols=4,
        markerscale=3,
        title='cluster, and its share of the points',
    )
    return figure, clusters


def plot_modality_gap(
    first: Tensor, second: Tensor, names: tuple[str, str] = ('images', 'locations')
) -> tuple['Figure', dict[str, float]]:
    """Draw two sets of embeddings in one space, and measure what lies between them.

    Args:
        first: Embeddings of shape ``(N, d)``, such as those of images.
        second: Embeddings of the same things, such as where the images were taken, in
            the same order and of the same shape.
        names: What to call the two.

    Returns:
        The figure, and the numbers on it: ``'gap'``, the distance of the means of unit
        vectors; ``'paired'`` and ``'unpaired'``, the mean cosine of an embedding of the
        first with that of the same thing in the second, and with those of others.

    Raises:
        ValueError: If the two do not have one shape, or there are less than two.
    """
    from matplotlib import pyplot as plt

    if first.shape != second.shape or first.ndim != 2 or len(first) < 2:
        raise ValueError(
            'A gap needs two tensors of one shape (N, d), N at least 2, not '
            f'{tuple(first.shape)} and {tuple(second.shape)}.'
        )
    first, second = (F.normalize(some.double(), dim=1) for some in (first, second))
    cosines = first @ second.T
    others = ~torch.eye(len(first), dtype=torch.bool)
    numbers = {
        'gap': float((first.mean(dim=0) - second.mean(dim=0)).norm()),
        'paired': float(cosines.diagonal().mean()),
        'unpaired': float(cosines[others].mean()),
    }
    parts, shares = _components(torch.cat((first, second)))
    figure, axes = plt.subplots(figsize=(6, 5), layout='constrained')
    pairs = [
        (names[0], parts[: len(first)], CLASS_COLOURS[5], 'o'),
        (names[1], parts[len(first) :], CLASS_COLOURS[4], '^'),
    ]
    size = max(4.0, point_size(2 * len(first)))
    for name, some, colour, marker in pairs:
        x, y = some.T
        axes.scatter(
            x, y, s=size, color=colour, marker=marker, linewidths=0, label=name
        )
    axes.set_xlabel(f'principal component 1 ({shares[0]:.0%} of variance)')
    axes.set_ylabel(f'principal component 2 ({shares[1]:.0%} of variance)')
    axes.set_title(
        f'gap {numbers["gap"]:.2f}; cosine {numbers["paired"]:.2f} of pairs, '
        f'{numbers["unpaired"]:.2f} of others',
        fontsize=10,
    )
    axes.legend(markerscale=2)
    return figure, numbers
