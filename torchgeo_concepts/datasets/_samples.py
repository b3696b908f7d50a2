# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Indices and figures of samples."""

import operator
from typing import TYPE_CHECKING, Literal

from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OnError = Literal['raise', 'skip']


def find_index(index: int, number: int, kind: str) -> int:
    """Validate the index of a sample.

    Args:
        index: The index; negative ones count from the end.
        number: Number of samples.
        kind: Kind of the samples, for the error.

    Returns:
        The index from 0.

    Raises:
        IndexError: If there is no such sample.
    """
    found = operator.index(index)
    if not -number <= found < number:
        raise IndexError(f'No {kind} {found}: there are {number}.')
    return found % number


def plot_image(image: Tensor, title: str, suptitle: str | None) -> 'Figure':
    """Draw an image.

    Args:
        image: Image of shape ``(3, H, W)`` in 0..255.
        title: Title of the image, empty for none.
        suptitle: Title of the figure.

    Returns:
        The figure.
    """
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(4, 4), layout='constrained')
    axes.imshow((image / 255).clamp(0, 1).permute(1, 2, 0).numpy())
    axes.axis('off')
    axes.set_title(title)
    if suptitle is not None:
        figure.suptitle(suptitle)
    return figure
