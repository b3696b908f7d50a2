# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import numpy as np
import pytest
import torch
from torch import Tensor

from torchgeo_concepts.geo.splits import block_folds, block_numbers


def random_points(number: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    low, size = torch.tensor([-180.0, -90]), torch.tensor([360.0, 180])
    return low + size * torch.rand(number, 2, generator=generator)


@pytest.mark.parametrize('km', [50.0, 500.0, 5000.0, 50_000.0])
def test_blocks_are_those_of_splits(km: float) -> None:
    points = random_points(500)
    numbers = block_numbers(points, km=km)
    # With as many folds as points, each block is a fold.
    blocks = [tuple(fold) for fold in block_folds(points, 500, km=km) if len(fold)]
    assert sorted(set(numbers)) == list(range(len(blocks)))
    found = {tuple(np.flatnonzero(numbers == number)) for number in set(numbers)}
    assert found == set(blocks)


def test_blocks_of_degrees_run_eastward_and_then_northward() -> None:
    points = torch.tensor([[5.0, 15], [-5, 5], [5, 5], [5.5, 5], [15, -5]])
    assert block_numbers(points, 10).tolist() == [3, 1, 2, 2, 0]


def test_no_blocks() -> None:
    with pytest.raises(ValueError, match='There are no points'):
        block_numbers(torch.empty(0, 2), km=300)
    with pytest.raises(ValueError, match='must be positive, not 0'):
        block_numbers(random_points(3), km=0)
