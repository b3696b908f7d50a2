# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Explanations of the location predicted for an image."""

from ..geo.points import PointsLike
from ..retrieval.geolocator import Geolocator, ImageLike
from .contrast import Contrast
from .contributions import contributions


def explain_location(
    geolocator: Geolocator,
    image: ImageLike,
    top_k: int = 2,
    points: PointsLike | None = None,
) -> Contrast:
    """Explain why an image was located at one place rather than at another.

    Similarities are computed again, without the rounding of vectors in the gallery, so
    they may differ slightly from those of
    :meth:`~torchgeo_concepts.retrieval.geolocator.Geolocator.predict`.

    Args:
        geolocator: Model and gallery.
        image: One image, in any form that the geolocator takes.
        top_k: Number of candidates; the best is compared with each of the others.
        points: Places to compare instead of the best candidates, likewise the first with
            each of the others.

    Returns:
        The contribution of each concept to the similarity with each place, and their
        differences.

    Raises:
        ValueError: If the gallery is in space ``'x'``, whose features have no names, or if
            there is more than one image or fewer than two places.
    """
    prepared = geolocator.prepare(image)
    if len(prepared) != 1:
        raise ValueError(f'Expected one image to explain, got {len(prepared)}.')
    if points is None:
        points = geolocator.predict(image, top_k, progress=False).points[0]
    found = contributions(
        geolocator.model,
        points,
        images=prepared,
        space=geolocator.gallery.space,
        other_names=['the image'],
    )
    return Contrast(tuple(found))
