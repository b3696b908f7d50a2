# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""The study from its arms to its page."""

import itertools
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
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
from .report import Measurement, Outcome, measurements, of_arm, page_lines

if TYPE_CHECKING:
    from .exam import Exams
    from .runs import Run, Settings


# Measurements that arms are chosen by: one in blocks that were trained in, and one in
# those that were not.
CHOSEN_BY = tuple(
    f'{VALIDATION[0]}/{where}/median_km' for where in ('seen', 'held-out')
)

PAGE = 'study.md'

# First of the seeds that arms are chosen by; those that they are tested by are smaller.
FIRST_CHOICE = 100

# Most rows of a table that embeddings are tried on.
ROWS = 15_000


@dataclass(frozen=True)
class StudyReport:
    """What :func:`study` found.

    Attributes:
        output: Folder of the results.
        outcome: All runs, and the arms that were chosen.
        seconds: Wall-clock time of this call.
    """

    output: Path
    outcome: Outcome
    seconds: float

    def __str__(self) -> str:
        """Return the report in a few lines, the verdict first."""
        return '\n'.join(
            [
                *self.outcome.verdicts,
                f'{len(self.outcome.runs)} runs: {self.output / PAGE}',
            ]
        )


def study(
    output: Path = Path('study'),
    root: Path = Path('data/blue-marble'),
    arms: Sequence[str] = ARMS,
    data: Path | None = None,
    choice_seeds: int = 2,
    seeds: int = 8,
    first_seed: int = 0,
    steps: int = 400,
    number: int = 60_000,
    batch_size: int = 512,
    questions: int = 4_000,
    mislocated: float = 0.0,
    page: Path | None = None,
    figures: Path | None = None,
    download: bool = False,
    progress: bool | None = None,
) -> StudyReport:
    """Compare ways to align imagery with places, with seeds and controls.

    Each arm is trained with a few seeds. Of the arms that begin alike, those with
    concepts that locate patches of the validation picture best, one in blocks that were
    trained in and one in blocks that were held out, are then trained with fresh seeds,
    as are plain alignment and arms with heads beside the comparison, and these are
    tested on other pictures. What was measured of a run is kept, so that a study that
    is stopped goes on.

    Args:
        output: Folder that gets the runs, study.md and figures.
        root: Folder of the pictures that no distribution on PyPI carries.
        arms: Names of the arms.
        data: Folder of CSV and Parquet files, or one of them, with the columns lon and
            lat; all other columns of numbers are predicted from embeddings. By default,
            cities of the extra cities.
        choice_seeds: Number of seeds that arms are chosen by.
        seeds: Number of fresh seeds. With 0, arms are chosen and not tested.
        first_seed: First of the fresh seeds. Seeds that nobody has looked at yet tell
            whether what others showed was chance.
        steps: Number of steps of training.
        number: Number of points to train on.
        batch_size: Number of samples in a step.
        questions: Number of patches of each picture that are located.
        mislocated: Share of the points to train on whose patch shows another place, as
            photos do whose place was noted wrongly.
        page: Markdown file that also gets the text of study.md, as a section.
        figures: Folder of the figures. By default, that of the results.
        download: Download pictures that are not found.
        progress: Show progress bars. By default, on a terminal only.

    Returns:
        All runs.

    Raises:
        DatasetNotFoundError: If a picture is not found.
        ValueError: If there is no such arm, or a number is out of range.
    """
    command = command_line('study', study, locals())
    start = time.perf_counter()
    _check_positive(choice_seeds=choice_seeds, questions=questions)
    fresh = _fresh(first_seed, seeds)
    choice = range(FIRST_CHOICE, FIRST_CHOICE + choice_seeds)
    known = {name: load_arm(name) for name in arms}
    # What trains takes seconds to import, which other commands need not wait for.
    from .exam import make_exams, truth_digest, write_files
    from .figures import write_figures
    from .runs import Settings

    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    for path in (output / PAGE, *(() if page is None else (Path(page),))):
        check_writable(path)
    for picture in (*VALIDATION, *TEST):
        earth_picture(picture).find(Path(root), download=download)
    found, left_out = read_tables(
        None if data is None else Path(data), DATASETS if data is None else ()
    )
    tables = [table.sample(ROWS, 0) for table in found]
    truth = truth_digest(tables)
    settings = Settings(
        Path(root), truth, steps, number, batch_size, questions, mislocated
    )
    missing = write_files(output)
    runnable = {n: arm for n, arm in known.items() if not arm.needs & missing.keys()}
    left_out += [
        f'{name}: it needs {missing[need]}.'
        for name, arm in known.items()
        for need in sorted(arm.needs & missing.keys())
    ]
    exams = make_exams(settings, tables)
    with tqdm(disable=None if progress is None else not progress) as bar:
        outcome = _run(runnable, settings, exams, output, choice, fresh, bar)
    write_rows(output / 'study.csv', measurements(outcome.runs), Measurement)
    folder = output if figures is None else Path(figures)
    drawn = {}
    if seeds:
        exam = exams[1].of(runnable[outcome.chosen[0]])
        drawn = write_figures(folder, outcome, exam, output)
    setting = _setting(settings, exams[1 if seeds else 0], runnable.values())

    def lines(page: Path) -> list[str]:
        # Figures by their paths from the page.
        links = {t: os.path.relpath(folder / n, page.parent) for t, n in drawn.items()}
        return list(page_lines(outcome, command, setting, left_out, links))

    write_lines(output / PAGE, lines(output / PAGE))
    if page is not None:
        write_section(Path(page), lines(Path(page)))
    return StudyReport(output, outcome, time.perf_counter() - start)


