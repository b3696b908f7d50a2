# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Page of the results of the study."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from torchgeo_concepts.io.pages import report_head, today_with, wrapped

from .arms import TEST, Arm
from .runs import Run
from .statistics import Comparison, compare

# Suffix of the names of median errors.
ERROR = '/median_km'

# Measurements that the study was set up for: errors on the first test picture, and
# prediction of temperature and population. They are corrected apart from all others.
PRIMARY = (
    *(f'{TEST[0]}/{where}{ERROR}' for where in ('seen', 'held-out')),
    *(f'r2/{name}' for name in ('mean_temperature_c', 'annual_c')),
    *(f'r2/{name}' for name in ('population', 'log_population')),
)

# Corrected p-values below this count as a difference.
SIGNIFICANT = 0.05


@dataclass(frozen=True, eq=False)
class Outcome:
    """Runs of a study, and the arms that were chosen.

    Attributes:
        arms: The arms, by name.
        choice: Runs that arms were chosen by.
        chosen: Names of the chosen arms; of those with the same initial weights, the
            best in blocks that were trained on first.
        rivals: Names of the arms that each of them must beat.
        tests: Runs with fresh seeds.
    """

    arms: Mapping[str, Arm]
    choice: Sequence[Run]
    chosen: Sequence[str]
    rivals: Mapping[str, Sequence[str]]
    tests: Sequence[Run]

    @property
    def runs(self) -> tuple[Run, ...]:
        """All runs."""
        return (*self.choice, *self.tests)

    @property
    def tested(self) -> tuple[str, ...]:
        """Names of the arms with fresh seeds, rivals first."""
        rivals = itertools.chain(*(self.rivals[name] for name in self.chosen))
        return tuple(dict.fromkeys([*rivals, *self.chosen]))

    @cached_property
    def metrics(self) -> tuple[str, ...]:
        """Measurements that arms are compared by: median errors and R²."""
        return tuple(
            name
            for run in self.tests[:1]
            for name in run.metrics
            if name.endswith(ERROR) or name.startswith('r2/')
        )

    @cached_property
    def primary(self) -> tuple[Comparison, ...]:
        """Comparisons of chosen arms with rivals in what the study was set up for."""
        return self._compared([name for name in self.metrics if name in PRIMARY])

    @cached_property
    def comparisons(self) -> tuple[Comparison, ...]:
        """Comparisons of chosen arms with rivals in all measurements."""
        return self._compared(self.metrics)

    def _compared(self, metrics: Sequence[str]) -> tuple[Comparison, ...]:
        """Compare seed by seed; a single seed gives nothing to compare."""
        if len({run.seed for run in self.tests}) < 2:
            return ()

        def values(arm: str, metric: str) -> list[float]:
            return [run.metrics[metric] for run in runs_of_arm(self.tests, arm)]

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
        """One sentence for each chosen arm and rival."""
        return tuple(itertools.chain(*(self._verdicts(arm) for arm in self.chosen)))

    def _verdicts(self, arm: str) -> Iterator[str]:
        if not self.tests:
            yield f'{arm} was chosen, and not tested.'
        elif not self.rivals[arm]:
            yield f'{arm} has no rival among the arms.'
        elif not self.primary:
            yield f'{arm} has one seed, too few for a test.'
        else:
            yield from (self._verdict(arm, rival) for rival in self.rivals[arm])

    def _verdict(self, arm: str, rival: str) -> str:
        own = [c for c in self.primary if (c.arm, c.other) == (arm, rival)]
        better = [c.metric for c in own if direction(c) == 'better']
        worse = [c.metric for c in own if direction(c) == 'worse']
        return (
            f'{arm} beside {rival}: better in {len(better)} of {len(own)} measurements '
            f'({", ".join(better) or "none"}), worse in {len(worse)} '
            f'({", ".join(worse) or "none"}).'
        )


@dataclass(frozen=True)
class Measurement:
    """Row of the table of all runs.

    Attributes:
        arm: Name of the arm.
        seed: Its seed.
        metric: Name of the measurement.
        value: Its value.
    """

    arm: str
    seed: int
    metric: str
    value: float


def measurements(runs: Iterable[Run]) -> list[Measurement]:
    """Return all measurements, a row for each value.

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


def runs_of_arm(runs: Iterable[Run], arm: str) -> list[Run]:
    """Return the runs of an arm, ordered by seed.

    Args:
        runs: Runs of several arms.
        arm: Name of the arm.
    """
    return sorted((run for run in runs if run.arm == arm), key=lambda run: run.seed)


def direction(comparison: Comparison) -> str:
    """Return the direction of a difference, if it is significant.

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
    """Yield the lines of the page in Markdown.

    Args:
        found: Results.
        command: Command that makes the page.
        setting: Description of the settings.
        left_out: Arms and tables that were left out, with the reason.
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
        yield from _means(
            {name: runs_of_arm(found.tests, name) for name in found.tested}
        )
    if found.comparisons:
        yield '## Differences'
        yield ''
        yield from wrapped(
            'Paired t-tests over the seeds, corrected by Holm for all rows of a table. '
            'A smaller error and a larger R² are better. Measurements that the study was '
            'set up for:'
        )
        yield from _comparisons(found.primary)
        yield from wrapped('All measurements, including those rows:')
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
    yield from wrapped(
        'These are runs with the seeds that arms are chosen by. Arms are chosen by the '
        'first two columns alone.'
        + (' Points are others than in the tables above.' if found.tests else '')
    )
    yield from _overview({a: runs_of_arm(found.choice, a) for a in found.arms})
    yield '| arm | |'
    yield '| --- | --- |'
    for arm in found.arms.values():
        yield f'| {arm.name} | {arm.remark} |'
    yield ''


def _threads() -> str:
    number = torch.get_num_threads()
    return f'{number} thread' if number == 1 else f'{number} threads'


def _overview(runs: Mapping[str, Sequence[Run]]) -> Iterator[str]:
    """Yield a table of median errors, and one of the other measurements."""
    known = list(next(iter(runs.values()))[0].metrics)
    errors = [metric for metric in known if metric.endswith(ERROR)]
    titles = [metric.removesuffix(ERROR).replace('/', ', ') for metric in errors]
    yield from _table('median error in km', runs, errors, titles)
    rest = [metric for metric in known if '/' not in metric or metric[:3] == 'r2/']
    yield from _table(
        'arm', runs, rest, [metric.removeprefix('r2/') for metric in rest]
    )


def _means(runs: Mapping[str, Sequence[Run]]) -> Iterator[str]:
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
    runs: Mapping[str, Sequence[Run]],
    metrics: Sequence[str],
    titles: Sequence[str],
) -> Iterator[str]:
    yield f'| {first} | seeds | {" | ".join(titles)} | minutes |'
    yield f'| --- | ---: |{" ---: |" * len(metrics)} ---: |'
    for name, own in runs.items():
        cells = [
            _mean([run.metrics[metric] for run in own], metric) for metric in metrics
        ]
        minutes = np.mean([run.training_minutes for run in own])
        yield f'| {name} | {len(own)} | {" | ".join(cells)} | {minutes:.1f} |'
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
            f'{c.corrected:.2g} | {direction(c)} |'
        )
    yield ''
