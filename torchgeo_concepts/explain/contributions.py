# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Contributions of concepts to similarities and to predictions."""

from collections.abc import Sequence
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
from ..utils.modes import evaluating
from ._scores import in_batches
from .explanation import Contributions, Explanation
from .head_reading import concept_head, is_head
from .heads import ConceptHead, LinearHead, Outputs

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
    """Explain a prediction for a point, or its similarity to a point or an image.

    With *other*, explain the similarity of two points; with *image*, that of a point and
    an image; without either, the prediction of a model for the point.

    Args:
        model: As for :func:`contributions`.
        point: Longitude and latitude in degrees.
        other: Point to compare it with.
        image: Image to compare it with, preprocessed and of shape ``(C, H, W)``, or its
            cached features.
        name: Name of the point. By default, its coordinates.
        other_name: Name of the other point, or of the image.
        **options: *space*, *target*, *against* and *reference*, as for
            :func:`contributions`.

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
    reference: PointsLike | None = None,
    names: Sequence[str] | None = None,
    other_names: Sequence[str] | None = None,
) -> Contributions:
    """Compute the contribution of each concept to the scores of many points.

    With *others*, explain similarities of points; with *images*, those of points and
    images; without either, the predictions of a model for the points.

    Args:
        model: For similarities, a location encoder with ``project`` or an
            ImageLocationModel. For predictions, a head of
            :func:`~torchgeo_concepts.explain.concept_head`, or any model that it reads
            without further arguments.
        points: Points in any form that :func:`~torchgeo_concepts.geo.points.as_points`
            takes.
        others: Points to compare them with, one for each point or one for all.
        images: Preprocessed images to compare them with, or their cached features, one
            for each point or one for all.
        space: Space in which an ImageLocationModel compares: ``'z'`` for concepts, or
            ``'both'`` for concepts and the embedding, whose features have no names. By
            default, the space that it was trained in.
        target: Target or class whose prediction is explained. By default, the only
            target, or the likeliest class at each point.
        against: Class or target that is subtracted. By default, the other class if there
            are two, else none.
        reference: Points; contributions are relative to the average of their features.
            By default, the mean that the head standardises by, else 0.
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
        head = concept_head(model, reference=reference)
        return _explain_predictions(head, tensor, target, against, titles)
    _check_unused('a similarity', target=target, against=against, reference=reference)
    if (others is None) == (images is None):
        raise ValueError(
            f'Pass either others= or images= to explain similarities of the '
            f'{type(model).__name__}. To explain predictions, pass a fitted pipeline, a '
            'trained task, or the result of concept_head().'
        )
    if images is not None:
        compared, known = images, [f'image {n}' for n in range(len(images))]
    else:
        compared = as_points(others)  # type: ignore[arg-type]
        known, compared = _coordinates(compared), compared.float()
    if isinstance(model, ImageLocationModel):
        bank = model.alignment.basis.bank
        parts = _compare_with_images(model, tensor, compared, images is None, space)
    else:
        encoder = check_encoder(model, ConceptEncoder)
        if images is not None or space not in (None, 'z'):
            raise ValueError(
                f'{type(model).__name__} compares points with points, by concepts. To '
                "use images= or space='both', pass an ImageLocationModel."
            )
        bank = encoder.bank
        is_unit = model.basis.unit if isinstance(model, ConceptGeoCLIP) else True
        first, second = (
            in_batches(model, encoder.project, some)
            for some in (tensor.float(), compared)
        )
        parts = _products(first, second, is_unit)
        if parts.shape[1] != len(bank):
            raise ValueError(
                f'The projections have {parts.shape[1]} columns, but the bank has '
                f'{len(bank)} concepts.'
            )
    compared_names = _check_names(other_names, known)
    if len(compared_names) == 1:
        compared_names = compared_names * len(titles)
    pairs = zip(titles, compared_names, strict=True)
    pair_titles = [f'similarity of {one} to {other}' for one, other in pairs]
    zeros = torch.zeros(len(parts), dtype=torch.float64)
    return _collect(bank, parts, parts.sum(dim=1), zeros, zeros, '', pair_titles, '')


# Similarities ---------------------------------------------------------------------------


