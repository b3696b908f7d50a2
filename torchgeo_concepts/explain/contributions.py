# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""What concepts contribute to similarities and to predictions."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..concepts.bank import ConceptBank
from ..geo.points import PointsLike, as_points
from ..models.alignment import Align, AlignedEmbeddings, ImageLocationAlignment
from ..models.image_location import ImageLocationModel
from ..utils.modes import evaluating
from .explanation import Explanation, Parts
from .head_reading import concept_head, is_head
from .heads import ConceptHead, LinearHead, Outputs, bank_of, device_of

# Points that are projected at a time.
BATCH = 8192

type PointLike = Sequence[float] | Tensor | pd.DataFrame | pd.Series


@dataclass(frozen=True, eq=False)
class Contributions:
    """Scores of many points, and what each concept adds to each of them.

    Each score is its base, plus the contributions of all concepts, plus what unnamed
    numbers add, plus the gap.

    Attributes:
        bank: The concepts.
        values: What each concept adds, of shape ``(N, k)`` in float64.
        score: The scores, of shape ``(N,)``.
        base: What is there before any contribution, of shape ``(N,)``.
        unnamed: What unnamed numbers add together, of shape ``(N,)``.
        unnamed_size: Sum of their absolute contributions, of shape ``(N,)``.
        gap: What integrated gradients leave unexplained, of shape ``(N,)``; 0 where a
            model is linear.
        unnamed_count: How many unnamed numbers there are.
        base_name: What to call the base, empty if there is none.
        titles: What each score is, and of what.
        unit: Unit of the scores.
    """

    bank: ConceptBank
    values: Tensor
    score: Tensor
    base: Tensor
    unnamed: Tensor
    unnamed_size: Tensor
    gap: Tensor
    unnamed_count: int
    base_name: str
    titles: tuple[str, ...]
    unit: str

    def __len__(self) -> int:
        """Return the number of scores."""
        return len(self.score)

    def __getitem__(self, row: int) -> Explanation:
        """Return the explanation of one score.

        Args:
            row: Its number.
        """
        parts = Parts(
            float(self.base[row]),
            self.base_name,
            float(self.unnamed[row]),
            float(self.unnamed_size[row]),
            self.unnamed_count,
            float(self.gap[row]),
        )
        return Explanation(
            self.titles[row],
            self.unit,
            self.bank,
            tuple(self.values[row].tolist()),
            float(self.score[row]),
            parts,
        )

    def __iter__(self) -> Iterator[Explanation]:
        """Go through the explanations."""
        return map(self.__getitem__, range(len(self)))

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each score: its parts, and a column for each concept.

        Returns:
            A table with the columns ``title``, ``score``, ``base``, ``unnamed``, ``gap``
            and the ids of the concepts. All columns after the score sum to it.
        """
        parts = ('score', 'base', 'unnamed', 'gap')
        first = pd.DataFrame({name: getattr(self, name).numpy() for name in parts})
        first.insert(0, 'title', list(self.titles))
        concepts = pd.DataFrame(self.values.numpy(), columns=list(self.bank.ids))
        return pd.concat([first, concepts], axis=1)


def explain(
    model: Any,
    point: PointLike,
    *,
    other: PointLike | None = None,
    image: Tensor | None = None,
    space: Align | None = None,
    target: str | None = None,
    against: str | None = None,
    reference: PointsLike | None = None,
    name: str | None = None,
    other_name: str | None = None,
    bank: ConceptBank | None = None,
) -> Explanation:
    """Explain why a point has a score: a similarity, or a prediction.

    With *other*, the similarity of two points is explained; with *image*, that of an
    image and a point; without either, the prediction of a model for the point.

    Args:
        model: As for :func:`contributions`.
        point: Longitude and latitude in degrees.
        other: The point to compare it with.
        image: A preprocessed image of shape ``(C, H, W)``, or its cached features, to
            compare it with.
        space: As for :func:`contributions`.
        target: Target or class whose prediction is explained.
        against: Class that it is compared with.
        reference: Points whose average the prediction is compared with.
        name: What to call the point. Its coordinates by default.
        other_name: What to call the other point, or the image.
        bank: Names of the concepts of a model without a bank.

    Returns:
        The explanation.

    Raises:
        ValueError: As :func:`contributions` does.
    """
    found = contributions(
        model,
        _single(point),
        others=None if other is None else _single(other),
        images=None if image is None else image[None],
        space=space,
        target=target,
        against=against,
        reference=reference,
        names=None if name is None else [name],
        other_names=None if other_name is None else [other_name],
        bank=bank,
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
    bank: ConceptBank | None = None,
) -> Contributions:
    """Compute what each concept contributes to the scores of many points.

    With *others*, similarities of points are explained; with *images*, those of images
    and points; without either, the predictions of a model for the points.

    Args:
        model: To compare, a location encoder with ``project``, or an
            ImageLocationModel. To predict, anything that
            :func:`~torchgeo_concepts.explain.concept_head` reads without further
            arguments, or the head that it returns.
        points: Points in any form that :func:`~torchgeo_concepts.geo.points.as_points`
            takes.
        others: Points to compare them with: as many, or one for all.
        images: Preprocessed images to compare them with, or their cached features: as
            many, or one for all.
        space: Where an ImageLocationModel compares: ``'z'`` by concepts, ``'both'`` also
            by embedding, which no concept names. By default, where it was trained to.
        target: Target or class whose prediction is explained. By default the only
            target, or the likeliest class at each point.
        against: Class whose log-odds are subtracted. Of two classes it is the other one.
        reference: Points whose average predictions are compared with. By default the
            average point that the head was fitted on, if it standardises.
        names: What to call the points. Their coordinates by default.
        other_names: What to call the other points or the images.
        bank: Names of the concepts of a model without a bank.

    Returns:
        Contributions of all concepts to each score.

    Raises:
        ValueError: If the model can neither be compared by concepts nor predicts from
            them, if model and bank do not belong together, if an argument is none of
            this kind of model, or if there is no such target.
    """
    tensor = as_points(points)
    titles = _checked(names, _places(tensor))
    if is_head(model):
        unused = {'others': others, 'images': images, 'space': space}
        _refuse('A prediction has no', **unused, other_names=other_names)
        head = concept_head(model, bank=bank, reference=reference)
        return _explain_predictions(head, tensor, target, against, titles)
    _refuse('A similarity has no', target=target, against=against, reference=reference)
    if (others is None) == (images is None):
        raise ValueError(
            f'What does the {type(model).__name__} compare the points with? Pass '
            'others= or images=, one of the two. To explain predictions, pass a fitted '
            'pipeline, a trained task, or what concept_head() returns.'
        )
    if isinstance(model, ImageLocationModel):
        bank_of(model.alignment.basis, bank)
        aligned = _aligned(model, tensor, others, images)
        pairs = _pairs(titles, others, images, other_names)
        return alignment_contributions(model.alignment, aligned, space, pairs)
    if others is None or space not in (None, 'z'):
        raise ValueError(
            f'{type(model).__name__} compares points with points, by concepts. An '
            "ImageLocationModel takes images=, and space='both'."
        )
    named, unit = bank_of(model, bank), _is_unit(model)
    pair = _matching(_project(model, tensor), _project(model, as_points(others)))
    values = similarity_contributions(*pair, unit)
    return _similarities(named, values, _pairs(titles, others, None, other_names))


# Similarities ---------------------------------------------------------------------------


def similarity_contributions(
    first: Tensor, second: Tensor, unit: bool = True
) -> Tensor:
    """Compute what each concept contributes to the similarities of projections.

    Args:
        first: Projections of images or points of shape ``(N, k)``, such as a
            :class:`~torchgeo_concepts.models.ConceptBasis` makes of embeddings.
        second: Projections to compare them with, of the same shape, or of one row.
        unit: Compare by cosine. If false, by the dot product.

    Returns:
        Contributions of shape ``(N, k)`` in float64, whose sums over concepts are the
        similarities.
    """
    first, second = first.detach().cpu().double(), second.detach().cpu().double()
    if unit:
        first, second = F.normalize(first, dim=1), F.normalize(second, dim=1)
    return first * second


def alignment_contributions(
    alignment: ImageLocationAlignment,
    aligned: AlignedEmbeddings,
    space: Align | None = None,
    titles: Sequence[str] | None = None,
) -> Contributions:
    """Compute what each concept contributes to the similarity of each pair.

    Args:
        alignment: Compares both.
        aligned: Images and as many locations, in the same order.
        space: ``'z'`` for the similarity by concepts, ``'both'`` for its mean with that
            of embeddings, which no concept names. By default, what the alignment
            compares.
        titles: What each pair is.

    Returns:
        Contributions of all concepts. What embeddings add is unnamed.

    Raises:
        ValueError: If embeddings alone are compared.
    """
    space = space or alignment.align
    if space not in ('z', 'both'):
        raise ValueError(
            f'Similarities in the space {space!r} are sums over numbers without a name. '
            "space='z' explains the similarity by concepts, which ranks otherwise."
        )
    unit = alignment.basis.unit
    values = similarity_contributions(aligned.z_image, aligned.z_location, unit)
    unnamed = values[:, :0]
    if space == 'both':
        values = values / 2
        unnamed = similarity_contributions(aligned.x_image, aligned.x_location) / 2
    pairs = [f'similarity of pair {n}' for n in range(len(values))]
    return _similarities(alignment.basis.bank, values, _checked(titles, pairs), unnamed)


def _similarities(
    bank: ConceptBank,
    values: Tensor,
    titles: Sequence[str],
    unnamed: Tensor | None = None,
) -> Contributions:
    if values.shape[1] != len(bank):
        raise ValueError(
            f'The projections have {values.shape[1]} numbers, the bank {len(bank)} '
            'concepts.'
        )
    unnamed = values[:, :0] if unnamed is None else unnamed
    zeros = torch.zeros(len(values), dtype=torch.float64)
    return Contributions(
        bank=bank,
        values=values,
        score=values.sum(dim=1) + unnamed.sum(dim=1),
        base=zeros,
        unnamed=unnamed.sum(dim=1),
        unnamed_size=unnamed.abs().sum(dim=1),
        gap=zeros,
        unnamed_count=unnamed.shape[1],
        base_name='',
        titles=tuple(titles),
        unit='',
    )


@torch.no_grad()
def _aligned(
    model: ImageLocationModel,
    points: Tensor,
    others: PointsLike | None,
    images: Tensor | None,
) -> AlignedEmbeddings:
    """Align points with images, or with points in the place of images."""
    alignment, device = model.alignment, next(model.parameters()).device
    with evaluating(model):
        x_location = _in_batches(model.encoder, points.float().to(device))
        if images is None:
            compared = as_points(others).float().to(device)  # type: ignore[arg-type]
            x_image = _in_batches(model.encoder, compared)
            z_image = alignment.basis(x_image)
        else:
            x_image = model.tower(images.to(device))
            z_image = alignment.project_image(x_image)
        z_location = alignment.basis(x_location)
    x_location, x_image = _matching(x_location, x_image)
    z_location, z_image = _matching(z_location, z_image)
    return AlignedEmbeddings(x_image, x_location, z_image, z_location)


@torch.no_grad()
def _project(encoder: nn.Module, points: Tensor) -> Tensor:
    project = getattr(encoder, 'project', None)
    if project is None:
        raise ValueError(
            f'{type(encoder).__name__} has no project, so its similarities are no sums '
            'over concepts. Take ConceptEarth or ConceptGeoCLIP.'
        )
    with evaluating(encoder):
        return _in_batches(project, points.float().to(device_of(encoder))).cpu()


def _in_batches(function: Callable[[Tensor], Tensor], points: Tensor) -> Tensor:
    return torch.cat([function(some) for some in points.split(BATCH)])


def _matching(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Repeat what all rows are compared with."""
    if len(second) not in (1, len(first)):
        raise ValueError(
            f'{len(first)} points are compared with as many others, or with one, not '
            f'with {len(second)}.'
        )
    return first, second.expand(len(first), -1)


