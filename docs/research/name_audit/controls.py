# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""What is released, and what stands beside it in an audit."""

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

from .study import TRAIN, Study, encode, onto, rotated
from .texts import has_sentence_encoder, mapped, random_words, sentence_vectors

SCORES, PROJECTIONS = 'released scores', 'released projections'
HELD_OUT = 'HELD_OUT projections'

# Numbers of concepts that are tried.
SIZES = (32, 128, 512)

TEXT_REMARK = (
    'Texts are encoded by MiniLM, a sentence encoder that knows no images, and brought '
    'into the space of the embeddings by a random map: the weights of CLIP could not be '
    'had. So they show what directions do that know nothing of the space, and nothing of '
    "what CLIP's text encoder would do."
)


@dataclass(frozen=True, eq=False)
class ReadOut:
    """Numbers that stand for concepts.

    Attributes:
        values: Numbers of shape ``(N, m)`` at each set of points.
        concepts: Which concept each of the first columns is named for; those beyond
            have no name that a map tells.
    """

    values: Mapping[str, Tensor]
    concepts: Rows


@dataclass(frozen=True, eq=False)
class Control:
    """What stands beside something that is released.

    Attributes:
        name: What it is, in a few words.
        against: Name of what it stands beside, empty for what is released itself.
        remark: What it shows.
        make: Makes it of a seed.
        is_random: Whether another seed makes another one.
        is_rival: Whether names or training are in doubt if it does as well. Parts of
            what is released, and weights that were taught alike, are not.
    """

    name: str
    against: str
    remark: str
    make: Callable[[int], ReadOut]
    is_random: bool = False
    is_rival: bool = True


def make_controls(study: Study, seeds: int, text: bool) -> Iterator[Control]:
    """Yield what is released and all controls.

    Args:
        study: What they work on.
        seeds: Number of seeds, for angles that are spread evenly.
        text: Whether to try directions of texts.

    Yields:
        The controls.
    """
    yield from _released(study)
    yield from _fitted(study, seeds)
    yield from _untaught(study, concept_earth('HELD_OUT').bank == study.bank)
    yield from _sizes(study)
    if text and has_sentence_encoder():
        yield from _texts(study)


def _everything(study: Study) -> Rows:
    return np.arange(len(study.bank))


def _always(values: Mapping[str, Tensor], concepts: Rows) -> Callable[[int], ReadOut]:
    read_out = ReadOut(values, concepts)
    return lambda seed: read_out


# What is released ----------------------------------------------------------------------


def _released(study: Study) -> Iterator[Control]:
    everything = _everything(study)
    yield Control(SCORES, '', 'What `concepts` returns.', _always(study.z, everything))
    yield Control(
        PROJECTIONS,
        '',
        'What `project` returns.',
        _always(onto(study.x, study.basis), everything),
    )
    held_out = concept_earth('HELD_OUT')
    if held_out.bank == study.bank:
        x, z = (encode(held_out, study.points, kind) for kind in ('x', 'z'))
        yield Control(
            'HELD_OUT scores',
            SCORES,
            'Trained alike, but never in the blocks that names are scored in.',
            _always(z, everything),
            is_rival=False,
        )
        yield Control(
            HELD_OUT,
            PROJECTIONS,
            'Of the same weights.',
            _always(onto(x, held_out.basis.directions.detach().T), everything),
            is_rival=False,
        )

    def swapped(seed: int) -> ReadOut:
        order = np.random.default_rng(seed).permutation(everything)
        return ReadOut({p: z[:, order] for p, z in study.z.items()}, everything)

    yield Control(
        'scores with swapped names',
        SCORES,
        'The released scores, each under the name of another concept.',
        swapped,
        True,
    )


# Directions that are fitted ------------------------------------------------------------


def fit_directions(
    study: Study, x: Mapping[str, Tensor], labels: NDArray[np.float64]
) -> Tensor:
    """Fit the direction of each concept to labels of the points that train.

    Args:
        study: What all controls share.
        x: Embeddings.
        labels: Labels of shape ``(N, k)``, NaN where unknown; there they count as the
            mean.

    Returns:
        Directions of shape ``(k, d)``, those of ridge regressions from unit embeddings
        whose penalties were chosen on blocks that were left out.
    """
    known = ~np.isnan(labels)
    number = known.sum(axis=0).clip(min=1)
    mean = np.where(known, labels, 0).sum(axis=0) / number
    centred = np.where(known, labels - mean, 0)
    std = np.sqrt((centred**2).sum(axis=0) / number)
    y = torch.from_numpy(centred / np.where(std > 0, std, 1))
    unit = F.normalize(x[TRAIN], dim=1)
    fit, choose = study.learning
    return fit_ridge(unit[fit], y[fit], unit[choose], y[choose]).weight


