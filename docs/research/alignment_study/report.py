# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""What the study found, as a page."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch

from torchgeo_concepts.io.pages import report_head, today_with, wrapped

from .arms import TEST, Arm
from .statistics import Comparison, compare

if TYPE_CHECKING:
    from .runs import Run


# How the names of median errors end.
ERROR = '/median_km'

# What the study is about, whether an arm locates patches better and its embeddings
# predict more, as tables of the benchmark or of cities name it. It is corrected apart
# from everything else that is measured.
PRIMARY = (
    *(f'{TEST[0]}/{where}{ERROR}' for where in ('seen', 'held-out')),
    *(f'r2/{name}' for name in ('mean_temperature_c', 'annual_c')),
    *(f'r2/{name}' for name in ('population', 'log_population')),
)

# Corrected probabilities below this count as a difference.
SIGNIFICANT = 0.05


@dataclass(frozen=True, eq=False)
class Outcome:
    """All runs of a study.

    Attributes:
        arms: The arms, by name.
        choice: Runs that an arm was chosen by.
        chosen: Names of the arms with concepts that were chosen; of those that begin
            alike, that of the blocks that were trained in first.
        rivals: Names of the arms that each of them must beat.
        tests: Runs with fresh seeds.
    """

    arms: Mapping[str, Arm]
    choice: Sequence['Run']
    chosen: Sequence[str]
    rivals: Mapping[str, Sequence[str]]
    tests: Sequence['Run']

    @property
    def runs(self) -> tuple['Run', ...]:
        """All runs."""
        return (*self.choice, *self.tests)

    @property
    def tested(self) -> tuple[str, ...]:
        """Names of the arms with fresh seeds, rivals first."""
        rivals = itertools.chain(*(self.rivals[name] for name in self.chosen))
        return tuple(dict.fromkeys([*rivals, *self.chosen]))

    @cached_property
    def metrics(self) -> tuple[str, ...]:
        """What arms are compared by: median errors by picture and blocks, and R²."""
        return tuple(
            name
            for run in self.tests[:1]
            for name in run.metrics
            if name.endswith(ERROR) or name.startswith('r2/')
        )

    @cached_property
    def primary(self) -> tuple[Comparison, ...]:
        """Chosen arms beside their rivals in what the study is about."""
        return self._compared([name for name in self.metrics if name in PRIMARY])

    @cached_property
    def comparisons(self) -> tuple[Comparison, ...]:
        """Chosen arms beside their rivals in everything."""
        return self._compared(self.metrics)

    def _compared(self, metrics: Sequence[str]) -> tuple[Comparison, ...]:
        """Compare seed by seed, which a single seed cannot be."""
        if len({run.seed for run in self.tests}) < 2:
            return ()

        def values(arm: str, metric: str) -> list[float]:
            return [run.metrics[metric] for run in of_arm(self.tests, arm)]

        return compare(
            [
                (metric, arm, rival, values(arm, metric), values(rival, metric))
                for arm in self.chosen
                for rival in self.rivals[arm]
                for metric in metrics
            ]
        )

    @property
    def verdicts(self) -> tuple[str, ...]:
        """What each chosen arm is better and worse at than each rival."""
        return tuple(itertools.chain(*(self._verdicts(arm) for arm in self.chosen)))

    def _verdicts(self, arm: str) -> Iterator[str]:
        if not self.tests:
            yield f'{arm} was chosen, and not tested.'
        elif not self.rivals[arm]:
            yield f'{arm} has no rival among the arms.'
        elif not self.primary:
            yield f'{arm} has one seed, which tells no difference from chance.'
        else:
            yield from (self._verdict(arm, rival) for rival in self.rivals[arm])

    def _verdict(self, arm: str, rival: str) -> str:
        own = [c for c in self.primary if (c.arm, c.other) == (arm, rival)]
        better = [c.metric for c in own if outcome(c) == 'better']
        worse = [c.metric for c in own if outcome(c) == 'worse']
        return (
            f'{arm} beside {rival}: better in {len(better)} of {len(own)} measurements '
            f'({", ".join(better) or "none"}), worse in {len(worse)} '
            f'({", ".join(worse) or "none"}).'
        )


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
        for metric, value in {
            **run.metrics,
            'training_minutes': run.training_minutes,
            'measuring_minutes': run.measuring_minutes,
        }.items()
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
    training = np.mean([run.training_minutes for run in found.runs])
    measuring = np.mean([run.measuring_minutes for run in found.runs])
    hours = (training + measuring) * len(found.runs) / 60
    remark = (
        f'{today_with()}, {_threads()}. {len(found.runs)} runs took {hours:.1f} hours: '
        f'{training:.1f} minutes each to train and {measuring:.1f} to measure.'
    )
    yield from report_head(found.verdicts, remark, command, setting, left_out)
    if found.tests:
        yield '## Fresh seeds'
        yield ''
        yield from _means({name: of_arm(found.tests, name) for name in found.tested})
    if found.comparisons:
        yield '## Differences'
        yield ''
        yield from wrapped(
            'Paired t-tests over the seeds, corrected by Holm for all rows of a table. '
            'A smaller error and a larger R² are better. What the study is about:'
        )
        yield from _comparisons(found.primary)
        yield from wrapped('Everything that was measured, those rows among it:')
        yield from _comparisons(found.comparisons)
    if figures:
        yield '## Figures'
        yield ''
    for title, path in figures.items():
        yield f'![{title}]({path})'
        yield ''
        yield from wrapped(f'{title}.')
    yield '## All arms'
    yield ''
    apart = ', at other points than the tables above' if found.tests else ''
    yield from wrapped(
        f'With the seeds that arms are chosen by{apart}. Arms are chosen by the first two '
        'columns alone.'
    )
    yield from _overview({a: of_arm(found.choice, a) for a in found.arms})
    yield '| arm | |'
    yield '| --- | --- |'
    for arm in found.arms.values():
        yield f'| {arm.name} | {arm.remark} |'
    yield ''