def _is_unit(encoder: nn.Module) -> bool:
    basis = getattr(encoder, 'basis', None)
    return bool(getattr(basis, 'unit', True))


# Predictions ----------------------------------------------------------------------------


def _explain_predictions(
    head: ConceptHead,
    points: Tensor,
    target: str | None,
    against: str | None,
    titles: Sequence[str],
) -> Contributions:
    bank, inputs = head.source.bank, head.source.inputs(points)
    predicted = head.predict(inputs)
    chosen, what, unit = _choose(head, predicted, target, against)
    parts = head.attribute(inputs, chosen)
    unnamed, values = parts.tensor_split([-len(bank)], dim=1)
    score = (predicted * chosen).sum(dim=1)
    base = (head.predict(head.reference[None]) * chosen).sum(dim=1).expand(len(score))
    is_exact = isinstance(head, LinearHead)
    return Contributions(
        bank=bank,
        values=values,
        score=score,
        base=base,
        unnamed=unnamed.sum(dim=1),
        unnamed_size=unnamed.abs().sum(dim=1),
        gap=torch.zeros_like(score) if is_exact else score - base - parts.sum(dim=1),
        unnamed_count=unnamed.shape[1],
        base_name=head.base_name,
        titles=tuple(f'{w} at {title}' for w, title in zip(what, titles, strict=True)),
        unit=unit,
    )