def _fitted(study: Study, seeds: int) -> Iterator[Control]:
    everything = _everything(study)

    @cache
    def grounded() -> ReadOut:
        directions = fit_directions(study, study.x, study.labels[TRAIN])
        return ReadOut(onto(study.x, directions), everything)

    yield Control(
        'fitted to the maps',
        PROJECTIONS,
        'Directions fitted afterwards, by ridge regression from the released embeddings '
        'to the true maps.',
        lambda seed: grounded(),
    )

    def turned(seed: int) -> ReadOut:
        angle = 360 * (seed + 1) / (seeds + 1)
        points = rotated(study.points[TRAIN], angle)
        labels = study.groundings.labels(points).astype(np.float64)
        directions = fit_directions(study, study.x, labels)
        return ReadOut(onto(study.x, directions), everything)

    angles = ', '.join(f'{360 * (s + 1) / (seeds + 1):g}°' for s in range(seeds))
    yield Control(
        'fitted to rotated maps',
        PROJECTIONS,
        f'The same for maps turned by {angles} of longitude, scored against the true '
        'ones: as smooth, but in the wrong place. What depends on latitude alone, and '
        'much of climate, stays true.',
        turned,
        True,
    )


def _untaught(study: Study, has_held_out: bool) -> Iterator[Control]:
    everything = _everything(study)
    dim = study.basis.shape[1]
    yield Control(
        'Δ = 0',
        PROJECTIONS,
        'The directions where training started, which for ConceptEarth is at random '
        '(seed 0): a Gaussian basis again.',
        _always(onto(study.x, _gaussian(study.bank, dim, 0)), everything),
    )
    distilled = concept_earth('DISTILLED')
    x = encode(distilled, study.points, 'x')

    @cache
    def afterwards() -> ReadOut:
        directions = fit_directions(study, x, study.labels[TRAIN])
        return ReadOut(onto(x, directions), everything)

    yield Control(
        'λ = 0 fitted to the maps',
        # Neither of the two has seen a map of the blocks that names are scored in.
        HELD_OUT if has_held_out else PROJECTIONS,
        'DISTILLED, half as wide, which never learned a concept, but the embeddings of '
        'GeoCLIP everywhere; its directions are fitted afterwards to the true maps.',
        lambda seed: afterwards(),
    )


def _gaussian(bank: ConceptBank, dim: int, seed: int) -> Tensor:
    return ConceptBasis.random(bank, dim, seed=seed).directions.detach().T


# Numbers of concepts -------------------------------------------------------------------


def _sizes(study: Study) -> Iterator[Control]:
    number, dim = study.basis.shape

    def gaussian(size: int, seed: int) -> ReadOut:
        # Seed 0 is where training started, and no size may begin as another does.
        generator = torch.Generator().manual_seed(1000 * size + seed)
        directions = torch.randn(size, dim, generator=generator)
        chosen = _chosen(min(size, number), seed)
        return ReadOut(onto(study.x, directions), chosen)

    def some(which: str, size: int, seed: int) -> ReadOut:
        chosen = _chosen(size, seed)
        values = study.z if which == SCORES else onto(study.x, study.basis)
        return ReadOut({p: v[:, chosen] for p, v in values.items()}, chosen)

    def more(size: int, seed: int) -> ReadOut:
        generator = torch.Generator().manual_seed(seed + 1)
        added = torch.randn(size - number, dim, generator=generator)
        directions = torch.cat((study.basis, added))
        return ReadOut(onto(study.x, directions), _everything(study))

    def _chosen(size: int, seed: int) -> Rows:
        chosen = np.random.default_rng(seed).permutation(number)[:size]
        return chosen if size < number else np.arange(number)

    for size in sorted({number, *SIZES}):
        yield Control(
            f'Gaussian basis of {size}',
            PROJECTIONS,
            'Random directions, which name nothing.'
            if size == number
            else f'{size} random directions.',
            partial(gaussian, size),
            True,
        )
    for size in SIZES:
        for which in (SCORES, PROJECTIONS):
            if size < number:
                yield Control(
                    f'{size} of the {which.removeprefix("released ")}',
                    which,
                    'Concepts drawn at random; names are scored among these.',
                    partial(some, which, size),
                    is_random=True,
                    is_rival=False,
                )
        if size > number:
            yield Control(
                f'{size - number} Gaussian added to projections',
                PROJECTIONS,
                f'{size} in all. Names are scored among the concepts.',
                partial(more, size),
                is_random=True,
                is_rival=False,
            )


# Directions of texts -------------------------------------------------------------------


def _texts(study: Study) -> Iterator[Control]:
    number, dim = study.basis.shape
    everything = _everything(study)
    nouns = ConceptBank.general().names
    words = random_words(number)
    vectors = cache(lambda: sentence_vectors([*study.bank.names, *nouns, *words]))

    def directions(first: int, last: int, dealt: bool, seed: int) -> ReadOut:
        texts = vectors()[first:last]
        if dealt:
            rng = np.random.default_rng(seed)
            # Fewer texts than concepts are dealt out more than once.
            texts = texts[np.resize(rng.permutation(len(texts)), number)]
        return ReadOut(onto(study.x, mapped(texts, dim, seed)), everything)

    ends = np.cumsum([0, number, len(nouns), len(words)]).tolist()
    for name, remark, place, dealt in (
        (
            'texts of the names',
            'What the concepts are called, mapped at random.',
            0,
            False,
        ),
        (
            'general bank',
            f'{len(nouns)} common nouns, dealt out to the concepts as names.',
            1,
            True,
        ),
        ('random words', 'Words that mean nothing, one for each concept.', 2, False),
    ):
        yield Control(
            name,
            PROJECTIONS,
            remark,
            partial(directions, ends[place], ends[place + 1], dealt),
            True,
        )
