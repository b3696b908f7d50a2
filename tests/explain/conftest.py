# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import pytest
import torch
from torch import Tensor

from torchgeo_concepts.models import ConceptEarth, concept_earth


@pytest.fixture(scope='module')
def points() -> Tensor:
    """La Paz, Moscow, Singapore and Cairo."""
    return torch.tensor([[-68.1, -16.5], [37.6, 55.8], [103.8, 1.3], [31.2, 30.0]])


@pytest.fixture(scope='module')
def encoder() -> ConceptEarth:
    return concept_earth('GROUNDED')


@pytest.fixture(scope='module')
def scores(encoder: ConceptEarth, points: Tensor) -> Tensor:
    with torch.no_grad():
        return encoder.concepts(points)
