# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import numpy as np
import pytest
import torch

from torchgeo_concepts.evaluate.autocorrelation import morans_i
from torchgeo_concepts.geo.sphere import unit_vectors
from torchgeo_concepts.layers.regions import sample_area


def test_is_that_of_the_definition() -> None:
    rng = np.random.default_rng(0)
    points = sample_area(number=60)
    values = rng.normal(size=60)
    places = unit_vectors(*points.numpy().T)
    near = np.argsort(-places @ places.T, axis=1)[:, 1:5]
    z = values - values.mean()
    expected = (z[:, None] * z[near]).sum() / (4 * 60) / (z**2).mean()
    assert morans_i(points, values[None], 4) == pytest.approx([expected])


def test_alike_and_shuffled() -> None:
    points = sample_area(number=1000)
    lat = points[:, 1].numpy()
    shuffled = np.random.default_rng(0).permutation(lat)
    alike, noise, same = morans_i(points, np.stack((lat, shuffled, 0 * lat)))
    assert alike > 0.95
    assert abs(noise) < 0.1
    assert np.isnan(same)


def test_neighbours_cross_the_antimeridian() -> None:
    lon = torch.tensor([179.0, -179, 178, -178, 10, 11, 12, 13], dtype=torch.float64)
    points = torch.stack((lon, torch.zeros(8)), dim=1)
    values = np.array([[1.0, 1, 1, 1, 0, 0, 0, 0]])
    assert morans_i(points, values, 3) == pytest.approx([1])


def test_too_few_points() -> None:
    points = sample_area(number=8)
    with pytest.raises(ValueError, match='needs more than 8 points, got 8'):
        morans_i(points, np.ones((1, 8)))
