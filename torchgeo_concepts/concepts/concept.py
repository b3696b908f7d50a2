# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Concepts: named geographic ideas, with a category and a prompt."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, Self

from ..utils.names import near_matches, normalise, slug

ConceptKind = Literal['class', 'quantity']

_CATEGORIES = (
    'climate weather landform water vegetation fauna agriculture settlement '
    'architecture religion transport street infrastructure industry writing '
    'clothing food culture hazard'
)
CATEGORIES = tuple(_CATEGORIES.split())

_REGIONS = (
    'africa middle-east south-asia southeast-asia east-asia central-asia '
    'north-asia europe north-america latin-america oceania polar'
)
REGIONS = tuple(_REGIONS.split())


@dataclass(frozen=True, slots=True)
class Concept:
    """A named geographic idea.

    Attributes:
        id: Identifier of lower-case words joined by hyphens.
        name: Readable name.
        category: Category, one of :data:`CATEGORIES` in the curated bank.
        prompts: Phrases for visible things, which complete "a photo of ...". Without
            them, the name is the prompt.
        definition: Definition in one sentence.
        aliases: Other names of the same thing.
        kind: ``'class'`` if it is present or absent, ``'quantity'`` if it has a value.
        unit: Unit of a quantity.
        source: Source of the term.
        regions: Parts of the world where it occurs, empty if it occurs everywhere.
        layer: Kind of map that could show the concept, empty if there is none.
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
        """Create a concept from strings and lists, such as a row of a table.

        Args:
            mapping: Values by field. A field with several items is a list, or a string
                with ``|`` between the items. A missing ``id`` is created from the name.

        Returns:
            The concept, not validated.
        """
        values: dict[str, Any] = {'name': '', 'category': ''}
        for field, value in mapping.items():
            if value and field in SEVERAL:
                values[field] = _items(value)
            elif value and field in FIELDS:
                values[field] = str(value).strip()
        values['id'] = values.get('id') or slug(values['name'])
        return cls(**values)

    def joined_aliases(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return the aliases, followed by the given names that are new.

        Args:
            names: Other names of the same thing.
        """
        known = {normalise(name) for name in (self.name, *self.aliases)}
        return (*self.aliases, *(x for x in names if normalise(x) not in known))

    def problems(self, categories: Collection[str] | None) -> Iterator[tuple[str, str]]:
        """Validate the concept by itself.

        Args:
            categories: Allowed categories, or None for any.

        Yields:
            Field and problem.
        """
        if not self.name or self.name != self.name.strip():
            yield 'name', 'has blanks around it' if self.name else 'is empty'
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
                    yield field, f'{item!r} is empty, has |, or has blanks around it'
        if self.kind not in ('class', 'quantity'):
            yield 'kind', f"must be 'class' or 'quantity', not {self.kind!r}"
        if self.kind == 'quantity' and not self.unit:
            yield 'unit', "is empty for a quantity; use '1' for a number without a unit"
        if self.kind == 'class' and self.unit:
            yield 'unit', f'is {self.unit!r} for a class; only a quantity has a unit'
        for region in self.regions:
            if region not in REGIONS:
                hint = near_matches(region, REGIONS)
                yield 'regions', f'unknown region {region!r}. {hint}'


FIELDS = tuple(field.name for field in fields(Concept))
SEVERAL = frozenset({'prompts', 'aliases', 'regions'})
_SLUG = re.compile('[a-z0-9]+(-[a-z0-9]+)*')


def _items(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        value = value.split('|')
    elif not isinstance(value, list | tuple):
        value = [value]
    return tuple([text for item in value if (text := str(item).strip())])
