# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Enrichment of a bank by a language model, through two files.

No model is called: give the prompt file to any model, and save its answers as JSON lines.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..utils.names import near_matches, normalise
from .concept import CATEGORIES, FIELDS, REGIONS, SEVERAL, Concept

PROMPT = """\
# Task

You extend a vocabulary of geographic concepts for {topic}: things visible in a
geotagged photograph, or on a map, that say something about where one is.

1. For each concept listed at the end, fill the fields that it lacks.
2. Propose about {count} concepts that the list lacks. None may be merely the name of a
   country or a city, and none may mean the same as another: synonyms are aliases.

# Answer

Answer only with JSON lines: one object on each line, no text around them.

{{"name": "...", "category": "...", "prompts": ["..."], "definition": "...", \
"aliases": ["..."], "regions": ["..."]}}

* name: singular, lower case unless a proper noun; copy the name of a listed concept.
* category: one of {categories}.
* prompts: one to three noun phrases with an article that say what is visible; each
  completes "a photo of ...".
* definition: one sentence of 8 to 22 words.
* aliases: other names of the same thing; may be empty.
* regions: parts of the world where it occurs, from {regions}; empty if everywhere.

# Concepts so far

{concepts}
"""


def enrichment_prompt(concepts: Iterable[Concept], topic: str, count: int) -> str:
    """Write a prompt that asks a language model to extend a bank.

    Args:
        concepts: The concepts so far.
        topic: Topic of the bank, such as a country.
        count: Number of concepts to ask for.

    Returns:
        The prompt.
    """
    lines = []
    for concept in concepts:
        lacks = [
            name for name in ('prompts', 'definition') if not getattr(concept, name)
        ]
        note = f' (lacks {", ".join(lacks)})' if lacks else ''
        lines.append(f'* {concept.name} [{concept.category}]{note}')
    return PROMPT.format(
        topic=topic,
        count=count,
        categories=', '.join(CATEGORIES),
        regions=', '.join(REGIONS),
        concepts='\n'.join(lines) or '(none yet)',
    )


def read_answers(path: Path) -> tuple[list[Concept], list[tuple[int, str]]]:
    """Read the answers of a language model.

    Args:
        path: File of JSON lines. Blank lines and code fences are skipped.

    Returns:
        The concepts of valid lines; and the line number, counted from 1, and the problem
        of each other line.
    """
    concepts: list[Concept] = []
    faults: list[tuple[int, str]] = []
    lines = path.read_bytes().splitlines()
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith(b'```'):
            continue
        try:
            concepts.append(_read_answer(line))
        except ValueError as error:
            faults.append((number, str(error)))
    return concepts, faults


def _read_answer(line: bytes) -> Concept:
    try:
        answer: Any = json.loads(line)
        # JSON can contain surrogates, which cannot be written to a file.
        json.dumps(answer, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise ValueError(f'not valid JSON: {error}') from error
    if not isinstance(answer, dict):
        raise ValueError(f'not a JSON object but {type(answer).__name__}')
    for field, value in answer.items():
        if field not in FIELDS:
            raise ValueError(f'unknown field {field!r}. {near_matches(field, FIELDS)}')
        is_list = isinstance(value, list) and all(isinstance(v, str) for v in value)
        if not (isinstance(value, str | None) or (is_list and field in SEVERAL)):
            kind = 'a string or a list of strings' if field in SEVERAL else 'a string'
            raise ValueError(f'field {field!r} must be {kind}')
    if not answer.get('name'):
        raise ValueError("the field 'name' is missing")
    concept = Concept.from_mapping({**answer, 'source': 'language model'})
    for field, problem in concept.problems(CATEGORIES):
        if answer.get(field):
            raise ValueError(f'field {field!r}: {problem}')
    return concept


def apply_answers(
    concepts: Sequence[Concept], answers: Iterable[Concept]
) -> list[Concept]:
    """Fill empty fields of concepts from the answers, and append new concepts.

    Fields that are not empty are kept, because they come from a source.

    Args:
        concepts: The concepts so far.
        answers: The concepts in the answers.

    Returns:
        The concepts, with new ones at the end.
    """
    enriched = list(concepts)
    positions = {
        normalise(name): position
        for position, concept in reversed(list(enumerate(enriched)))
        for name in (concept.name, concept.id, *concept.aliases)
    }
    for answer in answers:
        position = positions.get(normalise(answer.name))
        if position is None:
            positions[normalise(answer.name)] = len(enriched)
            enriched.append(answer)
        else:
            enriched[position] = _fill(enriched[position], answer)
    return enriched


def _fill(concept: Concept, answer: Concept) -> Concept:
    return replace(
        concept,
        category=concept.category or answer.category,
        prompts=concept.prompts or answer.prompts,
        definition=concept.definition or answer.definition,
        regions=concept.regions or answer.regions,
        aliases=concept.joined_aliases(answer.aliases),
    )
