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
    check_finite(scores, what)


def check_finite(values: Tensor, what: str) -> None:
    """Validate that all values are finite.

    Args:
        values: Values of shape ``(N, d)``.
        what: Name of the values, for messages.

    Raises:
        ValueError: If a value is not finite.
    """
    is_bad = ~values.isfinite().all(dim=1)
    if is_bad.any():
        row = int(is_bad.nonzero()[0])
        raise ValueError(f'Row {row} of the {what}, counted from 0, is not finite.')


def check_rows(**inputs: Tensor) -> None:
    """Validate that all inputs have the same number of rows.

    Args:
        **inputs: The inputs by name.

    Raises:
        ValueError: If the numbers differ.
    """
    if len({len(rows) for rows in inputs.values()}) > 1:
        numbers = ', '.join(f'{len(rows)} {name}' for name, rows in inputs.items())
        raise ValueError(f'Expected equal numbers of rows, got {numbers}.')


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
