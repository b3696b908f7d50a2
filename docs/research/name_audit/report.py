# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""What an audit says: a verdict, tables, and the page of them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from torchgeo_concepts.io.pages import report_head, today_with, wrapped

from .controls import PROJECTIONS, SCORES, TEXT_REMARK, Control
from .scores import AUC, R2, Measure, Value

# Kinds of rows: controls, other read-outs beside them, and groups that were not taught.
CONTROLS, OTHERS, GROUPS = 'controls', 'others', 'groups'

GROUPS_REMARK = (
    'What predicts if concepts of a group were never trained. NO_CLIMATE has seen no map '
    'of climate, NO_PEOPLE none of people, and DISTILLED no map at all. FAST has seen all '
    'and is of their size; GROUNDED is twice as wide.'
)


@dataclass(frozen=True)
class Row:
    """One score of one input.

    Attributes:
        table: ``'controls'``, ``'others'`` for parts of what is released and weights that
            were taught alike, or ``'groups'`` for concepts that were never trained.
        name: Name of the input.
        against: What it stands beside, empty for what is released.
        measure: What was measured: of names, or the target that was predicted.
        split: How a target was predicted, ``'random'`` or ``'blocks'``; empty for names.
        value: The score.
        low: Lower end of its interval.
        high: Upper end.
        dimensions: Number of features.
        seeds: Number of seeds.
        does_as_well: Whether what it stands beside is not reliably better: higher in at
            least 97.5% of the draws.
    """

    table: str
    name: str
    against: str
    measure: str
    split: str
    value: float
    low: float
    high: float
    dimensions: int
    seeds: int
    does_as_well: bool = False


def make_rows(
    tables: Mapping[str, str],
    found: Mapping[str, Mapping[Measure, Value]],
    against: Mapping[str, str],
    dimensions: Mapping[str, int],
    seeds: int,
) -> list[Row]:
    """Put scores into rows, and compare with what each stands beside.

    Args:
        tables: Kind of each input.
        found: Scores of each input.
        against: What each input stands beside, empty if nothing.
        dimensions: Number of features of each input.
        seeds: Number of seeds.

    Returns:
        The rows, in the order of the scores.
    """
    rows = []
    for name, scores in found.items():
        beside = found.get(against[name], {})
        for (measure, split), score in scores.items():
            other = beside.get((measure, split))
            rows.append(
                Row(
                    tables[name],
                    name,
                    against[name],
                    measure,
                    split,
                    score.value,
                    score.low,
                    score.high,
                    dimensions[name],
                    seeds,
                    other is not None and score.reaches(other),
                )
            )
    return rows


def verdict(rows: Sequence[Row]) -> str:
    """Say which controls do as well as what is released, in a sentence.

    Args:
        rows: All rows.

    Returns:
        The sentence.
    """
    controls = [row for row in rows if row.table == CONTROLS and row.does_as_well]

    def among(chosen: Iterable[Row]) -> str:
        return ', '.join(dict.fromkeys(map(_named, chosen))) or 'none'

    by_auc, by_r2 = (
        among(row for row in controls if row.measure == measure)
        for measure in (AUC, R2)
    )
    blocks = among(row for row in controls if row.split == 'blocks')
    return (
        f'Controls that do as well as what is released - in naming classes: {by_auc}; in '
        f'naming quantities: {by_r2}; downstream, for at least one target in held-out '
        f'blocks: {blocks}.'
    )


def _named(row: Row) -> str:
    """Name a control, and what it stands beside if that is not released itself."""
    is_released = row.against in (SCORES, PROJECTIONS)
    return row.name if is_released else f'{row.name} (beside {row.against})'


def page_lines(
    rows: Sequence[Row],
    controls: Sequence[Control],
    command: str,
    setting: str,
    left_out: Sequence[str],
    drift: str,
    figure: str,
) -> Iterator[str]:
    """Yield the lines of the page in Markdown.

    Args:
        rows: All rows.
        controls: What was tried.
        command: The command that makes the page.
        setting: What the scores were computed on.
        left_out: What was left out, and why.
        drift: How far the directions are from where they started.
        figure: Path of the figure from the page.
    """
    yield '# Audit'
    yield ''
    remark = f'{today_with()}.'
    yield from report_head([verdict(rows)], remark, command, setting, left_out)
    yield f'![Names and downstream scores of all controls]({figure})'
    yield ''
    yield '## Do names say what is there?'
    yield ''
    own = [row for row in rows if row.table != GROUPS]
    yield from _table([row for row in own if not row.split])
    yield from wrapped(drift)
    yield '## Does it matter downstream?'
    yield ''
    yield from _table([row for row in own if row.split])
    yield '## What stands beside what is released'
    yield ''
    yield from wrapped(
        'In all tables, `=` marks a row that does as well as what it stands beside: that '
        'is, what stands beside is higher in less than 97.5% of the draws. Draws are the '
        'same for both, so intervals may overlap where one is reliably better. Parts of '
        'what is released, and HELD_OUT, are no controls, and the first line leaves '
        'them out.'
    )
    yield '| control | beside | |'
    yield '| --- | --- | --- |'
    for control in controls:
        yield f'| {control.name} | {control.against} | {control.remark} |'
    yield ''
    if any('text' in control.name for control in controls):
        yield from wrapped(TEXT_REMARK)
    yield '## Concepts that were never trained'
    yield ''
    yield from wrapped(GROUPS_REMARK)
    yield from _table([row for row in rows if row.table == GROUPS])


def _table(rows: Sequence[Row]) -> Iterator[str]:
    measures = list(dict.fromkeys((row.measure, row.split) for row in rows))
    titles = [f'{m}, {s}' if s else m for m, s in measures]
    yield f'| | numbers | {" | ".join(titles)} |'
    yield f'| --- | ---: |{" ---: |" * len(measures)}'
    for name in dict.fromkeys(row.name for row in rows):
        own = {(r.measure, r.split): r for r in rows if r.name == name}
        numbers = next(iter(own.values())).dimensions
        cells = [_cell(own.get(measure)) for measure in measures]
        yield f'| {name} | {numbers} | {" | ".join(cells)} |'
    yield ''


def _cell(row: Row | None) -> str:
    if row is None:
        return '-'
    sign = ' `=`' if row.does_as_well else ''
    return f'{row.value:.3f} ({row.low:.3f} to {row.high:.3f}){sign}'
