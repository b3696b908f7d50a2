# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Pages of measurements that commands write."""

import platform
import textwrap
from collections.abc import Iterable
from pathlib import Path

from ._files import atomic_path

# Letters in a line of text.
LINE = 120


def wrapped(text: str) -> list[str]:
    """Return the lines of a paragraph, and an empty one.

    Args:
        text: The paragraph.
    """
    return [*textwrap.wrap(text, LINE, break_on_hyphens=False), '']


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write a file of lines, whole or not at all.

    Args:
        path: The file.
        lines: Its lines.
    """
    with atomic_path(path) as temporary:
        temporary.write_text('\n'.join(lines).rstrip() + '\n', encoding='utf-8')


def processor() -> str:
    """Name the processor.

    Returns:
        Its name, with family and model where the system tells them.
    """
    try:
        lines = Path('/proc/cpuinfo').read_text().splitlines()
    except OSError:
        lines = []
    told = dict(line.split(':', 1) for line in lines if ':' in line)
    model = {key.strip(): value.strip() for key, value in told.items()}
    if not {'model name', 'cpu family', 'model'} <= set(model):
        return platform.processor() or platform.machine()
    return (
        f'{model["model name"]} (family {model["cpu family"]}, model {model["model"]})'
    )
