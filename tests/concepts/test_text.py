# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

from pathlib import Path

import open_clip
import pytest
import torch
from torch import Tensor

from torchgeo_concepts.concepts import Concept, ConceptBank
from torchgeo_concepts.concepts.text import PROBE, TEMPLATES, OpenCLIPText, encode_text
from torchgeo_concepts.models import geoclip_image_mlp


@pytest.fixture
def bank() -> ConceptBank:
    return ConceptBank(
        [
            Concept('dune', 'dune', 'landform', ('a sand dune', 'wind-blown sand')),
            Concept('summit', 'summit', 'landform'),
            Concept('tea', 'tea', 'food', ('a glass of tea',)),
        ]
    )


def small_clip(
    embed_dim: int = 16, seed: int = 0, quick_gelu: bool = False
) -> OpenCLIPText:
    """A small open_clip model of random weights, with CLIP's real tokenizer."""
    torch.manual_seed(seed)
    model = open_clip.CLIP(
        embed_dim,
        vision_cfg={
            'layers': 1,
            'width': 32,
            'head_width': 16,
            'image_size': 32,
            'patch_size': 16,
        },
        text_cfg={'layers': 2, 'width': 32, 'heads': 2},
        quick_gelu=quick_gelu,
    )
    return OpenCLIPText(model, open_clip.get_tokenizer('ViT-B-32'))


class Counting:
    """An encoder that counts its calls, for tests of the cache."""

    def __init__(self, fingerprint: str) -> None:
        self.fingerprint = fingerprint
        self.calls = 0

    def __call__(self, texts: list[str]) -> Tensor:
        self.calls += texts != [PROBE]
        return torch.tensor([[len(text), text.count('a'), 1.0] for text in texts])


class TestEncodeText:
    def test_unit_vectors_in_the_order_of_the_bank(self, bank: ConceptBank) -> None:
        encoder = small_clip()
        directions = encode_text(bank, encoder, cache=False)
        assert directions.shape == (3, 16)
        torch.testing.assert_close(directions.norm(dim=1), torch.ones(3))
        turned = encode_text(bank[::-1], encoder, cache=False, batch_size=2)
        torch.testing.assert_close(turned.flip(0), directions)

    def test_prompts_and_templates_are_averaged(self, bank: ConceptBank) -> None:
        encoder = small_clip()
        texts = [t.format(p) for p in bank['dune'].prompts for t in TEMPLATES]
        vectors = torch.nn.functional.normalize(encoder(texts), dim=1)
        expected = torch.nn.functional.normalize(vectors.mean(0), dim=0)
        torch.testing.assert_close(encode_text(bank, encoder, cache=False)[0], expected)

    def test_name_stands_in_for_prompts(self, bank: ConceptBank) -> None:
        seen: list[str] = []

        def encoder(texts: list[str]) -> Tensor:
            seen.extend(texts)
            return torch.rand(len(texts), 3)

        encode_text(bank, encoder, templates=['see {}'])
        assert seen == [
            'see a sand dune',
            'see wind-blown sand',
            'see summit',
            'see a glass of tea',
        ]

    def test_into_the_space_of_locations(self, bank: ConceptBank) -> None:
        head = geoclip_image_mlp(weights='MP16')
        directions = encode_text(bank, small_clip(768), head=head, cache=False)
        assert directions.shape == (3, 512)
        assert not directions.requires_grad
        torch.nn.Parameter(directions)

    def test_head_is_evaluated(self, bank: ConceptBank) -> None:
        head = torch.nn.Sequential(torch.nn.Dropout(0.9), torch.nn.Linear(16, 4))
        first = encode_text(bank, small_clip(), head=head, cache=False)
        assert first.equal(encode_text(bank, small_clip(), head=head, cache=False))
        assert head.training

    def test_template_without_a_place(self, bank: ConceptBank) -> None:
        with pytest.raises(ValueError, match="'a photo' has no {}"):
            encode_text(bank, small_clip(), templates=['a photo'])

    def test_encoder_of_wrong_shape(self, bank: ConceptBank) -> None:
        with pytest.raises(ValueError, match='one vector for each text'):
            encode_text(bank, lambda texts: torch.rand(1, 3))

    def test_empty_bank(self) -> None:
        with pytest.raises(ValueError, match='no concepts'):
            encode_text(ConceptBank([]), small_clip(), cache=False)

    def test_progress_on_request(
        self, bank: ConceptBank, capsys: pytest.CaptureFixture[str]
    ) -> None:
        encode_text(bank, small_clip(), cache=False)
        assert capsys.readouterr().err == ''
        encode_text(bank, small_clip(), cache=False, progress=True)
        assert '16/16' in capsys.readouterr().err


