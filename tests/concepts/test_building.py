# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor

from torchgeo_concepts.concepts import ConceptBank
from torchgeo_concepts.concepts.building import BuildReport, build_bank


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / 'seeds.csv'
    path.write_text(
        'name,category,prompts,definition\n'
        'dune,landform,a sand dune,A hill of sand.\n'
        'Dunes,landform,,\n'
        ',landform,,\n'
        'erg,landform,a sea of sand,\n'
        'mesa,landfrom,,\n'
        'tea,,,\n'
    )
    return path


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    path = tmp_path / 'answers.jsonl'
    lines: list[Any] = [
        '```json',
        {
            'name': 'erg',
            'definition': 'A desert plain of dunes.',
            'aliases': ['sand sea'],
        },
        '{"name": "broken"',
        {'category': 'landform'},
        ['a list'],
        {'name': 'fog', 'category': 'wether'},
        {'name': 'mist', 'category': 'weather', 'prompt': 'thin fog'},
        {'name': 'rain', 'category': 'weather', 'prompts': [1]},
        {
            'name': 'haze',
            'category': 'weather',
            'prompts': ['a pale sky'],
            'regions': None,
        },
        '',
        '```',
    ]
    path.write_text(
        '\n'.join(x if isinstance(x, str) else json.dumps(x) for x in lines)
    )
    return path


def dropped(report: BuildReport) -> Any:
    return pd.read_csv(report.folder / 'dropped.csv', keep_default_na=False)


def decide(folder: Path, **decisions: str) -> None:
    """Edit the review file as a person would."""
    path = folder / 'review.csv'
    review = pd.read_csv(path, keep_default_na=False, dtype=str)
    for name, decision in decisions.items():
        word, _, into = decision.partition(' ')
        row = {'id': name, 'name': name, 'decision': word, 'into': into, 'reason': ''}
        review = pd.concat([review[review['id'] != name], pd.DataFrame([row])])
    review.to_csv(path, index=False)


class TestGround:
    def test_tables(self, table: Path, tmp_path: Path) -> None:
        report = build_bank(tmp_path / 'out', tables=[table], category='food')
        assert report.bank.names == ('dune', 'erg', 'tea')
        assert report.bank['tea'].category == 'food'
        assert report.bank['tea'].source == 'seeds.csv'
        assert report.bank['dune'].aliases == ('Dunes',)
        assert ConceptBank.load(tmp_path / 'out' / 'bank.csv') == report.bank
        drops = dropped(report)
        assert drops['name'].tolist() == ['', 'mesa', 'Dunes']
        assert drops['reason'][0] == 'no name'
        assert drops['where'][0] == 'seeds.csv, row 2'
        assert (
            "unknown category 'landfrom'. Did you mean 'landform'" in drops['reason'][1]
        )
        assert drops['where'][2] == 'merged into dune'

    def test_wikidata_export(self, tmp_path: Path) -> None:
        path = tmp_path / 'query.csv'
        path.write_text(
            'item,itemLabel,itemDescription,itemAltLabel\n'
            'http://www.wikidata.org/entity/Q1,dhow,sailing vessel,"dow, daw"\n'
            'http://www.wikidata.org/entity/Q2,Q2,,\n'
        )
        report = build_bank(tmp_path / 'out', tables=[path], category='transport')
        [dhow] = report.bank
        assert dhow.aliases == ('dow', 'daw')
        assert dhow.source == 'http://www.wikidata.org/entity/Q1'
        assert dhow.definition == 'sailing vessel'
        assert dropped(report)['reason'].tolist() == ['no name']

    @pytest.mark.parametrize(('seed', 'count'), [('koppen-geiger', 31), ('igbp', 17)])
    def test_maps(self, tmp_path: Path, seed: Any, count: int) -> None:
        report = build_bank(tmp_path / 'out', seeds=[seed])
        assert len(report.bank) == count

    def test_worldkg_export(self, tmp_path: Path) -> None:
        path = tmp_path / 'worldkg.csv'
        path.write_text(
            'class,label\nhttp://www.worldkg.org/schema/Windmill,Windmill\n'
        )
        report = build_bank(tmp_path / 'out', tables=[path], category='infrastructure')
        [windmill] = report.bank
        assert windmill.source == 'http://www.worldkg.org/schema/Windmill'

    def test_ragged_table(self, tmp_path: Path) -> None:
        path = tmp_path / 'seeds.csv'
        path.write_text('name,category\ndune,landform,\n')
        with pytest.raises(ValueError, match='row 0 .* 3 cells, the header has 2'):
            build_bank(tmp_path / 'out', tables=[path])

    def test_no_table_of_names(self, tmp_path: Path) -> None:
        path = tmp_path / 'seeds.csv'
        path.write_text('a,b\n1,2\n')
        with pytest.raises(ValueError, match='no column of names'):
            build_bank(tmp_path / 'out', tables=[path])
        path.write_bytes('name\nPáramo\n'.encode('latin-1'))
        with pytest.raises(ValueError, match='not UTF-8'):
            build_bank(tmp_path / 'out', tables=[path])


