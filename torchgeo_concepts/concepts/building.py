# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""The pipeline that makes a bank: ground, enrich, refine."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from ..io.csv_rows import read_csv_rows
from ..utils.files import atomic_path
from ..utils.names import near_matches, normalise
from .bank import CATEGORIES, Concept, ConceptBank
from .duplicates import near_duplicates, same_names
from .enrichment import apply_answers, enrichment_prompt, read_answers
from .seeds import SEEDS, read_seeds
from .text import OpenCLIPText, TextEncoder, encode_text

# What a person may write; the rest of a review file is made anew in each build.
DECISIONS = ('keep', 'drop', 'merge')


@dataclass(frozen=True)
class Drop:
    """Something that did not become a concept.

    Attributes:
        stage: ``'ground'``, ``'enrich'`` or ``'refine'``.
        where: File and row or line, or the concept that it was merged into.
        name: What it was called.
        reason: Why it was dropped.
    """

    stage: str
    where: str
    name: str
    reason: str


@dataclass(frozen=True)
class Decision:
    """A row of the review file.

    Attributes:
        id: Identifier of the concept.
        name: Its name, for the reader.
        decision: What a person decided: ``'keep'`` it beside the other concept,
            ``'drop'`` it, or ``'merge'`` it into the other. ``'auto'`` is a merge of
            names that are the same but for spelling. Empty is undecided, which keeps.
        into: Identifier of the other concept. A ``'keep'`` without it is beside all.
        reason: Why the concept is listed, or was decided so.
    """

    id: str
    name: str
    decision: str = ''
    into: str = ''
    reason: str = ''


class _Review:
    """Decisions of a person, as the review file has them."""

    def __init__(self, decisions: Iterable[Decision] = ()) -> None:
        self.decisions = list(decisions)
        self.removals = {
            decision.id: decision
            for decision in self.decisions
            if decision.decision in ('drop', 'merge')
        }
        self._kept = {(d.id, d.into) for d in self.decisions if d.decision == 'keep'}

    def keeps_apart(self, first: Concept, second: Concept) -> bool:
        """Tell whether two concepts were decided to be two."""
        pairs = {(first.id, second.id), (second.id, first.id)}
        alone = {(first.id, ''), (second.id, '')}
        return not self._kept.isdisjoint(pairs | alone)

    @classmethod
    def read(cls, path: Path) -> '_Review':
        """Read the rows of a review file that a person decided."""
        if not path.is_file():
            return cls()
        columns = tuple(Decision.__dataclass_fields__)
        names, rows = read_csv_rows(path)
        if not set(columns) <= set(names):
            raise ValueError(f'{path} must have the columns {", ".join(columns)}.')
        decisions = []
        for row, values in enumerate(rows):
            decision = Decision(**{name: values[name].strip() for name in columns})
            if decision.decision in DECISIONS:
                decisions.append(decision)
            elif decision.decision not in ('', 'auto'):
                hint = near_matches(decision.decision, DECISIONS)
                raise ValueError(
                    f'{path}: row {row} (counted from 0) has the decision '
                    f'{decision.decision!r}. {hint}'
                )
        return cls(decisions)


