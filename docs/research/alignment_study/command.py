# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""The study: choose arms, test them, and write the page."""

import itertools
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sampled_tables import sample_rows
from tqdm import tqdm

from torchgeo_concepts.datasets.earth_imagery import earth_picture
from torchgeo_concepts.datasets.grounded_points import BLOCK_DEGREES
from torchgeo_concepts.evaluate.benchmark.tasks import DATASETS, read_tables
from torchgeo_concepts.io.pages import (
    command_line,
    write_lines,
    write_rows,
    write_section,
)
from torchgeo_concepts.utils.files import check_writable

from .arms import ARMS, TEST, VALIDATION, Arm, load_arm
from .evaluation import (
    CANDIDATES,
    Evaluation,
    PatchFormat,
    make_evaluations,
    truth_digest,
    write_files,
)
from .figures import write_figures
from .report import Measurement, Outcome, measurements, page_lines, runs_of_arm
from .runs import Run, Settings, read_run, run_arm

COMMAND = 'PYTHONPATH=docs/research python -m alignment_study'

# Measurements that arms are chosen by, in blocks that were trained on and held out.
CHOSEN_BY = tuple(
    f'{VALIDATION[0]}/{where}/median_km' for where in ('seen', 'held-out')
)

PAGE = 'study.md'

# First of the seeds that arms are chosen by; seeds of tests are smaller.
FIRST_CHOICE = 100

# Most rows of a table that is predicted.
ROWS = 15_000


@dataclass(frozen=True)
class StudyReport:
    """Result of :func:`study`.

    Attributes:
        output: Folder of the results.
        outcome: All runs, and the arms that were chosen.
    """

    output: Path
    outcome: Outcome

    def __str__(self) -> str:
        """Return the verdicts and the path of the page."""
        page = f'{len(self.outcome.runs)} runs: {self.output / PAGE}'
        return '\n'.join([*self.outcome.verdicts, page])


