# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Bank building from maps, tables and the answers of a language model."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal

from ..io.csv_files import read_csv_rows
from ..io.pages import write_lines, write_rows
from ..utils.names import check_known, near_matches, normalise
from .bank import ConceptBank
from .concept import CATEGORIES, FIELDS, Concept
from .duplicates import Duplicate, near_duplicates, same_names
from .enrichment import apply_answers, enrichment_prompt, read_answers
from .text import OpenCLIPText, TextEncoder, encode_text

# Columns of plain tables, and of exports from Wikidata and WorldKG.
COLUMNS = {
    'name': ('name', 'itemLabel', 'classLabel', 'label', 'title'),
    'definition': ('definition', 'itemDescription', 'description', 'comment'),
    'aliases': ('aliases', 'itemAltLabel', 'altLabel'),
    'source': ('source', 'item', 'class', 'uri', 'qid'),
}

# First words of the source of each map's concepts.
MAPS = {'igbp': 'IGBP ', 'koppen-geiger': 'Köppen-Geiger '}

_WIKIDATA_ID = re.compile(r'Q\d+')

# Decisions that a person makes; each build replaces all other rows of the review file.
DECISIONS = ('keep', 'drop', 'merge')


@dataclass(frozen=True)
class Drop:
    """Candidate that did not become a concept.

    Attributes:
        stage: ``'ground'`` (read seeds), ``'enrich'`` (read answers) or ``'refine'``.
        where: File and row or line, source, or the concept that it was merged into.
        name: Name of the candidate.
        reason: Reason why it was dropped.
    """

    stage: str
    where: str
    name: str
    reason: str


@dataclass(frozen=True)
class Decision:
    """Row of the review file.

    Attributes:
        id: Identifier of the concept.
        name: Name of the concept.
        decision: ``'keep'`` both concepts, ``'drop'`` this one, or ``'merge'`` it into
            the other one. ``'auto'`` is an automatic merge of names that differ only in
            spelling. Empty if undecided, which keeps both.
        into: Identifier of the other concept. Without it, ``'keep'`` applies to all
            others.
        reason: Reason why the concept is listed, or reason for the decision.
    """

    id: str
    name: str
    decision: str = ''
    into: str = ''
    reason: str = ''


class _Review:
    """Decisions of a person in a review file."""

    def __init__(self, path: Path) -> None:
        self.decisions = _read_decisions(path) if path.is_file() else []
        self.removals = {d.id: d for d in self.decisions if d.decision != 'keep'}
        self._kept = {(d.id, d.into) for d in self.decisions if d.decision == 'keep'}

    def keeps_apart(self, first: Concept, second: Concept) -> bool:
        """Return True if a person decided to keep both concepts."""
        pairs = {(first.id, second.id), (second.id, first.id)}
        alone = {(first.id, ''), (second.id, '')}
        return not self._kept.isdisjoint(pairs | alone)


def _read_decisions(path: Path) -> list[Decision]:
    columns = [column.name for column in fields(Decision)]
    names, rows = read_csv_rows(path)
    if not set(columns) <= set(names):
        raise ValueError(f'{path} must have the columns {", ".join(columns)}.')
    decisions = []
    for row, values in enumerate(rows):
        decision = Decision(**{name: values[name].strip() for name in columns})
        if decision.decision in DECISIONS:
            decisions.append(decision)
        elif decision.decision not in ('', 'auto'):
            where = f'{path}: row {row} (counted from 0) has the decision'
            check_known(where, decision.decision, DECISIONS)
    return decisions


@dataclass(frozen=True)
class BuildReport:
    """Result of :func:`build_bank`.

    Attributes:
        folder: Folder of the files.
        bank: The bank.
        drops: Candidates that did not become concepts.
        undecided: Number of pairs that a person should review.
        unmatched: Identifiers in the review file that no candidate has.
        compared_texts: True if texts were compared, False if only names were.
    """

    folder: Path
    bank: ConceptBank
    drops: list[Drop]
    undecided: int
    unmatched: list[str]
    compared_texts: bool

    def __str__(self) -> str:
        """Return the report in a few lines."""
        lines = [
            f'{len(self.bank)} concepts: {self.folder / "bank.csv"}',
            f'{len(self.drops)} dropped or merged: {self.folder / "dropped.csv"}',
            f'{self.undecided} to decide: {self.folder / "review.csv"}',
            f'prompt for a language model: {self.folder / "enrich.md"}',
        ]
        if self.unmatched:
            lines.append(f'decisions about unknown concepts: {self.unmatched}')
        if not self.compared_texts:
            lines.append('only names were compared: comparing texts needs a text model')
        return '\n'.join(lines)


