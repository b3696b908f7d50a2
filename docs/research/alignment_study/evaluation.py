# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Data that arms are evaluated on, and files that some arms start from."""

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
from name_audit.texts import (
    SENTENCES,
    has_sentence_encoder,
    project_randomly,
    sentence_vectors,
)
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
from .measures import EvaluationData, PatchSet
from .runs import Settings, all_groundings

# Blocks that were trained on, and held-out blocks.
WHERE: dict[str, Blocks] = {'seen': 'train', 'held-out': 'test'}

# Candidate points.
CANDIDATES = 'land:70'

BANK = 'layers without imagery'
BANKS = (32, 128, 512)
TEXT = 'text.safetensors'
WEIGHTS = (EfficientNetLite0_Weights.IMAGENET1K, GeoCLIPLocation_Weights.MP16)


@dataclass(frozen=True)
class PatchFormat:
    """Size and normalisation of the patches of an arm.

    Attributes:
        size: Rows and columns.
        degrees: Height in degrees of latitude.
        pixels_per_degree: Resolution that finer pictures are averaged to.
        mean: Value that is subtracted from each channel.
        std: Value that each channel is then divided by.
    """

    size: int
    degrees: float
    pixels_per_degree: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of_arm(cls, arm: Arm) -> 'PatchFormat':
        """Read the format from the data of an arm.

        Args:
            arm: The arm.
        """
        defaults = {
            **inspect.signature(BlueMarble).parameters,
            **inspect.signature(BlueMarbleDataModule).parameters,
        }
        values = {
            field.name: arm.data.get(field.name, defaults[field.name].default)
            for field in fields(cls)
        }
        pair = {name: tuple(values[name]) for name in ('mean', 'std')}
        return cls(**values | pair)

    def cut(
        self, settings: Settings, pictures: Sequence[str], seed: int
    ) -> Iterator[PatchSet]:
        """Cut patches to locate.

        Args:
            settings: Settings of all runs.
            pictures: Names of pictures.
            seed: Seed of the points.

        Yields:
            Patches of each picture, in blocks that were trained on and in held-out ones.
        """
        normalize = Normalize(self.mean, self.std)
        for picture, (where, blocks) in itertools.product(pictures, WHERE.items()):
            dataset = BlueMarble(
                settings.root,
                picture,
                settings.patches,
                seed,
                blocks=blocks,
                size=self.size,
                degrees=self.degrees,
                pixels_per_degree=self.pixels_per_degree,
                mask_sea=True,
                concepts=False,
            )
            sample = dataset[range(len(dataset))]
            yield PatchSet(picture, where, normalize(sample)['image'], sample['point'])


class Evaluation:
    """The same evaluation for all arms, with patches in the format of each."""

    def __init__(
        self,
        settings: Settings,
        pictures: Sequence[str],
        tables: Sequence[Table],
        seed: int,
    ) -> None:
        """Initialize a new Evaluation instance.

        Args:
            settings: Settings of all runs.
            pictures: Names of pictures that were not trained on.
            tables: Tables to predict from embeddings.
            seed: Seed of the points.
        """
        self.settings = settings
        self.pictures = tuple(pictures)
        self.tables = tuple(tables)
        self.seed = seed
        self.candidates = candidate_points(CANDIDATES).points
        self._latest: tuple[PatchFormat, EvaluationData] | None = None

    def data(self, arm: Arm) -> EvaluationData:
        """Return the data that an arm is evaluated on.

        All arms have patches of the same places. Patches of the latest format are kept,
        since those of all formats take gigabytes.

        Args:
            arm: The arm.
        """
        patch_format = PatchFormat.of_arm(arm)
        if self._latest is None or self._latest[0] != patch_format:
            self._latest = None
            self._latest = patch_format, self._make(patch_format)
        return self._latest[1]

    def _make(self, patch_format: PatchFormat) -> EvaluationData:
        patches = tuple(patch_format.cut(self.settings, self.pictures, self.seed))
        held_out = next(each.points for each in patches if each.where == 'held-out')
        groundings = all_groundings().without(('imagery',))
        return EvaluationData(
            patches,
            self.candidates,
            held_out,
            groundings,
            torch.from_numpy(groundings.labels(held_out)),
            self.tables,
        )


def make_evaluations(
    settings: Settings, tables: Sequence[Table]
) -> tuple[Evaluation, Evaluation]:
    """Return the evaluation of all arms, and that of the chosen arms.

    Arms are chosen on the validation picture alone. The first evaluation has the test
    pictures and tables as well, so that the page can show them for all arms.

    Args:
        settings: Settings of all runs.
        tables: Tables to predict from embeddings.

    Returns:
        Both evaluations, of patches at different points.
    """
    return (
        Evaluation(settings, (*VALIDATION, *TEST), tables, VAL_SEED),
        Evaluation(settings, TEST, tables, TEST_SEED),
    )


def truth_digest(tables: Sequence[Table]) -> str:
    """Hash tables and maps. Pictures are left out, since files have checksums.

    Args:
        tables: Tables to predict from embeddings.
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
        Names of missing files and weights, with the distribution that carries each.
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
        _resize(bank, size).save(folder / f'bank-{size}.csv')
    if not has_sentence_encoder():
        return {**missing, TEXT: f'directions of texts, by {SENTENCES[0]}'}
    vectors = sentence_vectors([concept.name for concept in bank])
    directions = F.normalize(project_randomly(vectors, 512, seed=0), dim=1)
    with atomic_path(folder / TEXT) as temporary:
        save_file({'directions': directions.contiguous()}, temporary)
    return missing


def _resize(bank: ConceptBank, size: int) -> ConceptBank:
    """Draw concepts of maps, and fill up with concepts that no map has."""
    order = np.random.default_rng(0).permutation(len(bank))[:size]
    chosen = [bank[int(row)] for row in np.sort(order)]
    known = set(bank.ids)
    others = [concept for concept in ConceptBank.default() if concept.id not in known]
    return ConceptBank([*chosen, *others[: size - len(chosen)]])
