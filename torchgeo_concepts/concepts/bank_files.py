# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""CSV and YAML files of concepts."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from ..io.csv_files import read_csv_rows, read_text
from ..utils.names import check_known
from .concept import FIELDS, SEVERAL, Concept

# Separates the items of a field in a CSV file.
SEPARATOR = ' | '


def is_yaml(path: Path) -> bool:
    """Return True for a YAML file and False for a CSV file, by the suffix.

    Raises:
        ValueError: If the suffix is another one.
    """
    suffix = path.suffix.lower()
    if suffix not in ('.csv', '.yaml', '.yml'):
        raise ValueError(f'{path} must end in .csv, .yaml or .yml.')
    return suffix != '.csv'


def read_concepts(path: Path) -> tuple[Concept, ...]:
    """Read the concepts of a CSV or YAML file, without validation.

    Args:
        path: The file.

    Returns:
        The concepts.

    Raises:
        ValueError: If the file is not a table of concepts.
    """
    rows: Iterable[dict[str, Any]]
    if is_yaml(path):
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


def concepts_to_frame(concepts: Iterable[Concept]) -> pd.DataFrame:
    """Return concepts as a table with a row for each."""
    return pd.DataFrame([asdict(concept) for concept in concepts], columns=FIELDS)


def concepts_to_csv(concepts: Iterable[Concept]) -> str:
    """Return concepts as CSV."""
    frame = concepts_to_frame(concepts)
    for name in SEVERAL:
        frame[name] = frame[name].map(SEPARATOR.join)
    return frame.to_csv(index=False, lineterminator='\n')


def concepts_to_yaml(concepts: Iterable[Concept]) -> str:
    """Return concepts as YAML, without empty fields."""
    rows = [
        {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(concept).items()
            if value
        }
        for concept in concepts
    ]
    text: str = yaml.safe_dump(rows, allow_unicode=True, sort_keys=False)
    return text
