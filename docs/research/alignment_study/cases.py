# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Patches that one kept model locates well and another does not, with an explanation."""

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

from .measures import PatchSet, build_gallery, locate

# A patch within the first distance of its place is right, beyond the second it is wrong.
RIGHT_KM, WRONG_KM = 200, 750


@dataclass(frozen=True, eq=False)
class LocatedPatches:
    """Places that a model finds for patches.

    Attributes:
        arm: Name of its arm.
        model: Images and locations.
        found: Best candidate of each patch, of shape ``(N, 2)``.
        kilometres: Distance of each from the true place, of shape ``(N,)``.
    """

    arm: str
    model: ImageLocationModel
    found: Tensor
    kilometres: Tensor


@dataclass(frozen=True, eq=False)
class Case:
    """Patch that two arms locate at different places, with an explanation.

    Attributes:
        arm: Name of the arm whose decision is explained.
        other: Name of the other arm.
        image: The patch, normalised.
        point: Its true place, of shape ``(2,)``.
        found: Place that the arm finds.
        other_found: Place that the other arm finds.
        kilometres: Distance of both from the true place.
        contrast: Explanation of the first place against the second.
    """

    arm: str
    other: str
    image: Tensor
    point: Tensor
    found: Tensor
    other_found: Tensor
    kilometres: tuple[float, float]
    contrast: Contrast


def join_patch_sets(patch_sets: Sequence[PatchSet]) -> PatchSet:
    """Join all patches of the first picture.

    Args:
        patch_sets: Patches of several pictures.

    Returns:
        Patches of the picture of the first.
    """
    picture = patch_sets[0].picture
    same = [patches for patches in patch_sets if patches.picture == picture]
    return PatchSet(
        picture,
        ' and '.join(patches.where for patches in same),
        torch.cat([patches.images for patches in same]),
        torch.cat([patches.points for patches in same]),
    )


def locate_patch_set(
    arm: str, checkpoint: Path, patches: PatchSet, candidates: Tensor
) -> LocatedPatches:
    """Locate patches with the model of a checkpoint.

    Args:
        arm: Name of its arm.
        checkpoint: Checkpoint of Lightning.
        patches: Patches to locate.
        candidates: Points to find them among.

    Returns:
        The places.
    """
    task = ConceptAlignment.load_from_checkpoint(
        checkpoint, map_location='cpu', weights_only=True
    )
    with evaluating(task.model):
        gallery = build_gallery(task.model, candidates)
        found = locate(task.model, gallery, patches.images)
    return LocatedPatches(arm, task.model, found, geodesic_km(found, patches.points))


def find_case(right: LocatedPatches, wrong: LocatedPatches) -> int | None:
    """Find the median patch of those that one arm locates well and another does not.

    Args:
        right: Places that the one finds.
        wrong: Places that the other finds.

    Returns:
        Row of the patch whose wrong distance is the median, the lower one of two, or
        None if there is no such patch.
    """
    is_case = (right.kilometres <= RIGHT_KM) & (wrong.kilometres > WRONG_KM)
    rows = is_case.nonzero()[:, 0]
    order = rows[wrong.kilometres[rows].argsort(stable=True)]
    return int(order[(len(order) - 1) // 2]) if len(order) else None


def explain_case(
    patches: PatchSet, row: int, arm: LocatedPatches, other: LocatedPatches
) -> Case:
    """Explain why an arm prefers its place of a patch to that of another arm.

    Args:
        patches: The patches.
        row: Row of the patch.
        arm: Places of the arm that is explained, which compares concepts.
        other: Places of the other.

    Returns:
        The case. Contributions sum to the similarities of the places by the first arm.
    """
    image, places = patches.images[row], (arm.found[row], other.found[row])
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
        patches.points[row],
        *places,
        (float(arm.kilometres[row]), float(other.kilometres[row])),
        Contrast((found[0], found[1])),
    )
