# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""What the study found, as a page."""

import datetime
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch

import torchgeo_concepts

from .._pages import processor, wrapped
from .arms import Arm
from .statistics import Comparison, compare

if TYPE_CHECKING:
    from .runs import Run

__all__ = ('Measurement', 'Outcome', 'measurements', 'of_arm', 'page_lines')

# Corrected probabilities below this count as a difference.
SIGNIFICANT = 0.05


@dataclass(frozen=True, eq=False)
class Outcome:
    """All runs of a study.

    Attributes:
        arms: The arms, by name.
        choice: Runs that an arm was chosen by.
        chosen: Name of the arm with concepts that was chosen.
        rivals: Names of the arms that it must beat.
        tests: Runs with fresh seeds.
    """

    arms: Mapping[str, Arm]
    choice: Sequence['Run']
    chosen: str
    rivals: Sequence[str]
    tests: Sequence['Run']

    @property
    def runs(self) -> tuple['Run', ...]:
        """All runs."""
        return (*self.choice, *self.tests)

    @cached_property
    def metrics(self) -> tuple[str, ...]:
        """What arms are compared by: median errors by picture and blocks, and R²."""
        return tuple(
            name
            for name in self.tests[0].metrics
            if name.endswith('/median_km') or name.startswith('r2/')
        )

    @cached_property
    def comparisons(self) -> tuple[Comparison, ...]:
        """The chosen arm beside each rival, seed by seed; none of a single seed."""
        if len(of_arm(self.tests, self.chosen)) < 2:
            return ()
        values = {
            (arm, metric): [run.metrics[metric] for run in of_arm(self.tests, arm)]
            for arm in (self.chosen, *self.rivals)
            for metric in self.metrics
        }
        return compare(
            [
                (metric, self.chosen, rival, values[self.chosen, metric], others)
                for metric in self.metrics
                for rival in self.rivals
                for others in [values[rival, metric]]
            ]
        )

    @property
    def verdict(self) -> str:
        """What the chosen arm is better and worse at, in a sentence or two."""
        if not self.rivals:
            return f'{self.chosen} has no rival among the arms.'
        if not self.comparisons:
            return f'{self.chosen} has one seed, which tells no difference from chance.'
        texts = []
        for rival in self.rivals:
            own = [c for c in self.comparisons if c.other == rival]
            better = [c.metric for c in own if outcome(c) == 'better']
            worse = [c.metric for c in own if outcome(c) == 'worse']
            texts.append(
                f'{self.chosen} beside {rival}: better in {len(better)} of {len(own)} '
                f'measurements ({", ".join(better) or "none"}), worse in {len(worse)} '
                f'({", ".join(worse) or "none"}).'
            )
        return ' '.join(texts)


@dataclass(frozen=True)
class Measurement:
    """A row of the table of all runs.

    Attributes:
        arm: Name of the arm.
        seed: Its seed.
        metric: What was measured.
        value: Its value.
    """

    arm: str
    seed: int
    metric: str
    value: float


def measurements(runs: Iterable['Run']) -> list[Measurement]:
    """Return everything that was measured, a row for each value.

    Args:
        runs: The runs.
    """
    return [
        Measurement(run.arm, run.seed, metric, value)
        for run in runs
        for metric, value in {**run.metrics, 'minutes': run.minutes}.items()
    ]


def of_arm(runs: Iterable['Run'], arm: str) -> list['Run']:
    """Return the runs of an arm, in the order of their seeds.

    Args:
        runs: Runs of several arms.
        arm: Name of the arm.
    """
    return sorted((run for run in runs if run.arm == arm), key=lambda run: run.seed)


def outcome(comparison: Comparison) -> str:
    """Say whether an arm is better, worse or neither.

    Args:
        comparison: The comparison.

    Returns:
        ``'better'``, ``'worse'`` or ``'='``.
    """
    if not comparison.corrected < SIGNIFICANT:
        return '='
    gain = comparison.difference
    if comparison.metric.endswith('_km'):
        gain = -gain
    return 'better' if gain > 0 else 'worse'