@torch.no_grad()
def _compare_with_images(
    model: ImageLocationModel,
    points: Tensor,
    compared: Tensor,
    are_points: bool,
    space: Align | None,
) -> Tensor:
    """Return contributions of concepts, after those of the embedding in space 'both'."""
    alignment, device = model.alignment, next(model.parameters()).device
    space = space or alignment.align
    if space not in ('z', 'both'):
        raise ValueError(
            f'Similarities in the space {space!r} are sums over features without a name. '
            "Use space='z' for similarities by concepts, which may rank differently."
        )
    compared = compared.to(device)
    with evaluating(model):
        x = in_batches(model, model.encoder, points.float())
        if are_points:
            x_other = in_batches(model, model.encoder, compared)
            z_other = alignment.basis(x_other.to(device))
        else:
            x_other = model.tower(compared)
            z_other = alignment.project_image(x_other)
        z = alignment.basis(x.to(device))
    values = _products(z, z_other, alignment.basis.unit)
    if space == 'z':
        return values
    return torch.cat((_products(x, x_other), values), dim=1) / 2


def _products(first: Tensor, second: Tensor, is_unit: bool = True) -> Tensor:
    """Return products of shape ``(N, k)``, whose sums are cosines or dot products."""
    if len(second) not in (1, len(first)):
        raise ValueError(
            f'Expected {len(first)} points or images to compare with, or one for all, got '
            f'{len(second)}.'
        )
    first, second = first.detach().cpu().double(), second.detach().cpu().double()
    if is_unit:
        first, second = F.normalize(first, dim=1), F.normalize(second, dim=1)
    return first * second


# Predictions ----------------------------------------------------------------------------


def _explain_predictions(
    head: ConceptHead,
    points: Tensor,
    target: str | None,
    against: str | None,
    titles: Sequence[str],
) -> Contributions:
    inputs = head.source.inputs(points)
    predicted = head.predict(inputs)
    chosen, what, unit = _choose(head, predicted, target, against)
    parts = head.attribute(inputs, chosen)
    score = (predicted * chosen).sum(dim=1)
    base = (head.predict(head.reference[None]) * chosen).sum(dim=1).expand(len(score))
    is_exact = isinstance(head, LinearHead)
    gap = torch.zeros_like(score) if is_exact else score - base - parts.sum(dim=1)
    pairs = zip(what, titles, strict=True)
    names = [f'{output} at {title}' for output, title in pairs]
    return _collect(
        head.source.bank, parts, score, base, gap, head.base_name, names, unit
    )


def _choose(
    head: ConceptHead, predicted: Tensor, target: str | None, against: str | None
) -> tuple[Tensor, list[str], str]:
    """Return, for each row, weights of the outputs and a name; and the common unit."""
    outputs = head.outputs
    if target is not None:
        rows = torch.full((len(predicted),), outputs.index(target))
    elif len(outputs) == 1 or outputs.is_class:
        rows = predicted.argmax(dim=1)
    else:
        raise ValueError(
            f'The model has the targets {list(outputs.names)}; name one of them with '
            'target=.'
        )
    chosen = F.one_hot(rows, len(outputs)).double()
    what = [outputs.names[row] for row in rows.tolist()]
    others = _others(outputs, rows, against)
    unit = outputs.units[int(rows[0]) if len(rows) else 0]
    if others is None:
        return chosen, what, 'logit' if outputs.is_class else unit
    pairs = zip(what, others.tolist(), strict=True)
    what = [f'{mine} rather than {outputs.names[other]}' for mine, other in pairs]
    chosen = chosen - F.one_hot(others, len(outputs)).double()
    return chosen, what, 'log-odds' if outputs.is_class else unit


def _others(outputs: Outputs, rows: Tensor, against: str | None) -> Tensor | None:
    """Return the output to subtract in each row, or None."""
    if against is None:
        return 1 - rows if outputs.is_class and len(outputs) == 2 else None
    other = outputs.index(against)
    if len(rows) and (rows == other).all():
        raise ValueError(f'{against!r} cannot be compared with itself.')
    if len({outputs.units[row] for row in (*rows.tolist(), other)}) > 1:
        raise ValueError(f'{against!r} and the target have different units.')
    return torch.full_like(rows, other)


# Names and arguments --------------------------------------------------------------------


def _collect(
    bank: ConceptBank,
    parts: Tensor,
    score: Tensor,
    base: Tensor,
    gap: Tensor,
    base_name: str,
    titles: Sequence[str],
    unit: str,
) -> Contributions:
    """Collect contributions; the last columns of *parts* are those of the concepts."""
    unnamed, values = parts.tensor_split([-len(bank)], dim=1)
    return Contributions(
        bank,
        values,
        score,
        base,
        unnamed.sum(dim=1),
        unnamed.abs().sum(dim=1),
        gap,
        unnamed.shape[1],
        base_name,
        tuple(titles),
        unit,
    )


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
