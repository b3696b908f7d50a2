# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from torchgeo_concepts.concepts import ConceptBank
from torchgeo_concepts.models import GeoCLIPLocation, features
from torchgeo_concepts.models.features import FeatureKind, coordinate_features


class Grounded(nn.Module):
    bank = ConceptBank.default()[:1]

    def forward(self, points: Tensor) -> Tensor:
        return points.repeat(1, 2)

    def concepts(self, points: Tensor) -> Tensor:
        return points[:, :1] + 1


@pytest.mark.parametrize(
    ('kind', 'expected'), [('x', [3, 4, 3, 4]), ('z', [4]), ('xz', [3, 4, 3, 4, 4])]
)
def test_kinds(kind: FeatureKind, expected: list[float]) -> None:
    points = torch.tensor([[3.0, 4.0]])
    assert features(Grounded(), points, kind).tolist() == [expected]


def test_embedding_is_the_default(small_encoder: GeoCLIPLocation) -> None:
    points = torch.rand(3, 2)
    assert features(small_encoder, points).equal(small_encoder(points))


@pytest.mark.parametrize('kind', ['z', 'xz'])
def test_no_concepts(small_encoder: GeoCLIPLocation, kind: FeatureKind) -> None:
    with pytest.raises(ValueError, match='GeoCLIPLocation has no concept scores'):
        features(small_encoder, torch.rand(3, 2), kind)


def test_unknown_kind(small_encoder: GeoCLIPLocation) -> None:
    with pytest.raises(ValueError, match=r"one of \('x', 'z', 'xz'\), not 'y'"):
        features(small_encoder, torch.rand(3, 2), cast(Any, 'y'))


def test_coordinates() -> None:
    points = torch.tensor([[90.0, 0.0], [-180.0, 30.0]])
    expected = torch.tensor([[1, 0, 0, 1], [0, -1, 0.5, 0.75**0.5]])
    found = coordinate_features(points)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
