# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Random search of the options of a head on fixed features."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import AdamW

from ._schedules import cosine_schedule

# Ranges of the base-10 logarithms of the rates, and choices of the other options.
LR, WEIGHT_DECAY = (-4.0, -2.0), (-5.0, 0.0)
HIDDEN_DIMS = (64, 128, 256, 512, 1024)
DEPTHS = (1, 2, 3)
DROPOUTS = (0.0, 0.1, 0.2, 0.4)

Loss = Callable[[Tensor, Tensor], Tensor]


def search_head(
    make: Callable[[dict[str, Any]], nn.Module],
    loss: Loss,
    train: tuple[Tensor, Tensor],
    val: tuple[Tensor, Tensor],
    given: dict[str, Any],
    trials: int,
    epochs: int,
    batch_size: int,
    has_layers: bool,
) -> tuple[list[dict[str, Any]], list[float]]:
    """Train heads with random options, and compute their validation losses.

    Args:
        make: Builds a head from options.
        loss: Loss of outputs and labels.
        train: Standardised inputs and labels to train on.
        val: Standardised inputs and labels of the validation rows.
        given: Options of the first trial. The best options are never worse than these.
        trials: Number of random trials.
        epochs: Number of epochs of each trial.
        batch_size: Number of rows in a batch.
        has_layers: Also draw the size, depth and dropout of hidden layers.

    Returns:
        The options of all trials, and their losses.
    """
    generator = np.random.default_rng(0)
    options = [given, *(_draw(generator, given, has_layers) for _ in range(trials))]
    losses = []
    # Keep the random state of the training unchanged.
    with torch.random.fork_rng(devices=[]):
        for trial in options:
            torch.manual_seed(0)
            head = make(trial).to(train[0].device)
            _train(head, loss, train, trial, epochs, batch_size)
            with torch.no_grad():
                score = loss(head.eval()(val[0]), val[1]).item()
            losses.append(score if math.isfinite(score) else math.inf)
    return options, losses


def _draw(
    generator: np.random.Generator, given: dict[str, Any], has_layers: bool
) -> dict[str, Any]:
    options = given | {
        'lr': float(10 ** generator.uniform(*LR)),
        'weight_decay': float(10 ** generator.uniform(*WEIGHT_DECAY)),
    }
    if has_layers:
        options |= {
            'hidden_dim': int(generator.choice(HIDDEN_DIMS)),
            'depth': int(generator.choice(DEPTHS)),
            'dropout': float(generator.choice(DROPOUTS)),
        }
    return options


def _train(
    head: nn.Module,
    loss: Loss,
    train: tuple[Tensor, Tensor],
    options: dict[str, Any],
    epochs: int,
    batch_size: int,
) -> None:
    inputs, labels = train
    size = min(batch_size, len(inputs))
    total = epochs * (len(inputs) // size)
    optimizer = AdamW(
        head.parameters(), options['lr'], weight_decay=options['weight_decay']
    )
    schedule = cosine_schedule(optimizer, total)
    for _ in range(epochs):
        order = torch.randperm(len(inputs), device=inputs.device)
        for start in range(0, len(inputs) - size + 1, size):
            rows = order[start : start + size]
            optimizer.zero_grad()
            loss(head(inputs[rows]), labels[rows]).backward()
            optimizer.step()
            schedule.step()
