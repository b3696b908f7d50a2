# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Compute and validate scores."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..concepts.bank import ConceptBank
from ..models.concept_earth import ConceptEarth
from ..utils.modes import evaluating

# Number of points in a batch.
BATCH = 8192


@torch.no_grad()
def in_batches(
    module: nn.Module, method: Callable[[Tensor], Tensor], points: Tensor
) -> Tensor:
    """Call a method of a module on batches of points, in eval mode.

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
    """Validate scores of the concepts of a bank.

    Args:
        scores: Scores or projections of shape ``(N, k)``.
        bank: The concepts.
        what: Name of the scores, for messages.

    Raises:
        ValueError: If the number of columns is wrong, or a score is not finite.
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
    """Validate that an encoder has the given bank.

    Args:
        bank: The concepts.
        encoder: The encoder.

    Raises:
        ValueError: If the encoder has another bank.
    """
    if encoder.bank != bank:
        raise ValueError(
            f'The encoder has another bank, {encoder.bank!r} instead of {bank!r}.'
        )
