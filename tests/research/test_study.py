# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.image as mpimg
import numpy as np
import pytest
from alignment_study import ARMS, StudyReport, evaluation, load_arm, runs, study
from alignment_study.command import CHOSEN_BY, choose, rivals_of
from alignment_study.report import Outcome, direction, page_lines
from alignment_study.runs import Run, Settings, read_run
from alignment_study.statistics import Comparison
from research_cli import run as run_command

ASKED = ['plain', 'grounded-1', 'paper-1']
SMALL: dict[str, Any] = {
    'steps': 2,
    'number': 64,
    'batch_size': 32,
    'patches': 24,
    'mislocated': 0.5,
}


def run(arm: str, seed: int, **metrics: float) -> Run:
    curve = [{'step': 10, 'contrast': 1.0}]
    return Run(arm, seed, '', 1.0, 0.5, metrics, curve)


def test_runs_of_other_settings_are_not_read(tmp_path: Path) -> None:
    settings, arm = Settings(Path('a'), 'truth'), load_arm('plain')
    assert read_run(tmp_path, arm, 3, settings) is None
    made = replace(run('plain', 3, r2=0.5), settings=settings.digest(arm))
    (tmp_path / 'runs').mkdir()
    (tmp_path / 'runs' / 'plain-3.json').write_text(json.dumps(made.__dict__))
    assert read_run(tmp_path, arm, 3, replace(settings, root=Path('b'))) == made
    for name in (*SMALL, 'truth'):
        changed: dict[str, Any] = {name: 7}
        assert read_run(tmp_path, arm, 3, replace(settings, **changed)) is None
    # A run whose model was not kept is no run with a model.
    assert read_run(tmp_path, arm, 3, settings, keep=True) is None
    (tmp_path / 'runs' / 'plain-3.ckpt').touch()
    assert read_run(tmp_path, arm, 3, settings, keep=True) == made


class TestChoice:
    @pytest.mark.parametrize(
        ('seen', 'held_out'),
        [('grounded-1', 'paper-1'), ('paper-1', 'grounded-1'), ('paper-1', 'paper-1')],
    )
    def test_smallest_mean_error(self, seen: str, held_out: str) -> None:
        arms = {name: load_arm(name) for name in (*ASKED, 'rotated')}
        # Neither plain alignment nor a control, however well they do.
        errors = {'plain': 1, 'rotated': 2, 'grounded-1': 9, 'paper-1': 9}
        best = dict(zip(CHOSEN_BY, (seen, held_out), strict=True))
        made = [
            run(name, seed, **{m: (5 if name == best[m] else x) + y for m in best})
            for name, x in errors.items()
            for seed, y in ((100, -3.0), (101, 3.0))
        ]
        assert choose(arms, made) == tuple(dict.fromkeys((seen, held_out)))

    def test_of_each_beginning(self) -> None:
        names = 'grounded-1', 'geoclip-grounded', 'geoclip-grounded-0.5-heads'
        arms = {name: load_arm(name) for name in names}
        errors = dict(zip(names, (9.0, 2.0, 1.0), strict=True))
        made = [run(a, 100, **dict.fromkeys(CHOSEN_BY, errors[a])) for a in names]
        assert choose(arms, made) == ('grounded-1', 'geoclip-grounded-0.5-heads')

    def test_nothing_to_choose(self) -> None:
        with pytest.raises(ValueError, match='None of the arms compares concepts'):
            choose({'plain': load_arm('plain')}, [])

    def test_rivals(self) -> None:
        arms = {name: load_arm(name) for name in ARMS}
        assert set(rivals_of('grounded-4', arms)) == {'plain', 'heads-4'}
        assert set(rivals_of('paper-1', arms)) == {'plain', 'heads-1'}
        everywhere = rivals_of('grounded-1-everywhere', arms)
        assert set(everywhere) == {'plain', 'heads-1-everywhere'}
        twice = rivals_of('grounded-1-heads', arms)
        assert set(twice) == {'plain', 'heads-1', 'heads-2'}
        # Plain alignment and heads from the same weights, not from scratch.
        from_weights = rivals_of('geoclip-grounded', arms)
        assert set(from_weights) == {'geoclip-plain', 'geoclip-heads'}
        both = rivals_of('geoclip-grounded-0.5-heads', arms)
        assert set(both) == {*from_weights, 'geoclip-heads-0.5'}
        few = {name: arms[name] for name in ('grounded-4', 'plain', 'heads-1')}
        assert rivals_of('grounded-4', few) == ['plain']


