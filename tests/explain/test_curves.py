# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import numpy as np
import pytest
from matplotlib import pyplot as plt

from torchgeo_concepts.explain import ConceptCurve, plot_concept_curves

SHARE = np.linspace(0, 1, 3)


def test_a_panel_for_each_change() -> None:
    curves = [
        ConceptCurve('deletion', 'contribution', SHARE, 1 - SHARE, 0.5, 0.4, 0.6),
        ConceptCurve('deletion', 'random', SHARE, SHARE * 0, 0.0, 0.0, 0.1),
        ConceptCurve('insertion', 'random', SHARE, SHARE, 0.5, 0.3, 0.7),
    ]
    figure = plot_concept_curves(curves)
    first, second = figure.axes
    assert [line.get_ydata()[0] for line in first.lines] == [1, 0]  # type: ignore[index]
    assert [line.get_label() for line in second.lines] == [
        'at random: area 0.50 (0.30 to 0.70)'
    ]
    plt.close(figure)


def test_no_curves() -> None:
    with pytest.raises(ValueError, match='no curves to draw'):
        plot_concept_curves([])
