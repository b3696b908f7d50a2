# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Learning rate schedules."""

import math

from lightning.pytorch import Trainer
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def cosine_schedule(optimizer: Optimizer, total: int, warmup: int = 0) -> LambdaLR:
    """Increase the learning rate linearly, then decrease it along a cosine to 0.

    Args:
        optimizer: The optimizer.
        total: Number of training steps.
        warmup: Number of steps of the linear increase. It is limited to about a tenth
            of *total*.

    Returns:
        The scheduler, to be stepped after each step of the optimizer.
    """
    warmup = min(warmup, total // 10 + 1)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        done = (step - warmup) / max(total - warmup, 1)
        return 0.5 * (1 + math.cos(math.pi * min(done, 1)))

    return LambdaLR(optimizer, factor)


def with_cosine(
    optimizer: Optimizer, trainer: Trainer, warmup: int = 0
) -> OptimizerLRSchedulerConfig:
    """Add a cosine schedule over all training steps to an optimizer.

    Args:
        optimizer: The optimizer.
        trainer: Trainer that knows the number of steps.
        warmup: Number of steps of the linear increase.

    Returns:
        Optimizer and schedule, as :meth:`configure_optimizers` returns them.
    """
    total = int(trainer.estimated_stepping_batches)
    schedule = cosine_schedule(optimizer, total, warmup)
    return {
        'optimizer': optimizer,
        'lr_scheduler': {'scheduler': schedule, 'interval': 'step'},
    }