def _threads() -> str:
    number = torch.get_num_threads()
    return f'{number} thread' if number == 1 else f'{number} threads'


def _overview(runs: Mapping[str, Sequence['Run']]) -> Iterator[str]:
    """Yield a table of median errors, and one of all that is not about pictures."""
    known = list(next(iter(runs.values()))[0].metrics)
    errors = [metric for metric in known if metric.endswith(ERROR)]
    titles = [metric.removesuffix(ERROR).replace('/', ', ') for metric in errors]
    yield from _table('median error in km', runs, errors, titles)
    rest = [metric for metric in known if '/' not in metric or metric[:3] == 'r2/']
    yield from _table(
        'arm', runs, rest, [metric.removeprefix('r2/') for metric in rest]
    )


def _means(runs: Mapping[str, Sequence['Run']]) -> Iterator[str]:
    """Yield tables of means and standard deviations over seeds, a row for each arm."""
    groups: dict[str, list[str]] = {}
    for metric in next(iter(runs.values()))[0].metrics:
        group, _, _ = metric.rpartition('/')
        groups.setdefault(group if group != 'r2' else '', []).append(metric)
    for group, metrics in groups.items():
        titles = [metric.removeprefix(f'{group or "r2"}/') for metric in metrics]
        first = f'arm on {group.replace("/", ", ")}' if group else 'arm'
        yield from _table(first, runs, metrics, titles)


def _table(
    first: str,
    runs: Mapping[str, Sequence['Run']],
    metrics: Sequence[str],
    titles: Sequence[str],
) -> Iterator[str]:
    yield f'| {first} | seeds | {" | ".join(titles)} | minutes |'
    yield f'| --- | ---: |{" ---: |" * len(metrics)} ---: |'
    for name, some in runs.items():
        cells = [
            _mean([run.metrics[metric] for run in some], metric) for metric in metrics
        ]
        minutes = np.mean([run.training_minutes for run in some])
        yield f'| {name} | {len(some)} | {" | ".join(cells)} | {minutes:.1f} |'
    yield ''


def _mean(values: Sequence[float], metric: str) -> str:
    digits = 3
    if metric.endswith('_km'):
        digits = 1 if np.mean(values) < 1000 else 0
    if len(values) == 1:
        return f'{values[0]:.{digits}f}'
    return f'{np.mean(values):.{digits}f} ± {np.std(values, ddof=1):.{digits}f}'


def _comparisons(comparisons: Sequence[Comparison]) -> Iterator[str]:
    yield '| | arm | beside | difference | 95% interval, uncorrected | p | corrected | |'
    yield '| --- | --- | --- | ---: | ---: | ---: | ---: | --- |'
    for c in comparisons:
        digits = 1 if c.metric.endswith('_km') else 4
        yield (
            f'| {c.metric} | {c.arm} | {c.other} | {c.difference:+.{digits}f} | '
            f'{c.low:+.{digits}f} to {c.high:+.{digits}f} | {c.p:.2g} | '
            f'{c.corrected:.2g} | {outcome(c)} |'
        )
    yield ''
