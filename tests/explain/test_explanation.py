# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import math
from dataclasses import replace

import pytest

from torchgeo_concepts.concepts import ConceptBank
from torchgeo_concepts.explain import Contrast, Explanation

PARTS = 10.0, 'average point', -0.5, 2.0, 3, 0.25


@pytest.fixture
def explanation(bank: ConceptBank) -> Explanation:
    values = (1.0, -3.0, 0.0, 2.0, 0.5)
    return Explanation('warmth at A', '°C', bank, values, 10.25, *PARTS)


class TestExplanation:
    def test_parts(self, explanation: Explanation) -> None:
        assert explanation.total == pytest.approx(explanation.score, abs=1e-12)
        assert explanation.base == 10
        assert explanation.unnamed == -0.5
        assert explanation.gap == 0.25
        assert explanation['c3'] == 2
        assert explanation.top(2) == [('c1', -3), ('c3', 2)]
        # What adds nothing is left out.
        assert [name for name, _ in explanation.top()] == ['c1', 'c3', 'c0', 'c4']

    def test_shares_are_of_the_sizes_of_all_numbers(
        self, explanation: Explanation
    ) -> None:
        assert explanation.unnamed_share == pytest.approx(2 / 8.5)
        nothing = Explanation('a', '', explanation.bank, (0.0,) * 5, 0.0)
        assert math.isnan(nothing.unnamed_share)

    @pytest.mark.parametrize('number', [1, 2, 3, 8])
    def test_rows_sum_to_what_is_added(
        self, explanation: Explanation, number: int
    ) -> None:
        rows = explanation.added(number)
        assert math.fsum(value for _, value in rows) == pytest.approx(0.25)
        assert rows[-2:] == [('3 unnamed features', -0.5), ('gap: not explained', 0.25)]
        others = [name for name, _ in rows if name.endswith('more concepts')]
        # One concept alone is named in the room that "1 more concepts" would have.
        assert others == {1: ['3 more concepts'], 2: ['2 more concepts']}.get(
            number, []
        )

    def test_frame_sums_to_the_score(self, explanation: Explanation) -> None:
        frame = explanation.to_frame()
        assert frame['contribution'].sum() == pytest.approx(10.25)
        assert frame['part'].value_counts().to_dict() == {
            'concept': 5, 'base': 1, 'unnamed': 1, 'gap': 1,
        }  # fmt: skip
        assert frame['name'].tolist()[:3] == ['c1', 'c3', 'c0']

    def test_text(self, explanation: Explanation) -> None:
        lines = str(explanation).splitlines()
        assert lines[0].split() == ['warmth', 'at', 'A', '°C']
        assert lines[1].split() == ['average', 'point', '10.00']
        assert lines[2].split() == ['c1', '-3.00']
        assert lines[-2].split() == ['=', 'score', '10.25']
        assert lines[-1].split() == ['share', 'without', 'a', 'name', '24%']
        assert len(set(map(len, lines))) == 1
        long = str(replace(explanation, title='warmth ' * 9)).splitlines()
        assert long[0] == ('warmth ' * 9).strip()
        assert long[1].strip() == '°C'
        assert long[2:] == lines[1:]

    def test_equal_explanations_are_equal(self, explanation: Explanation) -> None:
        assert replace(explanation) == explanation
        assert replace(explanation, title='b') != explanation

    def test_unknown_concept(self, explanation: Explanation) -> None:
        with pytest.raises(ValueError, match="No concept 'c9'. Known names: 'c0'"):
            explanation['c9']

    def test_parts_that_do_not_add_up(self, explanation: Explanation) -> None:
        with pytest.raises(ValueError, match='sum to 10.25, but the score is 10.3'):
            replace(explanation, score=10.3)
        with pytest.raises(ValueError, match='sum to nan'):
            replace(explanation, base=math.nan)

    def test_contributions_of_another_bank(self, explanation: Explanation) -> None:
        with pytest.raises(ValueError, match='Expected 5 contributions, .* got 1'):
            replace(explanation, contributions=(10.5,))


class TestContrast:
    @pytest.fixture
    def other(self, explanation: Explanation) -> Explanation:
        values = (1.0, 1.0, 1.0, 1.0, 1.0)
        parts = 10.0, 'average point', 1.0, 1.0, 3
        return Explanation('warmth at B', '°C', explanation.bank, values, 16.0, *parts)

    def test_differences_sum_to_that_of_the_scores(
        self, explanation: Explanation, other: Explanation
    ) -> None:
        contrast = Contrast((explanation, other))
        difference = contrast.difference()
        assert difference.score == -5.75
        assert difference.total == pytest.approx(-5.75)
        assert list(difference.contributions) == [0, -4, -1, 1, -0.5]
        assert difference.unnamed == -1.5
        # Both have the same base, which explains nothing.
        assert 'base' not in set(difference.to_frame()['part'])

    def test_size_of_what_is_unnamed_is_not_known(
        self, explanation: Explanation, other: Explanation
    ) -> None:
        difference = Contrast((explanation, other)).difference()
        assert math.isnan(difference.unnamed_size)
        assert math.isnan(difference.unnamed_share)
        lines = str(difference).splitlines()
        assert '  3 unnamed features' in [line[:20] for line in lines]
        assert lines[-1].split() == ['=', 'score', '-5.750']

    def test_size_of_what_is_unnamed_in_one_alone(
        self, explanation: Explanation, other: Explanation
    ) -> None:
        named = replace(
            other, score=15.0, unnamed=0.0, unnamed_size=0.0, unnamed_count=0
        )
        difference = Contrast((explanation, named)).difference()
        assert difference.unnamed_share == pytest.approx(2 / 8.5)
        assert str(difference).endswith('24%')
        assert Contrast((named, named)).difference().unnamed_size == 0

    def test_bases_that_differ(
        self, explanation: Explanation, other: Explanation
    ) -> None:
        moved = replace(other, score=17.0, base=11.0)
        difference = Contrast((explanation, moved)).difference()
        assert '  difference of the bases' in str(difference)
        assert difference.base == -1
        assert difference.total == pytest.approx(-6.75)

    def test_text(self, explanation: Explanation, other: Explanation) -> None:
        lines = str(Contrast((explanation, other))).splitlines()
        assert lines[0].split() == ['warmth', 'at', 'A', '10.25']
        assert lines[1].split() == ['warmth', 'at', 'B', '16.00']
        assert lines[3].startswith('warmth at A, rather than warmth at B')

    def test_what_cannot_be_compared(
        self, explanation: Explanation, other: Explanation
    ) -> None:
        for number in (1, 3):
            with pytest.raises(ValueError, match=f'needs two .*, got {number}'):
                Contrast((explanation,) * number)
        with pytest.raises(ValueError, match="units, '°C' and 'K'"):
            Contrast((explanation, replace(other, unit='K')))
        bank = ConceptBank(list(explanation.bank)[::-1])
        with pytest.raises(ValueError, match='have different banks'):
            Contrast((explanation, replace(other, bank=bank)))
