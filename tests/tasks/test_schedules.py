# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

from collections.abc import Callable

import pytest
import torch
from torch import nn

from torchgeo_concepts.tasks._schedules import cosine_schedule


def warm_cosine(total: int, warmup: int) -> Callable[[int], float]:
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=1)
    factor: Callable[[int], float] = cosine_schedule(
        optimizer, total, warmup
    ).lr_lambdas[0]
    return factor


def test_rises_and_falls() -> None:
    factor = warm_cosine(110, 10)
    assert [factor(step) for step in (0, 4, 9, 10)] == [0.1, 0.5, 1, 1]
    assert factor(60) == pytest.approx(0.5)
    assert factor(110) == 0
    # Whoever trains on after the end learns nothing more.
    assert factor(1000) == 0
    rising = [factor(step) for step in range(10)]
    assert rising == sorted(rising)
    falling = [factor(step) for step in range(10, 111)]
    assert falling == sorted(falling, reverse=True)


def test_warmup_is_short() -> None:
    # A tenth of 20 steps, and one.
    factor = warm_cosine(20, 1000)
    assert [factor(step) for step in range(3)] == pytest.approx([1 / 3, 2 / 3, 1])
    assert factor(3) == 1


def test_without_warmup() -> None:
    assert warm_cosine(1, 0)(0) == 1
    assert warm_cosine(2, 0)(1) == pytest.approx(0.5)
