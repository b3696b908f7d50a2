# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""The pipeline that makes a bank: ground, enrich, refine."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from .._files import atomic_path
from ..names import near_matches, normalise
from .bank import CATEGORIES, Concept, ConceptBank
from .duplicates import near_duplicates, same_names
from .enrichment import apply_answers, enrichment_prompt, read_answers
from .seeds import SEEDS, read_seeds
from .text import OpenCLIPText, TextEncoder, encode_text

__all__ = ('BuildReport', 'Decision', 'build_bank')

DECISIONS = ('', 'keep', 'drop', 'merge')


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
        decision: ``'keep'``, ``'drop'``, ``'merge'``, or empty while undecided, which
            keeps the concept.
        into: Identifier of the concept to merge into.
        reason: Why the concept is listed, or was decided so.
    """

    id: str
    name: str
    decision: str = ''
    into: str = ''
    reason: str = ''


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
    decisions = _read_review(output / 'review.csv')
    drops: list[Drop] = []
    concepts = _ground(seeds, tables, category, drops)
    concepts = _enrich(concepts, answers, drops)
    concepts = _valid(concepts, drops)
    concepts = _distinct_ids(concepts, drops)
    proposals = _merges_by_name(concepts, decisions)
    bank = ConceptBank(_decide(concepts, {**proposals, **decisions}, drops))
    if encoder is not None and len(bank):
        proposals |= _reviews_by_text(bank, encoder, threshold, decisions)
    review = {**proposals, **decisions}
    report = BuildReport(
        output,
        bank,
        drops,
        sum(not decision.decision for decision in review.values()),
        sorted(set(decisions) - {concept.id for concept in concepts}),
        encoder is not None,
    )
    _write(output, report, review, enrichment_prompt(bank, topic, count))
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


def _merges_by_name(
    concepts: Sequence[Concept], decisions: dict[str, Decision]
) -> dict[str, Decision]:
    gone = {d.id for d in decisions.values() if d.decision in ('drop', 'merge')}
    kept = [concept for concept in concepts if concept.id not in gone]
    merges = {}
    for pair in same_names(kept):
        first, second = kept[pair.first], kept[pair.second]
        merges[second.id] = Decision(
            second.id, second.name, 'merge', first.id, pair.reason
        )
    return merges


def _reviews_by_text(
    bank: ConceptBank,
    encoder: TextEncoder,
    threshold: float,
    decisions: dict[str, Decision],
) -> dict[str, Decision]:
    reviews: dict[str, Decision] = {}
    for pair in near_duplicates(encode_text(bank, encoder), threshold):
        first, second = bank[pair.first], bank[pair.second]
        if first.id not in decisions and second.id not in decisions:
            reviews.setdefault(
                second.id, Decision(second.id, second.name, '', first.id, pair.reason)
            )
    return reviews


def _decide(
    concepts: Sequence[Concept], decisions: dict[str, Decision], drops: list[Drop]
) -> list[Concept]:
    kept = {concept.id: concept for concept in concepts}
    for concept in concepts:
        decision = decisions.get(concept.id)
        if decision is None or decision.decision not in ('drop', 'merge'):
            continue
        removed = kept.pop(concept.id)
        if decision.decision == 'drop':
            reason = decision.reason or 'decided in review'
            drops.append(Drop('refine', concept.source, concept.name, reason))
        else:
            target = _merge_target(decision, decisions, {c.id for c in concepts})
            kept[target] = _merged(kept[target], removed)
            reason = decision.reason or 'merged in review'
            drops.append(Drop('refine', f'merged into {target}', concept.name, reason))
    return _without_shared_aliases(kept.values())


def _merge_target(
    decision: Decision, decisions: dict[str, Decision], ids: set[str]
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
        further = decisions.get(target, Decision(target, ''))
        if further.decision == 'drop' or target in seen:
            fault = (
                'dropped' if further.decision == 'drop' else 'merged into it in turn'
            )
            raise ValueError(
                f'review.csv merges {decision.id!r} into {target!r}, which is {fault}.'
            )
        if further.decision != 'merge':
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


def _read_review(path: Path) -> dict[str, Decision]:
    if not path.is_file():
        return {}
    columns = tuple(Decision.__dataclass_fields__)
    decisions: dict[str, Decision] = {}
    with path.open(encoding='utf-8-sig', newline='') as stream:
        for row, values in enumerate(csv.DictReader(stream)):
            if not set(columns[:3]) <= set(values):
                raise ValueError(f'{path} must have the columns {", ".join(columns)}.')
            cells = {name: (values.get(name) or '').strip() for name in columns}
            decision = Decision(**cells)
            if decision.decision not in DECISIONS:
                hint = near_matches(decision.decision, DECISIONS[1:])
                raise ValueError(
                    f'{path}: row {row} (counted from 0) has the decision '
                    f'{decision.decision!r}. {hint}'
                )
            decisions[decision.id] = decision
    return decisions


def _write(
    folder: Path, report: BuildReport, review: dict[str, Decision], prompt: str
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    report.bank.save(folder / 'bank.csv')
    _write_table(folder / 'review.csv', Decision, review.values())
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
