# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Interventions: scores with some concepts set to other values."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from ..concepts.bank import ConceptBank
from ..models.concept_earth import ConceptEarth
from ._scores import check_bank, check_scores


def intervene(
    scores: Tensor,
    values: Mapping[str, float],
    bank: ConceptBank,
    *,
    encoder: ConceptEarth | None = None,
) -> Tensor:
    """Set some concepts to given values and keep all others.

    The result can be used like any scores, in a head or in a gallery of projections.
    Correlated concepts keep their values, so the result may resemble no real place.

    Args:
        scores: Scores or projections of shape ``(N, k)``.
        values: New value of each concept to set, by id, name or alias, on the scale of the
            scores.
        bank: The concepts, in the order of the scores.
        encoder: The encoder of the scores. If given, values are probabilities for
            classes, and in units for quantities.

    Returns:
        New scores of the same shape.

    Raises:
        ValueError: If a concept is unknown (with near matches), set twice or set to an
            invalid value, or if scores, bank and encoder do not match.
    """
    check_scores(scores, bank)
    positions = [bank.index(name) for name in values]
    for name, position in zip(values, positions, strict=True):
        if positions.count(position) > 1:
            raise ValueError(
                f'{name!r} names {bank[position].name!r}, which is set twice.'
            )
        if not np.isfinite(values[name]):
            raise ValueError(
                f'{name!r} cannot be {values[name]}; pass a finite number.'
            )
    targets = torch.tensor(list(values.values()), dtype=torch.float64)
    if encoder is not None:
        targets = _standardised(targets, positions, bank, encoder)
    changed = scores.clone()
    changed[:, positions] = targets.to(changed)
    return changed


def _standardised(
    values: Tensor, positions: list[int], bank: ConceptBank, encoder: ConceptEarth
) -> Tensor:
    """Convert probabilities and quantities of some concepts to scores."""
    check_bank(bank, encoder)
    for value, position in zip(values.tolist(), positions, strict=True):
        name = bank[position].name
        if encoder.is_class[position] and not 0 <= value <= 1:
            raise ValueError(
                f'{name!r} must be a probability from 0 to 1, not {value:g}.'
            )
        if encoder.is_log[position] and value < 0:
            raise ValueError(f'{name!r} must be at least 0, not {value:g}.')
    whole = torch.zeros(1, len(bank), dtype=values.dtype)
    whole[0, positions] = values
    return encoder.standardise(whole.to(encoder.mean.device))[0, positions]