class TestEnrich:
    def test_malformed_lines_are_reported_and_the_rest_kept(
        self, table: Path, answers: Path, tmp_path: Path
    ) -> None:
        report = build_bank(
            tmp_path / 'out', tables=[table], answers=[answers], category='food'
        )
        assert report.bank.names == ('dune', 'erg', 'tea', 'haze')
        assert report.bank['sand sea'].definition == 'A desert plain of dunes.'
        assert report.bank['haze'].source == 'language model'
        faults = [d for d in report.drops if d.stage == 'enrich']
        assert [fault.where for fault in faults] == [
            f'answers.jsonl, line {line}' for line in (3, 4, 5, 6, 7, 8)
        ]
        for fault, reason in zip(
            faults,
            (
                'not valid JSON',
                "the field 'name' is missing",
                'not a JSON object but list',
                "unknown category 'wether'",
                "unknown field 'prompt'. Did you mean 'prompts'",
                "field 'prompts' must be a string or a list of strings",
            ),
            strict=True,
        ):
            assert reason in fault.reason

    def test_lines_that_would_break_a_file(self, tmp_path: Path) -> None:
        path = tmp_path / 'answers.jsonl'
        lines = [
            '[' * 100_000,
            '{"name": "a", "category": ' + '9' * 5000 + '}',
            '{"name": "\\ud800", "category": "weather"}',
            '{"name": ["a", "b"], "category": "weather"}',
            '{"name": "fog", "category": "weather", "source": "IGBP 1"}',
        ]
        path.write_text('\n'.join(lines))
        report = build_bank(tmp_path / 'out', answers=[path])
        assert report.bank.names == ('fog',)
        assert report.bank['fog'].source == 'language model'
        assert len(report.drops) == 4

    def test_answers_fill_and_never_overwrite(
        self, table: Path, tmp_path: Path
    ) -> None:
        path = tmp_path / 'answers.jsonl'
        path.write_text(
            json.dumps({'name': 'Dune', 'definition': 'Other.', 'prompts': ['x']})
        )
        report = build_bank(tmp_path / 'out', tables=[table], answers=[path])
        assert report.bank['dune'].definition == 'A hill of sand.'
        assert report.bank['dune'].prompts == ('a sand dune',)

    def test_prompt_file(self, table: Path, tmp_path: Path) -> None:
        build_bank(tmp_path / 'out', tables=[table], topic='Namibia', count=12)
        prompt = (tmp_path / 'out' / 'enrich.md').read_text()
        assert 'geographic concepts for Namibia' in prompt
        assert 'about 12 concepts' in prompt
        assert '* erg [landform] (lacks definition)' in prompt
        assert '* dune [landform]\n' in prompt


def same_vector(texts: list[str]) -> Tensor:
    """An encoder for which sand is sand."""
    return torch.tensor(
        [[float('sand' in t), float('sand' not in t), 0.1] for t in texts]
    )