@dataclass
class BuildReport:
    """What :func:`build_bank` did.

    Attributes:
        folder: Folder of the files.
        bank: The bank.
        drops: What did not become a concept.
        undecided: Number of concepts that a person should look at.
        unmatched: Rows of the review file whose concept was not there this time.
        compared_texts: Whether texts were compared, too, or names alone.
    """

    folder: Path
    bank: ConceptBank
    drops: list[Drop] = field(default_factory=list)
    undecided: int = 0
    unmatched: list[str] = field(default_factory=list)
    compared_texts: bool = False

    def __str__(self) -> str:
        """Return the report in a few lines."""
        lines = [
            f'{len(self.bank)} concepts: {self.folder / "bank.csv"}',
            f'{len(self.drops)} dropped or merged: {self.folder / "dropped.csv"}',
            f'{self.undecided} to decide: {self.folder / "review.csv"}',
            f'prompt for a language model: {self.folder / "enrich.md"}',
        ]
        if self.unmatched:
            lines.append(f'decisions about no concept of today: {self.unmatched}')
        if not self.compared_texts:
            lines.append('names were compared, texts were not: that needs a text model')
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

    Grounds the bank in classes of published maps and in tables, enriches it with the
    answers of a language model, and refines it: names that are the same but for
    spelling are merged, texts that mean nearly the same are listed for review. Build
    again after editing ``review.csv`` or adding answers: decisions are replayed.

    Writes ``bank.csv``; ``review.csv``, where a person writes keep, drop or merge;
    ``dropped.csv``, with a reason for everything that is not in the bank; and
    ``enrich.md``, a prompt for a language model.

    Args:
        output: Folder of the files. Made if it does not exist.
        seeds: Maps whose classes are concepts.
        tables: CSV files with names, such as Wikidata exports or banks.
        answers: Files of JSON lines with the answers of a language model.
        category: Category of rows of tables that have none.
        topic: What the bank is about, for the prompt.
        count: Number of concepts to ask the language model for.
        threshold: Least cosine of texts that are listed for review.
        text_model: open_clip model that compares texts, such as ViT-L-14-quickgelu.
        pretrained: Its weights: a tag of open_clip, or the path of a checkpoint.
        download: Download the weights if they are not on this machine.
        encoder: Compares texts in place of an open_clip model.

    Returns:
        What was done.

    Raises:
        ValueError: If a file cannot be read, or a decision cannot be carried out.
    """
    if text_model is not None and encoder is None:
        encoder = OpenCLIPText.from_pretrained(
            text_model, pretrained, download=download
        )
    review = _Review.read(output / 'review.csv')
    drops: list[Drop] = []
    concepts = _ground(seeds, tables, category, drops)
    concepts = _enrich(concepts, answers, drops)
    concepts = _distinct_ids(_valid(concepts, drops), drops)
    merges, doubts = _compare_names(concepts, review)
    bank = _settle(concepts, {**merges, **review.removals}, drops)
    if encoder is not None and len(bank):
        doubts += _compare_texts(bank, encoder, threshold, review)
    doubts = [d for d in doubts if d.id in bank.ids and d.into in bank.ids]
    report = BuildReport(
        output,
        bank,
        drops,
        len(doubts),
        sorted({d.id for d in review.decisions} - {c.id for c in concepts}),
        encoder is not None,
    )
    rows = [*review.decisions, *merges.values(), *doubts]
    _write(output, report, rows, enrichment_prompt(bank, topic, count))
    return report


def _ground(
    seeds: Iterable[str],
    tables: Iterable[Path],
    category: str | None,
    drops: list[Drop],
) -> list[Concept]:
    concepts = [concept for name in seeds for concept in SEEDS[name]()]
    for path in tables:
        for row, concept in enumerate(read_seeds(path, category)):
            if concept.name:
                concepts.append(replace(concept, source=concept.source or path.name))
            else:
                drops.append(Drop('ground', f'{path.name}, row {row}', '', 'no name'))
    return concepts


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
        problems = [
            f'{name}: {problem}' for name, problem in concept.problems(CATEGORIES)
        ]
        if problems:
            reason = '; '.join(problems)
            drops.append(Drop('refine', concept.source, concept.name, reason))
        else:
            valid.append(concept)
    return valid


def _distinct_ids(concepts: Iterable[Concept], drops: list[Drop]) -> list[Concept]:
    """Merge concepts of one id, since decisions could not tell them apart."""
    distinct: dict[str, Concept] = {}
    for concept in concepts:
        known = distinct.get(concept.id)
        if known is None:
            distinct[concept.id] = concept
        else:
            distinct[concept.id] = _merged(known, concept)
            drops.append(Drop('refine', known.id, concept.name, 'same id'))
    return list(distinct.values())


def _compare_names(
    concepts: Sequence[Concept], review: _Review
) -> tuple[dict[str, Decision], list[Decision]]:
    """Find merges of names that are the same, and doubts about those that may be."""
    remaining = [concept for concept in concepts if concept.id not in review.removals]
    merges: dict[str, Decision] = {}
    doubts = []
    for pair in same_names(remaining):
        first, second = remaining[pair.first], remaining[pair.second]
        if review.keeps_apart(first, second):
            continue
        word = 'auto' if pair.certain else ''
        decision = Decision(second.id, second.name, word, first.id, pair.reason)
        if pair.certain:
            merges[second.id] = decision
        else:
            doubts.append(decision)
    return merges, doubts


def _compare_texts(
    bank: ConceptBank, encoder: TextEncoder, threshold: float, review: _Review
) -> list[Decision]:
    return [
        Decision(
            bank[pair.second].id,
            bank[pair.second].name,
            '',
            bank[pair.first].id,
            pair.reason,
        )
        for pair in near_duplicates(encode_text(bank, encoder), threshold)
        if not review.keeps_apart(bank[pair.first], bank[pair.second])
    ]


def _settle(
    concepts: Sequence[Concept], removals: dict[str, Decision], drops: list[Drop]
) -> ConceptBank:
    kept = {concept.id: concept for concept in concepts}
    for concept in concepts:
        decision = removals.get(concept.id)
        if decision is None:
            continue
        removed = kept.pop(concept.id)
        if decision.decision == 'drop':
            reason = decision.reason or 'decided in review'
            drops.append(Drop('refine', concept.source, concept.name, reason))
        else:
            target = _merge_target(decision, removals, {c.id for c in concepts})
            kept[target] = _merged(kept[target], removed)
            reason = decision.reason or 'merged in review'
            drops.append(Drop('refine', f'merged into {target}', concept.name, reason))
    try:
        return ConceptBank(_without_shared_aliases(kept.values()))
    except ValueError as error:
        raise ValueError(
            f'review.csv keeps what cannot be kept apart. {error}'
        ) from error


def _merge_target(
    decision: Decision, removals: dict[str, Decision], ids: set[str]
) -> str:
    """Follow merges into concepts that are merged themselves."""
    seen = {decision.id}
    target = decision.into
    while True:
        if target not in ids:
            hint = near_matches(target, ids)
            raise ValueError(
                f'review.csv merges {decision.id!r} into {target!r}, which is no '
                f'concept. {hint}'
            )
        further = removals.get(target, Decision(target, ''))
        if further.decision == 'drop' or target in seen:
            fault = (
                'dropped' if further.decision == 'drop' else 'merged into it in turn'
            )
            raise ValueError(
                f'review.csv merges {decision.id!r} into {target!r}, which is {fault}.'
            )
        if not further.decision:
            return target
        seen.add(target)
        target = further.into


def _merged(target: Concept, source: Concept) -> Concept:
    known = {normalise(name) for name in (target.name, *target.aliases)}
    aliases = [
        name for name in (source.name, *source.aliases) if normalise(name) not in known
    ]
    prompts = [prompt for prompt in source.prompts if prompt not in target.prompts]
    return replace(
        target,
        aliases=(*target.aliases, *aliases),
        prompts=(*target.prompts, *prompts),
        definition=target.definition or source.definition,
        source=target.source or source.source,
        regions=tuple(dict.fromkeys((*target.regions, *source.regions))),
        layer=target.layer or source.layer,
    )


def _without_shared_aliases(concepts: Iterable[Concept]) -> list[Concept]:
    """Leave a name to the concept that has it as its name, or had it first."""
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


def _write(
    folder: Path, report: BuildReport, review: Sequence[Decision], prompt: str
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    report.bank.save(folder / 'bank.csv')
    _write_table(folder / 'review.csv', Decision, review)
    _write_table(folder / 'dropped.csv', Drop, report.drops)
    with atomic_path(folder / 'enrich.md') as temporary:
        temporary.write_text(prompt, encoding='utf-8')


def _write_table(path: Path, kind: type[Any], rows: Iterable[Any]) -> None:
    columns = tuple(kind.__dataclass_fields__)
    with (
        atomic_path(path) as temporary,
        temporary.open('w', encoding='utf-8', newline='') as stream,
    ):
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows([getattr(row, name) for name in columns] for row in rows)
