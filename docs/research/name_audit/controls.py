# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Released features of concepts, and controls to compare them with."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from torchgeo_concepts.concepts.bank import ConceptBank
from torchgeo_concepts.evaluate.probes import fit_ridge
from torchgeo_concepts.geo.splits import Rows
from torchgeo_concepts.models.alignment import ConceptBasis
from torchgeo_concepts.models.concept_earth_weights import concept_earth

from .data import TRAIN, AuditData, encode, project_onto, rotate
from .texts import (
    has_sentence_encoder,
    project_randomly,
    random_words,
    sentence_vectors,
)

SCORES, PROJECTIONS = 'released scores', 'released projections'
HELD_OUT = 'HELD_OUT projections'

# Numbers of concepts of controls.
SIZES = (32, 128, 512)

TEXT_REMARK = (
    'Texts are encoded by MiniLM, a sentence encoder that was not trained on images, and '
    'projected into the space of the embeddings by a random matrix, because no weights of '
    'CLIP were available. These rows say nothing about the text encoder of CLIP.'
)


@dataclass(frozen=True, eq=False)
class ConceptFeatures:
    """Features, of which some have the names of concepts.

    Attributes:
        values: Features of shape ``(N, m)`` at each set of points.
        concepts: Number of the concept of each of the first columns; the others have no
            name.
    """

    values: Mapping[str, Tensor]
    concepts: Rows


@dataclass(frozen=True, eq=False)
class Control:
    """Features to compare with released ones.

    Attributes:
        name: Description in a few words.
        against: Name of its counterpart, empty for what is released itself.
        remark: Description in a sentence.
        make: Function that makes the features from a seed.
        is_random: True if the features depend on the seed.
        is_rival: True if names or training are in doubt when it does as well. False for
            parts of what is released and weights with the same training.
    """

    name: str
    against: str
    remark: str
    make: Callable[[int], ConceptFeatures]
    is_random: bool = False
    is_rival: bool = True


def make_controls(data: AuditData, seeds: int, text: bool) -> Iterator[Control]:
    """Yield what is released and all controls.

    Args:
        data: Data of the audit.
        seeds: Number of seeds, for angles that are spread evenly.
        text: Include directions of texts.

    Yields:
        The controls.
    """
    yield from _released(data)
    yield from _fitted(data, seeds)
    yield from _without_training(data, concept_earth('HELD_OUT').bank == data.bank)
    yield from _sizes(data)
    if text and has_sentence_encoder():
        yield from _texts(data)


def _everything(data: AuditData) -> Rows:
    return np.arange(len(data.bank))


def _always(
    values: Mapping[str, Tensor], concepts: Rows
) -> Callable[[int], ConceptFeatures]:
    features = ConceptFeatures(values, concepts)
    return lambda seed: features


# What is released ----------------------------------------------------------------------


def _released(data: AuditData) -> Iterator[Control]:
    everything = _everything(data)
    yield Control(SCORES, '', 'What `concepts` returns.', _always(data.z, everything))
    yield Control(
        PROJECTIONS,
        '',
        'What `project` returns.',
        _always(project_onto(data.x, data.basis), everything),
    )
    held_out = concept_earth('HELD_OUT')
    if held_out.bank == data.bank:
        x, z = (encode(held_out, data.points, kind) for kind in ('x', 'z'))
        yield Control(
            'HELD_OUT scores',
            SCORES,
            'The same training, but not in the blocks that names are scored in.',
            _always(z, everything),
            is_rival=False,
        )
        yield Control(
            HELD_OUT,
            PROJECTIONS,
            'The same weights.',
            _always(project_onto(x, held_out.basis.directions.detach().T), everything),
            is_rival=False,
        )

    def swapped(seed: int) -> ConceptFeatures:
        order = np.random.default_rng(seed).permutation(everything)
        return ConceptFeatures({p: z[:, order] for p, z in data.z.items()}, everything)

    yield Control(
        'scores with swapped names',
        SCORES,
        'The released scores, each under the name of another concept.',
        swapped,
        True,
    )


# Directions that are fitted ------------------------------------------------------------


def fit_directions(
    data: AuditData, x: Mapping[str, Tensor], labels: NDArray[np.float64]
) -> Tensor:
    """Fit the direction of each concept to labels of the training points.

    Args:
        data: Data of the audit.
        x: Embeddings.
        labels: Labels of shape ``(N, k)``; NaN counts as the mean.

    Returns:
        Directions of shape ``(k, d)``: weights of ridge regressions from unit embeddings,
        with penalties that were chosen on held-out blocks.
    """
    known = ~np.isnan(labels)
    number = known.sum(axis=0).clip(min=1)
    mean = np.where(known, labels, 0).sum(axis=0) / number
    centred = np.where(known, labels - mean, 0)
    std = np.sqrt((centred**2).sum(axis=0) / number)
    y = torch.from_numpy(centred / np.where(std > 0, std, 1))
    unit = F.normalize(x[TRAIN], dim=1)
    fit, choose = data.fit_rows
    return fit_ridge(unit[fit], y[fit], unit[choose], y[choose]).weight


