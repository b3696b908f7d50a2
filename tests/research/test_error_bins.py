# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

from typing import Any

import numpy as np
import pytest
import torch
from alignment_study.error_bins import activation_by_error
from matplotlib import pyplot as plt

ACTIVATIONS = torch.tensor(
    [[5.0, 1, 2, 3], [9.0, 0, 0, 8], [1.0, 1, 1, 1], [4.0, 6, 0, 0], [7.0, 7, 7, 0]]
)
ERRORS = torch.tensor([0.5, 1.0, 1.5, 30.0, 2.0])


def test_medians_of_the_strongest() -> None:
    table = activation_by_error(ACTIVATIONS, ERRORS, edges=(1, 10, 20), top=2)
    assert table.number.tolist() == [2, 2, 0, 1]
    assert table.activation[0] == pytest.approx(6.25)
    assert np.isnan(table.activation[2])
    assert np.isnan(table.interval).all()
    assert table.bins == ('up to 1 km', '1 to 10 km', '10 to 20 km', 'over 20 km')
    assert 'of the 2 most active' in str(table)
    figure = table.plot()
    assert figure.axes[0].get_title() == 'Medians'
    plt.close(figure)


def test_intervals_come_from_blocks() -> None:
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(300, 2, generator=generator) * 100 - 50
    activations = torch.randn(300, 30, generator=generator)
    errors = torch.rand(300, generator=generator)
    table = activation_by_error(activations, errors, edges=(0.5,), points=points)
    lower, upper = table.interval
    assert (lower < table.activation).all()
    assert (table.activation < upper).all()
    again = activation_by_error(activations, errors, edges=(0.5,), points=points)
    assert np.array_equal(again.interval, table.interval)
    figure = table.plot()
    assert figure.axes[0].get_title() == 'Medians with 95% intervals'
    plt.close(figure)
    # All in one block: no interval.
    near = activation_by_error(activations, errors, edges=(0.5,), points=points / 1e4)
    assert np.isnan(near.interval).all()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'top': 5}, 'number of concepts, 4, not 5'),
        ({'edges': (2, 1)}, 'edges must ascend'),
        ({'edges': ()}, 'edges must ascend'),
        ({'points': torch.zeros(3, 2)}, 'got 5 activations, 3 points'),
    ],
)
def test_bad_options(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        activation_by_error(ACTIVATIONS, ERRORS, **{'top': 2, **options})


def test_bad_rows() -> None:
    with pytest.raises(ValueError, match='errors of at least 0'):
        activation_by_error(ACTIVATIONS, torch.tensor([1.0, -1, 0, 0, 0]), top=2)
    with pytest.raises(ValueError, match='Row 1 of the errors, counted from 0, is not'):
        activation_by_error(ACTIVATIONS, torch.tensor([1, np.nan, 0, 0, 0]), top=2)
    with pytest.raises(ValueError, match='at least one row'):
        activation_by_error(ACTIVATIONS[:0], ERRORS[:0], top=2)
    with pytest.raises(ValueError, match='got 5 activations, 4 errors'):
        activation_by_error(ACTIVATIONS, ERRORS[:4], top=2)
