# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import copy
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from torchgeo_concepts.concepts import CATEGORIES, REGIONS, Concept, ConceptBank
from torchgeo_concepts.concepts.duplicates import same_names
from torchgeo_concepts.utils.names import normalise, slug

# Every concept that the main text of https://arxiv.org/abs/2509.01910 shows.
PAPER = (
    'windmill theater factory scaffolding promenade drizzle mangrove sombrero '
    'eucalyptus cairn prayer_flags grapevine favela temperate sari underpass '
    'power_line crater vending chimney dune gondola island uniform tea brickwork '
    'reflection gate lorry bus motorcycle fortress hedge townhouse hairstyle succulent '
    'sand_dune plantation cobblestone souk woodland oak_tree shanty_town summit '
    'pennant demonstration skyscraper esplanade advertisement typhoon '
    'historical_civilization tuk-tuk incense monorail forest tropical_climate mountain '
    'cathedral'
).split()

KOPPEN = (
    'Af Am As Aw BWh BWk BSh BSk Csa Csb Csc Cwa Cwb Cwc Cfa Cfb Cfc Dsa Dsb Dsc Dsd '
    'Dwa Dwb Dwc Dwd Dfa Dfb Dfc Dfd ET EF'
).split()


def concept(name: str, **fields: object) -> Concept:
    return Concept.from_mapping({'category': 'landform', 'name': name, **fields})


@pytest.fixture
def bank() -> ConceptBank:
    return ConceptBank(
        [
            concept('dune', aliases='sand dune | erg', regions=['africa']),
            concept('Summit', prompts=['a rocky peak', 'a cross on a peak']),
            concept('elevation', kind='quantity', unit='m'),
            concept('pine forest', category='vegetation', definition='Trees, "green".'),
        ]
    )


class TestCuratedBank:
    @pytest.fixture(scope='class')
    def curated(self) -> ConceptBank:
        return ConceptBank.default()

    def test_size(self, curated: ConceptBank) -> None:
        assert len(curated) >= 500
        assert len(curated.categories) >= 14
        assert set(curated.categories) <= set(CATEGORIES)
        assert min(curated.categories.values()) >= 20

    def test_passes_its_own_validator(
        self, tmp_path: Path, curated: ConceptBank
    ) -> None:
        curated.save(tmp_path / 'bank.csv')
        assert ConceptBank.load(tmp_path / 'bank.csv', categories=CATEGORIES) == curated

    @pytest.mark.parametrize('name', PAPER)
    def test_has_the_concepts_of_the_paper(
        self, curated: ConceptBank, name: str
    ) -> None:
        assert name.replace('_', ' ') in curated

    def test_has_all_classes_of_the_maps(self, curated: ConceptBank) -> None:
        sources = {c.source for c in curated}
        assert {f'Köppen-Geiger {zone}' for zone in KOPPEN} <= sources
        assert {f'IGBP {code}' for code in range(17)} <= sources

    def test_every_field_is_filled(self, curated: ConceptBank) -> None:
        for c in curated:
            assert c.prompts, c
            assert c.source, c
            assert c.definition.endswith('.'), c
            assert 5 <= len(c.definition.split()) <= 30, c
            assert normalise(c.name) not in map(normalise, c.prompts), c

    def test_spread_over_the_world(self, curated: ConceptBank) -> None:
        for region in ('africa', 'south-asia', 'latin-america', 'oceania'):
            assert len(curated.subset(region=region)) >= 50, region
        for region in REGIONS:
            assert len(curated.subset(region=region)) >= 20, region

    def test_has_quantities_with_units(self, curated: ConceptBank) -> None:
        quantities = curated.subset(kind='quantity')
        assert len(quantities) >= 10
        assert curated['elevation'].unit == 'm'

    def test_no_names_that_differ_in_spelling_alone(self, curated: ConceptBank) -> None:
        assert list(same_names(curated)) == []

    def test_general_bank(self) -> None:
        general = ConceptBank.general()
        curated = ConceptBank.default()
        assert len(general) >= 350
        assert all(c.prompts for c in general)
        assert not [name for name in general.names if name in curated]


