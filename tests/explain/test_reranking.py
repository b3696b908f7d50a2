# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from matplotlib import pyplot as plt
from torch import Tensor

from torchgeo_concepts.explain import intervene, rerank
from torchgeo_concepts.models import ConceptEarth, concept_earth
from torchgeo_concepts.retrieval.gallery import Gallery

# La Paz, Moscow, Singapore and Cairo.
POINTS = torch.tensor([[-68.1, -16.5], [37.6, 55.8], [103.8, 1.3], [31.2, 30.0]])


@pytest.fixture(scope='module')
def encoder() -> ConceptEarth:
    return concept_earth('GROUNDED')


@pytest.fixture(scope='module')
def projections(encoder: ConceptEarth) -> Tensor:
    with torch.no_grad():
        return encoder.project(POINTS)


class TestRerank:
    def test_climate_of_another_place(
        self, encoder: ConceptEarth, projections: Tensor
    ) -> None:
        gallery = Gallery.build(encoder, POINTS, space='z', progress=False)
        # With all concepts of Singapore, Moscow is Singapore.
        values = dict(zip(encoder.bank.names, projections[2].tolist(), strict=True))
        found = rerank(gallery, projections[1:2], values, encoder.bank, top_k=2)
        assert found.before.points[0, 0].tolist() == POINTS[1].tolist()
        assert found.after.points[0, 0].tolist() == POINTS[2].tolist()
        assert found.rank_of_first.tolist() > [1]
        assert 8_000 < found.moved_km.item() < 9_000
        assert 'With 297 concepts set' in str(found)
        assert '(37.60, 55.80) -> (103.80, 1.30)' in str(found)
        figure = found.plot()
        assert figure.axes[0].get_title() == 'With 297 concepts set'
        plt.close(figure)

    def test_similarities_are_those_of_the_changed_vector(
        self, encoder: ConceptEarth, projections: Tensor
    ) -> None:
        gallery = Gallery.build(
            encoder, POINTS, space='z', dtype='float32', progress=False
        )
        found = rerank(gallery, projections, {'desert': 0.3}, encoder.bank, top_k=1)
        changed = intervene(projections, {'desert': 0.3}, encoder.bank)
        cosine = F.normalize(changed, dim=1) @ torch.from_numpy(gallery.vectors).T
        torch.testing.assert_close(
            found.after.similarity[:, 0], cosine.amax(dim=1), atol=1e-5, rtol=0
        )
        assert 'With desert at 0.3' in str(found)

    def test_wrong_gallery(self, encoder: ConceptEarth, projections: Tensor) -> None:
        in_x = Gallery.build(encoder, POINTS, progress=False)
        with pytest.raises(ValueError, match="space 'x', whose features have no names"):
            rerank(in_x, projections, {}, encoder.bank)
        vectors = np.ones((4, 3), np.float32)
        small = Gallery(POINTS.numpy(), vectors, np.ones(4, bool), 'z')
        with pytest.raises(
            ValueError, match='3 features, but the bank has 297 concepts'
        ):
            rerank(small, projections, {}, encoder.bank)