def build_bank(
    output: Path,
    seeds: Sequence[Literal['igbp', 'koppen-geiger']] = (),
    tables: Sequence[Path] = (),
    answers: Sequence[Path] = (),
    category: str | None = None,
    topic: str = 'the whole Earth',
    count: int = 50,
    threshold: float = 0.9,
    text_model: str | None = None,
    pretrained: str = 'openai',
    download: bool = False,
    encoder: TextEncoder | None = None,
) -> BuildReport:
    """Build a concept bank in a folder.

    Reads concepts from classes of published maps and from tables, fills their empty
    fields with the answers of a language model, and merges names that differ only in
    spelling. Pairs of texts with nearly the same meaning are listed for review. Build
    again after you edit ``review.csv`` or add answers; all decisions are applied again.

    Writes ``bank.csv``; ``review.csv``, in which you write keep, drop or merge;
    ``dropped.csv``, with a reason for each candidate that is not in the bank; and
    ``enrich.md``, a prompt for a language model.

    Args:
        output: Folder of the files. Created if it does not exist.
        seeds: Maps whose classes are concepts.
        tables: CSV files with names, such as Wikidata exports or banks.
        answers: Files of JSON lines with the answers of a language model.
        category: Category of table rows that have none.
        topic: Topic of the bank, for the prompt.
        count: Number of concepts to ask the language model for.
        threshold: Minimum cosine of the texts of pairs that are listed for review.
        text_model: open_clip model that compares texts, such as ViT-L-14-quickgelu.
        pretrained: Weights of the model: a tag of open_clip, or the path of a checkpoint.
        download: Download the weights if they are not on this machine.
        encoder: Text encoder that compares texts instead of an open_clip model.

    Returns:
        A report of the build.

    Raises:
        ValueError: If a file cannot be read, or a decision cannot be applied.
    """
    if text_model is not None and encoder is None:
        encoder = OpenCLIPText.from_pretrained(
            text_model, pretrained, download=download
        )
    review = _Review(output / 'review.csv')
    drops: list[Drop] = []
    concepts = _ground(seeds, tables, category, drops)
    concepts = _enrich(concepts, answers, drops)
    concepts = _distinct_ids(_valid(concepts, drops), drops)
    remaining = [concept for concept in concepts if concept.id not in review.removals]
    pairs = _to_review(remaining, same_names(remaining), review)
    merges = {d.id: d for d in pairs if d.decision == 'auto'}
    bank = _apply(concepts, merges | review.removals, drops)
    if encoder is not None and len(bank):
        similar = near_duplicates(encode_text(bank, encoder), threshold)
        pairs += _to_review(list(bank), similar, review)
    ids = set(bank.ids)
    doubts = [d for d in pairs if not d.decision and {d.id, d.into} <= ids]
    report = BuildReport(
        output,
        bank,
        drops,
        len(doubts),
        sorted({d.id for d in review.decisions} - {c.id for c in concepts}),
        encoder is not None,
    )
    output.mkdir(parents=True, exist_ok=True)
    bank.save(output / 'bank.csv')
    rows = [*review.decisions, *merges.values(), *doubts]
    write_rows(output / 'review.csv', rows, Decision)
    write_rows(output / 'dropped.csv', drops, Drop)
    write_lines(output / 'enrich.md', [enrichment_prompt(bank, topic, count)])
    return report


def _ground(
    seeds: Iterable[str],
    tables: Iterable[Path],
    category: str | None,
    drops: list[Drop],
) -> list[Concept]:
    curated = ConceptBank.default()
    concepts = [c for name in seeds for c in curated if c.source.startswith(MAPS[name])]
    for path in tables:
        for row, concept in enumerate(_read_seeds(path, category)):
            if concept.name:
                concepts.append(replace(concept, source=concept.source or path.name))
            else:
                drops.append(Drop('ground', f'{path.name}, row {row}', '', 'no name'))
    return concepts


def _read_seeds(path: Path, category: str | None = None) -> list[Concept]:
    """Read seeds from a bank, a table of names, or an export of Wikidata or WorldKG."""
    names, rows = read_csv_rows(path)
    columns = {
        field: next((name for name in known if name in names), None)
        for field, known in COLUMNS.items()
    }
    if columns['name'] is None:
        raise ValueError(
            f'{path} has no column of names ({", ".join(COLUMNS["name"])}); '
            f'it has {names}.'
        )
    return [_seed(row, columns, category) for row in rows]