def _fitted(data: AuditData, seeds: int) -> Iterator[Control]:
    everything = _everything(data)

    @cache
    def grounded() -> ConceptFeatures:
        directions = fit_directions(data, data.x, data.labels[TRAIN])
        return ConceptFeatures(project_onto(data.x, directions), everything)

    yield Control(
        'fitted to the maps',
        PROJECTIONS,
        'Directions fitted afterwards, by ridge regression from the released embeddings '
        'to the true maps.',
        lambda seed: grounded(),
    )

    def turned(seed: int) -> ConceptFeatures:
        angle = 360 * (seed + 1) / (seeds + 1)
        points = rotate(data.points[TRAIN], angle)
        labels = data.groundings.labels(points).astype(np.float64)
        directions = fit_directions(data, data.x, labels)
        return ConceptFeatures(project_onto(data.x, directions), everything)

    angles = ', '.join(f'{360 * (s + 1) / (seeds + 1):g}°' for s in range(seeds))
    yield Control(
        'fitted to rotated maps',
        PROJECTIONS,
        f'The same for maps rotated by {angles} of longitude, scored against the true '
        'ones: as smooth, but in the wrong place. Whatever depends on latitude alone, '
        'such as much of climate, stays true.',
        turned,
        True,
    )


def _without_training(data: AuditData, has_held_out: bool) -> Iterator[Control]:
    everything = _everything(data)
    dim = data.basis.shape[1]
    yield Control(
        'Δ = 0',
        PROJECTIONS,
        'The directions before training, which for ConceptEarth are random (seed 0): a '
        'Gaussian basis again.',
        _always(project_onto(data.x, _gaussian(data.bank, dim, 0)), everything),
    )
    distilled = concept_earth('DISTILLED')
    x = encode(distilled, data.points, 'x')

    @cache
    def afterwards() -> ConceptFeatures:
        directions = fit_directions(data, x, data.labels[TRAIN])
        return ConceptFeatures(project_onto(x, directions), everything)

    yield Control(
        'λ = 0 fitted to the maps',
        # Neither was trained on maps of the blocks that names are scored in.
        HELD_OUT if has_held_out else PROJECTIONS,
        'DISTILLED, half as wide, was trained on the embeddings of GeoCLIP everywhere and '
        'on no concept; its directions are fitted afterwards to the true maps.',
        lambda seed: afterwards(),
    )


def _gaussian(bank: ConceptBank, dim: int, seed: int) -> Tensor:
    return ConceptBasis.random(bank, dim, seed=seed).directions.detach().T


# Numbers of concepts -------------------------------------------------------------------


def _sizes(data: AuditData) -> Iterator[Control]:
    number, dim = data.basis.shape

    def gaussian(size: int, seed: int) -> ConceptFeatures:
        # Different from the start of training, which has seed 0, and for each size.
        generator = torch.Generator().manual_seed(1000 * size + seed)
        directions = torch.randn(size, dim, generator=generator)
        chosen = _chosen(min(size, number), seed)
        return ConceptFeatures(project_onto(data.x, directions), chosen)

    def subset(which: str, size: int, seed: int) -> ConceptFeatures:
        chosen = _chosen(size, seed)
        values = data.z if which == SCORES else project_onto(data.x, data.basis)
        return ConceptFeatures({p: v[:, chosen] for p, v in values.items()}, chosen)

    def more(size: int, seed: int) -> ConceptFeatures:
        generator = torch.Generator().manual_seed(seed + 1)
        added = torch.randn(size - number, dim, generator=generator)
        directions = torch.cat((data.basis, added))
        return ConceptFeatures(project_onto(data.x, directions), _everything(data))

    def _chosen(size: int, seed: int) -> Rows:
        chosen = np.random.default_rng(seed).permutation(number)[:size]
        return chosen if size < number else np.arange(number)

    for size in sorted({number, *SIZES}):
        yield Control(
            f'Gaussian basis of {size}',
            PROJECTIONS,
            'Random directions.' if size == number else f'{size} random directions.',
            partial(gaussian, size),
            True,
        )
    for size in SIZES:
        for which in (SCORES, PROJECTIONS):
            if size < number:
                yield Control(
                    f'{size} of the {which.removeprefix("released ")}',
                    which,
                    'Concepts drawn at random; only their names are scored.',
                    partial(subset, which, size),
                    is_random=True,
                    is_rival=False,
                )
        if size > number:
            yield Control(
                f'{size - number} Gaussian added to projections',
                PROJECTIONS,
                f'{size} in all. Only names of concepts are scored.',
                partial(more, size),
                is_random=True,
                is_rival=False,
            )


# Directions of texts -------------------------------------------------------------------


def _texts(data: AuditData) -> Iterator[Control]:
    number, dim = data.basis.shape
    everything = _everything(data)
    nouns = ConceptBank.general().names
    words = random_words(number)
    vectors = cache(lambda: sentence_vectors([*data.bank.names, *nouns, *words]))

    def directions(first: int, last: int, shuffled: bool, seed: int) -> ConceptFeatures:
        texts = vectors()[first:last]
        if shuffled:
            rng = np.random.default_rng(seed)
            # Fewer texts than concepts are used more than once.
            texts = texts[np.resize(rng.permutation(len(texts)), number)]
        return ConceptFeatures(
            project_onto(data.x, project_randomly(texts, dim, seed)), everything
        )

    ends = np.cumsum([0, number, len(nouns), len(words)]).tolist()
    for name, remark, place, shuffled in (
        ('texts of the names', 'Names of the concepts, projected at random.', 0, False),
        (
            'general bank',
            f'{len(nouns)} common nouns, assigned to the concepts at random.',
            1,
            True,
        ),
        ('random words', 'Words without meaning, one for each concept.', 2, False),
    ):
        yield Control(
            name,
            PROJECTIONS,
            remark,
            partial(directions, ends[place], ends[place + 1], shuffled),
            True,
        )
