# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

from typing import Any, cast

import pytest
import torch
from torch import Tensor

from torchgeo_concepts.models.alignment import AlignedEmbeddings
from torchgeo_concepts.models.concept_supervision import (
    ConceptSupervision,
    SupervisionKind,
)


@pytest.fixture
def aligned() -> AlignedEmbeddings:
    generator = torch.Generator().manual_seed(0)

    def some(size: int) -> Tensor:
        return torch.randn(4, size, generator=generator)

    return AlignedEmbeddings(some(16), some(16), some(5), some(5))


@torch.no_grad()
def test_projections(aligned: AlignedEmbeddings) -> None:
    supervision = ConceptSupervision(5, 16, 'projections')
    # Cosines with a standard deviation of 1/4 become estimates with one of 1.
    [(images, locations)] = supervision(aligned)
    torch.testing.assert_close(images, 4 * aligned.z_image)
    torch.testing.assert_close(locations, 4 * aligned.z_location)
    supervision.log_factor[1, 2] = 0
    supervision.shift[1, 2] = 3
    [(again, moved)] = supervision(aligned)
    assert again.equal(images)
    torch.testing.assert_close(moved[:, 2], aligned.z_location[:, 2] + 3)
    torch.testing.assert_close(moved[:, 3], locations[:, 3])


@torch.no_grad()
def test_heads(aligned: AlignedEmbeddings) -> None:
    supervision = ConceptSupervision(5, 16, 'heads')
    [(images, locations)] = supervision(aligned)
    torch.testing.assert_close(images, supervision.image_head(aligned.x_image))
    torch.testing.assert_close(locations, supervision.location_head(aligned.x_location))
    assert images.shape == locations.shape == (4, 5)
    # Projections are none of its business.
    nothing = torch.zeros(4, 5)
    blind = AlignedEmbeddings(aligned.x_image, aligned.x_location, nothing, nothing)
    [(images_say, locations_say)] = supervision(blind)
    assert images_say.equal(images)
    assert locations_say.equal(locations)


@torch.no_grad()
def test_both(aligned: AlignedEmbeddings) -> None:
    supervision = ConceptSupervision(5, 16, 'both')
    ways = supervision(aligned)
    names: tuple[SupervisionKind, ...] = ('projections', 'heads')
    for name, (images, locations) in zip(names, ways, strict=True):
        single = ConceptSupervision(5, 16, name)
        single.load_state_dict(supervision.state_dict(), strict=False)
        [(expected, of_locations)] = single(aligned)
        assert images.equal(expected)
        assert locations.equal(of_locations)


def test_standardise() -> None:
    supervision = ConceptSupervision(2, 16)
    labels = torch.tensor([[3.0, torch.nan], [1.0, 4.0]])
    assert supervision.standardise(labels)[0, 0] == 3
    supervision.set_scale(torch.tensor([2.0, 0.0]), torch.tensor([0.5, 8.0]))
    standardised = supervision.standardise(labels)
    assert standardised[:, 0].tolist() == [2, -2]
    assert standardised[0, 1].isnan()
    assert standardised[1, 1] == 0.5
    # A checkpoint holds the scale.
    assert {'mean', 'std'} <= set(supervision.state_dict())


def test_unknown_reading() -> None:
    with pytest.raises(ValueError, match="'projections', 'heads'.*not 'tails'"):
        ConceptSupervision(2, 16, cast(Any, 'tails'))
