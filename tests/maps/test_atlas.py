# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import numpy as np
import pytest
from matplotlib import pyplot as plt

from torchgeo_concepts.maps import concept_atlas
from torchgeo_concepts.models import concept_earth, geoclip_location

NAMES = ['cropland', 'elevation']


def test_a_map_for_each_concept() -> None:
    encoder = concept_earth('FAST')
    figure = concept_atlas(encoder, NAMES, (0, 30, 40, 60), width=20, land_only=True)
    titles = [axes.get_title() for axes in figure.axes]
    assert [title for title in titles if title] == NAMES
    image = figure.axes[1].images[0].get_array()
    assert image is not None
    # Highest in the Alps and the Caucasus, nothing at sea.
    assert np.nanmax(image) > 1000
    assert np.ma.getmaskarray(np.ma.masked_invalid(image)).any()
    plt.close(figure)


@pytest.mark.parametrize(
    ('names', 'message'),
    [
        ([], 'Expected one to twelve concepts, got 0'),
        (['cropland'] * 13, 'got 13'),
        (['cropland', 'krater'], "No concept 'krater'"),
    ],
)
def test_no_such_concepts(names: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        concept_atlas(concept_earth('FAST'), names)


def test_no_scores() -> None:
    with pytest.raises(ValueError, match='has no concept scores'):
        concept_atlas(geoclip_location(), ['cropland'])
