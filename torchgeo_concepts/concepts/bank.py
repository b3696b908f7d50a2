# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Concepts, and the ordered set of them that is a concept bank."""

import csv
import fnmatch
import hashlib
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Self, overload

import pandas as pd
import yaml

from ..io.csv_rows import read_csv_rows, read_text
from ..utils.files import atomic_path
from ..utils.names import near_matches, normalise, slug

ConceptKind = Literal['class', 'quantity']

CATEGORIES = (
    'climate',
    'weather',
    'landform',
    'water',
    'vegetation',
    'fauna',
    'agriculture',
    'settlement',
    'architecture',
    'religion',
    'transport',
    'street',
    'infrastructure',
    'industry',
    'writing',
    'clothing',
    'food',
    'culture',
    'hazard',
)

REGIONS = (
    'africa',
    'middle-east',
    'south-asia',
    'southeast-asia',
    'east-asia',
    'central-asia',
    'north-asia',
    'europe',
    'north-america',
    'latin-america',
    'oceania',
    'polar',
)

# Between the items of a field that holds several, in CSV.
SEPARATOR = ' | '

# A message with more problems than this helps nobody.
MAX_PROBLEMS = 20


@dataclass(frozen=True, slots=True)
class Concept:
    """A named geographic idea.

    Attributes:
        id: Identifier of lower-case words joined by hyphens.
        name: What people call it.
        category: The group that it belongs to.
        prompts: What one sees, each such that "a photo of ..." continues with it. The
            name if empty.
        definition: What it is, in one sentence.
        aliases: Other names of the same thing.
        kind: ``'class'`` if it holds or does not, ``'quantity'`` if it has a value.
        unit: Unit of a quantity.
        source: Where the term comes from.
        regions: Parts of the world that it points to, empty if found all over.
        layer: Name of the map that tells where it holds, if there is one.
    """

    id: str
    name: str
    category: str
    prompts: tuple[str, ...] = ()
    definition: str = ''
    aliases: tuple[str, ...] = ()
    kind: ConceptKind = 'class'
    unit: str = ''
    source: str = ''
    regions: tuple[str, ...] = ()
    layer: str = ''

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Self:
        """Make a concept of texts and lists, such as a row of a table has.

        Args:
            mapping: Values by field. Fields of several items may be lists, or one text
                with ``|`` between them. Without an ``id``, the name makes it.

        Returns:
            The concept, not validated.
        """
        values: dict[str, Any] = {'name': '', 'category': ''}
        for field, value in mapping.items():
            if value and field in READERS:
                values[field] = READERS[field](value)
        values['id'] = values.get('id') or slug(values['name'])
        return cls(**values)

    def problems(self, categories: Collection[str] | None) -> Iterator[tuple[str, str]]:
        """Find what is wrong with the concept by itself.

        Args:
            categories: Known categories, or None for any.

        Yields:
            Field and problem.
        """
        if not self.name or self.name != self.name.strip():
            yield 'name', 'is empty' if not self.name else 'has blanks around it'
        if not self.id:
            yield 'id', 'is empty'
        elif not _SLUG.fullmatch(self.id):
            yield 'id', f'{self.id!r} must be lower-case words joined by hyphens'
        if not self.category:
            yield 'category', 'is empty'
        elif categories is not None and self.category not in categories:
            hint = near_matches(self.category, categories)
            yield 'category', f'unknown category {self.category!r}. {hint}'
        for field, items in (('prompts', self.prompts), ('aliases', self.aliases)):
            for item in items:
                if '|' in item or item != item.strip() or not item:
                    yield field, f'{item!r} is empty, or has a | or blanks around it'
        if self.kind not in ('class', 'quantity'):
            yield 'kind', f"must be 'class' or 'quantity', not {self.kind!r}"
        if self.kind == 'quantity' and not self.unit:
            yield 'unit', 'is empty for a quantity; a number without one has unit 1'
        if self.kind == 'class' and self.unit:
            yield 'unit', f'is {self.unit!r} for a class, which has none'
        for region in self.regions:
            if region not in REGIONS:
                hint = near_matches(region, REGIONS)
                yield 'regions', f'unknown region {region!r}. {hint}'


