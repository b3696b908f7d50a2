# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""What the benchmark says: marks, tables and a figure."""

import datetime
import itertools
import platform
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch

from ...io.pages import wrapped
from ...utils.version import VERSION
from .encoders import Layers
from .inputs import Input
from .scores import NUM_FOLDS, Score
from .tasks import OTHER, UNKNOWN, Target

SAME_SOURCE, SAME_KIND, NOT_KNOWN = '*', '+', '?'
LEGEND = {
    SAME_SOURCE: 'taught by the very source of this target',
    SAME_KIND: 'taught by other maps of the same kind of quantity',
    NOT_KNOWN: 'not known to be free of both',
}


PROTOCOL_IN_WORDS = (
    'R² of a ridge regression on frozen features (neighbours and boosting predict as '
    'their names say): mean and standard deviation over five folds and all seeds. Folds '
    'are random rows, or whole blocks of 10 degrees. The penalty is the best over the '
    'folds themselves, so that all scores are slightly high. Points/s are those of '
    'computing features in this run, MB those of the weights on disk.'
)


@dataclass(frozen=True)
class Row:
    """How well one input predicts one target by one split.

    Attributes:
        table: File or dataset.
        target: Name of the column.
        group: Kind of quantity: a group of layers, ``'other'`` or ``'unknown'``.
        split: ``'random'`` or ``'blocks'``.
        input: Name of the input.
        mark: ``'*'`` if it was taught by the very source of the target, ``'+'`` by
            other maps of the same kind, ``'?'`` if that is not known; empty if not.
        r2_mean: Mean of R² over folds and seeds, None where R² is not defined.
        r2_std: Standard deviation over folds and seeds.
        seeds: Number of seeds.
        folds: Number of folds of each.
        dimensions: Number of features.
        points_per_second: How fast they were computed in the run that scored them.
        megabytes: Size of the encoder's weights on disk.
        rows: Number of rows with a value.
    """

    table: str
    target: str
    group: str
    split: str
    input: str
    mark: str
    r2_mean: float | None
    r2_std: float | None
    seeds: int
    folds: int
    dimensions: int | None
    points_per_second: float | None
    megabytes: float | None
    rows: int


def make_row(
    target: Target, num_rows: int, split: str, source: Input, scores: Sequence[Score]
) -> Row:
    """Sum up the scores of all seeds."""
    r2 = torch.tensor([v for s in scores for v in s.r2], dtype=torch.float64)
    rates = [s.points_per_second for s in scores if s.points_per_second is not None]
    return Row(
        target.table,
        target.name,
        target.group,
        split,
        source.name,
        mark(source.layers, target),
        r2.mean().item() if len(r2) else None,
        r2.std(correction=0).item() if len(r2) else None,
        len(scores),
        NUM_FOLDS,
        scores[-1].dimensions if scores else None,
        rates[-1] if rates else None,
        source.megabytes,
        num_rows,
    )


def mark(layers: Layers | None, target: Target) -> str:
    """Tell whether what taught an encoder tells about a target.

    Args:
        layers: Names and versions of the maps that taught it, None if not known.
        target: The target.

    Returns:
        A key of :data:`LEGEND`, empty if nothing of the kind taught it.
    """
    from ...layers import LAYERS, get_layer

    if layers is None:
        return NOT_KNOWN
    known = {
        name: (get_layer(name).group, version.partition(' ')[0])
        for name, version in layers.items()
        if name in LAYERS
    }
    kind = target.group
    if target.source and any(
        source == target.source and kind in (UNKNOWN, OTHER, group)
        for group, source in known.values()
    ):
        return SAME_SOURCE
    if kind == UNKNOWN and layers:
        return NOT_KNOWN
    if any(group == kind for group, _ in known.values()):
        return SAME_KIND
    return '' if len(known) == len(layers) else NOT_KNOWN


# Tables --------------------------------------------------------------------------------


def page_lines(
    rows: Sequence[Row],
    command: str,
    left_out: Sequence[str],
    guessed: set[tuple[str, str]],
    machine: str,
    origins: Mapping[str, str],
) -> Iterator[str]:
    """Yield the lines of the page of results in Markdown.

    Args:
        rows: All rows.
        command: The command that makes them.
        left_out: What was left out and why.
        guessed: Tables and columns whose kind was guessed.
        machine: What computed.
        origins: Where tables come from, by their names.
    """
    yield '# Benchmark'
    yield ''
    yield from wrapped(
        f'{datetime.datetime.now(datetime.UTC):%d %B %Y}: torchgeo-concepts '
        f'{VERSION}, torch {torch.__version__}, Python '
        f'{platform.python_version()}, {machine}.'
    )
    yield '```console'
    yield f'$ {command}'
    yield '```'
    yield ''
    yield from wrapped(PROTOCOL_IN_WORDS)
    for line in left_out:
        yield f'- left out: {line}'
    if left_out:
        yield ''
    yield from target_lines(rows, guessed, origins)


def target_lines(
    rows: Sequence[Row],
    guessed: Collection[tuple[str, str]] = frozenset(),
    origins: Mapping[str, str] = MappingProxyType({}),
    level: int = 2,
) -> Iterator[str]:
    """Yield the lines of a table for each target.

    Args:
        rows: All rows, those of a target together.
        guessed: Tables and columns whose kind was guessed.
        origins: Where tables come from, by their names.
        level: Level of the headings.
    """
    for (table, name), some in itertools.groupby(rows, lambda r: (r.table, r.target)):
        own = list(some)
        splits = list(dict.fromkeys(row.split for row in own))
        how = ' by its name' if (table, name) in guessed else ''
        kind = own[0].group + ('' if own[0].group == UNKNOWN else how)
        yield f'{"#" * level} {name}'
        yield ''
        origin = f' ({origins[table]})' if table in origins else ''
        yield from wrapped(
            f'{own[0].rows:,} rows of {table}{origin}. Kind of quantity: {kind}.'
        )
        yield f'| input | taught | d | {" | ".join(splits)} | points/s | MB |'
        yield f'| --- | --- | ---: |{" ---: |" * len(splits)} ---: | ---: |'
        for _, of_input in itertools.groupby(own, lambda row: row.input):
            yield _line(list(of_input))
        yield ''
        used = [
            f'`{sign}` {text}' for sign, text in LEGEND.items() if has_mark(own, sign)
        ]
        if used:
            yield from wrapped(f'Taught: {"; ".join(used)}.')


def has_mark(rows: Iterable[Row], sign: str) -> bool:
    """Tell whether any row has a mark."""
    return any(row.mark == sign for row in rows)


def _line(rows: Sequence[Row]) -> str:
    first = rows[0]
    dimensions = next((r.dimensions for r in rows if r.dimensions is not None), None)
    rate = next((r.points_per_second for r in rows if r.points_per_second), None)
    cells = [
        first.input.replace('|', '\\|'),
        f'`{first.mark}`' if first.mark else '',
        '-' if dimensions is None else f'{dimensions:,}',
        *map(score_cell, rows),
        '' if rate is None else f'{rate:,.0f}',
        '' if first.megabytes is None else f'{first.megabytes:.1f}',
    ]
    return f'| {" | ".join(cells)} |'


def score_cell(row: Row) -> str:
    """Return a score and its deviation, a dash if it is not defined."""
    if row.r2_mean is None or row.r2_std is None:
        return '-'
    return f'{row.r2_mean:.3f} ± {row.r2_std:.3f}'
