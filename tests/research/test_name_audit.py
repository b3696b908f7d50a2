# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from name_audit import AuditReport, AuditRow, audit, command
from name_audit.controls import make_controls
from name_audit.data import make_audit_data
from name_audit.report import verdict
from name_audit.scores import AUC, ScoreInterval, rising_line, score_names
from name_audit.texts import project_randomly, random_words

from torchgeo_concepts.evaluate.benchmark.tasks import read_tables
from torchgeo_concepts.models import concept_earth

RELEASED = 'released scores', 'released projections'
CHANCE = 'scores with swapped names', 'Δ = 0', 'Gaussian basis of 297'


@pytest.fixture(scope='module')
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of a target that falls with latitude, with a missing value."""
    rng = np.random.default_rng(0)
    points = rng.uniform((-180, -60), (180, 70), (150, 2))
    rows = [f'{x:.3f},{y:.3f},{30 - abs(y):.3f}' for x, y in points]
    path = tmp_path_factory.mktemp('tables') / 'warm.csv'
    path.write_text('\n'.join(['lon,lat,warmth', *rows, '10,10,']))
    return path


@pytest.fixture(scope='module')
def report(tmp_path_factory: pytest.TempPathFactory, table: Path) -> AuditReport:
    folder = tmp_path_factory.mktemp('audit')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, 'GROUP_WEIGHTS', {'NO_CLIMATE': ('x', 'z')})
        patch.setattr('name_audit.controls.SIZES', (512,))
        return audit(
            folder / 'a' / 'b',
            data=table,
            points=600,
            seeds=1,
            num_samples=20,
            text=False,
            page=folder / 'page.md',
            figure=folder / 'figure.png',
            progress=False,
        )


def value(report: AuditReport, name: str, measure: str, split: str = '') -> AuditRow:
    [row] = [
        row
        for row in report.rows
        if (row.name, row.measure, row.split) == (name, measure, split)
    ]
    return row


class TestAudit:
    def test_released_names_hold(self, report: AuditReport) -> None:
        for name in RELEASED:
            auc = value(report, name, AUC)
            assert 0.9 < auc.low <= auc.value <= auc.high <= 1
            assert value(report, name, 'R² of quantities').value > 0.8

    @pytest.mark.parametrize('name', CHANCE)
    def test_random_names_do_not_hold(self, report: AuditReport, name: str) -> None:
        auc = value(report, name, AUC)
        assert 0.35 < auc.value < 0.65
        assert not auc.does_as_well
        assert value(report, name, 'R² of quantities').value < 0.1

    def test_rotated_maps_name_less(self, report: AuditReport) -> None:
        fitted = value(report, 'fitted to the maps', AUC)
        rotated = value(report, 'fitted to rotated maps', AUC)
        assert rotated.high < fitted.low
        distilled = value(report, 'λ = 0 fitted to the maps', AUC)
        assert rotated.value < distilled.value < fitted.value

    def test_added_directions_do_not_change_names(self, report: AuditReport) -> None:
        added = value(report, '215 Gaussian added to projections', AUC)
        assert added.value == pytest.approx(value(report, RELEASED[1], AUC).value)
        assert added.dimensions == 512

    @pytest.mark.parametrize('split', ['random', 'blocks'])
    def test_swapped_names_predict_the_same(
        self, report: AuditReport, split: str
    ) -> None:
        own = value(report, RELEASED[0], 'warm.csv/warmth', split)
        swapped = value(report, CHANCE[0], 'warm.csv/warmth', split)
        assert swapped.value == pytest.approx(own.value, abs=1e-6)
        assert swapped.does_as_well
        assert own.value > 0.9

    def test_page(self, report: AuditReport) -> None:
        page = (report.output / 'audit.md').read_text()
        assert page.startswith('# Audit\n\n**Controls that do as well as what is')
        assert 'scores with swapped names' in report.verdict.partition('downstream')[2]
        for words in (
            '$ PYTHONPATH=docs/research python -m name_audit --output',
            '151 rows of warm.csv',
            'fitted to 600 points on land',
            'rotated by 180° of longitude',
            '| NO_CLIMATE z | 152 |',
            '![Names and downstream scores of all controls](audit.png)',
        ):
            assert words in page
        other = report.output.parents[1] / 'page.md'
        assert other.read_text() == page.replace('(audit.png)', '(figure.png)')
        assert (other.parent / 'figure.png').is_file()


def test_resamples_are_compared_one_by_one() -> None:
    samples = np.linspace(0, 1, 101)
    lower, higher = (ScoreInterval.from_samples([samples - x]) for x in (0.01, 0))
    # Intervals overlap, but one is higher in every resample.
    assert lower.high > higher.low
    assert not lower.reaches(higher)
    assert higher.reaches(lower)
    assert higher.reaches(higher)
    noisy = ScoreInterval.from_samples([samples - 0.01, samples + 0.01])
    assert noisy.reaches(higher)


def test_verdict() -> None:
    score = 0.5, 0.4, 0.6
    row = AuditRow('controls', 'chance', RELEASED[0], AUC, '', *score, 9, 1)
    assert verdict([row]).count('none') == 3
    well = replace(row, does_as_well=True)
    assert 'classes: chance;' in verdict([well])
    assert verdict([replace(well, table='others')]).count('none') == 3


def test_line_does_not_fall() -> None:
    x, y = np.array([0.0, 1.0, 2.0]), np.array([1.0, 3.0, np.nan])
    assert rising_line(x, y, np.array([2.0])) == pytest.approx([5])
    assert rising_line(-x, y, np.array([7.0])) == pytest.approx([2])
    assert rising_line(np.ones(3), y, np.array([7.0])) == pytest.approx([2])


def test_words_have_directions_of_chance(
    table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = random_words(400)
    assert len(set(words)) == 400
    assert words == random_words(400) != random_words(400, seed=1)
    cosines = torch.corrcoef(project_randomly(torch.eye(384)[:5], 512, seed=0))
    assert (cosines - torch.eye(5)).abs().max() < 0.2
    # A sentence encoder in the place of MiniLM, which takes long.
    generator = torch.Generator().manual_seed(0)
    for name, fake in (
        ('has_sentence_encoder', lambda: True),
        ('sentence_vectors', lambda t: torch.randn(len(t), 384, generator=generator)),
    ):
        monkeypatch.setattr(f'name_audit.controls.{name}', fake)
    tables, _ = read_tables(table, ())
    data = make_audit_data(concept_earth('GROUNDED'), 500, 0, tables, 20)
    controls = {c.name: c for c in make_controls(data, 1, text=True)}
    for name in ('texts of the names', 'general bank', 'random words'):
        features = controls[name].make(0)
        assert features.values['warm.csv'].shape == (151, 297)
        assert 0.35 < score_names(data, features)[AUC, ''][0] < 0.65
        other = controls[name].make(1).values['train']
        assert not other.allclose(features.values['train'], atol=0.01)


class TestErrors:
    @pytest.mark.parametrize(
        ('name', 'number', 'least'), [('points', 499, 500), ('num_samples', 19, 20)]
    )
    def test_numbers(self, name: str, number: int, least: int, tmp_path: Path) -> None:
        options: Any = {name: number}
        message = f'{name} must be at least {least}, not {number}'
        with pytest.raises(ValueError, match=message):
            audit(tmp_path, **options)

    @pytest.mark.parametrize(
        'names', [('geoclip_location', 'MP16'), ('concept_earth', 'DISTILLED')]
    )
    def test_encoder_without_concepts(
        self, names: tuple[str, str], tmp_path: Path
    ) -> None:
        with pytest.raises(ValueError, match='no concepts with scores and directions'):
            audit(tmp_path, *names)