FIELDS = tuple(field.name for field in fields(Concept))
SEVERAL = frozenset({'prompts', 'aliases', 'regions'})
_SLUG = re.compile('[a-z0-9]+(-[a-z0-9]+)*')


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else str(value).strip()


def _items(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        value = value.split('|')
    elif not isinstance(value, list | tuple):
        value = [value]
    return tuple([text for item in value if (text := _text(item))])


# How the value of a field is read.
READERS: dict[str, Callable[[Any], Any]] = {
    name: _items if name in SEVERAL else _text for name in FIELDS
}


class ConceptBank:
    """An ordered, immutable set of concepts.

    Banks are equal, and hash alike, if their concepts are equal and in the same order.
    """

    def __init__(
        self, concepts: Iterable[Concept], categories: Collection[str] | None = None
    ) -> None:
        """Initialize a new ConceptBank instance.

        Args:
            concepts: The concepts, in order.
            categories: Categories that concepts may have, or None for any.

        Raises:
            ValueError: If a concept is not valid, or if two share an id, a name or an
                alias. The message names the rows, counted from 0, and the fields.
        """
        self._concepts = tuple(concepts)
        problems = _problems(self._concepts, categories)
        if problems:
            raise ValueError(_message(problems, 'The concepts are'))

    @classmethod
    def default(cls) -> Self:
        """Return the curated geographic bank."""
        return cls._packaged('geographic')

    @classmethod
    def general(cls) -> Self:
        """Return a bank of common nouns, to compare the geographic one with."""
        return cls._packaged('general')

    @classmethod
    def _packaged(cls, name: str) -> Self:
        file = resources.files(__package__) / 'data' / f'{name}.csv'
        with resources.as_file(file) as path:
            return cls.load(path, categories=None)

    @classmethod
    def load(
        cls, path: Path | str, categories: Collection[str] | None = CATEGORIES
    ) -> Self:
        """Read a bank from a CSV or YAML file.

        A CSV file has a column for each field, ``id, name, category, prompts,
        definition, aliases, kind, unit, source, regions, layer``, of which ``name`` and
        ``category`` are needed; several items of one field have ``|`` between them. A
        YAML file is a list of such mappings, several items being lists.

        Args:
            path: The file.
            categories: Categories that concepts may have, or None for any.

        Returns:
            The bank.

        Raises:
            ValueError: If the file is not such a table, or a concept is not valid. The
                message names the rows, counted from 0, and the fields.
        """
        path = Path(path)
        rows = _read_rows(path)
        concepts = tuple(Concept.from_mapping(row) for row in rows)
        problems = _problems(concepts, categories)
        if problems:
            raise ValueError(_message(problems, f'{path} is'))
        bank = cls.__new__(cls)
        bank._concepts = concepts
        return bank

    def save(self, path: Path | str) -> None:
        """Write the bank to a CSV or YAML file, by the file's ending.

        Args:
            path: The file.
        """
        path = Path(path)
        text = self.to_yaml() if _is_yaml(path) else self.to_csv()
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding='utf-8')

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read a bank from the text that :meth:`to_json` makes.

        Args:
            text: The text.

        Returns:
            The bank.
        """
        return cls(Concept.from_mapping(row) for row in json.loads(text))

    def to_json(self) -> str:
        """Write the bank as JSON, as it travels inside checkpoints.

        A text survives ``torch.load(weights_only=True)`` and the metadata of
        safetensors; an object would survive neither.
        """
        return json.dumps([asdict(concept) for concept in self], ensure_ascii=False)

    def to_csv(self) -> str:
        """Write the bank as CSV."""
        stream = io.StringIO(newline='')
        writer = csv.writer(stream, lineterminator='\n')
        writer.writerow(FIELDS)
        for concept in self:
            values = (getattr(concept, name) for name in FIELDS)
            writer.writerow(
                SEPARATOR.join(v) if isinstance(v, tuple) else v for v in values
            )
        return stream.getvalue()

    def to_yaml(self) -> str:
        """Write the bank as YAML, without fields that are empty."""
        rows = [
            {
                name: list(value) if isinstance(value, tuple) else value
                for name, value in asdict(concept).items()
                if value
            }
            for concept in self
        ]
        text: str = yaml.safe_dump(rows, allow_unicode=True, sort_keys=False)
        return text

    def to_frame(self) -> pd.DataFrame:
        """Return the bank as a table with a row for each concept."""
        return pd.DataFrame([asdict(concept) for concept in self], columns=FIELDS)

    def to_markdown(self) -> str:
        """Return names, categories and definitions as a Markdown table."""
        lines = ['| concept | category | definition |', '| --- | --- | --- |']
        lines += [f'| {c.name} | {c.category} | {c.definition} |' for c in self]
        return '\n'.join(lines) + '\n'

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the content."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @property
    def ids(self) -> tuple[str, ...]:
        """Identifiers, in order."""
        return tuple(concept.id for concept in self)

    @property
    def names(self) -> tuple[str, ...]:
        """Names, in order."""
        return tuple(concept.name for concept in self)

    @property
    def categories(self) -> dict[str, int]:
        """Number of concepts in each category, in order of appearance."""
        return dict(Counter(concept.category for concept in self))

    @cached_property
    def _positions(self) -> dict[str, int]:
        positions: dict[str, int] = {}
        for position, concept in enumerate(self):
            for key in (concept.id, concept.name, *concept.aliases):
                positions.setdefault(normalise(key), position)
        return positions

    def index(self, value: Any, start: int = 0, stop: int | None = None) -> int:
        """Find the position of a concept.

        Args:
            value: A concept, or an id, a name or an alias of one; case, accents and
                punctuation do not matter.
            start: First position to consider.
            stop: Position to stop at.

        Returns:
            The position.

        Raises:
            ValueError: If there is no such concept; the message lists near matches.
        """
        key = value.name if isinstance(value, Concept) else str(value)
        position = self._positions.get(normalise(key))
        if isinstance(value, Concept) and (
            position is None or self._concepts[position] != value
        ):
            position = None
        if position is None or not start <= position < (
            len(self) if stop is None else stop
        ):
            hint = near_matches(key, [*self.names, *self._aliases()])
            raise ValueError(f'No concept {key!r}. {hint}')
        return position

    def _aliases(self) -> Iterator[str]:
        return (alias for concept in self for alias in concept.aliases)

    def subset(
        self,
        *,
        category: str | Collection[str] | None = None,
        ids: Iterable[str] | None = None,
        glob: str | None = None,
        kind: ConceptKind | None = None,
        region: str | None = None,
    ) -> 'ConceptBank':
        """Select concepts. They keep their order, and must meet all conditions given.

        Args:
            category: One or more categories.
            ids: Identifiers, names or aliases.
            glob: Pattern for identifiers, such as ``'*-forest'``.
            kind: Kind of concepts.
            region: Region that the concepts point to.

        Returns:
            The selected concepts.

        Raises:
            ValueError: If a category, concept or region does not exist; the message
                lists near matches.
        """
        chosen = None if ids is None else {self.index(name) for name in ids}
        wanted = {category} if isinstance(category, str) else category
        for name in wanted or ():
            _check_known('category', name, self.categories)
        if region is not None:
            _check_known('region', region, REGIONS)
        return self._from(
            concept
            for position, concept in enumerate(self)
            if (chosen is None or position in chosen)
            and (wanted is None or concept.category in wanted)
            and (glob is None or fnmatch.fnmatchcase(concept.id, glob))
            and (kind is None or concept.kind == kind)
            and (region is None or region in concept.regions)
        )

    @staticmethod
    def _from(concepts: Iterable[Concept]) -> 'ConceptBank':
        """Make a bank of concepts that are known to be valid together."""
        bank = ConceptBank.__new__(ConceptBank)
        bank._concepts = tuple(concepts)
        return bank

    def __add__(self, other: 'ConceptBank') -> 'ConceptBank':
        """Return all concepts of this bank, then those that the other adds.

        Raises:
            ValueError: If two different concepts share an id, a name or an alias.
        """
        here = set(self._concepts)
        return ConceptBank((*self, *(c for c in other if c not in here)))

    def __sub__(self, other: 'ConceptBank') -> 'ConceptBank':
        """Return the concepts of this bank whose id the other does not have."""
        there = set(other.ids)
        return self._from(concept for concept in self if concept.id not in there)

    @overload
    def __getitem__(self, key: int | str) -> Concept: ...

    @overload
    def __getitem__(self, key: slice) -> 'ConceptBank': ...

    def __getitem__(self, key: int | str | slice) -> 'Concept | ConceptBank':
        """Return a concept by position or name, or a bank by slice."""
        if isinstance(key, slice):
            return self._from(self._concepts[key])
        return self._concepts[self.index(key) if isinstance(key, str) else key]

    def __contains__(self, value: object) -> bool:
        """Tell whether a concept, or one of that id, name or alias, is in the bank."""
        if isinstance(value, Concept):
            return value in self._concepts
        return isinstance(value, str) and normalise(value) in self._positions

    def __iter__(self) -> Iterator[Concept]:
        """Go through the concepts in order."""
        return iter(self._concepts)

    def __len__(self) -> int:
        """Return the number of concepts."""
        return len(self._concepts)

    def __eq__(self, other: object) -> bool:
        """Tell whether another bank has the same concepts in the same order."""
        return isinstance(other, ConceptBank) and self._concepts == other._concepts

    def __hash__(self) -> int:
        """Return a hash of the content."""
        return hash(self._concepts)

    def __repr__(self) -> str:
        """Return a summary."""
        return (
            f'ConceptBank({len(self)} concepts in {len(self.categories)} categories, '
            f'{self.digest[:8]})'
        )

    def __str__(self) -> str:
        """Return the bank as a table of ids, names, categories and kinds."""
        frame = self.to_frame()[['id', 'name', 'category', 'kind']]
        return frame.to_string(index=False)

    def _repr_html_(self) -> str:
        html: str = self.to_frame().to_html(index=False)
        return html


def _check_known(what: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        raise ValueError(f'No {what} {name!r}. {near_matches(name, known)}')


def _problems(
    concepts: tuple[Concept, ...], categories: Collection[str] | None
) -> list[tuple[int, str, str]]:
    """Find what is wrong, as row, field and problem."""
    problems = [
        (row, field, problem)
        for row, concept in enumerate(concepts)
        for field, problem in concept.problems(categories)
    ]
    rows: dict[str, int] = {}
    for field, row, name in _all_names(concepts):
        first = rows.setdefault(normalise(name), row)
        if first != row and name:
            problems.append((row, field, f'{name!r} is a name of row {first}, too'))
    return sorted(problems)


def _all_names(concepts: tuple[Concept, ...]) -> Iterator[tuple[str, int, str]]:
    """Go through ids, then names, then aliases, as field, row and name."""
    for row, concept in enumerate(concepts):
        yield 'id', row, concept.id
    for row, concept in enumerate(concepts):
        yield 'name', row, concept.name
    for row, concept in enumerate(concepts):
        for alias in concept.aliases:
            yield 'aliases', row, alias


def _message(problems: list[tuple[int, str, str]], subject: str) -> str:
    lines = [f'{subject} no valid bank (rows are counted from 0):']
    lines += [
        f'  row {row}, field {field!r}: {problem}'
        for row, field, problem in problems[:MAX_PROBLEMS]
    ]
    if len(problems) > MAX_PROBLEMS:
        lines.append(f'  and {len(problems) - MAX_PROBLEMS:,} more')
    return '\n'.join(lines)


def _is_yaml(path: Path) -> bool:
    suffix = path.suffix.lower()
    if suffix not in ('.csv', '.yaml', '.yml'):
        raise ValueError(f'{path} must end in .csv, .yaml or .yml.')
    return suffix != '.csv'


def _read_rows(path: Path) -> list[dict[str, Any]]:
    if _is_yaml(path):
        return _yaml_rows(path, read_text(path))
    names, rows = read_csv_rows(path)
    _check_fields(path, names)
    return list(rows)


def _yaml_rows(path: Path, text: str) -> list[dict[str, Any]]:
    try:
        rows = yaml.load(text, Loader=getattr(yaml, 'CSafeLoader', yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise ValueError(f'{path} is no YAML: {error}') from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f'{path} must be a list of mappings, one for each concept.')
    for row in rows:
        _check_fields(path, [*map(str, row), 'name', 'category'])
    return rows


def _check_fields(path: Path, names: Sequence[str]) -> None:
    for name in ('name', 'category'):
        if name not in names:
            raise ValueError(f'{path} has no column {name!r}; it has {list(names)}.')
    for name in names:
        if name not in FIELDS:
            hint = near_matches(name, FIELDS)
            raise ValueError(f'{path}: unknown field {name!r}. {hint}')