def study(
    output: Path = Path('study'),
    root: Path = Path('data/blue-marble'),
    arms: tuple[str, ...] = ARMS,
    data: Path | None = None,
    choice_seeds: int = 2,
    seeds: int = 8,
    first_seed: int = 0,
    steps: int = 400,
    number: int = 60_000,
    batch_size: int = 512,
    patches: int = 4_000,
    mislocated: float = 0.0,
    page: Path | None = None,
    figures: Path | None = None,
    download: bool = False,
    progress: bool | None = None,
) -> StudyReport:
    """Compare ways to align satellite imagery with locations.

    Each arm is trained with a few seeds. Of the arms with the same initial weights, those
    with concepts that locate patches of the validation picture best are chosen: one in
    blocks that were trained on, and one in held-out blocks. The chosen arms, plain
    alignment and arms with heads are then trained with fresh seeds and tested on other
    pictures. Measurements of each run are kept, so that a stopped study can go on.

    Args:
        output: Folder of the runs, study.md and figures.
        root: Folder of the pictures that no distribution on PyPI carries.
        arms: Names of the arms.
        data: Folder of CSV and Parquet files, or one of them, with the columns lon and
            lat; all other columns of numbers are predicted from embeddings. By default,
            cities of the extra cities.
        choice_seeds: Number of seeds that arms are chosen by.
        seeds: Number of fresh seeds. With 0, arms are chosen and not tested.
        first_seed: First of the fresh seeds. Use seeds that nobody has looked at to
            confirm a result.
        steps: Number of training steps.
        number: Number of training points.
        batch_size: Number of samples in a batch.
        patches: Number of patches of each picture to locate.
        mislocated: Share of the training points with the patch of another place, to
            imitate photos with wrong positions.
        page: Markdown file that also gets the text of study.md, as a section.
        figures: Folder of the figures, by default that of the results.
        download: Download pictures that are not found.
        progress: Show progress bars, by default on a terminal only.

    Returns:
        All runs.

    Raises:
        DatasetNotFoundError: If a picture is not found.
        ValueError: If there is no such arm, or a number is out of range.
    """
    command = command_line(COMMAND, study, locals())
    for name, value, least in (
        ('choice_seeds', choice_seeds, 1),
        ('patches', patches, 1),
        ('first_seed', first_seed, 0),
        ('seeds', seeds, 0),
    ):
        if value < least:
            raise ValueError(f'{name} must be at least {least}, not {value}.')
    if first_seed + seeds > FIRST_CHOICE:
        raise ValueError(
            f'Fresh seeds must be from 0 to {FIRST_CHOICE - 1}, not from {first_seed} to '
            f'{first_seed + seeds - 1}; change first_seed or seeds.'
        )
    known = {name: load_arm(name) for name in arms}
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    for path in (output / PAGE, *(() if page is None else (Path(page),))):
        check_writable(path)
    for picture in (*VALIDATION, *TEST):
        earth_picture(picture).find(Path(root), download=download)
    found, left_out = read_tables(
        None if data is None else Path(data), DATASETS if data is None else ()
    )
    tables = [sample_rows(table, ROWS, 0) for table in found]
    settings = Settings(
        Path(root), truth_digest(tables), steps, number, batch_size, patches, mislocated
    )
    missing = write_files(output)
    runnable = {n: arm for n, arm in known.items() if not arm.needs & missing.keys()}
    left_out += [
        f'{name}: it needs {missing[need]}.'
        for name, arm in known.items()
        for need in sorted(arm.needs & missing.keys())
    ]
    evaluations = make_evaluations(settings, tables)
    with tqdm(disable=None if progress is None else not progress) as bar:
        runner = _Runner(runnable, settings, output, bar)
        outcome = _choose_and_test(
            runner,
            evaluations,
            range(FIRST_CHOICE, FIRST_CHOICE + choice_seeds),
            range(first_seed, first_seed + seeds),
        )
    write_rows(output / 'study.csv', measurements(outcome.runs), Measurement)
    folder = output if figures is None else Path(figures)
    drawn = {}
    if seeds:
        tested_on = evaluations[1].data(runnable[outcome.chosen[0]])
        drawn = write_figures(folder, outcome, tested_on, output)
    setting = _describe(settings, evaluations[1 if seeds else 0], runnable.values())

    def lines(page: Path) -> list[str]:
        # Figures by their paths from the page.
        links = {t: os.path.relpath(folder / n, page.parent) for t, n in drawn.items()}
        return list(page_lines(outcome, command, setting, left_out, links))

    write_lines(output / PAGE, lines(output / PAGE))
    if page is not None:
        write_section(Path(page), lines(Path(page)))
    return StudyReport(output, outcome)


@dataclass(frozen=True)
class _Runner:
    """Reads runs that are kept, and makes the others."""

    arms: Mapping[str, Arm]
    settings: Settings
    folder: Path
    bar: 'tqdm[Any]'

    def run(
        self,
        names: Iterable[str],
        seeds: Iterable[int],
        evaluation: Evaluation,
        keep: int | None = None,
    ) -> list[Run]:
        """Return a run for each seed and arm; *keep* is the seed of kept models."""
        runs = []
        for seed, name in itertools.product(seeds, names):
            self.bar.set_description(f'{name} {seed}')
            arm, is_kept = self.arms[name], seed == keep
            run = read_run(self.folder, arm, seed, self.settings, keep=is_kept)
            if run is None:
                data = evaluation.data(arm)
                run = run_arm(arm, seed, self.settings, data, self.folder, keep=is_kept)
            runs.append(run)
            self.bar.update()
        return runs


