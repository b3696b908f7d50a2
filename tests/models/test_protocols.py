# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import pytest
from torch import Tensor, nn

from torchgeo_concepts.concepts import ConceptBank
from torchgeo_concepts.models import (
    ConceptEarth,
    ConceptEncoder,
    ConceptGeoCLIP,
    GeoCLIPLocation,
    GroundedEncoder,
    LocationEncoder,
)
from torchgeo_concepts.models.alignment import ConceptBasis
from torchgeo_concepts.models.protocols import check_encoder

BANK = ConceptBank.default()[:3]


class Own(nn.Module):
    """Encoder of a user, with everything that the protocols ask for."""

    bank = BANK

    def forward(self, points: Tensor) -> Tensor:
        return points

    def project(self, points: Tensor) -> Tensor:
        return points

    def concepts(self, points: Tensor, calibrated: bool = False) -> Tensor:
        return points


class NoBank(nn.Module):
    forward, project, concepts = Own.forward, Own.project, Own.concepts


@pytest.mark.parametrize('protocol', [LocationEncoder, ConceptEncoder, GroundedEncoder])
def test_encoder_of_a_user(protocol: type[LocationEncoder]) -> None:
    encoder = Own()
    assert check_encoder(encoder, protocol) is encoder


def test_models_of_this_package(small_encoder: GeoCLIPLocation) -> None:
    basis = ConceptBasis.random(BANK, small_encoder.embed_dim)
    geoclip = ConceptGeoCLIP(small_encoder, basis)
    earth = ConceptEarth(BANK, embed_dim=6, hidden_dim=4, table_size=50)
    kinds = {
        encoder: [
            isinstance(encoder, protocol)
            for protocol in (LocationEncoder, ConceptEncoder, GroundedEncoder)
        ]
        for encoder in (small_encoder, geoclip, earth)
    }
    assert list(kinds.values()) == [
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]


@pytest.mark.parametrize(
    ('encoder', 'protocol', 'message'),
    [
        (NoBank(), ConceptEncoder, 'NoBank has no projection onto named concepts'),
        (NoBank(), GroundedEncoder, 'NoBank has no concept scores'),
        (nn.Linear(2, 2), ConceptEncoder, r'use ConceptEarth or ConceptGeoCLIP\.'),
        (nn.Linear(2, 2), GroundedEncoder, "use features='x', or a grounded encoder"),
    ],
)
def test_what_is_missing(
    encoder: object, protocol: type[LocationEncoder], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        check_encoder(encoder, protocol)
