# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Contributions of concepts to similarities and to predictions."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from ..concepts.bank import ConceptBank
from ..geo.points import PointsLike, as_points
from ..models.alignment import Align
from ..models.concept_geoclip import ConceptGeoCLIP
from ..models.image_location import ImageLocationModel
from ..models.protocols import ConceptEncoder, check_encoder
from ..retrieval.geolocator import Geolocator, ImageLike
from ._scores import check_scores, in_batches
from .explanation import Contrast, Contributions, Explanation
from .head_reading import concept_head, is_head
from .heads import ConceptHead, LinearHead

type PointLike = Sequence[float] | Tensor | pd.DataFrame | pd.Series


def explain(
    model: Any,
    point: PointLike,
    *,
    other: PointLike | None = None,
    image: Tensor | None = None,
    name: str | None = None,
    other_name: str | None = None,
    **options: Any,
) -> Explanation:
    """Explain one prediction for a point, or one similarity to a point or an image.

    With *other*, explain the similarity of two points. With *image*, explain the
    similarity of the point and the image. Without either, explain the prediction.

    Args:
        model: As for :func:`contributions`.
        point: Longitude and latitude in degrees.
        other: Point to compare with.
        image: Image to compare with, preprocessed and of shape ``(C, H, W)``, or its
            cached features.
        name: Name of the point. By default, its coordinates.
        other_name: Name of the other point, or of the image.
        **options: *space*, *target* and *against*, as for :func:`contributions`.

    Returns:
        The explanation.

    Raises:
        ValueError: As :func:`contributions` does.
    """
    found = contributions(
        model,
        _one_point(point),
        others=None if other is None else _one_point(other),
        images=None if image is None else image[None],
        names=None if name is None else [name],
        other_names=None if other_name is None else [other_name],
        **options,
    )
    return found[0]


def contributions(
    model: Any,
    points: PointsLike,
    *,
    others: PointsLike | None = None,
    images: Tensor | None = None,
    space: Align | None = None,
    target: str | None = None,
    against: str | None = None,
    names: Sequence[str] | None = None,
    other_names: Sequence[str] | None = None,
) -> Contributions:
    """Compute the contribution of each concept to the scores of many points.

    With *others*, explain similarities of points. With *images*, explain similarities
    of points and images. Without either, explain predictions for the points.

    Args:
        model: For similarities, a location encoder with ``project`` or an
            ImageLocationModel. For predictions, a head of
            :func:`~torchgeo_concepts.explain.concept_head`, or any model that
            ``concept_head`` accepts without further arguments.
        points: Points in any form that :func:`~torchgeo_concepts.geo.points.as_points`
            takes.
        others: Points to compare with, one for each point or one for all.
        images: Preprocessed images to compare with, or their cached features, one for
            each point or one for all.
        space: Space in which an ImageLocationModel compares: ``'z'`` for concepts, or
            ``'both'`` for concepts and the embedding, whose features have no names. By
            default, the space that the model was trained in.
        target: Target or class whose prediction is explained. By default, the only
            target, or the most likely class at each point.
        against: Class or target to subtract. By default, the other class if there
            are two, else none.
        names: Names of the points. By default, their coordinates.
        other_names: Names of the other points or of the images.

    Returns:
        Contributions of all concepts to each score.

    Raises:
        ValueError: If the model cannot be explained, an argument cannot be used with it,
            or the target is unknown.
    """
    tensor = as_points(points)
    titles = _check_names(names, _coordinates(tensor))
    if is_head(model):
        unused = {'others': others, 'images': images, 'space': space}
        _check_unused('a prediction', **unused, other_names=other_names)
        head = concept_head(model)
        inputs = head.source.inputs(tensor)
        predicted = head.predict(inputs)
        chosen, what, unit = _choose(head, predicted, target, against)
        titles = [f'{name} at {at}' for name, at in zip(what, titles, strict=True)]
        bank, base_name = head.source.bank, head.base_name
        parts = head.attribute(inputs, chosen)
        score = (predicted * chosen).sum(dim=1)
        base = (head.predict(head.reference[None]) * chosen).sum(dim=1)
        gap = score - base - parts.sum(dim=1)
        if isinstance(head, LinearHead):
            gap = torch.zeros_like(gap)
    else:
        _check_unused('a similarity', target=target, against=against)
        compared, known = _compared(model, others, images)
        are_points = images is None
        bank, parts = _compare(model, tensor.float(), compared, are_points, space)
        to = _check_names(other_names, known)
        to = to * len(titles) if len(to) == 1 else to
        pairs = zip(titles, to, strict=True)
        titles = [f'similarity of {one} to {other}' for one, other in pairs]
        score, base_name, unit = parts.sum(dim=1), '', ''
        base = gap = torch.zeros_like(score)
    unnamed, values = parts.tensor_split([-len(bank)], dim=1)
    return Contributions(
        bank,
        values,
        score,
        base.expand(len(score)),
        unnamed.sum(dim=1),
        unnamed.abs().sum(dim=1),
        gap,
        unnamed.shape[1],
        base_name,
        tuple(titles),
        unit,
    )


