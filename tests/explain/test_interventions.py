# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from matplotlib import pyplot as plt
from torch import Tensor

from torchgeo_concepts.explain import intervene, rerank
from torchgeo_concepts.models import ConceptEarth
from torchgeo_concepts.retrieval.gallery import Gallery


# La Paz, Moscow, Singapore and Cairo.
@pytest.fixture(scope='module')
def projections(encoder: ConceptEarth, points: Tensor) -> Tensor:
    with torch.no_grad():
        return encoder.project(points)


class TestIntervene:
    def test_named_concepts_change_and_no_other(
        self, encoder: ConceptEarth, scores: Tensor
    ) -> None:
        before = scores.clone()
        names = ('elevation', 'cropland')
        changed = intervene(scores, {'elevation': 1.5, 'cropland': -1}, encoder.bank)
        positions = [encoder.bank.index(name) for name in names]
        assert changed[:, positions].tolist() == [[1.5, -1.0]] * 4
        same = torch.ones(len(encoder.bank), dtype=torch.bool)
        same[positions] = False
        assert changed[:, same].equal(scores[:, same])
        assert scores.equal(before)

    def test_units_and_probabilities(
        self, encoder: ConceptEarth, scores: Tensor
    ) -> None:
        wanted = {
            'elevation': 120.0,
            'population density': 250.0,
            'cropland': 0.4,
            'hot desert climate': 1.0,
        }
        changed = intervene(scores, wanted, encoder.bank, encoder=encoder)
        values = encoder.calibrate(changed)
        for name, value in wanted.items():
            told = values[:, encoder.bank.index(name)].tolist()
            assert told == pytest.approx([value] * 4, rel=1e-3, abs=1e-4)

    def test_contribution_to_a_linear_head_is_exact(
        self, encoder: ConceptEarth, scores: Tensor
    ) -> None:
        weight = torch.linspace(-1, 1, len(encoder.bank))
        number = encoder.bank.index('elevation')
        changed = intervene(scores, {'elevation': 0.0}, encoder.bank)
        expected = -weight[number] * scores[:, number]
        torch.testing.assert_close(
            (changed - scores) @ weight, expected, atol=1e-5, rtol=0
        )

    @pytest.mark.parametrize('with_encoder', [False, True])
    def test_double_precision(
        self, encoder: ConceptEarth, scores: Tensor, with_encoder: bool
    ) -> None:
        number = encoder.bank.index('elevation')
        changed = intervene(
            scores.double(),
            {'elevation': 0.1},
            encoder.bank,
            encoder=encoder if with_encoder else None,
        )
        expected = torch.tensor(0.1, dtype=torch.float64)
        if with_encoder:
            expected = (expected - encoder.mean[number].double()) / encoder.std[number]
        assert changed.dtype == torch.float64
        assert changed[0, number].item() == pytest.approx(expected.item(), rel=1e-12)

    def test_nothing_to_set(self, encoder: ConceptEarth, scores: Tensor) -> None:
        assert intervene(scores, {}, encoder.bank).equal(scores)

    @pytest.mark.parametrize(
        ('values', 'message'),
        [
            ({'elevatoin': 1.0}, "No concept 'elevatoin'. Did you mean 'elevation'"),
            (
                {'elevation': 1.0, 'Elevation': 2.0},
                "'elevation' names 'elevation', which is set twice",
            ),
            ({'elevation': np.nan}, "'elevation' cannot be nan"),
            ({'cropland': 1.2}, 'from 0 to 1, not 1.2'),
            ({'population density': -3.0}, 'at least 0, not -3'),
        ],
    )
    def test_bad_values(
        self, encoder: ConceptEarth, scores: Tensor, values: Any, message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            intervene(scores, values, encoder.bank, encoder=encoder)

    def test_what_does_not_belong_together(
        self, encoder: ConceptEarth, scores: Tensor
    ) -> None:
        other = encoder.bank[:5]
        with pytest.raises(
            ValueError, match=r'The scores have shape .* has 5 concepts'
        ):
            intervene(scores, {}, other)
        name = other[0].name
        with pytest.raises(ValueError, match='The encoder has another bank'):
            intervene(scores[:, :5], {name: 0.5}, other, encoder=encoder)
        broken = scores.clone()
        broken[2, 7] = torch.nan
        with pytest.raises(ValueError, match='Row 2 of the scores, counted from 0'):
            intervene(broken, {}, encoder.bank)


class TestRerank:
    def test_climate_of_another_place(
        self, encoder: ConceptEarth, points: Tensor, projections: Tensor
    ) -> None:
        gallery = Gallery.build(encoder, points, space='z', progress=False)
        # With all concepts of Singapore, Moscow is Singapore.
        values = dict(zip(encoder.bank.names, projections[2].tolist(), strict=True))
        found = rerank(gallery, projections[1:2], values, encoder.bank, top_k=2)
        assert found.before.points[0, 0].tolist() == points[1].tolist()
        assert found.after.points[0, 0].tolist() == points[2].tolist()
        assert found.rank_of_first.tolist() > [1]
        assert 8_000 < found.moved_km.item() < 9_000
        assert 'With 297 concepts set' in str(found)
        assert '(37.60, 55.80) -> (103.80, 1.30)' in str(found)
        figure = found.plot()
        assert figure.axes[0].get_title() == 'With 297 concepts set'
        plt.close(figure)

    def test_similarities_are_those_of_the_changed_vector(
        self, encoder: ConceptEarth, points: Tensor, projections: Tensor
    ) -> None:
        gallery = Gallery.build(
            encoder, points, space='z', dtype='float32', progress=False
        )
        found = rerank(gallery, projections, {'desert': 0.3}, encoder.bank, top_k=1)
        changed = intervene(projections, {'desert': 0.3}, encoder.bank)
        cosine = F.normalize(changed, dim=1) @ torch.from_numpy(gallery.vectors).T
        torch.testing.assert_close(
            found.after.similarity[:, 0], cosine.amax(dim=1), atol=1e-5, rtol=0
        )
        assert 'With desert at 0.3' in str(found)

    def test_wrong_gallery(
        self, encoder: ConceptEarth, points: Tensor, projections: Tensor
    ) -> None:
        in_x = Gallery.build(encoder, points, progress=False)
        with pytest.raises(ValueError, match="space 'x', whose features have no names"):
            rerank(in_x, projections, {}, encoder.bank)
        vectors = np.ones((4, 3), np.float32)
        small = Gallery(points.numpy(), vectors, np.ones(4, bool), 'z')
        with pytest.raises(
            ValueError, match='3 features, but the bank has 297 concepts'
        ):
            rerank(small, projections, {}, encoder.bank)