def _check_positive(**numbers: int) -> None:
    for name, number in numbers.items():
        if number < 1:
            raise ValueError(f'{name} must be at least 1, not {number}.')


def _fresh(first: int, number: int) -> range:
    for name, value in (('first_seed', first), ('seeds', number)):
        if value < 0:
            raise ValueError(f'{name} must be at least 0, not {value}.')
    if first + number > FIRST_CHOICE:
        raise ValueError(
            f'Fresh seeds must be from 0 to {FIRST_CHOICE - 1}, not from {first} to '
            f'{first + number - 1}: change first_seed or seeds.'
        )
    return range(first, first + number)


def _run(
    arms: Mapping[str, Arm],
    settings: 'Settings',
    exams: tuple['Exams', 'Exams'],
    folder: Path,
    choice_seeds: range,
    fresh: range,
    bar: 'tqdm[Any]',
) -> Outcome:
    """Run all arms to choose some, and those and their rivals to test them."""
    from .runs import read_run, run_arm

    # Whether any can be chosen is known before hours of training.
    _eligible(arms)
    bar.total = len(arms) * len(choice_seeds)

    def runs(
        names: Iterable[str], numbers: Iterable[int], asked: 'Exams', keep: int | None
    ) -> list['Run']:
        made = []
        for seed, name in itertools.product(numbers, names):
            bar.set_description(f'{name} {seed}')
            own = arms[name], seed, settings
            run = read_run(folder, *own, keep=seed == keep)
            if run is None:
                exam = asked.of(arms[name])
                run = run_arm(*own, exam, folder, keep=seed == keep)
            made.append(run)
            bar.update()
        return made

    choice = runs(arms, choice_seeds, exams[0], None)
    chosen = choose(arms, choice)
    rivals = {name: rivals_of(name, arms) for name in chosen}
    tested = list(dict.fromkeys(itertools.chain(chosen, *rivals.values())))
    bar.total += len(tested) * len(fresh)
    tests = runs(tested, fresh, exams[1], fresh.start)
    return Outcome(arms, choice, chosen, rivals, tests)


def _eligible(arms: Mapping[str, Arm]) -> list[str]:
    names = [name for name, arm in arms.items() if arm.can_be_chosen]
    if not names:
        raise ValueError('None of the arms compares concepts. Add one that does.')
    return names


def choose(arms: Mapping[str, Arm], runs: Sequence['Run']) -> tuple[str, ...]:
    """Choose the arms with concepts that locate patches best.

    Args:
        arms: All arms by name.
        runs: Their runs with the seeds that arms are chosen by.

    Returns:
        Of the arms that begin alike, for each such beginning, the names of those of the
        smallest median error, on average over its seeds, in blocks that were trained in
        and in those that were not, each once.

    Raises:
        ValueError: If no arm can be chosen.
    """
    names = _eligible(arms)

    def error(name: str, metric: str) -> float:
        return float(np.mean([run.metrics[metric] for run in of_arm(runs, name)]))

    alike: dict[tuple[Any, ...], list[str]] = {}
    for name in names:
        alike.setdefault(arms[name].beginning, []).append(name)
    best = (
        min(some, key=lambda name: error(name, metric))
        for some in alike.values()
        for metric in CHOSEN_BY
    )
    return tuple(dict.fromkeys(best))


def rivals_of(chosen: str, arms: Mapping[str, Arm]) -> list[str]:
    """Return the arms that a chosen arm must beat.

    Args:
        chosen: Name of the arm.
        arms: All arms by name.

    Returns:
        Of the arms that begin alike, plain alignment, and those with heads beside the
        comparison that the same maps teach as much at the same points: heads of weight
        1 for an arm that no map teaches; those of one weight and of twice that for an
        arm that is taught in two ways.
    """
    own = arms[chosen]
    return [
        name
        for name, arm in arms.items()
        if arm.beginning == own.beginning
        and (arm.is_plain or (arm.has_heads and arm.is_taught_as_much_as(own)))
    ]


def _setting(settings: 'Settings', exams: 'Exams', arms: Iterable[Arm]) -> str:
    # Imported late, as all that trains.
    from .exam import CANDIDATES, Cut

    pictures = ', '.join(exams.pictures)
    cuts = {Cut.of(arm) for arm in arms}
    windows = ' or '.join(f'{size} x {size}' for size in sorted({c.size for c in cuts}))
    degrees = ' or '.join(f'{height}' for height in sorted({c.degrees for c in cuts}))
    spacing = CANDIDATES.removeprefix('land:')
    tables = ', '.join(
        f'{len(table.points):,} rows of {table.name}' for table in exams.tables
    )
    blocks = f'blocks of {BLOCK_DEGREES} degrees that are held out'
    noise = f'{settings.mislocated:.0%} of these patches show another of the points. '
    return (
        f'Each run has {settings.steps} steps of {settings.batch_size} patches of '
        f'{windows} pixels and {degrees} degrees of one picture, around '
        f'{settings.number:,} points on land outside of the {blocks}. '
        f'{noise if settings.mislocated else ""}It is asked for '
        f'{settings.questions:,} patches of each of the pictures {pictures}, in blocks '
        'that were trained in and in those that were held out, whose places are searched '
        f'among {len(exams.candidates):,} points on land, one for every {spacing} x '
        f'{spacing} km. Classes of concepts are scored at the points in held-out blocks '
        'by the area under the ROC curve. Downstream is ridge regression from embeddings '
        f'by the protocol of the benchmark, R² in blocks: {tables}.'
    )
