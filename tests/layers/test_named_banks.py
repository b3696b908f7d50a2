# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

from pathlib import Path

import pytest

from torchgeo_concepts.concepts import ConceptBank
from torchgeo_concepts.layers.grounding import load_groundings
from torchgeo_concepts.layers.named_banks import read_bank


def test_curated_and_general() -> None:
    assert read_bank(None) == ConceptBank.default()
    assert read_bank('general') == ConceptBank.general()


def test_of_layers() -> None:
    groundings = load_groundings()
    bank = read_bank('layers')
    assert bank == groundings.bank
    some = read_bank('layers without imagery, people')
    # What is left is what no layer of either group is needed for.
    left = [
        concept
        for concept, groups in zip(bank, groundings.groups, strict=True)
        if not groups & {'imagery', 'people'}
    ]
    assert some.ids == tuple(concept.id for concept in left)
    assert 0 < len(some) < len(bank)


def test_unknown_group() -> None:
    with pytest.raises(ValueError, match=r"No group 'peple'\. Did you mean 'people'"):
        read_bank('layers without imagery, peple')


def test_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    bank = ConceptBank(list(ConceptBank.default())[:3])
    bank.save('bank.csv')
    assert read_bank('bank.csv') == bank
    # A file is read, whatever its name says.
    bank.save('layers without name.csv')
    assert read_bank('layers without name.csv') == bank
    with pytest.raises(FileNotFoundError):
        read_bank('none.csv')