def _seed(
    row: dict[str, str], columns: dict[str, str | None], category: str | None
) -> Concept:
    values = {field: row[field] for field in FIELDS if field in row}
    values |= {field: row[column] for field, column in columns.items() if column}
    if columns['aliases'] not in (None, 'aliases'):
        # Query services separate labels with commas.
        values['aliases'] = values['aliases'].replace(',', '|')
    if _WIKIDATA_ID.fullmatch(values['name']):
        # The query service returns the identifier of an item that has no label.
        values['name'] = ''
    if not values.get('category', '').strip():
        values['category'] = category or ''
    return Concept.from_mapping(values)


def _enrich(
    concepts: list[Concept], answers: Iterable[Path], drops: list[Drop]
) -> list[Concept]:
    for path in answers:
        answered, faults = read_answers(path)
        drops += [
            Drop('enrich', f'{path.name}, line {line}', '', fault)
            for line, fault in faults
        ]
        concepts = apply_answers(concepts, answered)
    return concepts


def _valid(concepts: Iterable[Concept], drops: list[Drop]) -> list[Concept]:
    valid = []
    for concept in concepts:
        problems = [f'{name}: {text}' for name, text in concept.problems(CATEGORIES)]
        if problems:
            reason = '; '.join(problems)
            drops.append(Drop('refine', concept.source, concept.name, reason))
        else:
            valid.append(concept)
    return valid


def _distinct_ids(concepts: Iterable[Concept], drops: list[Drop]) -> list[Concept]:
    """Merge concepts with the same id, because decisions name concepts by id."""
    distinct: dict[str, Concept] = {}
    for concept in concepts:
        known = distinct.setdefault(concept.id, concept)
        if known is not concept:
            distinct[concept.id] = _merged(known, concept)
            drops.append(Drop('refine', known.id, concept.name, 'same id'))
    return list(distinct.values())


def _to_review(
    concepts: Sequence[Concept], pairs: Iterable[Duplicate], review: _Review
) -> list[Decision]:
    """Return rows for pairs without a decision."""
    rows = []
    for pair in pairs:
        first, second = concepts[pair.first], concepts[pair.second]
        if not review.keeps_apart(first, second):
            word = 'auto' if pair.certain else ''
            rows.append(Decision(second.id, second.name, word, first.id, pair.reason))
    return rows


def _apply(
    concepts: Sequence[Concept], removals: dict[str, Decision], drops: list[Drop]
) -> ConceptBank:
    """Drop and merge concepts as decided."""
    ids = {concept.id for concept in concepts}
    kept = {concept.id: concept for concept in concepts}
    for concept in concepts:
        decision = removals.get(concept.id)
        if decision is None:
            continue
        removed = kept.pop(concept.id)
        where, reason = concept.source, 'decided in review'
        if decision.decision != 'drop':
            target = _merge_target(decision, removals, ids)
            kept[target] = _merged(kept[target], removed)
            where, reason = f'merged into {target}', 'merged in review'
        drops.append(Drop('refine', where, concept.name, decision.reason or reason))
    try:
        return ConceptBank(_without_shared_aliases(kept.values()))
    except ValueError as error:
        raise ValueError(
            f'review.csv keeps concepts that share a name. {error}'
        ) from error


def _merge_target(
    decision: Decision, removals: dict[str, Decision], ids: set[str]
) -> str:
    """Return the concept at the end of a chain of merges."""
    seen = {decision.id}
    target = decision.into
    while True:
        where = f'review.csv merges {decision.id!r} into {target!r}, which is'
        if target not in ids:
            raise ValueError(f'{where} not a concept. {near_matches(target, ids)}')
        if target in seen:
            raise ValueError(
                f'The merges in review.csv form a circle through {target!r}. '
                'Remove one of them.'
            )
        further = removals.get(target)
        if further is None:
            return target
        if further.decision == 'drop':
            raise ValueError(f'{where} dropped.')
        seen.add(target)
        target = further.into


def _merged(target: Concept, source: Concept) -> Concept:
    return replace(
        target,
        aliases=target.joined_aliases((source.name, *source.aliases)),
        prompts=tuple(dict.fromkeys((*target.prompts, *source.prompts))),
        definition=target.definition or source.definition,
        source=target.source or source.source,
        regions=tuple(dict.fromkeys((*target.regions, *source.regions))),
        layer=target.layer or source.layer,
    )


def _without_shared_aliases(concepts: Iterable[Concept]) -> list[Concept]:
    """Remove aliases that are the name of a concept, or an alias of an earlier one."""
    concepts = list(concepts)
    taken = {normalise(concept.name) for concept in concepts}
    cleaned = []
    for concept in concepts:
        aliases = []
        for alias in concept.aliases:
            if normalise(alias) not in taken:
                taken.add(normalise(alias))
                aliases.append(alias)
        cleaned.append(replace(concept, aliases=tuple(aliases)))
    return cleaned