class TestValidation:
    @pytest.mark.parametrize(
        ('fields', 'field', 'problem'),
        [
            ({'name': ''}, 'name', 'is empty'),
            ({'name': '', 'id': 'a'}, 'name', 'is empty'),
            ({'id': 'A b'}, 'id', "'A b' must be lower-case"),
            ({'category': ''}, 'category', 'is empty'),
            ({'category': 'landforms'}, 'category', "Did you mean 'landform'"),
            ({'kind': 'number'}, 'kind', "not 'number'"),
            ({'kind': 'quantity'}, 'unit', 'is empty for a quantity'),
            ({'unit': 'm'}, 'unit', 'for a class'),
            ({'regions': 'afrika'}, 'regions', "Did you mean 'africa'"),
        ],
    )
    def test_row_and_field_are_named(
        self, fields: dict[str, str], field: str, problem: str
    ) -> None:
        concepts = [
            concept('dune'),
            concept('mesa', **fields) if 'name' not in fields else concept(**fields),
        ]
        with pytest.raises(ValueError, match=f"row 1, field '{field}': .*{problem}"):
            ConceptBank(concepts, categories=CATEGORIES)

    def test_duplicates(self) -> None:
        with pytest.raises(
            ValueError, match=r"row 1, field 'id': 'dune' is also a name of row 0"
        ):
            ConceptBank([concept('dune'), concept('erg', id='dune')])
        with pytest.raises(
            ValueError, match=r"row 1, field 'name': 'Dûne' is also a name of row 0"
        ):
            ConceptBank([concept('dune'), concept('Dûne', id='other')])
        with pytest.raises(
            ValueError, match=r"row 1, field 'aliases': 'dune' is also a name of"
        ):
            ConceptBank([concept('dune'), concept('erg', aliases='dune')])

    def test_id_that_is_the_name_of_another(self) -> None:
        with pytest.raises(
            ValueError, match="field 'name': 'dune' is also a name of row 0"
        ):
            ConceptBank([concept('erg', id='dune'), concept('dune', id='other')])

    def test_items_that_a_file_could_not_keep(self) -> None:
        for aliases in (('a|b',), (' a',), ('',)):
            bad = replace(concept('dune'), aliases=aliases)
            with pytest.raises(ValueError, match="row 0, field 'aliases'"):
                ConceptBank([bad])

    def test_many_problems_are_counted(self) -> None:
        with pytest.raises(ValueError, match='and 5 more'):
            ConceptBank(concept('', id=f'c{i}') for i in range(25))

    def test_any_category_on_request(self, tmp_path: Path) -> None:
        file = tmp_path / 'bank.csv'
        file.write_text('name,category\ndune,sands\n')
        with pytest.raises(ValueError, match="row 0, field 'category': unknown"):
            ConceptBank.load(file)
        assert ConceptBank.load(file, categories=None)['dune'].category == 'sands'


class TestFiles:
    @pytest.mark.parametrize('suffix', ['csv', 'yaml', 'yml'])
    def test_round_trip(self, bank: ConceptBank, tmp_path: Path, suffix: str) -> None:
        file = tmp_path / f'bank.{suffix}'
        bank.save(file)
        loaded = ConceptBank.load(file)
        assert loaded == bank
        assert loaded.digest == bank.digest

    def test_ids_are_made_of_names(self, tmp_path: Path) -> None:
        file = tmp_path / 'bank.csv'
        file.write_text('name,category\nPáramo grassland,vegetation\n')
        assert ConceptBank.load(file).ids == ('paramo-grassland',)

    def test_not_utf8(self, tmp_path: Path) -> None:
        file = tmp_path / 'bank.csv'
        file.write_bytes('name,category\nPáramo,vegetation\n'.encode('latin-1'))
        with pytest.raises(ValueError, match='not UTF-8: byte 15'):
            ConceptBank.load(file)

    @pytest.mark.parametrize(
        ('name', 'text', 'message'),
        [
            ('a.csv', 'name\ndune\n', "no column 'category'"),
            ('a.csv', '', "no column 'name'"),
            ('a.csv', 'name,category,promts\n', "unknown field 'promts'. Did you mean"),
            ('a.csv', 'name,category\ndune\n', 'row 0 .* 1 cells, the header has 2'),
            (
                'a.csv',
                'name,category\ndune,landform,x\n',
                'row 0 .* 3 cells, the header has 2',
            ),
            ('a.yaml', 'name: dune', 'must be a list'),
            ('a.yaml', '- dune', 'must be a list of mappings'),
            ('a.yaml', '- {name: [', 'is not valid YAML'),
            ('a.yaml', '- {name: dune, colour: red}', "unknown field 'colour'"),
            ('a.yaml', '- {name: dune, 5: red}', "unknown field '5'"),
            ('a.txt', '', 'must end in'),
        ],
    )
    def test_no_table_of_concepts(
        self, tmp_path: Path, name: str, text: str, message: str
    ) -> None:
        file = tmp_path / name
        file.write_text(text)
        with pytest.raises(ValueError, match=message):
            ConceptBank.load(file)


