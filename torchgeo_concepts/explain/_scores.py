# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Compute scores at many points, and check them."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..concepts.bank import ConceptBank
from ..models.concept_earth import ConceptEarth
from ..utils.modes import evaluating

# Points to encode at a time.
BATCH = 8192


@torch.no_grad()
def in_batches(
    module: nn.Module, method: Callable[[Tensor], Tensor], points: Tensor
) -> Tensor:
    """Call a method of a module in eval mode, with a part of the points at a time.

    Args:
        module: The module.
        method: Method that takes points.
        points: Points of shape ``(N, 2)``.

    Returns:
        Results of shape ``(N, ...)``, on the CPU.
    """
    parameter = next(module.parameters(), None)
    if parameter is not None:
        points = points.to(parameter.device)
    with evaluating(module):
        return torch.cat([method(part) for part in points.split(BATCH)]).cpu()


def check_scores(scores: Tensor, bank: ConceptBank, what: str = 'scores') -> None:
    """Check that scores belong to a bank.

    Args:
        scores: Scores or projections of shape ``(N, k)``.
        bank: The concepts.
        what: Name of the scores, for messages.

    Raises:
        ValueError: If there is not one score for each concept, or one is not finite.
    """
    if scores.ndim != 2 or scores.shape[1] != len(bank):
        raise ValueError(
            f'The {what} have shape {tuple(scores.shape)}, but the bank has {len(bank)} '
            f'concepts; expected shape (N, {len(bank)}).'
        )
    if not scores.isfinite().all():
        row = int((~scores.isfinite().all(dim=1)).nonzero()[0])
        raise ValueError(f'Row {row} of the {what}, counted from 0, is not finite.')


def check_bank(bank: ConceptBank, encoder: ConceptEarth) -> None:
    """Check that an encoder has the concepts of a bank.

    Args:
        bank: The concepts.
        encoder: The encoder.

    Raises:
        ValueError: If its bank is another one.
    """
    if encoder.bank != bank:
        raise ValueError(
            f'The encoder has another bank, {encoder.bank!r} instead of {bank!r}.'
        )
