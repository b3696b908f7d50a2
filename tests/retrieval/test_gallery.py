# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from torchgeo_concepts.concepts import ConceptBank
from torchgeo_concepts.models import (
    ConceptBasis,
    ConceptGeoCLIP,
    GeoCLIPLocation,
    geoclip_gallery,
)
from torchgeo_concepts.retrieval.gallery import Gallery, Space


@pytest.fixture
def points() -> Tensor:
    unit = torch.rand(300, 2, generator=torch.Generator().manual_seed(0))
    return unit * torch.tensor([360, 180]) - torch.tensor([180, 90])


@pytest.fixture
def gallery(small_encoder: GeoCLIPLocation, points: Tensor) -> Gallery:
    return Gallery.build(small_encoder, points, dtype='float32')


class TestSearch:
    @pytest.mark.parametrize('block', [1, 7, 300, 65_536])
    @pytest.mark.parametrize('top_k', [1, 5, 300])
    def test_finds_what_a_full_comparison_finds(
        self,
        gallery: Gallery,
        points: Tensor,
        block: int,
        top_k: int,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr('torchgeo_concepts.retrieval.gallery.BLOCK', block)
        queries = torch.randn(4, 6, generator=torch.Generator().manual_seed(1))
        found = gallery.search(queries, top_k)
        every = F.normalize(queries, dim=1) @ torch.from_numpy(gallery.vectors).T
        expected, order = every.topk(top_k, dim=1)
        torch.testing.assert_close(found.similarity, expected)
        torch.testing.assert_close(found.points, points[order])

    @pytest.mark.parametrize('space', ['x', 'z'])
    def test_all_ranks_in_each_space(
        self,
        small_encoder: GeoCLIPLocation,
        bank: ConceptBank,
        points: Tensor,
        space: Space,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        basis = ConceptBasis.random(bank, 6)
        encoder = ConceptGeoCLIP(small_encoder, basis)
        gallery = Gallery.build(encoder, points, space=space, dtype='float32')
        # Some candidates are left out, so rows of the gallery are not ranks.
        gallery = gallery.without(points[::3])
        kept = torch.ones(300, dtype=torch.bool)
        kept[::3] = False
        with torch.no_grad():
            vectors = encoder(points) if space == 'x' else encoder.project(points)
        vectors = F.normalize(vectors, dim=1)[kept]
        queries = F.normalize(torch.randn(5, vectors.shape[1]), dim=1)
        expected, order = (queries @ vectors.T).topk(9, dim=1)
        for block in (13, 65_536):
            monkeypatch.setattr('torchgeo_concepts.retrieval.gallery.BLOCK', block)
            found = gallery.search(queries, 9)
            torch.testing.assert_close(found.similarity, expected)
            torch.testing.assert_close(found.points, points[kept][order])

    def test_more_than_there_are(self, gallery: Gallery) -> None:
        found = gallery.search(torch.randn(2, 6), 1000)
        assert found.points.shape == (2, 300, 2)
        assert found.similarity.shape == (2, 300)

    def test_one_point(self, small_encoder: GeoCLIPLocation) -> None:
        gallery = Gallery.build(small_encoder, [[2.0, 48.0]])
        found = gallery.search(torch.randn(3, 6), 5)
        assert found.points.tolist() == [[[2, 48]]] * 3

    def test_bad_queries(self, gallery: Gallery) -> None:
        with pytest.raises(ValueError, match=r'queries of shape \(N, 6\)'):
            gallery.search(torch.randn(2, 5))
        with pytest.raises(ValueError, match='top_k'):
            gallery.search(torch.randn(2, 6), 0)

    def test_points_of_geoclip_find_themselves(self, geoclip: GeoCLIPLocation) -> None:
        points = geoclip_gallery()[:2000]
        gallery = Gallery.build(geoclip, points)
        with torch.no_grad():
            found = gallery.search(geoclip(points[:200])).points
        assert (found[:, 0] == points[:200]).all(dim=1).float().mean() > 0.95


class TestFiles:
    def test_round_trip(
        self, small_encoder: GeoCLIPLocation, points: Tensor, tmp_path: Path
    ) -> None:
        folder = tmp_path / 'gallery'
        built = Gallery.build(small_encoder, points, folder, batch_size=64)
        loaded = Gallery.load(folder)
        in_memory = Gallery.build(small_encoder, points)
        queries = torch.randn(4, 6)
        for gallery in (built, loaded):
            assert gallery.space == 'x'
            assert len(gallery) == 300
            ours, theirs = (g.search(queries, 3) for g in (gallery, in_memory))
            assert ours.points.equal(theirs.points)
            assert ours.similarity.equal(theirs.similarity)
        assert {file.name for file in folder.iterdir()} == {
            'gallery.json',
            'points.npy',
            'vectors.npy',
        }

    def test_half_replaced_gallery_does_not_open(
        self,
        small_encoder: GeoCLIPLocation,
        points: Tensor,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def full(*_: object) -> None:
            raise OSError('No space left on device')

        Gallery.build(small_encoder, points, tmp_path)
        monkeypatch.setattr('numpy.save', full)
        with pytest.raises(OSError, match='No space left'):
            Gallery.build(small_encoder, points.flip(0), tmp_path)
        with pytest.raises(FileNotFoundError, match='contains no gallery'):
            Gallery.load(tmp_path)

    def test_no_gallery(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match='contains no gallery'):
            Gallery.load(tmp_path)


class TestBuild:
    def test_space_of_concepts(
        self, small_encoder: GeoCLIPLocation, points: Tensor
    ) -> None:
        bank = ConceptBank.default()[:5]
        model = ConceptGeoCLIP(small_encoder, ConceptBasis.random(bank, 6)).train()
        gallery = Gallery.build(model, points, space='z', dtype='float32')
        expected = F.normalize(model.project(points), dim=1)
        torch.testing.assert_close(torch.from_numpy(gallery.vectors), expected.detach())
        assert gallery.space == 'z'
        assert model.training

    def test_bad_arguments(
        self, small_encoder: GeoCLIPLocation, points: Tensor
    ) -> None:
        with pytest.raises(ValueError, match='no projections onto concepts'):
            Gallery.build(small_encoder, points, space='z')
        unknown: Any = 'y'
        with pytest.raises(ValueError, match='space must be one of'):
            Gallery.build(small_encoder, points, space=unknown)
        with pytest.raises(ValueError, match='at least one point'):
            Gallery.build(small_encoder, [])

    def test_without_the_points_of_a_test_set(
        self, gallery: Gallery, points: Tensor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr('torchgeo_concepts.retrieval.gallery.BLOCK', 7)
        rest = gallery.without(points[10:20])
        assert len(rest) == 290
        found = rest.search(torch.randn(2, 6), 1000).points
        kept = torch.cat((points[:10], points[20:]))
        for row in found:
            assert set(map(tuple, row.tolist())) == set(map(tuple, kept.tolist()))
        assert len(gallery.without(points[:1] + 0.01)) == 300


class TestRanks:
    def test_rank_of_the_nearest(
        self, gallery: Gallery, points: Tensor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        queries = torch.randn(5, 6, generator=torch.Generator().manual_seed(2))
        truth = points[[3, 50, 120, 200, 299]] + 1e-3
        every = F.normalize(queries, dim=1) @ torch.from_numpy(gallery.vectors).T
        own = every.gather(1, torch.tensor([[3], [50], [120], [200], [299]]))
        expected = (every >= own).sum(dim=1)
        for block in (7, 65_536):
            monkeypatch.setattr('torchgeo_concepts.retrieval.gallery.BLOCK', block)
            assert gallery.ranks(queries, truth).equal(expected)

    def test_left_out_candidates_do_not_count(
        self, gallery: Gallery, points: Tensor
    ) -> None:
        first = gallery.search(torch.ones(1, 6)).points
        rest = gallery.without(first[0])
        second = rest.search(torch.ones(1, 6)).points
        assert rest.ranks(torch.ones(1, 6), second[0]).tolist() == [1]
        assert gallery.ranks(torch.ones(1, 6), second[0]).tolist() == [2]

    def test_none_left(self, gallery: Gallery, points: Tensor) -> None:
        with pytest.raises(ValueError, match='no candidate left'):
            gallery.without(points).search(torch.ones(1, 6))


class TestManyQueries:
    def test_blocks_of_queries(
        self, gallery: Gallery, points: Tensor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        queries = torch.randn(11, 6, generator=torch.Generator().manual_seed(3))
        whole = gallery.search(queries, 4, 5.0)
        ranks = gallery.ranks(queries, points[:11])
        monkeypatch.setattr('torchgeo_concepts.retrieval.gallery.QUERIES', 3)
        parts = gallery.search(queries, 4, 5.0)
        for name in ('points', 'similarity', 'probability'):
            torch.testing.assert_close(getattr(parts, name), getattr(whole, name))
        assert gallery.ranks(queries, points[:11]).equal(ranks)

    def test_no_queries(self, gallery: Gallery) -> None:
        found = gallery.search(torch.empty(0, 6), 2)
        assert found.points.shape == (0, 2, 2)
        assert found.similarity.shape == (0, 2)
        assert len(gallery.ranks(torch.empty(0, 6), torch.empty(0, 2))) == 0

    def test_not_finite(self, gallery: Gallery) -> None:
        queries = torch.ones(3, 6)
        queries[1, 2] = torch.nan
        with pytest.raises(ValueError, match='Query 1, counted from 0, is not finite'):
            gallery.search(queries)
