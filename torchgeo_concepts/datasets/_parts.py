# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Folders of arrays that are computed in parts."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..utils.files import atomic_path


def start_folder(info: Path, content: Any) -> Any:
    """Create a folder with a description, unless it has one.

    Args:
        info: File in the folder that describes its origin.
        content: The description.

    Returns:
        The description in the file.

    Raises:
        ValueError: If the file is damaged.
    """
    if not info.is_file():
        info.parent.mkdir(parents=True, exist_ok=True)
        write_json(info, content)
    try:
        return json.loads(info.read_text())
    except ValueError as error:
        raise ValueError(
            f'{info} is damaged: {error}. Remove {info.parent}.'
        ) from error


def check_origin(
    info: Path, before: Any, made: Mapping[str, Any], names: Mapping[str, str]
) -> None:
    """Validate the origin of a folder, so that its computation can resume.

    Args:
        info: File in the folder that describes its origin.
        before: The origin in this file.
        made: The origin to compare with.
        names: Phrase for each entry that differs, such as ``'other images'``.

    Raises:
        ValueError: If an entry is missing or differs.
    """
    for name, value in made.items():
        if not isinstance(before, dict) or name not in before:
            raise ValueError(
                f'{info} is damaged: it has no {name!r}. Remove {info.parent}.'
            )
        if before[name] != value:
            raise ValueError(
                f'{info.parent} was computed with {names.get(name, f"another {name}")}. '
                'Choose another folder, or remove this one.'
            )


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2))


def save_array(path: Path, array: NDArray[Any]) -> None:
    """Write an array atomically."""
    with atomic_path(path) as temporary, temporary.open('wb') as file:
        np.save(file, array)