def _choose(
    head: ConceptHead, predicted: Tensor, target: str | None, against: str | None
) -> tuple[Tensor, list[str], str]:
    """Choose the outputs to explain: their weights, names for each row, and the unit."""
    outputs = head.outputs
    if target is not None:
        rows = torch.full((len(predicted),), outputs.index(target))
    elif len(outputs) == 1 or outputs.is_class:
        rows = predicted.argmax(dim=1)
    else:
        raise ValueError(
            f'There are the targets {list(outputs.names)}. Name one of them with target=.'
        )
    chosen = F.one_hot(rows, len(outputs)).double()
    what = [outputs.names[row] for row in rows.tolist()]
    others = _others(outputs, rows, against)
    if others is None:
        unit = 'logit' if outputs.is_class else outputs.units[_first(rows)]
        return chosen, what, unit
    pairs = zip(what, others.tolist(), strict=True)
    what = [f'{mine} rather than {outputs.names[other]}' for mine, other in pairs]
    unit = 'log-odds' if outputs.is_class else outputs.units[_first(others)]
    return chosen - F.one_hot(others, len(outputs)).double(), what, unit


def _others(outputs: Outputs, rows: Tensor, against: str | None) -> Tensor | None:
    """Return the output that is subtracted in each row, if any is."""
    if against is None:
        return 1 - rows if outputs.is_class and len(outputs) == 2 else None
    other = outputs.index(against)
    if len(rows) and (rows == other).all():
        raise ValueError(f'{against!r} cannot be compared with itself.')
    if {outputs.units[row] for row in (*rows.tolist(), other)} != {
        outputs.units[other]
    }:
        raise ValueError(f'{against!r} has another unit than the target.')
    return torch.full_like(rows, other)