def explain_location(
    geolocator: Geolocator, image: ImageLike, points: PointsLike | None = None
) -> Contrast:
    """Explain why an image was located at one place rather than at another.

    Similarities are computed again, without the rounding of vectors in the gallery, so
    they may differ slightly from those of
    :meth:`~torchgeo_concepts.retrieval.geolocator.Geolocator.predict`.

    Args:
        geolocator: Model and gallery.
        image: One image, in any form that the geolocator takes.
        points: The two places. By default, the best two candidates.

    Returns:
        The contribution of each concept to the similarity with each place, and their
        differences.

    Raises:
        ValueError: If the gallery is in space ``'x'``, whose features have no names, or if
            there is more than one image or there are not two places.
    """
    prepared = geolocator.prepare(image)
    if len(prepared) != 1:
        raise ValueError(f'Expected one image to explain, got {len(prepared)}.')
    if points is None:
        points = geolocator.predict(image, 2, progress=False).points[0]
    found = contributions(
        geolocator.model,
        points,
        images=prepared,
        space=geolocator.gallery.space,
        other_names=['the image'],
    )
    return Contrast(tuple(found))


# Similarities ---------------------------------------------------------------------------


def _compared(
    model: Any, others: PointsLike | None, images: Tensor | None
) -> tuple[Tensor, list[str]]:
    """Return the points or images to compare with, and their default names."""
    if images is not None and others is None:
        return images, [f'image {n}' for n in range(len(images))]
    if others is not None and images is None:
        points = as_points(others)
        return points.float(), _coordinates(points)
    raise ValueError(
        f'Pass either others= or images= to explain similarities of the '
        f'{type(model).__name__}. To explain predictions, pass a fitted pipeline, a '
        'trained task, or the result of concept_head().'
    )


def _compare(
    model: Any, points: Tensor, compared: Tensor, are_points: bool, space: Align | None
) -> tuple[ConceptBank, Tensor]:
    """Return the bank, and products whose sums are cosines or dot products.

    In space 'both', the columns of the embedding come before those of the concepts.
    """
    is_unit = False
    if isinstance(model, ImageLocationModel):
        bank, space = model.alignment.basis.bank, space or model.alignment.align
        if space not in ('z', 'both'):
            raise ValueError(
                f'Similarities in the space {space!r} are sums over features without a '
                "name. Use space='z' for similarities by concepts, which may rank "
                'differently.'
            )
        project: Callable[[Tensor], Tensor] = partial(model.embed_points, space=space)
        other = project if are_points else partial(model.embed_images, space=space)
    else:
        encoder = check_encoder(model, ConceptEncoder)
        if not are_points or space not in (None, 'z'):
            raise ValueError(
                f'{type(model).__name__} compares points with points, by concepts. To '
                "use images= or space='both', pass an ImageLocationModel."
            )
        bank, project = encoder.bank, encoder.project
        other = project
        is_unit = model.basis.unit if isinstance(model, ConceptGeoCLIP) else True
    first = in_batches(model, project, points).double()
    second = in_batches(model, other, compared).double()
    if len(second) not in (1, len(first)):
        raise ValueError(
            f'Expected {len(first)} points or images to compare with, or one for all, got '
            f'{len(second)}.'
        )
    if is_unit:
        first, second = F.normalize(first, dim=1), F.normalize(second, dim=1)
    check_scores(first[:, -len(bank) :], bank, 'projections')
    return bank, first * second


# Predictions ----------------------------------------------------------------------------


def _choose(
    head: ConceptHead, predicted: Tensor, target: str | None, against: str | None
) -> tuple[Tensor, list[str], str]:
    """Return the output weights and the name of each row, and their common unit."""
    number, is_class = len(head.names), head.is_class
    if target is not None:
        rows = torch.full((len(predicted),), head.index(target))
    elif number == 1 or is_class:
        rows = predicted.argmax(dim=1)
    else:
        raise ValueError(
            f'The model has the targets {list(head.names)}; name one of them with '
            'target=.'
        )
    chosen = F.one_hot(rows, number).double()
    what = [head.names[row] for row in rows.tolist()]
    unit = head.units[int(rows[0]) if len(rows) else 0]
    if against is None and not (is_class and number == 2):
        return chosen, what, 'logit' if is_class else unit
    # Two classes are compared with each other.
    others = 1 - rows if against is None else torch.full_like(rows, head.index(against))
    if len(rows) and rows.equal(others):
        raise ValueError(f'{against!r} cannot be compared with itself.')
    if any(head.units[row] != unit for row in (*rows.tolist(), *others.tolist())):
        raise ValueError(f'{against!r} and the target have different units.')
    pairs = zip(what, others.tolist(), strict=True)
    what = [f'{mine} rather than {head.names[other]}' for mine, other in pairs]
    chosen = chosen - F.one_hot(others, number).double()
    return chosen, what, 'log-odds' if is_class else unit


# Names and arguments --------------------------------------------------------------------


def _coordinates(points: Tensor) -> list[str]:
    return [f'({lon:.2f}, {lat:.2f})' for lon, lat in points.tolist()]


def _check_names(names: Sequence[str] | None, default: Sequence[str]) -> list[str]:
    if names is not None and len(names) != len(default):
        raise ValueError(f'Expected {len(default)} names, got {len(names)}.')
    return list(default if names is None else names)


def _check_unused(what: str, **arguments: object) -> None:
    for name, value in arguments.items():
        if value is not None:
            raise ValueError(f'`{name}` cannot be used when explaining {what}.')


def _one_point(point: PointLike) -> Tensor:
    if isinstance(point, pd.DataFrame):
        found = as_points(point)
    else:
        values = point.tolist() if isinstance(point, pd.Series) else point
        found = torch.as_tensor(values, dtype=torch.float64)
    if found.numel() != 2:
        raise ValueError(
            f'Expected one point (lon, lat), got shape {tuple(found.shape)}; use '
            'contributions() for several points.'
        )
    return found.reshape(1, 2)
