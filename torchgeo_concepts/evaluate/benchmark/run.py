# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""The work of the benchmark: features once a table, and what can be scored together."""

import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from ...geo.splits import Folds
from .inputs import Input
from .scores import Score, ScoreFile, make_folds, score, score_key, why_undefined
from .tasks import Table

# Points on which features are computed before time is taken.
WARM_UP = 64


@dataclass(frozen=True, eq=False)
class Job:
    """A target of a table, and folds of the rows that have it."""

    table: Table
    column: int
    split: str
    seed: int
    folds: Folds
    known: Tensor
    digest: str


def make_jobs(
    table: Table, splits: Sequence[str], seeds: Sequence[int]
) -> Iterator[Job]:
    """Yield what can be scored, and warn of targets that cannot."""
    for column, target in enumerate(table.targets):
        known = torch.from_numpy(table.known(column))
        points, digest = table.points[known], table.digest(column)
        values = table.values[known, column].numpy()
        reasons: dict[str, None] = {}
        for split in dict.fromkeys(splits):
            for seed in dict.fromkeys(seeds):
                folds = make_folds(points, split, seed) if len(points) else []
                why = why_undefined(values, folds, split)
                if why:
                    reasons[why] = None
                else:
                    yield Job(table, column, split, seed, folds, known, digest)
        if reasons:
            warnings.warn(
                f'{target.title}: R² is not defined, and - stands for it, where '
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
    """Compute the scores that are not there, and say how many they are."""
    todo = {
        made: [job for job in jobs if job_key(job, made) not in scores]
        for made in inputs
    }
    number = sum(map(len, todo.values()))
    # tqdm takes None for: show on a terminal only.
    disable = None if progress is None else not progress
    with tqdm(total=number, unit='score', disable=disable) as bar:
        for table in tables:
            for made, waiting in todo.items():
                own = [job for job in waiting if job.table is table]
                if own:
                    bar.set_postfix_str(made.name)
                for done in _score(table, made, own):
                    scores.add(done)
                    bar.update()
    return number


def job_key(job: Job, made: Input) -> str:
    """Return what tells the score of a job from all others."""
    return score_key(job.digest, job.split, job.seed, made.identity)


def _score(table: Table, made: Input, jobs: Sequence[Job]) -> Iterator[Score]:
    """Compute features once, and yield the score of each job."""
    if not jobs:
        return
    x, rate = _features(table, made)
    together: dict[tuple[bytes, str, int], list[Job]] = {}
    for job in jobs:
        # Targets that are known in the same rows share their folds, and much work.
        key = job.known.numpy().tobytes(), job.split, job.seed
        together.setdefault(key, []).append(job)
    for some in together.values():
        first = some[0]
        y = table.values[first.known][:, [job.column for job in some]]
        r2 = score(x[first.known], y, first.folds, made.predictor)
        for job, values in zip(some, r2, strict=True):
            yield Score(
                job_key(job, made),
                table.targets[job.column].title,
                job.split,
                job.seed,
                made.name,
                values,
                x.shape[1],
                rate,
            )


def _features(table: Table, made: Input) -> tuple[Tensor, float | None]:
    """Compute features of all points, and tell how many points a second."""
    made.features(table.points[:WARM_UP])
    start = time.perf_counter()
    x = made.features(table.points)
    rate = len(x) / (time.perf_counter() - start)
    if made.predictor == 'ridge' and not x.isfinite().all():
        row = int((~x.isfinite().all(dim=1)).nonzero()[0])
        raise ValueError(
            f'{made.name} has features that are not finite, first at '
            f'{tuple(table.points[row].tolist())}, row {row} of {table.name}.'
        )
    return x, rate if made.is_computed else None
