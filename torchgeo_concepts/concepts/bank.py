# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Concept banks: ordered sets of concepts."""

import fnmatch
import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any, Self, overload

import pandas as pd
import yaml

from ..io.csv_files import read_csv_rows, read_text
from ..utils.files import atomic_path
from ..utils.markdown import markdown_table
from ..utils.names import check_known, near_matches, normalise
from .concept import CATEGORIES, FIELDS, REGIONS, SEVERAL, Concept, ConceptKind

# Maximum number of problems in an error message.
MAX_PROBLEMS = 20


class ConceptBank:
    """An ordered, immutable set of concepts.

    Banks are equal, and have the same hash, if their concepts are equal and in the same
    order.
    """

    def __init__(
        self, concepts: Iterable[Concept], categories: Collection[str] | None = None
    ) -> None:
        """Initialize a new ConceptBank instance.

        Args:
            concepts: The concepts, in order.
            categories: Allowed categories, or None for any.

        Raises:
            ValueError: If a concept is not valid, or if two share an id, a name or an
                alias. The message names the rows, counted from 0, and the fields.
        """
        self._concepts = tuple(concepts)
        _validate(self._concepts, categories, 'The concepts are')

    @classmethod
    def _unchecked(cls, concepts: Iterable[Concept]) -> Self:
        """Create a bank of concepts that are known to be valid together."""
        bank = cls.__new__(cls)
        bank._concepts = tuple(concepts)
        return bank

    @classmethod
    def default(cls) -> Self:
        """Return the curated geographic bank."""
        return cls._packaged('geographic')

    @classmethod
    def general(cls) -> Self:
        """Return a bank of common nouns, as a baseline for the geographic one."""
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
        """Load a bank from a CSV or YAML file.

        A CSV file has a column for each field: ``id, name, category, prompts,
        definition, aliases, kind, unit, source, regions, layer``. Only ``name`` and
        ``category`` are required. Items of a field are separated by ``|``. A YAML file
        is a list of mappings with the same fields; a field with several items is a
        list.

        Args:
            path: The file.
            categories: Allowed categories, or None for any.

        Returns:
            The bank.

        Raises:
            ValueError: If the file is not a table of concepts, or a concept is not valid.
                The message names the rows, counted from 0, and the fields.
        """
        concepts = _read_concepts(Path(path))
        _validate(concepts, categories, f'{path} is')
        return cls._unchecked(concepts)

    def save(self, path: Path | str) -> None:
        """Save the bank as CSV or YAML, depending on the suffix of the file.

        Args:
            path: The file.
        """
        text = self.to_yaml() if _is_yaml(Path(path)) else self.to_csv()
        with atomic_path(Path(path)) as temporary:
            temporary.write_text(text, encoding='utf-8')

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Create a bank from the result of :meth:`to_json`.

        Args:
            text: The JSON text.

        Returns:
            The bank.
        """
        return cls(Concept.from_mapping(row) for row in json.loads(text))

    def to_json(self) -> str:
        """Return the bank as JSON, the form in which checkpoints store it.

        ``torch.load(weights_only=True)`` and the metadata of safetensors accept strings,
        but not banks.
        """
        return json.dumps([asdict(concept) for concept in self], ensure_ascii=False)

    def to_csv(self) -> str:
        """Return the bank as CSV."""
        frame = self.to_frame()
        for name in SEVERAL:
            frame[name] = frame[name].map(' | '.join)
        return frame.to_csv(index=False, lineterminator='\n')

    def to_yaml(self) -> str:
        """Return the bank as YAML, without empty fields."""
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
        rows = ((c.name, c.category, c.definition) for c in self)
        return markdown_table(('concept', 'category', 'definition'), rows)

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

    def index(self, value: Concept | str) -> int:
        """Find the position of a concept.

        Args:
            value: A concept, or its id, name or alias; case, accents and punctuation are
                ignored.

        Returns:
            The position.

        Raises:
            ValueError: If there is no such concept; the message lists near matches.
        """
        key = value.name if isinstance(value, Concept) else value
        position = self._positions.get(normalise(key))
        if position is None or value not in (key, self._concepts[position]):
            aliases = [alias for concept in self for alias in concept.aliases]
            hint = near_matches(key, [*self.names, *aliases])
            raise ValueError(f'No concept {key!r}. {hint}')
        return position

    def subset(
        self,
        *,
        category: str | Collection[str] | None = None,
        glob: str | None = None,
        kind: ConceptKind | None = None,
        region: str | None = None,
    ) -> 'ConceptBank':
        """Select the concepts that meet all given conditions, in order.

        Args:
            category: One or more categories.
            glob: Pattern for identifiers, such as ``'*-forest'``.
            kind: ``'class'`` or ``'quantity'``.
            region: Region in which the concepts occur.

        Returns:
            The selected concepts.

        Raises:
            ValueError: If a category or region does not exist; the message lists near
                matches.
        """
        wanted = {category} if isinstance(category, str) else category
        for name in wanted or ():
            check_known('No category', name, self.categories)
        if region is not None:
            check_known('No region', region, REGIONS)
        return self._unchecked(
            concept
            for concept in self
            if (wanted is None or concept.category in wanted)
            and (glob is None or fnmatch.fnmatchcase(concept.id, glob))
            and (kind is None or concept.kind == kind)
            and (region is None or region in concept.regions)
        )

    def __add__(self, other: 'ConceptBank') -> 'ConceptBank':
        """Return all concepts of this bank, then those that are only in the other bank.

        Raises:
            ValueError: If two different concepts share an id, a name or an alias.
        """
        here = set(self._concepts)
        return ConceptBank((*self, *(c for c in other if c not in here)))

    def __sub__(self, other: 'ConceptBank') -> 'ConceptBank':
        """Return the concepts of this bank whose id is not in the other bank."""
        there = set(other.ids)
        return self._unchecked(concept for concept in self if concept.id not in there)

    @overload
    def __getitem__(self, key: int | str) -> Concept: ...

    @overload
    def __getitem__(self, key: slice) -> 'ConceptBank': ...

    def __getitem__(self, key: int | str | slice) -> 'Concept | ConceptBank':
        """Return a concept by position or name, or a bank by slice."""
        if isinstance(key, slice):
            return self._unchecked(self._concepts[key])
        return self._concepts[self.index(key) if isinstance(key, str) else key]

    def __contains__(self, value: object) -> bool:
        """Return True if the bank has this concept, or this id, name or alias."""
        if isinstance(value, Concept):
            return value in self._concepts
        return isinstance(value, str) and normalise(value) in self._positions

    def __iter__(self) -> Iterator[Concept]:
        """Iterate over the concepts in order."""
        return iter(self._concepts)

    def __len__(self) -> int:
        """Return the number of concepts."""
        return len(self._concepts)

    def __eq__(self, other: object) -> bool:
        """Return True if another bank has the same concepts in the same order."""
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


def _validate(
    concepts: tuple[Concept, ...], categories: Collection[str] | None, subject: str
) -> None:
    """Raise an error that lists all problems of concepts, if there are any."""
    problems = [
        (row, field, problem)
        for row, concept in enumerate(concepts)
        for field, problem in concept.problems(categories)
    ]
    # Compare ids first, then names, then aliases, to report the less important field.
    names = [(row, 'id', concept.id) for row, concept in enumerate(concepts)]
    names += [(row, 'name', concept.name) for row, concept in enumerate(concepts)]
    names += [(row, 'aliases', x) for row, c in enumerate(concepts) for x in c.aliases]
    rows: dict[str, int] = {}
    for row, field, name in names:
        first = rows.setdefault(normalise(name), row)
        if first != row and name:
            problems.append((row, field, f'{name!r} is also a name of row {first}'))
    if not problems:
        return
    lines = [f'{subject} not a valid bank (rows are counted from 0):']
    lines += [
        f'  row {row}, field {field!r}: {problem}'
        for row, field, problem in sorted(problems)[:MAX_PROBLEMS]
    ]
    if len(problems) > MAX_PROBLEMS:
        lines.append(f'  and {len(problems) - MAX_PROBLEMS:,} more')
    raise ValueError('\n'.join(lines))


def _is_yaml(path: Path) -> bool:
    """Return True for a YAML file and False for a CSV file, by the suffix."""
    suffix = path.suffix.lower()
    if suffix not in ('.csv', '.yaml', '.yml'):
        raise ValueError(f'{path} must end in .csv, .yaml or .yml.')
    return suffix != '.csv'


def _read_concepts(path: Path) -> tuple[Concept, ...]:
    """Read the concepts of a CSV or YAML file, without validation."""
    rows: Iterable[dict[str, Any]]
    if _is_yaml(path):
        rows = _yaml_rows(path)
    else:
        columns, rows = read_csv_rows(path)
        _check_fields(path, columns)
    return tuple(Concept.from_mapping(row) for row in rows)


def _yaml_rows(path: Path) -> list[dict[str, Any]]:
    loader = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)
    try:
        rows = yaml.load(read_text(path), Loader=loader)
    except yaml.YAMLError as error:
        raise ValueError(f'{path} is not valid YAML: {error}') from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f'{path} must be a list of mappings, one for each concept.')
    for row in rows:
        # Concept.problems reports concepts without a name or category.
        _check_fields(path, [*map(str, row), 'name', 'category'])
    return rows


def _check_fields(path: Path, names: Sequence[str]) -> None:
    for name in ('name', 'category'):
        if name not in names:
            raise ValueError(f'{path} has no column {name!r}; it has {list(names)}.')
    for name in names:
        check_known(f'{path}: unknown field', name, FIELDS)
