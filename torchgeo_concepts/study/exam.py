# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Questions that all arms are asked, and files that some of them begin with."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from .._files import atomic_path
from ..audit.texts import has_sentence_encoder, mapped, sentence_vectors
from ..benchmark.tasks import Table
from ..candidates import candidate_points
from ..concepts.bank import ConceptBank
from ..concepts.layers.grounding import load_groundings
from ..concepts.named_banks import read_bank
from ..datamodules.blue_marble import MEAN, STD, TEST_SEED, VAL_SEED
from ..datasets import BlueMarble
from ..datasets.grounded_points import Blocks
from ..image_transforms import Normalize
from .measures import Exam, Question
from .runs import Settings

__all__ = ('TEST', 'VALIDATION', 'make_exams', 'write_files')

# Pictures that arms are chosen by, and those that they are tested by.
VALIDATION, TEST = ('july',), ('may', 'three-globe', 'january')

# Blocks that were trained in, and those that were not.
WHERE: dict[str, Blocks] = {'seen': 'train', 'held-out': 'test'}

BANK = 'layers without imagery'
BANKS = (32, 128, 512)
TEXT = 'text.safetensors'


def _make_exam(
    settings: Settings, pictures: Sequence[str], tables: Sequence[Table], seed: int
) -> Exam:
    """Cut the patches that are asked for, and look up the truth.

    Args:
        settings: What all runs share.
        pictures: Names of pictures that were not trained on.
        tables: What is predicted from embeddings.
        seed: Seed of the points.

    Returns:
        The exam.
    """
    groundings = load_groundings(exclude_groups=('imagery',))
    normalize = Normalize(MEAN, STD)
    questions = []
    for picture in pictures:
        for where, blocks in WHERE.items():
            patches = BlueMarble(
                settings.root,
                picture,
                settings.questions,
                seed,
                blocks=blocks,
                mask_sea=True,
                concepts=False,
            )
            sample = patches[range(len(patches))]
            images = normalize(sample)['image']
            questions.append(Question(picture, where, images, sample['point']))
    held_out = next(q.points for q in questions if q.where == 'held-out')
    return Exam(
        tuple(questions),
        candidate_points('land:70').points,
        held_out,
        groundings,
        torch.from_numpy(groundings.labels(held_out)),
        tuple(tables),
    )


def make_exams(settings: Settings, tables: Sequence[Table]) -> tuple[Exam, Exam]:
    """Make the exam that arms are chosen by, and the one they are tested by.

    Args:
        settings: What all runs share.
        tables: What is predicted from embeddings when they are tested.

    Returns:
        Both exams, of other points and other pictures.
    """
    return (
        _make_exam(settings, VALIDATION, (), VAL_SEED),
        _make_exam(settings, TEST, tables, TEST_SEED),
    )


def write_files(folder: Path) -> set[str]:
    """Write banks of several sizes, and directions of texts.

    Args:
        folder: Folder of the study.

    Returns:
        Names of what could not be written, for want of a distribution.
    """
    folder.mkdir(parents=True, exist_ok=True)
    bank = read_bank(BANK)
    for size in BANKS:
        _sized(bank, size).save(folder / f'bank-{size}.csv')
    if not has_sentence_encoder():
        return {TEXT}
    vectors = sentence_vectors([concept.name for concept in bank])
    directions = F.normalize(mapped(vectors, 512, seed=0), dim=1)
    with atomic_path(folder / TEXT) as temporary:
        save_file({'directions': directions.contiguous()}, temporary)
    return set()


def _sized(bank: ConceptBank, size: int) -> ConceptBank:
    """Draw concepts of maps, and fill up with concepts that no map tells."""
    order = np.random.default_rng(0).permutation(len(bank))[:size]
    chosen = [bank[int(row)] for row in np.sort(order)]
    known = set(bank.ids)
    others = [concept for concept in ConceptBank.default() if concept.id not in known]
    return ConceptBank([*chosen, *others[: size - len(chosen)]])
