# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Where models that were kept put patches, and patches that tell two of them apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from torchgeo_concepts.evaluate.metrics import geodesic_km
from torchgeo_concepts.explain import Contrast, contributions
from torchgeo_concepts.models import ImageLocationModel
from torchgeo_concepts.tasks import ConceptAlignment
from torchgeo_concepts.utils.modes import evaluating

from .measures import Question, gallery_of, located

# A patch that is found within the one distance is right, beyond the other it is wrong.
RIGHT_KM, WRONG_KM = 200, 750


@dataclass(frozen=True, eq=False)
class Answer:
    """Where a model puts the patches of a question.

    Attributes:
        arm: Name of its arm.
        model: Images and locations.
        found: The best candidate for each patch, of shape ``(N, 2)``.
        kilometres: How far each is from the truth, of shape ``(N,)``.
    """

    arm: str
    model: ImageLocationModel
    found: Tensor
    kilometres: Tensor


@dataclass(frozen=True, eq=False)
class Case:
    """A patch that one arm puts right and another does not, explained.

    Attributes:
        arm: Name of the arm whose decision is explained.
        other: Name of the other arm.
        image: The patch, normalised.
        point: Where it is, of shape ``(2,)``.
        found: Where the arm puts it.
        other_found: Where the other arm puts it.
        kilometres: How far both are from the truth.
        contrast: Why the arm puts it there rather than where the other does.
    """

    arm: str
    other: str
    image: Tensor
    point: Tensor
    found: Tensor
    other_found: Tensor
    kilometres: tuple[float, float]
    contrast: Contrast


def joined(questions: Sequence[Question]) -> Question:
    """Put questions on one picture together.

    Args:
        questions: The questions; those on the picture of the first are taken.

    Returns:
        Their patches as one question.
    """
    picture = questions[0].picture
    same = [question for question in questions if question.picture == picture]
    return Question(
        picture,
        ' and '.join(question.where for question in same),
        torch.cat([question.images for question in same]),
        torch.cat([question.points for question in same]),
    )


def answer(
    arm: str, checkpoint: Path, question: Question, candidates: Tensor
) -> Answer:
    """Ask a model that was kept.

    Args:
        arm: Name of its arm.
        checkpoint: Its checkpoint.
        question: What it is asked.
        candidates: Points to find patches among.

    Returns:
        What it answers.
    """
    task = ConceptAlignment.load_from_checkpoint(
        checkpoint, map_location='cpu', weights_only=True
    )
    model = task.model
    with evaluating(model):
        found = located(model, gallery_of(model, candidates), question.images)
    return Answer(arm, model, found, geodesic_km(found, question.points))


def find_case(right: Answer, wrong: Answer) -> int | None:
    """Find the patch in the middle of those that one arm puts right and another wrong.

    Args:
        right: Answers of the one.
        wrong: Answers of the other.

    Returns:
        Row of the patch whose wrong answer is the median of their distances, the lower
        one if there are two, or None if there is no such patch.
    """
    is_case = (right.kilometres <= RIGHT_KM) & (wrong.kilometres > WRONG_KM)
    rows = is_case.nonzero()[:, 0]
    order = rows[wrong.kilometres[rows].argsort(stable=True)]
    return int(order[(len(order) - 1) // 2]) if len(order) else None


def explained(question: Question, row: int, arm: Answer, other: Answer) -> Case:
    """Explain why an arm puts a patch where it does, rather than where another does.

    Args:
        question: The patches.
        row: Which of them.
        arm: Answers of the arm that is explained, which compares concepts.
        other: Answers of the other.

    Returns:
        The case. Contributions sum to the similarities that the arm's places have.
    """
    image, places = question.images[row], (arm.found[row], other.found[row])
    found = contributions(
        arm.model,
        torch.stack(places),
        images=image[None],
        names=[f'where {each.arm} puts it' for each in (arm, other)],
        other_names=['the patch'],
    )
    return Case(
        arm.arm,
        other.arm,
        image,
        question.points[row],
        *places,
        (float(arm.kilometres[row]), float(other.kilometres[row])),
        Contrast((found[0], found[1])),
    )
