# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Questions that all arms are asked, and files that some of them begin with."""

import hashlib
import inspect
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from name_audit.texts import SENTENCES, has_sentence_encoder, mapped, sentence_vectors
from safetensors.torch import save_file

from torchgeo_concepts.concepts.bank import ConceptBank
from torchgeo_concepts.datamodules.blue_marble import (
    TEST_SEED,
    VAL_SEED,
    BlueMarbleDataModule,
)
from torchgeo_concepts.datasets import BlueMarble
from torchgeo_concepts.datasets.grounded_points import Blocks
from torchgeo_concepts.evaluate.benchmark.tasks import Table
from torchgeo_concepts.layers.named_banks import read_bank
from torchgeo_concepts.models import EfficientNetLite0_Weights, GeoCLIPLocation_Weights
from torchgeo_concepts.models.image_transforms import Normalize
from torchgeo_concepts.retrieval.candidates import candidate_points
from torchgeo_concepts.utils.files import atomic_path

from .arms import TEST, VALIDATION, Arm
from .measures import Exam, Question
from .runs import Settings, all_groundings

# Blocks that were trained in, and those that were not.
WHERE: dict[str, Blocks] = {'seen': 'train', 'held-out': 'test'}

# Points that places are searched among.
CANDIDATES = 'land:70'

BANK = 'layers without imagery'
BANKS = (32, 128, 512)
TEXT = 'text.safetensors'
WEIGHTS = (EfficientNetLite0_Weights.IMAGENET1K, GeoCLIPLocation_Weights.MP16)


@dataclass(frozen=True)
class Cut:
    """How an arm has its patches cut and normalised.

    Attributes:
        size: Rows and columns.
        degrees: Height in degrees of latitude.
        pixels_per_degree: What finer pictures are averaged to.
        mean: What is subtracted from each channel.
        std: What each channel is divided by then.
    """

    size: int
    degrees: float
    pixels_per_degree: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, arm: Arm) -> 'Cut':
        """Read how an arm has its patches cut.

        Args:
            arm: The arm.
        """
        defaults = inspect.signature(BlueMarbleDataModule).parameters
        own = arm.arguments('data')
        chosen = {
            field.name: own.get(field.name, defaults[field.name].default)
            for field in fields(cls)
        }
        for name in ('mean', 'std'):
            chosen[name] = tuple(chosen[name])
        return cls(**chosen)

    def questions(
        self, settings: Settings, pictures: Sequence[str], seed: int
    ) -> Iterator[Question]:
        """Cut patches whose places are asked for.

        Args:
            settings: What all runs share.
            pictures: Names of pictures.
            seed: Seed of the points.

        Yields:
            Patches of each picture, in blocks that were trained in and others.
        """
        normalize = Normalize(self.mean, self.std)
        for picture, (where, blocks) in itertools.product(pictures, WHERE.items()):
            patches = BlueMarble(
                settings.root,
                picture,
                settings.questions,
                seed,
                blocks=blocks,
                size=self.size,
                degrees=self.degrees,
                pixels_per_degree=self.pixels_per_degree,
                mask_sea=True,
                concepts=False,
            )
            sample = patches[range(len(patches))]
            images = normalize(sample)['image']
            yield Question(picture, where, images, sample['point'])


class Exams:
    """One exam for all arms, with patches that are cut as each was trained on them."""

    def __init__(
        self,
        settings: Settings,
        pictures: Sequence[str],
        tables: Sequence[Table],
        seed: int,
    ) -> None:
        """Initialize a new Exams instance.

        Args:
            settings: What all runs share.
            pictures: Names of pictures that were not trained on.
            tables: What is predicted from embeddings.
            seed: Seed of the points.
        """
        self.settings = settings
        self.pictures = tuple(pictures)
        self.tables = tuple(tables)
        self.seed = seed
        self.candidates = candidate_points(CANDIDATES).points
        self._latest: tuple[Cut, Exam] | None = None

    def of(self, arm: Arm) -> Exam:
        """Return what an arm is asked.

        Arms whose patches are cut alike are asked the same; others are asked for the
        same places. Patches of the latest arm are kept, as those of all take gigabytes.

        Args:
            arm: The arm.
        """
        cut = Cut.of(arm)
        if self._latest is None or self._latest[0] != cut:
            self._latest = None
            self._latest = cut, self._exam(cut)
        return self._latest[1]

    def _exam(self, cut: Cut) -> Exam:
        questions = tuple(cut.questions(self.settings, self.pictures, self.seed))
        held_out = next(q.points for q in questions if q.where == 'held-out')
        groundings = all_groundings().without(('imagery',))
        return Exam(
            questions,
            self.candidates,
            held_out,
            groundings,
            torch.from_numpy(groundings.labels(held_out)),
            self.tables,
        )


def make_exams(settings: Settings, tables: Sequence[Table]) -> tuple[Exams, Exams]:
    """Make the exam that all arms are asked, and the one that those chosen are tested by.

    Arms are chosen by the validation picture alone; that the first exam has the other
    pictures and tables, too, shows how all arms do, whatever was chosen.

    Args:
        settings: What all runs share.
        tables: What is predicted from embeddings.

    Returns:
        Both exams, of patches at other points.
    """
    return (
        Exams(settings, (*VALIDATION, *TEST), tables, VAL_SEED),
        Exams(settings, TEST, tables, TEST_SEED),
    )


def truth_digest(tables: Sequence[Table]) -> str:
    """Hash what runs are measured by, beside pictures, whose files have checksums.

    Args:
        tables: What is predicted from embeddings.
    """
    columns = [
        (table.name, target.name, table.digest(column))
        for table in tables
        for column, target in enumerate(table.targets)
    ]
    maps = all_groundings()
    rules = [(grounding.concept, grounding.rule) for grounding in maps.groundings]
    known = json.dumps([columns, rules, maps.versions], sort_keys=True)
    return hashlib.sha256(known.encode()).hexdigest()[:16]


def write_files(folder: Path) -> dict[str, str]:
    """Write banks of several sizes and directions of texts, and look for weights.

    Args:
        folder: Folder of the study.

    Returns:
        What arms cannot begin with, and the distribution that it takes.
    """
    missing = {}
    for weights in WEIGHTS:
        try:
            weights.path()
        except FileNotFoundError:
            missing[str(weights)] = f'weights of {weights.meta["distribution"]}'
    folder.mkdir(parents=True, exist_ok=True)
    bank = read_bank(BANK)
    for size in BANKS:
        _sized(bank, size).save(folder / f'bank-{size}.csv')
    if not has_sentence_encoder():
        return {**missing, TEXT: f'directions of texts, by {SENTENCES[0]}'}
    vectors = sentence_vectors([concept.name for concept in bank])
    directions = F.normalize(mapped(vectors, 512, seed=0), dim=1)
    with atomic_path(folder / TEXT) as temporary:
        save_file({'directions': directions.contiguous()}, temporary)
    return missing


def _sized(bank: ConceptBank, size: int) -> ConceptBank:
    """Draw concepts of maps, and fill up with concepts that no map tells."""
    order = np.random.default_rng(0).permutation(len(bank))[:size]
    chosen = [bank[int(row)] for row in np.sort(order)]
    known = set(bank.ids)
    others = [concept for concept in ConceptBank.default() if concept.id not in known]
    return ConceptBank([*chosen, *others[: size - len(chosen)]])
