# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Names that people type: how to compare them, and what to say to a wrong one."""

import difflib
import re
import unicodedata
from collections.abc import Iterable

__all__ = ('near_matches', 'normalise', 'slug')

_SEPARATORS = re.compile(r'[\W_]+')


def normalise(name: str) -> str:
    """Reduce a name to what makes it different from others.

    Args:
        name: Any name.

    Returns:
        The name in lower case, without accents, its words separated by single spaces.
    """
    if not name.isascii():
        decomposed = unicodedata.normalize('NFKD', name)
        name = ''.join(c for c in decomposed if not unicodedata.combining(c))
    return _SEPARATORS.sub(' ', name.casefold()).strip()


def slug(name: str) -> str:
    """Make an identifier of a name.

    Args:
        name: Any name.

    Returns:
        Lower-case words of a-z and 0-9 joined by hyphens; empty if there are none.
    """
    ascii_name = normalise(name).encode('ascii', 'ignore').decode()
    return '-'.join(ascii_name.split())


def near_matches(name: str, known: Iterable[str]) -> str:
    """Say which known names come close to a wrong one, or list them.

    Args:
        name: The wrong name.
        known: All names that would do.

    Returns:
        A sentence for an error message.
    """
    names = list(known)
    lowered = {candidate.lower(): candidate for candidate in names}
    close = difflib.get_close_matches(name.lower(), lowered, n=3, cutoff=0.6)
    if close:
        return f'Did you mean {" or ".join(repr(lowered[c]) for c in close)}?'
    listed = ', '.join(map(repr, sorted(names)[:40]))
    return f'Known are {listed}{", ..." if len(names) > 40 else ""}.'