class TestReport:
    @pytest.mark.parametrize(
        ('metric', 'difference', 'corrected', 'expected'),
        [
            ('may/seen/median_km', -5.0, 0.01, 'better'),
            ('may/seen/median_km', 5.0, 0.01, 'worse'),
            ('r2/warmth', 0.1, 0.049, 'better'),
            ('r2/warmth', -0.1, 0.049, 'worse'),
            ('r2/warmth', 0.1, 0.05, '='),
            ('r2/warmth', 0.0, np.nan, '='),
        ],
    )
    def test_outcome(
        self, metric: str, difference: float, corrected: float, expected: str
    ) -> None:
        numbers = difference, 0.0, 0.0, corrected, corrected
        assert direction(Comparison(metric, 'a', 'b', *numbers, 8)) == expected

    def test_two_chosen(self) -> None:
        errors = {'plain': 90, 'heads-1': 80, 'grounded-1': 60, 'paper-1': 85}
        arms = {name: load_arm(name) for name in errors}
        rng = np.random.default_rng(0)
        made = [
            run(name, seed, **{'may/seen/median_km': error + rng.normal()})
            for name, error in errors.items()
            for seed in range(8)
        ]
        rivals = {'grounded-1': ['plain', 'heads-1'], 'paper-1': ['heads-1']}
        found = Outcome(arms, made, ('grounded-1', 'paper-1'), rivals, made)
        assert found.tested == ('plain', 'heads-1', 'grounded-1', 'paper-1')
        pairs = [(c.arm, c.other) for c in found.comparisons]
        assert pairs == [(a, b) for a, others in rivals.items() for b in others]
        assert found.verdicts[0] == (
            'grounded-1 beside plain: better in 1 of 1 measurements '
            '(may/seen/median_km), worse in 0 (none).'
        )
        assert found.verdicts[2] == (
            'paper-1 beside heads-1: better in 0 of 1 measurements (none), worse in 1 '
            '(may/seen/median_km).'
        )

    def test_what_the_study_is_about_is_corrected_apart(self) -> None:
        arms = {name: load_arm(name) for name in ('plain', 'grounded-1')}
        rng = np.random.default_rng(0)
        first = 'may/seen/median_km', 'r2/population'
        rest = 'january/seen/median_km', 'r2/warmth'
        made = [
            run(name, seed, **{metric: rng.normal() for metric in (*first, *rest)})
            for name in arms
            for seed in range(4)
        ]
        found = Outcome(arms, made, ('grounded-1',), {'grounded-1': ['plain']}, made)
        assert tuple(c.metric for c in found.primary) == first
        assert {c.metric for c in found.comparisons} == {*first, *rest}
        primary = {c.metric: c for c in found.primary}
        for each in found.comparisons:
            if each.metric in first:
                assert each.p == primary[each.metric].p
                assert each.corrected >= primary[each.metric].corrected
        page = list(page_lines(found, 'command', 'setting', [], {}))
        assert sum(line.startswith('| r2/population |') for line in page) == 2
        assert sum(line.startswith('| r2/warmth |') for line in page) == 1


def test_seeds_of_the_choice_do_not_test(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='choice_seeds must be at least 1, not 0'):
        study(tmp_path, choice_seeds=0)
    with pytest.raises(ValueError, match='first_seed must be at least 0, not -1'):
        study(tmp_path, first_seed=-1)
    with pytest.raises(ValueError, match='from 0 to 99, not from 93 to 100'):
        study(tmp_path, first_seed=93)


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = f'-o {tmp_path / "out"} --choice-seeds=1 --arms plain grund'.split()
    with pytest.raises(SystemExit) as stop:
        run_command(study, words)
    assert stop.value.code == 1
    error = capsys.readouterr().err
    assert error.startswith("python -m alignment_study: No arm 'grund'. ")
    assert not (tmp_path / 'out').exists()


class Interrupted(Exception):
    """Stands for whatever ends a study."""