def _first(rows: Tensor) -> int:
    return int(rows[0]) if len(rows) else 0


# Titles and arguments -------------------------------------------------------------------


def _places(points: Tensor) -> list[str]:
    return [f'({lon:.2f}, {lat:.2f})' for lon, lat in points.tolist()]


def _checked(names: Sequence[str] | None, known: Sequence[str]) -> list[str]:
    if names is not None and len(names) != len(known):
        raise ValueError(f'{len(names)} names for {len(known)} of them.')
    return list(known if names is None else names)


def _pairs(
    titles: Sequence[str],
    others: PointsLike | None,
    images: Tensor | None,
    names: Sequence[str] | None,
) -> list[str]:
    if others is not None:
        known = _places(as_points(others))
    else:
        known = [f'image {n}' for n in range(0 if images is None else len(images))]
    compared = _checked(names, known)
    if len(compared) == 1:
        compared = compared * len(titles)
    return [
        f'similarity of {title} to {other}'
        for title, other in zip(titles, compared, strict=True)
    ]


def _refuse(what: str, **arguments: object) -> None:
    for name, value in arguments.items():
        if value is not None:
            raise ValueError(f'{what} {name}=.')


def _single(point: PointLike) -> Tensor:
    if isinstance(point, pd.DataFrame):
        # A table tells which of its columns are which.
        found = as_points(point)
    else:
        values = point.tolist() if isinstance(point, pd.Series) else point
        found = torch.as_tensor(values, dtype=torch.float64)
    if found.numel() != 2:
        raise ValueError(
            f'A point must be one (lon, lat), not of shape {tuple(found.shape)}. '
            'contributions() takes several.'
        )
    return found.reshape(1, 2)
