# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Goals of the search for a smallest change."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..utils.names import check_known, with_unit

type Head = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Goal:
    """Wanted change of a prediction.

    Attributes:
        text: The goal in words.
        outcome_name: Name of the outcome.
        lead: Function of scores that is positive if the goal is reached.
        outcome: Function of scores that returns the quantity to change.
    """

    text: str
    outcome_name: str
    lead: Head
    outcome: Head


def make_goal(
    head: Head,
    place: Tensor,
    by: float | None,
    to: str | int | None,
    classes: Sequence[str] | None,
    unit: str,
) -> Goal:
    """Make the goal of :func:`~torchgeo_concepts.explain.smallest_change`.

    Args:
        head: Function from concept scores to predictions or class scores.
        place: Concept scores of the place, of shape ``(1, k)``.
        by: Wanted change of the prediction.
        to: Wanted class.
        classes: Names of the classes.
        unit: Unit of the outputs.

    Returns:
        The goal.

    Raises:
        ValueError: If the goal does not fit the head, or the prediction is not finite.
    """
    output = head(place)
    if output.ndim not in (1, 2) or len(output) != 1:
        raise ValueError(
            'The head must return predictions of shape (N,), (N, 1) or (N, C), not '
            f'{tuple(output.shape)} for scores of shape {tuple(place.shape)}.'
        )
    if not output.isfinite().all():
        raise ValueError(
            f'The head returns {output.flatten().tolist()} for the place: the output '
            'is not finite.'
        )
    num_classes = 1 if output.ndim == 1 else output.shape[1]
    if num_classes == 1:
        return _amount_goal(head, output.flatten()[0].item(), by, to, unit)
    if by is not None:
        raise ValueError(
            f'by= is for heads with one output, but this one has {num_classes} classes. '
            'Name the wanted class with to=, or leave out both to accept any other class.'
        )
    names = [f'class {n}' for n in range(num_classes)] if classes is None else classes
    if len(names) != num_classes:
        raise ValueError(f'Expected {num_classes} names of classes, got {len(names)}.')
    return _class_goal(head, int(output.argmax()), to, names, unit)


def _amount_goal(
    head: Head, start: float, by: float | None, to: str | int | None, unit: str
) -> Goal:
    if to is not None or by is None or by == 0 or not np.isfinite(by):
        raise ValueError(
            'The head has one output; pass the wanted change with by=, not to=. Got '
            f'by={by}, to={to!r}.'
        )
    sign = 1 if by > 0 else -1

    def outcome(scores: Tensor) -> Tensor:
        return head(scores).reshape(len(scores))

    def lead(scores: Tensor) -> Tensor:
        return sign * (outcome(scores) - start) - abs(by)

    end = f' {unit}' if unit else ''
    way = 'up' if by > 0 else 'down'
    text = f'prediction {way} by {abs(by):g}{end} from {start:.4g}{end}'
    return Goal(text, with_unit('prediction', unit), lead, outcome)


def _class_goal(
    head: Head, start: int, to: str | int | None, names: Sequence[str], unit: str
) -> Goal:
    target = None if to is None else _class_number(to, names)
    if target == start:
        raise ValueError(f'The head predicts {names[start]!r} already.')
    pivot = start if target is None else target

    def lead(scores: Tensor) -> Tensor:
        output = head(scores)
        own = output[:, pivot]
        others = output.clone()
        others[:, pivot] = -torch.inf
        ahead = own - others.amax(dim=1)
        return -ahead if target is None else ahead

    if target is None:
        text, name = f'any class but {names[start]}', f'lead over {names[start]}'
    else:
        text = f'{names[target]} instead of {names[start]}'
        name = f'lead of {names[target]}'
    return Goal(text, with_unit(name, unit), lead, lead)


def _class_number(to: str | int, names: Sequence[str]) -> int:
    if isinstance(to, str):
        check_known('No class', to, names)
        return list(names).index(to)
    if not 0 <= to < len(names):
        raise ValueError(
            f'No class {to}; the classes have numbers 0 to {len(names) - 1}.'
        )
    return to