def _choose_and_test(
    runner: _Runner,
    evaluations: tuple[Evaluation, Evaluation],
    choice_seeds: range,
    fresh: range,
) -> Outcome:
    """Run all arms, choose some, and run these and their rivals with fresh seeds."""
    arms = runner.arms
    # Fail before hours of training.
    _choosable(arms)
    runner.bar.total = len(arms) * len(choice_seeds)
    choice = runner.run(arms, choice_seeds, evaluations[0])
    chosen = choose(arms, choice)
    rivals = {name: rivals_of(name, arms) for name in chosen}
    tested = list(dict.fromkeys(itertools.chain(chosen, *rivals.values())))
    runner.bar.total += len(tested) * len(fresh)
    tests = runner.run(tested, fresh, evaluations[1], keep=fresh.start)
    return Outcome(arms, choice, chosen, rivals, tests)


def _choosable(arms: Mapping[str, Arm]) -> list[str]:
    names = [name for name, arm in arms.items() if arm.can_be_chosen]
    if not names:
        raise ValueError('None of the arms compares concepts. Add one that does.')
    return names


def choose(arms: Mapping[str, Arm], runs: Sequence[Run]) -> tuple[str, ...]:
    """Choose the arms with concepts that locate patches best.

    Args:
        arms: All arms by name.
        runs: Their runs with the seeds that arms are chosen by.

    Returns:
        For each group of arms with the same initial weights, the names of those with the
        smallest median error, averaged over seeds, in blocks that were trained on and in
        held-out blocks, each once.

    Raises:
        ValueError: If no arm can be chosen.
    """
    groups: dict[tuple[Any, ...], list[str]] = {}
    for name in _choosable(arms):
        groups.setdefault(arms[name].initial_weights, []).append(name)

    def error(name: str, metric: str) -> float:
        return float(np.mean([run.metrics[metric] for run in runs_of_arm(runs, name)]))

    best = (
        min(names, key=lambda name: error(name, metric))
        for names in groups.values()
        for metric in CHOSEN_BY
    )
    return tuple(dict.fromkeys(best))


def rivals_of(chosen: str, arms: Mapping[str, Arm]) -> list[str]:
    """Return the arms that a chosen arm must beat.

    Args:
        chosen: Name of the arm.
        arms: All arms by name.

    Returns:
        Of the arms with the same initial weights, plain alignment, and those with heads
        of the same label weight at the same points: weight 1 for an arm without labels;
        one weight and twice that for an arm with heads and labelled projections.
    """
    own = arms[chosen]
    return [
        name
        for name, arm in arms.items()
        if arm.initial_weights == own.initial_weights
        and (arm.is_plain or (arm.has_heads and arm.is_trained_as_much_as(own)))
    ]


def _describe(settings: Settings, evaluation: Evaluation, arms: Iterable[Arm]) -> str:
    formats = {PatchFormat.of_arm(arm) for arm in arms}
    sizes = sorted({each.size for each in formats})
    windows = ' or '.join(f'{size} x {size}' for size in sizes)
    degrees = ' or '.join(str(d) for d in sorted({each.degrees for each in formats}))
    spacing = CANDIDATES.removeprefix('land:')
    tables = ', '.join(
        f'{len(table.points):,} rows of {table.name}' for table in evaluation.tables
    )
    noise = (
        f' {settings.mislocated:.0%} of these points have the patch of another one.'
        if settings.mislocated
        else ''
    )
    return (
        f'Each run has {settings.steps} steps of {settings.batch_size} patches of '
        f'{windows} pixels and {degrees} degrees of one picture, around '
        f'{settings.number:,} points on land. Blocks of {BLOCK_DEGREES} degrees are held '
        f'out.{noise} It is tested on {settings.patches:,} patches of each of the pictures '
        f'{", ".join(evaluation.pictures)}, in blocks that were trained on and in held-out '
        f'blocks. Their places are searched among {len(evaluation.candidates):,} points on '
        f'land, one for every {spacing} x {spacing} km. Concepts that are classes are '
        'scored at points in held-out blocks by the area under the ROC curve. Downstream '
        'is ridge regression from embeddings by the protocol of the benchmark, R² in '
        f'blocks: {tables}.'
    )
