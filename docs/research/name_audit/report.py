# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Verdict, tables and page of an audit."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from torchgeo_concepts.io.pages import report_head, today_with, wrapped

from .controls import PROJECTIONS, SCORES, TEXT_REMARK, Control
from .scores import AUC, R2, Measure, ScoreInterval

# Kinds of rows: controls, parts of what is released, and groups without training.
CONTROLS, OTHERS, GROUPS = 'controls', 'others', 'groups'

GROUPS_REMARK = (
    'Scores of weights that were trained without a group of maps: NO_CLIMATE without maps '
    'of climate, NO_PEOPLE without maps of people, and DISTILLED without any map. FAST was '
    'trained on all maps and has their size; GROUNDED is twice as wide.'
)


@dataclass(frozen=True)
class AuditRow:
    """One score of one set of features.

    Attributes:
        table: ``'controls'``; ``'others'`` for parts of what is released and weights with
            the same training; or ``'groups'`` for weights without a group of maps.
        name: Name of the features.
        against: Name of what they are compared with, empty for what is released.
        measure: Measure of names, or the target that was predicted.
        split: Split of the predicted points, ``'random'`` or ``'blocks'``; empty for names.
        value: The score.
        low: Lower end of its interval.
        high: Upper end.
        dimensions: Number of features.
        seeds: Number of seeds.
        does_as_well: True unless what it is compared with is higher in at least 97.5% of
            the resamples.
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
    found: Mapping[str, Mapping[Measure, ScoreInterval]],
    against: Mapping[str, str],
    dimensions: Mapping[str, int],
    seeds: int,
) -> list[AuditRow]:
    """Make rows of scores, and compare each with its counterpart.

    Args:
        tables: Kind of row, by name.
        found: Scores, by name.
        against: Name of the counterpart, by name; empty for none.
        dimensions: Number of features, by name.
        seeds: Number of seeds.

    Returns:
        The rows, in the order of the scores.
    """
    rows = []
    for name, scores in found.items():
        counterpart = found.get(against[name], {})
        for (measure, split), score in scores.items():
            other = counterpart.get((measure, split))
            rows.append(
                AuditRow(
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


def verdict(rows: Sequence[AuditRow]) -> str:
    """Return a sentence that names the controls that do as well as what is released.

    Args:
        rows: All rows.

    Returns:
        The sentence.
    """
    controls = [row for row in rows if row.table == CONTROLS and row.does_as_well]

    def names(chosen: Iterable[AuditRow]) -> str:
        return ', '.join(dict.fromkeys(map(_named, chosen))) or 'none'

    by_auc, by_r2 = (
        names(row for row in controls if row.measure == measure)
        for measure in (AUC, R2)
    )
    blocks = names(row for row in controls if row.split == 'blocks')
    return (
        f'Controls that do as well as what is released - in naming classes: {by_auc}; in '
        f'naming quantities: {by_r2}; downstream, for at least one target in held-out '
        f'blocks: {blocks}.'
    )


def _named(row: AuditRow) -> str:
    """Name a control, and its counterpart if that is not released itself."""
    is_released = row.against in (SCORES, PROJECTIONS)
    return row.name if is_released else f'{row.name} (beside {row.against})'


def page_lines(
    rows: Sequence[AuditRow],
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
        controls: All controls.
        command: Command that makes the page.
        setting: Description of the data.
        left_out: Data that was left out, with the reason.
        drift: Sentence on the change of directions in training.
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
    yield '## Controls'
    yield ''
    yield from wrapped(
        'In all tables, `=` marks a row that does as well as its counterpart: the '
        'counterpart is higher in less than 97.5% of the resamples. Both have the same '
        'resamples, so intervals may overlap where one is reliably better. Parts of what '
        'is released, and HELD_OUT, are no controls, and the first line leaves them out.'
    )
    yield '| control | counterpart | |'
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


def _table(rows: Sequence[AuditRow]) -> Iterator[str]:
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


def _cell(row: AuditRow | None) -> str:
    if row is None:
        return '-'
    sign = ' `=`' if row.does_as_well else ''
    return f'{row.value:.3f} ({row.low:.3f} to {row.high:.3f}){sign}'
