# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""The benchmark from its tables to its pages."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import torch

from ...io.pages import command_line, processor, write_lines, write_rows, write_section
from ...utils.devices import Device
from ...utils.files import check_writable
from ...utils.names import near_matches
from .encoders import RELEASED
from .figure import write_figure
from .inputs import Input, make_inputs
from .report import Row, make_row, page_lines
from .run import Job, compute_scores, job_key, make_jobs
from .scores import ScoreFile, SplitName
from .tasks import (
    DATASETS,
    Table,
    choose_targets,
    name_origins,
    read_tables,
    set_groups,
)


def benchmark(
    output: Path,
    data: Path | None = None,
    datasets: Sequence[str] = DATASETS,
    targets: Sequence[str] = (),
    groups: Sequence[str] = (),
    origins: Sequence[str] = (),
    encoders: Sequence[str] = (RELEASED,),
    layers: bool = True,
    splits: Sequence[str] = ('random', 'blocks'),
    seeds: Sequence[int] = (0,),
    degree: int = 20,
    truncate: Sequence[int] = (),
    page: Path | None = None,
    threads: int | None = None,
    device: Device = 'auto',
    progress: bool | None = None,
) -> 'BenchmarkReport':
    """Score encoders on tables of points.

    Each finished score is kept in ``scores.jsonl`` of the folder, so that a run that was
    interrupted goes on where it was, and one with another encoder computes that alone.
    Nothing is downloaded.

    Args:
        output: Folder that gets results.csv, results.md, results.png and scores.jsonl.
        data: Folder of CSV and Parquet files, or one of them, with the columns lon and
            lat. All other columns of numbers are targets; their rows without a value
            are left out of that target alone.
        datasets: Datasets to predict besides, whose tables the extra cities installs.
        targets: Names of the targets or tables to predict. By default, all.
        groups: Kinds of quantities as name=group, where the name of a target does not
            tell it: climate, terrain, land-cover, people, water, imagery, geometry, own
            or other. name=group:distribution also says which distribution on PyPI has
            the very data. They decide which encoders are marked as taught by maps of
            the same kind.
        origins: Where tables come from, as name=text with the name of the file; the
            page says so.
        encoders: Models of TorchGeo's registry, with a colon and the name of weights if
            not the first; safetensors files of ConceptEarth; classes such as
            package.module.Class that take points. released stands for GeoCLIP, SatCLIP
            and all weights of ConceptEarth but HELD_OUT, as far as they are here.
        layers: Predict also from maps, which the extra layers installs.
        splits: random for rows at random, blocks for whole blocks of 10 degrees.
        seeds: Seeds of the splits. More of them average over more folds.
        degree: Highest degree of the spherical harmonics; there are (degree + 1)² - 1.
        truncate: Also try so many principal components of ConceptEarth's embeddings.
        page: Markdown file that also gets the text of results.md, as a section of its own.
        threads: Number of threads to compute with. By default, as many as torch takes.
        device: Where encoders compute. By default, on a GPU if there is one.
        progress: Show a progress bar. By default, on a terminal only.

    Returns:
        What was done, and all rows.

    Raises:
        OSError: If there is no such folder, file or weights, or nothing can be written.
        ValueError: If there is nothing to predict, or no such target, group, encoder or
            split; the message lists near matches.
    """
    start = time.perf_counter()
    command = command_line('benchmark', benchmark, locals())
    output, page = Path(output), None if page is None else Path(page)
    _check_options(splits, seeds, threads)
    tables, left_out = read_tables(None if data is None else Path(data), datasets)
    tables = choose_targets(set_groups(tables, groups), targets)
    said = name_origins(tables, origins)
    if page is not None:
        check_writable(page)
    output.mkdir(parents=True, exist_ok=True)
    check_writable(output / 'scores.jsonl')
    inputs, missing = make_inputs(encoders, layers, degree, truncate, device)
    left_out += missing
    scores = ScoreFile(output / 'scores.jsonl')
    jobs = [job for table in tables for job in make_jobs(table, splits, seeds)]
    with _threads(threads) as used:
        number = compute_scores(tables, inputs, jobs, scores, progress)
    rows = tuple(_rows(tables, inputs, jobs, splits, scores))
    guessed = {(t.table, t.name) for e in tables for t in e.targets if t.is_guessed}
    machine = _machine(used, device)
    lines = page_lines(rows, command, left_out, guessed, machine, said)
    _write(output, page, rows, list(lines))
    return BenchmarkReport(
        output,
        rows,
        number,
        len(jobs) * len(inputs) - number,
        tuple(left_out),
        time.perf_counter() - start,
    )


