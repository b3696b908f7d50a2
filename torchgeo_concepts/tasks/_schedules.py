# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""How learning rates change over the steps of a training."""

import math
from collections.abc import Callable


def warm_cosine(total: int, warmup: int) -> Callable[[int], float]:
    """Make a schedule that rises along a line and falls along a cosine.

    Args:
        total: Number of steps of the training.
        warmup: Steps until the learning rate is reached, a tenth of all at most.

    Returns:
        A function from the step to the factor of the learning rate, in [0, 1].
    """
    warmup = min(warmup, total // 10 + 1)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        done = (step - warmup) / max(total - warmup, 1)
        return 0.5 * (1 + math.cos(math.pi * min(done, 1)))

    return factor
