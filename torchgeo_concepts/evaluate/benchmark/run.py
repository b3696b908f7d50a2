# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Computation of scores, with the features of each table computed once."""

import hashlib
import json
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from ...geo.splits import Folds
from .inputs import Input
from .scores import (
    PROTOCOL,
    BenchmarkScore,
    ScoreFile,
    make_folds,
    score,
    why_undefined,
)
from .tasks import Table

# Number of points whose features are computed before the speed is measured.
WARM_UP = 64


@dataclass(frozen=True, eq=False)
class Job:
    """Target of a table, with the folds of its known rows."""

    table: Table
    column: int
    split: str
    seed: int
    folds: Folds
    known: Tensor
    digest: str

    def key(self, source: Input) -> str:
        """Return the key of the score of an input."""
        parts = [PROTOCOL, self.digest, self.split, self.seed, source.identity]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def make_jobs(
    table: Table, splits: Sequence[str], seeds: Sequence[int]
) -> Iterator[Job]:
    """Yield the jobs of a table, and warn of targets whose R² is not defined."""
    for column, target in enumerate(table.targets):
        known = torch.from_numpy(table.known(column))
        points, digest = table.points[known], table.digest(column)
        values = table.values[known, column].numpy()
        reasons: dict[str, None] = {}
        for split in dict.fromkeys(splits):
            for seed in dict.fromkeys(seeds):
                folds = make_folds(points, split, seed) if len(points) else []
                if why := why_undefined(values, folds, split):
                    reasons[why] = None
                else:
                    yield Job(table, column, split, seed, folds, known, digest)
        if reasons:
            warnings.warn(
                f'{target.title}: R² is not defined and is shown as -, because '
                f'{"; ".join(reasons)}.',
                stacklevel=3,
            )


def compute_scores(
    tables: Sequence[Table],
    inputs: Sequence[Input],
    jobs: Sequence[Job],
    scores: ScoreFile,
    progress: bool | None,
) -> int:
    """Compute the missing scores, and return their number."""
    todo = {
        source: [job for job in jobs if job.key(source) not in scores.scores]
        for source in inputs
    }
    number = sum(map(len, todo.values()))
    # None shows the bar on a terminal only.
    disable = None if progress is None else not progress
    with tqdm(total=number, unit='score', disable=disable) as bar:
        for table in tables:
            for source, waiting in todo.items():
                own = [job for job in waiting if job.table is table]
                if own:
                    bar.set_postfix_str(source.name)
                    for done in _score(table, source, own):
                        scores.add(done)
                        bar.update()
    return number


def _score(
    table: Table, source: Input, jobs: Sequence[Job]
) -> Iterator[BenchmarkScore]:
    """Compute features once, and yield the score of each job."""
    x, rate = _features(table, source)
    together: dict[tuple[bytes, str, int], list[Job]] = {}
    for job in jobs:
        # Targets that are known in the same rows share their folds, and most of the work.
        key = job.known.numpy().tobytes(), job.split, job.seed
        together.setdefault(key, []).append(job)
    for group in together.values():
        known, folds = group[0].known, group[0].folds
        y = table.values[known][:, [job.column for job in group]]
        r2 = score(x[known], y, folds, source.predictor)
        for job, values in zip(group, r2, strict=True):
            yield BenchmarkScore(
                job.key(source),
                table.targets[job.column].title,
                job.split,
                job.seed,
                source.name,
                values,
                x.shape[1],
                rate,
            )


def _features(table: Table, source: Input) -> tuple[Tensor, float | None]:
    """Return features of all points, and the number of points per second."""
    source.features(table.points[:WARM_UP])
    start = time.perf_counter()
    x = source.features(table.points)
    rate = len(x) / (time.perf_counter() - start)
    if source.predictor == 'ridge' and not x.isfinite().all():
        row = int((~x.isfinite().all(dim=1)).nonzero()[0])
        raise ValueError(
            f'{source.name} returns features that are not finite, first at '
            f'{tuple(table.points[row].tolist())}, row {row} of {table.name}.'
        )
    return x, rate if source.is_computed else None
