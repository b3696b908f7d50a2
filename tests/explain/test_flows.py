# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import numpy as np
import pytest
from matplotlib import pyplot as plt

from torchgeo_concepts.explain import concept_flows, plot_concept_flows
from torchgeo_concepts.models import ConceptEarth, concept_earth

ZONES = ['tropical climate', 'arid climate', 'polar climate']


@pytest.fixture(scope='module')
def encoder() -> ConceptEarth:
    return concept_earth('FAST')


def test_shares_are_true(encoder: ConceptEarth) -> None:
    shares = concept_flows(encoder, ZONES, ['Brazil', 'Egypt', 'Greenland'], 200)
    np.testing.assert_allclose(shares.sum(axis=0), 1)
    assert shares.argmax(axis=0).tolist() == [0, 1, 2]
    assert shares[1, 1] > 0.95


def test_nowhere(encoder: ConceptEarth) -> None:
    with pytest.raises(ValueError, match=r"lies in 'Malta'.* spacing_km below 200"):
        concept_flows(encoder, ZONES, ['Brazil', 'Malta'], 200)
    with pytest.raises(ValueError, match="Did you mean 'Brazil'"):
        concept_flows(encoder, ZONES, ['Brasil'], 200)


@pytest.mark.parametrize(
    ('concepts', 'regions', 'message'),
    [(ZONES, [], 'got 3 and 0'), ([], ['Brazil', 'Egypt'], 'got 0 and 2')],
)
def test_nothing_to_count(
    encoder: ConceptEarth, concepts: list[str], regions: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        concept_flows(encoder, concepts, regions, 200)


def test_bands_are_as_wide_as_shares() -> None:
    shares = np.array([[0.75, 0.0], [0.25, 0.998], [0.0, 0.002]])
    figure = plot_concept_flows(shares, ['a', 'b', 'c'], ['X', 'Y'])
    [axes] = figure.axes
    # What is too small to be seen has neither band nor block.
    assert [text.get_text() for text in axes.texts] == ['a', 'b', 'X', 'Y']
    starts = []
    for collection in axes.collections[:3]:
        corners = np.asarray(collection.get_paths()[0].vertices)
        at_left = corners[np.isclose(corners[:, 0], corners[:, 0].min()), 1]
        starts.append(np.ptp(at_left))
    np.testing.assert_allclose(np.divide(starts, starts[0]), [1, 1 / 3, 0.998 / 0.75])
    plt.close(figure)


def test_what_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match=r'shares of shape \(2, 1\), .* got \(1, 2\)'):
        plot_concept_flows(np.ones((1, 2)), ['a', 'b'], ['X'])
    with pytest.raises(ValueError, match='distinguish 8 concepts, got 9'):
        plot_concept_flows(np.ones((9, 1)), list('abcdefghi'), ['X'])