class TestCache:
    def test_hit(self, bank: ConceptBank, tmp_path: Path) -> None:
        encoder = Counting('v1')
        first = encode_text(bank, encoder, cache=tmp_path)
        assert encoder.calls == 1
        assert encode_text(bank, encoder, cache=tmp_path).equal(first)
        assert encoder.calls == 1

    def test_stale(self, bank: ConceptBank, tmp_path: Path) -> None:
        encoder = Counting('v1')
        encode_text(bank, encoder, cache=tmp_path)
        encode_text(bank[:2], encoder, cache=tmp_path)
        assert encoder.calls == 2
        encode_text(bank, encoder, cache=tmp_path, templates=['{}'])
        assert encoder.calls == 3
        encode_text(bank, encoder, cache=tmp_path, head=torch.nn.Linear(3, 2))
        assert encoder.calls == 4
        newer = Counting('v2')
        encode_text(bank, newer, cache=tmp_path)
        assert newer.calls == 1

    def test_same_weights_with_another_activation(
        self, bank: ConceptBank, tmp_path: Path
    ) -> None:
        for quick_gelu in (False, True):
            encoder = small_clip(quick_gelu=quick_gelu)
            cached = encode_text(bank, encoder, cache=tmp_path)
            assert cached.equal(encode_text(bank, encoder, cache=False))
        linear = torch.nn.Linear(16, 4)
        for activation in (torch.nn.ReLU(), torch.nn.Tanh()):
            head = torch.nn.Sequential(linear, activation)
            cached = encode_text(bank, encoder, head=head, cache=tmp_path)
            assert cached.equal(encode_text(bank, encoder, head=head, cache=False))
        assert len(list(tmp_path.iterdir())) == 4

    def test_damaged(self, bank: ConceptBank, tmp_path: Path) -> None:
        encoder = Counting('v1')
        first = encode_text(bank, encoder, cache=tmp_path)
        [file] = tmp_path.iterdir()
        file.write_bytes(file.read_bytes()[:-5])
        assert encode_text(bank, encoder, cache=tmp_path).equal(first)
        assert encoder.calls == 2

    def test_none_without_a_fingerprint(
        self, bank: ConceptBank, tmp_path: Path
    ) -> None:
        encode_text(bank, lambda texts: torch.rand(len(texts), 3), cache=tmp_path)
        assert list(tmp_path.iterdir()) == []

    def test_default_folder(self, bank: ConceptBank, hub_dir: Path) -> None:
        encode_text(bank, Counting('v1'))
        assert len(list((hub_dir / 'torchgeo_concepts').iterdir())) == 1

    def test_fingerprint_follows_the_weights(self) -> None:
        assert small_clip().fingerprint == small_clip().fingerprint
        assert small_clip().fingerprint != small_clip(seed=1).fingerprint


class TestFromPretrained:
    @pytest.fixture(autouse=True)
    def no_downloads(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr('huggingface_hub.constants.HF_HUB_CACHE', str(tmp_path))

    def test_nothing_is_downloaded_unasked(self) -> None:
        with pytest.raises(FileNotFoundError, match='download=True.*a checkpoint file'):
            OpenCLIPText.from_pretrained()

    def test_unknown(self) -> None:
        with pytest.raises(ValueError, match="no model 'ViT-Z'"):
            OpenCLIPText.from_pretrained('ViT-Z')
        with pytest.raises(
            ValueError, match="'nowhere' is neither a file nor weights of"
        ):
            OpenCLIPText.from_pretrained('ViT-B-32', 'nowhere')

    def test_tokenizer_is_not_downloaded_unasked(self, tmp_path: Path) -> None:
        file = tmp_path / 'any.pth'
        torch.save({}, file)
        with pytest.raises(
            FileNotFoundError, match='The configuration or tokenizer of'
        ):
            OpenCLIPText.from_pretrained('roberta-ViT-B-32', str(file))

    def test_checkpoint(self, bank: ConceptBank, tmp_path: Path) -> None:
        torch.manual_seed(0)
        model = open_clip.create_model('RN50')
        file = tmp_path / 'rn50.pth'
        torch.save(model.state_dict(), file)
        encoder = OpenCLIPText.from_pretrained('RN50', str(file))
        expected = OpenCLIPText(model, open_clip.get_tokenizer('RN50'))
        texts = ['a dune', 'a summit']
        assert encoder(texts).equal(expected(texts))
