# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Comparison and validation of names that users type."""

import difflib
import re
import unicodedata
from collections.abc import Iterable
from typing import Any, get_args

_SEPARATORS = re.compile(r'[\W_]+')


def normalise(name: str) -> str:
    """Normalise a name for comparison with others.

    Args:
        name: Any name, in any script.

    Returns:
        The name in lower case, with Latin letters without accents and single spaces
        between words.
    """
    if name.isascii():
        return _SEPARATORS.sub(' ', name.casefold()).strip()
    letters = []
    is_latin = False
    for letter in unicodedata.normalize('NFKD', name.casefold()):
        kind = unicodedata.category(letter)[0]
        if kind == 'M':
            # Marks are accents in Latin script, but parts of words in other scripts.
            letters.append('' if is_latin else letter)
        else:
            is_latin = unicodedata.name(letter, '').startswith('LATIN')
            letters.append(letter if kind in 'LN' else ' ')
    return ' '.join(unicodedata.normalize('NFC', ''.join(letters)).split())


def slug(name: str) -> str:
    """Convert a name to an identifier.

    Args:
        name: Any name.

    Returns:
        Lower-case words of a-z and 0-9, joined by hyphens. Other scripts are
        transliterated. Empty if the name has no letters or digits.
    """
    if not name.isascii():
        from anyascii import anyascii

        name = anyascii(unicodedata.normalize('NFC', name))
    return '-'.join(normalise(name).split())


def near_matches(name: str, known: Iterable[str]) -> str:
    """Suggest known names that are similar to an unknown one, or list known names.

    Args:
        name: The unknown name.
        known: All known names.

    Returns:
        A sentence for an error message.
    """
    names = list(known)
    lowered = {candidate.lower(): candidate for candidate in names}
    close = difflib.get_close_matches(name.lower(), lowered, n=3, cutoff=0.6)
    if close:
        return f'Did you mean {" or ".join(repr(lowered[c]) for c in close)}?'
    listed = ', '.join(map(repr, sorted(names)[:40]))
    return f'Known names: {listed}{", ..." if len(names) > 40 else ""}.'


def with_unit(name: str, unit: str) -> str:
    """Append a unit to a name, for an axis or a column title.

    Args:
        name: Any name.
        unit: Its unit; empty if it has none.

    Returns:
        Name and unit, such as ``'elevation [m]'``.
    """
    return f'{name} [{unit}]' if unit else name


def check_choice(argument: str, value: object, choices: Any) -> None:
    """Validate an argument with a fixed set of values.

    Args:
        argument: Name of the argument.
        value: Its value.
        choices: A ``Literal`` of the allowed values.

    Raises:
        ValueError: If the value is not allowed.
    """
    if value not in (known := get_args(choices)):
        raise ValueError(f'{argument} must be one of {known}, not {value!r}.')


def check_known(problem: str, name: str, known: Iterable[str]) -> None:
    """Validate a name, and suggest similar ones if it is unknown.

    Args:
        problem: First words of the error, such as ``'There is no target'``.
        name: The name.
        known: All known names.

    Raises:
        ValueError: If the name is unknown.
    """
    names = list(known)
    if name not in names:
        raise ValueError(f'{problem} {name!r}. {near_matches(name, names)}')