@dataclass(frozen=True)
class BenchmarkReport:
    """What :func:`benchmark` did.

    Attributes:
        output: Folder of the results.
        rows: Score of each target by each split from each input.
        num_scored: Number of scores that were computed: one for each target, split,
            seed and input.
        num_skipped: Number of scores that were there already.
        left_out: What was left out, and why.
        seconds: Wall-clock time of everything.
    """

    output: Path
    rows: tuple[Row, ...]
    num_scored: int
    num_skipped: int
    left_out: tuple[str, ...]
    seconds: float

    def __str__(self) -> str:
        """Return the report in a few lines."""
        targets = len({(row.table, row.target) for row in self.rows})
        inputs = len({row.input for row in self.rows})
        return '\n'.join(
            [
                *(f'left out: {line}' for line in self.left_out),
                (
                    f'{self.num_scored:,} scores computed, {self.num_skipped:,} were '
                    f'there already, {self.seconds:.1f} s'
                ),
                (
                    f'{targets} target{"s"[: targets != 1]}, {inputs} inputs: '
                    f'{self.output / "results.md"}'
                ),
            ]
        )


def _machine(threads: int, device: Device) -> str:
    """Name what computes."""
    names = [processor(), f'{threads} thread{"s"[: threads != 1]}']
    if device != 'cpu' and torch.cuda.is_available():
        names.append(torch.cuda.get_device_name())
    if hasattr(os, 'getloadavg'):
        # Whoever reads rates should know whether other programs ran beside.
        names.append(f'load average {os.getloadavg()[2]:.1f}')
    return ', '.join(names)


def _write(
    output: Path, page: Path | None, rows: Sequence[Row], lines: Sequence[str]
) -> None:
    write_rows(output / 'results.csv', rows, Row)
    write_lines(output / 'results.md', [*lines, '![All scores](results.png)'])
    if page is not None:
        write_section(page, lines)
    write_figure(output / 'results.png', rows)


def _check_options(
    splits: Sequence[str], seeds: Sequence[int], threads: int | None
) -> None:
    known = get_args(SplitName)
    for name in splits:
        if name not in known:
            raise ValueError(f'No split {name!r}. {near_matches(name, known)}')
    if not splits or not seeds:
        raise ValueError('At least one split and one seed are needed.')
    if min(seeds) < 0:
        raise ValueError(f'seeds must be 0 or more, not {min(seeds)}.')
    if threads is not None and threads < 1:
        raise ValueError(f'threads must be at least 1, not {threads}.')


@contextmanager
def _threads(number: int | None) -> Iterator[int]:
    """Compute with so many threads, in torch and in scikit-learn."""
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    try:
        with threadpool_limits(number):
            torch.set_num_threads(number or before)
            yield number or before
    finally:
        torch.set_num_threads(before)


def _rows(
    tables: Sequence[Table],
    inputs: Sequence[Input],
    jobs: Sequence[Job],
    splits: Sequence[str],
    scores: ScoreFile,
) -> Iterator[Row]:
    for table in tables:
        for column, target in enumerate(table.targets):
            num_rows = int(table.known(column).sum())
            own = [job for job in jobs if job.table is table and job.column == column]
            for made in inputs:
                for split in dict.fromkeys(splits):
                    found = [
                        scores.get(job_key(job, made))
                        for job in own
                        if job.split == split
                    ]
                    done = [one for one in found if one is not None]
                    yield make_row(target, num_rows, split, made, done)