class TestRefine:
    @pytest.fixture
    def folder(self, table: Path, tmp_path: Path) -> Path:
        build_bank(
            tmp_path / 'out', tables=[table], category='food', encoder=same_vector
        )
        return tmp_path / 'out'

    def rebuild(self, folder: Path, table: Path) -> BuildReport:
        return build_bank(folder, tables=[table], category='food', encoder=same_vector)

    def test_alike_texts_are_listed_and_kept(self, folder: Path, table: Path) -> None:
        report = self.rebuild(folder, table)
        assert report.bank.names == ('dune', 'erg', 'tea')
        assert report.undecided == 1
        review = pd.read_csv(folder / 'review.csv', keep_default_na=False)
        [erg] = review[review['id'] == 'erg'].to_dict('records')
        assert (erg['decision'], erg['into']) == ('', 'dune')
        assert erg['reason'] == 'texts have cosine 1.000'

    def test_merge_is_replayed(self, folder: Path, table: Path) -> None:
        decide(folder, erg='merge dune')
        for _ in range(2):
            report = self.rebuild(folder, table)
            assert report.bank.names == ('dune', 'tea')
            assert report.bank.index('erg') == 0
            assert 'a sea of sand' in report.bank['dune'].prompts
            assert report.undecided == 0
            assert 'merged into dune' in dropped(report)['where'].tolist()

    def test_drop_is_replayed(self, folder: Path, table: Path) -> None:
        decide(folder, tea='drop')
        for _ in range(2):
            report = self.rebuild(folder, table)
            assert report.bank.names == ('dune', 'erg')
            assert report.drops[-1].reason == 'decided in review'

    def test_automatic_merges_are_made_anew(self, folder: Path, table: Path) -> None:
        review = pd.read_csv(folder / 'review.csv', keep_default_na=False)
        assert review['decision'].tolist() == ['auto', '']
        decide(folder, dune='drop')
        assert self.rebuild(folder, table).bank.names == ('Dunes', 'erg', 'tea')
        table.write_text('name,category\nDunes,landform\n')
        assert self.rebuild(folder, table).bank.names == ('Dunes',)
        review = pd.read_csv(folder / 'review.csv', keep_default_na=False)
        assert review['decision'].tolist() == ['drop']

    def test_pairs_are_decided_and_not_concepts(
        self, folder: Path, table: Path
    ) -> None:
        decide(folder, erg='keep dune')
        assert self.rebuild(folder, table).undecided == 0
        with table.open('a') as stream:
            stream.write('sandbank,landform,a bank of sand,\n')
        report = self.rebuild(folder, table)
        assert report.undecided == 2
        review = pd.read_csv(folder / 'review.csv', keep_default_na=False)
        undecided = review[review['decision'] == '']
        assert undecided['id'].tolist() == ['sandbank', 'sandbank']
        assert undecided['into'].tolist() == ['dune', 'erg']

    def test_shared_alias_is_a_doubt(self, tmp_path: Path) -> None:
        path = tmp_path / 'seeds.csv'
        path.write_text(
            'name,category,aliases\nmosque,religion,\nchurch,religion,mosque\n'
        )
        report = build_bank(tmp_path / 'out', tables=[path])
        assert report.bank.names == ('mosque', 'church')
        assert report.bank['church'].aliases == ()
        assert report.undecided == 1

    def test_merge_keeps_what_the_other_knew(self, tmp_path: Path) -> None:
        path = tmp_path / 'seeds.csv'
        path.write_text(
            'name,category,regions,layer,source\n'
            'dune,landform,africa,,\ndunes,landform,oceania,topography,atlas\n'
        )
        [dune] = build_bank(tmp_path / 'out', tables=[path]).bank
        assert dune.regions == ('africa', 'oceania')
        assert dune.layer == 'topography'

    def test_keep_is_replayed(self, folder: Path, table: Path) -> None:
        decide(folder, erg='keep', dunes='keep')
        for _ in range(2):
            report = self.rebuild(folder, table)
            assert report.bank.names == ('dune', 'Dunes', 'erg', 'tea')
            assert report.undecided == 0

    def test_merges_follow_each_other(self, folder: Path, table: Path) -> None:
        decide(folder, erg='merge tea', tea='merge dune')
        report = self.rebuild(folder, table)
        assert report.bank.names == ('dune',)
        assert {'erg', 'tea'} <= set(report.bank['dune'].aliases)

    @pytest.mark.parametrize(
        ('decisions', 'message'),
        [
            (
                {'erg': 'merge dunne'},
                "'dunne', which is not a concept. Did you mean 'dune'",
            ),
            ({'erg': 'merge dune', 'dune': 'drop'}, "'dune', which is dropped"),
            ({'erg': 'merge dune', 'dune': 'merge erg'}, 'form a circle'),
            ({'erg': 'delete'}, "decision 'delete'"),
        ],
    )
    def test_decisions_that_cannot_be_carried_out(
        self, folder: Path, table: Path, decisions: dict[str, str], message: str
    ) -> None:
        decide(folder, **decisions)
        before = (folder / 'bank.csv').read_text()
        with pytest.raises(ValueError, match=message):
            self.rebuild(folder, table)
        assert (folder / 'bank.csv').read_text() == before

    def test_decision_about_nothing(self, folder: Path, table: Path) -> None:
        decide(folder, mesa='drop')
        report = self.rebuild(folder, table)
        assert report.unmatched == ['mesa']
        assert 'mesa' in str(report)
        assert 'mesa' in (folder / 'review.csv').read_text()

    def test_review_of_another_kind(self, folder: Path, table: Path) -> None:
        (folder / 'review.csv').write_text('a,b\n1,2\n')
        with pytest.raises(ValueError, match='must have the columns'):
            self.rebuild(folder, table)

    def test_names_that_cannot_be_kept_apart(self, tmp_path: Path) -> None:
        path = tmp_path / 'seeds.csv'
        path.write_text('id,name,category\na,dune,landform\nb,Dune,landform\n')
        build_bank(tmp_path / 'out', tables=[path])
        decide(tmp_path / 'out', b='keep')
        with pytest.raises(
            ValueError, match='review.csv keeps concepts that share a name'
        ):
            build_bank(tmp_path / 'out', tables=[path])

    def test_same_id(self, tmp_path: Path) -> None:
        path = tmp_path / 'seeds.csv'
        path.write_text(
            'name,category,definition\ndune,landform,\ndune,landform,Sand.\n'
        )
        report = build_bank(tmp_path / 'out', tables=[path])
        assert report.bank.names == ('dune',)
        assert report.bank['dune'].definition == 'Sand.'
        assert report.drops[0].reason == 'same id'

    def test_shared_alias_stays_with_the_first(self, tmp_path: Path) -> None:
        path = tmp_path / 'seeds.csv'
        path.write_text(
            'name,category,aliases\ndune,landform,sands\nerg,landform,sands\n'
        )
        build_bank(tmp_path / 'out', tables=[path])
        decide(tmp_path / 'out', erg='keep')
        report = build_bank(tmp_path / 'out', tables=[path])
        assert report.bank['dune'].aliases == ('sands',)
        assert report.bank['erg'].aliases == ()