class TestWhole:
    """A study that is stopped, goes on, and is asked for again."""

    @pytest.fixture(scope='class')
    def folder(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        return tmp_path_factory.mktemp('study')

    @pytest.fixture(scope='class')
    def trained(self) -> list[tuple[str, int]]:
        return []

    @pytest.fixture(scope='class')
    def options(
        self, small_pictures: Path, folder: Path, trained: list[tuple[str, int]]
    ) -> Iterator[dict[str, Any]]:
        rng = np.random.default_rng(0)
        points = rng.uniform((-180, -60), (180, 70), (150, 2))
        rows = [f'{x:.3f},{y:.3f},{30 - abs(y):.3f}' for x, y in points]
        (folder / 'warm.csv').write_text('\n'.join(['lon,lat,warmth', *rows]))
        train = runs.train

        def counted(arm: Any, seed: int, *rest: Any, **options: Any) -> Any:
            trained.append((arm.name, seed))
            if len(trained) == 2:
                raise Interrupted
            return train(arm, seed, *rest, **options)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(runs, 'train', counted)
            patch.setattr(evaluation, 'CANDIDATES', 'land:1500')
            # Encoding texts takes longer than all the rest.
            patch.setattr(evaluation, 'has_sentence_encoder', lambda: False)
            yield {
                'output': folder / 'out',
                'root': small_pictures,
                'arms': ASKED,
                'data': folder / 'warm.csv',
                'choice_seeds': 1,
                'seeds': 2,
                'first_seed': 4,
                'page': folder / 'docs' / 'page.md',
                'figures': folder / 'docs' / 'images',
                'progress': False,
                **SMALL,
            }

    @pytest.fixture(scope='class')
    def report(
        self, options: dict[str, Any], folder: Path, trained: list[tuple[str, int]]
    ) -> StudyReport:
        (folder / 'docs').mkdir()
        (folder / 'docs' / 'page.md').write_text('# Study\n\nBy hand.\n')
        with pytest.raises(Interrupted):
            study(**options)
        assert trained == [('plain', 100), ('grounded-1', 100)]
        return study(**options)

    def test_goes_on(
        self,
        report: StudyReport,
        options: dict[str, Any],
        trained: list[tuple[str, int]],
    ) -> None:
        assert trained[2:] == [
            ('grounded-1', 100),
            *((arm, seed) for seed in (4, 5) for arm in ('grounded-1', 'plain')),
        ]
        table = (report.output / 'study.csv').read_bytes()
        again = study(**options)
        assert len(trained) == 7
        assert (report.output / 'runs' / 'plain-4.ckpt').exists()
        assert (report.output / 'study.csv').read_bytes() == table
        assert again.outcome.verdicts == report.outcome.verdicts

    def test_measurements(self, report: StudyReport) -> None:
        with (report.output / 'study.csv').open() as stream:
            rows = list(csv.DictReader(stream))
        assert {(row['arm'], row['seed']) for row in rows} == {
            (arm, str(seed)) for arm in ('plain', 'grounded-1') for seed in (100, 4, 5)
        }
        tested = {row['metric'] for row in rows if row['seed'] == '4'}
        chosen_by = {row['metric'] for row in rows if row['seed'] == '100'}
        assert {'may/seen/median_km', 'may/held-out/acc@200km', 'auc'} <= tested
        assert {'january/held-out/median_km', 'r2/warmth'} <= tested
        # The validation picture is in the choice alone.
        assert {metric.partition('/')[0] for metric in chosen_by - tested} == {'july'}
        assert tested < chosen_by

    def test_page(self, report: StudyReport, folder: Path) -> None:
        page = (report.output / 'study.md').read_text()
        assert page.startswith('# What was measured\n')
        for arm in ('plain', 'grounded-1'):
            assert f'| {arm} | {load_arm(arm).remark} |' in page
        assert '- left out: paper-1: it needs directions of texts' in page
        assert '50% of these points have the patch of another one.' in (
            page.replace('\n', ' ')
        )
        assert '| may/seen/median_km | grounded-1 | plain | ' in page
        assert '$ PYTHONPATH=docs/research python -m alignment_study --output' in page
        assert str(report).startswith('grounded-1 beside plain: better in ')
        section = (folder / 'docs' / 'page.md').read_text()
        assert section.startswith('# Study\n\nBy hand.\n\n# What was measured\n')

    def test_figures(self, report: StudyReport, folder: Path) -> None:
        for page in (report.output / 'study.md', folder / 'docs' / 'page.md'):
            links = re.findall(r'!\[.*\]\((.*)\)', page.read_text())
            assert {Path(link).name for link in links} >= {
                'study_curves.png',
                'study_errors.png',
            }
            for link in links:
                assert mpimg.imread(page.parent / link).ndim == 3