class TestSequence:
    def test_order_and_access(self, bank: ConceptBank) -> None:
        assert bank.names == ('dune', 'Summit', 'elevation', 'pine forest')
        assert bank.ids == ('dune', 'summit', 'elevation', 'pine-forest')
        assert bank[1] == bank['summit'] == bank['SUMMIT']
        assert bank[1:3].names == ('Summit', 'elevation')
        assert [c.name for c in bank] == list(bank.names)
        assert bank.categories == {'landform': 3, 'vegetation': 1}

    @pytest.mark.parametrize('name', ['dune', 'Sand Dune', 'sand-dune', 'ERG'])
    def test_index_by_any_name(self, bank: ConceptBank, name: str) -> None:
        assert bank.index(name) == 0
        assert name in bank

    def test_index_of_a_concept(self, bank: ConceptBank) -> None:
        assert bank.index(bank[2]) == 2
        changed = replace(bank[2], unit='ft')
        assert changed not in bank
        with pytest.raises(ValueError, match='No concept'):
            bank.index(changed)

    def test_index_of_nothing(self, bank: ConceptBank) -> None:
        with pytest.raises(ValueError, match="'sumit'. Did you mean 'Summit'"):
            bank.index('sumit')
        assert 'sumit' not in bank

    def test_equality_is_by_content_and_order(self, bank: ConceptBank) -> None:
        twin = ConceptBank(list(bank))
        assert twin == bank
        assert hash(twin) == hash(bank)
        turned = bank[::-1]
        assert turned != bank
        assert turned.digest != bank.digest

    def test_immutable(self, bank: ConceptBank) -> None:
        with pytest.raises(AttributeError):
            bank[0].name = 'other'  # type: ignore[misc]
        with pytest.raises(TypeError):
            bank[0] = bank[1]  # type: ignore[index]

    def test_copies(self, bank: ConceptBank) -> None:
        assert copy.deepcopy(bank) == bank
        assert pickle.loads(pickle.dumps(bank)) == bank


class TestAlgebra:
    def test_subsets(self, bank: ConceptBank) -> None:
        assert bank.subset(category='vegetation').names == ('pine forest',)
        assert bank.subset(category=['vegetation', 'landform']) == bank
        assert bank.subset(glob='*-forest').names == ('pine forest',)
        assert bank.subset(kind='quantity').names == ('elevation',)
        assert bank.subset(region='africa').names == ('dune',)
        assert len(bank.subset(category='vegetation', region='africa')) == 0

    @pytest.mark.parametrize(
        ('condition', 'message'),
        [
            (
                {'category': 'vegetal'},
                "No category 'vegetal'. Did you mean 'vegetation'",
            ),
            ({'region': 'afrika'}, "No region 'afrika'"),
        ],
    )
    def test_unknown(
        self, bank: ConceptBank, condition: dict[str, str], message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            bank.subset(**condition)  # type: ignore[arg-type]

    def test_add(self, bank: ConceptBank) -> None:
        more = ConceptBank([bank[0], concept('mesa')])
        assert (bank + more).names == (*bank.names, 'mesa')
        with pytest.raises(ValueError, match="field 'id'"):
            bank + ConceptBank([concept('dune')])

    def test_subtract(self, bank: ConceptBank) -> None:
        rest = bank - bank.subset(category='landform')
        assert rest.names == ('pine forest',)
        assert len(bank - bank) == 0


class TestRendering:
    def test_tables(self, bank: ConceptBank) -> None:
        assert 'pine forest' in str(bank)
        assert repr(bank).startswith('ConceptBank(4 concepts in 2 categories, ')
        assert '| dune | landform |' in bank.to_markdown()
        assert bank.to_frame()['name'].tolist() == list(bank.names)


class TestCheckpoints:
    def test_travels_in_torch_checkpoints(
        self, bank: ConceptBank, tmp_path: Path
    ) -> None:
        file = tmp_path / 'model.pth'
        torch.save({'bank': bank.to_json()}, file)
        loaded = torch.load(file, weights_only=True)
        assert ConceptBank.from_json(loaded['bank']) == bank

    def test_travels_in_safetensors(self, bank: ConceptBank, tmp_path: Path) -> None:
        file = tmp_path / 'model.safetensors'
        save_file({'a': torch.zeros(1)}, file, {'bank': bank.to_json()})
        with safe_open(file, 'pt') as loaded:
            assert ConceptBank.from_json(loaded.metadata()['bank']) == bank


@pytest.mark.parametrize(
    ('first', 'second'),
    [('दिन', 'दान'), ('กิน', 'กัน'), ('がき', 'かき'), ('лес', 'лис')],
)
def test_marks_of_other_scripts_are_part_of_the_word(first: str, second: str) -> None:
    assert normalise(first) != normalise(second)
    assert normalise(first) == normalise(f' {first} ')


@pytest.mark.parametrize(
    ('name', 'expected'),
    [
        ('Páramo', 'paramo'),
        ('  Tuk-Tuk! ', 'tuk-tuk'),
        ('N\u2019Ko', 'n-ko'),
        ('茶', 'cha'),
        ('Đồng', 'dong'),
        ('!', ''),
    ],
)
def test_slug(name: str, expected: str) -> None:
    assert slug(name) == expected
