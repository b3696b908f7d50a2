# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import io
from typing import Any

import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from torchgeo_concepts.concepts import Concept, ConceptBank
from torchgeo_concepts.explain import Contrast, Explanation


def explanation(values: tuple[float, ...], **parts: Any) -> Explanation:
    names = [f'a concept of some length, {n}' for n in range(len(values))]
    bank = ConceptBank(Concept(f'c{n}', name, 'a') for n, name in enumerate(names))
    score = sum(values) + sum(parts.get(n, 0) for n in ('base', 'unnamed', 'gap'))
    return Explanation('warmth at a place', '°C', bank, values, score, **parts)


def lengths(figure: Figure) -> list[list[float]]:
    return [
        [bar.get_width() for bar in axes.patches if isinstance(bar, Rectangle)]
        for axes in figure.axes
    ]


def texts(figure: Figure) -> list[str]:
    figure.savefig(io.BytesIO(), format='png')
    labels = [t.get_text() for axes in figure.axes for t in axes.get_yticklabels()]
    return [label.replace('\n', ' ') for label in labels]


class TestExplanation:
    def test_bars_are_contributions_and_their_sums(self) -> None:
        parts = {'base': 10.0, 'base_name': 'average point', 'gap': 0.25}
        parts |= {'unnamed': 0.5, 'unnamed_size': 2.0, 'unnamed_count': 3}
        figure = explanation((1.0, -3.0, 2.0, 0.5, 0.0), **parts).plot(2)
        upper, lower = lengths(figure)
        assert upper == [-3, 2]
        assert lower == pytest.approx([-1, 1.5, 0.5, 0.25, 1.25])
        assert texts(figure) == [
            'a concept of some length, 1',
            'a concept of some length, 2',
            'the 2 above',
            '2 more concepts',
            '3 unnamed features',
            'gap: not explained',
            'sum',
        ]
        assert [axes.get_xlabel() for axes in figure.axes] == [
            'contribution [°C]',
            'contribution [°C], together',
        ]
        title = figure.get_suptitle()
        assert title == 'warmth at a place: 11.25 °C\n= average point 10.00 +1.25'

    def test_text_stays_within_the_figure(self) -> None:
        figure = explanation((-1.0, -0.5, 0.001) * 4).plot()
        figure.draw_without_rendering()
        for axes in figure.axes:
            for text in (*axes.texts, *axes.get_yticklabels()):
                box = text.get_window_extent()
                assert 0 <= box.x0 < box.x1 <= figure.bbox.width
        assert figure.axes[0].get_xlim()[0] < -1

    def test_numbers_on_either_side_stay_off_the_names(self) -> None:
        figure = explanation((-0.00995, -0.00668, 0.00588)).plot()
        figure.draw_without_rendering()
        upper = figure.axes[0]
        left = upper.get_window_extent().x0
        assert all(text.get_window_extent().x0 > left for text in upper.texts)

    def test_nothing_contributes(self) -> None:
        figure = explanation((0.0, 0.0)).plot()
        assert lengths(figure) == [[], [0, 0]]
        assert texts(figure) == ['the 0 above', 'sum']


def test_contrast() -> None:
    first, second = explanation((1.0, 4.0, 0.0)), explanation((1.0, 1.0, 1.0))
    figure = Contrast((first, second)).plot()
    assert lengths(figure) == [[3, -1], [2, 2]]
    title = figure.get_suptitle()
    assert title == ('warmth at a place: 5.000\nrather than warmth at a place: 3.000')
    assert figure.axes[0].get_xlabel() == 'difference of contributions [°C]'
    numbers = [text.get_text() for text in figure.axes[0].texts]
    assert numbers == ['+3.00', '\N{MINUS SIGN}1.00']