def page_lines(
    found: Outcome,
    command: str,
    setting: str,
    left_out: Sequence[str],
    figures: Mapping[str, str],
) -> Iterator[str]:
    """Yield the lines of the page in Markdown, without its conclusion.

    Args:
        found: All runs.
        command: The command that makes the page.
        setting: What all runs share.
        left_out: What was left out, and why.
        figures: Titles of figures, and their paths from the page.
    """
    yield '# What was measured'
    yield ''
    yield from wrapped(f'**{found.verdict}**')
    minutes = sum(run.minutes for run in found.runs)
    yield from wrapped(
        f'{datetime.datetime.now(datetime.UTC):%d %B %Y}: torchgeo-concepts '
        f'{torchgeo_concepts.__version__}, torch {torch.__version__}, Python '
        f'{platform.python_version()}, {processor()}, {torch.get_num_threads()} threads. '
        f'{len(found.runs)} runs took {minutes / 60:.1f} hours of training, '
        f'{minutes / len(found.runs):.1f} minutes each.'
    )
    yield '```console'
    yield f'$ {command}'
    yield '```'
    yield ''
    yield from wrapped(setting)
    for line in left_out:
        yield f'- left out: {line}'
    if left_out:
        yield ''
    yield '## Fresh seeds'
    yield ''
    names = [found.chosen, *found.rivals]
    yield from _means({name: of_arm(found.tests, name) for name in names})
    if found.comparisons:
        yield '## Differences'
        yield ''
        yield from wrapped(
            'Paired t-tests over the seeds, corrected by Holm for all rows of the table. '
            'A smaller error and a larger R² are better.'
        )
        yield from _comparisons(found.comparisons)
    yield '## Figures'
    yield ''
    for title, path in figures.items():
        yield f'![{title}]({path})'
        yield ''
        yield from wrapped(f'{title}.')
    yield '## All arms'
    yield ''
    yield from wrapped(
        'On the picture and the points that arms are chosen by, of which none is in the '
        'tables above.'
    )
    yield from _means({a: of_arm(found.choice, a) for a in found.arms})
    yield '| arm | |'
    yield '| --- | --- |'
    for arm in found.arms.values():
        yield f'| {arm.name} | {arm.remark} |'
    yield ''


def _means(runs: Mapping[str, Sequence['Run']]) -> Iterator[str]:
    """Yield tables of means and standard deviations over seeds, a row for each arm."""
    runs = {name: some for name, some in runs.items() if some}
    groups: dict[str, list[str]] = {}
    for metric in next(iter(runs.values()))[0].metrics if runs else ():
        group, _, _ = metric.rpartition('/')
        groups.setdefault(group if group != 'r2' else '', []).append(metric)
    for group, metrics in groups.items():
        titles = [metric.removeprefix(f'{group}/') for metric in metrics]
        first = f'arm on {group.replace("/", ", ")}' if group else 'arm'
        yield f'| {first} | seeds | {" | ".join(titles)} | minutes |'
        yield f'| --- | ---: |{" ---: |" * len(metrics)} ---: |'
        for name, some in runs.items():
            cells = [
                _mean([run.metrics[metric] for run in some], metric)
                for metric in metrics
            ]
            minutes = np.mean([run.minutes for run in some])
            yield f'| {name} | {len(some)} | {" | ".join(cells)} | {minutes:.1f} |'
        yield ''


def _mean(values: Sequence[float], metric: str) -> str:
    digits = 0 if metric.endswith('_km') else 3
    if len(values) == 1:
        return f'{values[0]:.{digits}f}'
    return f'{np.mean(values):.{digits}f} ± {np.std(values, ddof=1):.{digits}f}'


def _comparisons(comparisons: Sequence[Comparison]) -> Iterator[str]:
    yield '| | beside | difference | 95% interval | p | corrected | |'
    yield '| --- | --- | ---: | ---: | ---: | ---: | --- |'
    for c in comparisons:
        digits = 1 if c.metric.endswith('_km') else 4
        yield (
            f'| {c.metric} | {c.other} | {c.difference:+.{digits}f} | '
            f'{c.low:+.{digits}f} to {c.high:+.{digits}f} | {c.p:.2g} | '
            f'{c.corrected:.2g} | {outcome(c)} |'
        )
    yield ''
