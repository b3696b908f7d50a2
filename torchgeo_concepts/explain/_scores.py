# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""What all explanations ask of scores, and where they come from."""

from torch import Tensor

from ..concepts.bank import ConceptBank


def check_scores(scores: Tensor, bank: ConceptBank, what: str = 'scores') -> None:
    """Refuse scores that cannot be those of a bank.

    Args:
        scores: Scores or projections of shape ``(N, k)``.
        bank: The concepts.
        what: What the scores are, for messages.

    Raises:
        ValueError: If there is not one score for each concept, or one is not finite.
    """
    if scores.ndim != 2 or scores.shape[1] != len(bank):
        raise ValueError(
            f'The bank has {len(bank)} concepts, the {what} have shape '
            f'{tuple(scores.shape)}, not (N, {len(bank)}): they do not belong together.'
        )
    if not scores.isfinite().all():
        row = int((~scores.isfinite().all(dim=1)).nonzero()[0])
        raise ValueError(f'Row {row} of the {what}, counted from 0, is not finite.')
