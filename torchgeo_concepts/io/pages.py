# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Pages and tables of measurements that commands write."""

import csv
import datetime
import itertools
import platform
import shlex
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from inspect import signature
from pathlib import Path
from typing import Any

from ..utils.files import atomic_path
from ..utils.version import VERSION

# Maximum number of characters in a line of text.
LINE = 120


def command_line(
    program: str, function: Callable[..., object], arguments: Mapping[str, Any]
) -> str:
    """Return the command that calls a function, without options at their defaults.

    Args:
        program: Program and name of the command, such as ``torchgeo-concepts embed``.
        function: The function that the command calls.
        arguments: Arguments of the call by name.
    """
    words = program.split()
    for argument, parameter in signature(function).parameters.items():
        value, option = arguments[argument], argument.replace('_', '-')
        many = isinstance(value, Sequence) and not isinstance(value, str)
        is_default = (tuple(value) if many else value) == parameter.default
        # Progress bars do not change the results.
        if is_default or argument == 'progress':
            continue
        if isinstance(value, bool):
            words.append(f'--{option}' if value else f'--no-{option}')
        else:
            words += [f'--{option}', *map(str, value if many else [value])]
    return shlex.join(words)


def wrapped(text: str) -> list[str]:
    """Wrap a paragraph, and add an empty line.

    Args:
        text: The paragraph.

    Returns:
        Its lines.
    """
    return [*textwrap.wrap(text, LINE, break_on_hyphens=False), '']


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write a file of lines; it appears only when it is complete.

    Args:
        path: The file.
        lines: Its lines.
    """
    with atomic_path(path) as temporary:
        temporary.write_text('\n'.join(lines).rstrip() + '\n', encoding='utf-8')


def write_section(path: Path, lines: Iterable[str]) -> None:
    """Write a section of a page, and keep its other sections.

    Args:
        path: The page. It is created if it does not exist.
        lines: Lines of the section. The first one is a heading of the first level. A
            section with the same heading is replaced; otherwise, the section is added
            at the end.
    """
    new = list(lines)
    old = path.read_text(encoding='utf-8').splitlines() if path.exists() else []
    starts = [*_headings(old), len(old)]
    sections = [old[a:b] for a, b in itertools.pairwise(starts)]
    if new[0] not in [section[0] for section in sections]:
        sections.append(new)
    sections = [new if section[0] == new[0] else section for section in sections]
    preface = old[: starts[0]]
    write_lines(path, '\n\n'.join(_trimmed([preface, *sections])).splitlines())


def _trimmed(parts: Iterable[Sequence[str]]) -> list[str]:
    return [text for part in parts if (text := '\n'.join(part).strip('\n'))]


def _headings(lines: Iterable[str]) -> Iterator[int]:
    """Yield the line numbers of headings of the first level, outside of code."""
    in_code = False
    for number, line in enumerate(lines):
        if line.startswith('```'):
            in_code = not in_code
        elif line.startswith('# ') and not in_code:
            yield number


def write_rows(path: Path, rows: Iterable[Any], kind: type[Any]) -> None:
    """Write a CSV file with a line for each row; missing values are empty.

    Args:
        path: The file.
        rows: Instances of a dataclass. Floats are written with six digits.
        kind: The dataclass. Its fields are the columns.
    """
    with (
        atomic_path(path) as temporary,
        temporary.open('w', encoding='utf-8', newline='') as stream,
    ):
        writer = csv.writer(stream, lineterminator='\n')
        writer.writerow(field.name for field in fields(kind))
        for row in rows:
            values = asdict(row).values()
            writer.writerow(f'{x:.6g}' if isinstance(x, float) else x for x in values)


def today_with() -> str:
    """Return the date, and the versions and processor that measurements depend on."""
    import torch

    return (
        f'{datetime.datetime.now(datetime.UTC):%d %B %Y}: torchgeo-concepts '
        f'{VERSION}, torch {torch.__version__}, Python '
        f'{platform.python_version()}, {processor()}'
    )


def report_head(
    verdicts: Iterable[str],
    remark: str,
    command: str,
    setting: str,
    left_out: Sequence[str],
) -> Iterator[str]:
    """Yield the first lines of a report: conclusions, and how it was created.

    Args:
        verdicts: Conclusions of the report.
        remark: Date and versions.
        command: Command that created the report.
        setting: Description of the measurements.
        left_out: A line with the reason for each omission.
    """
    for verdict in verdicts:
        yield from wrapped(f'**{verdict}**')
    yield from wrapped(remark)
    yield '```console'
    yield f'$ {command}'
    yield '```'
    yield ''
    yield from wrapped(setting)
    for line in left_out:
        yield f'- left out: {line}'
    if left_out:
        yield ''


def processor() -> str:
    """Return the name of the processor, with family and model if they are known."""
    try:
        lines = Path('/proc/cpuinfo').read_text().splitlines()
    except OSError:
        lines = []
    pairs = (line.split(':', 1) for line in lines if ':' in line)
    model = {key.strip(): value.strip() for key, value in pairs}
    if not {'model name', 'cpu family', 'model'} <= set(model):
        return platform.processor() or platform.machine()
    return (
        f'{model["model name"]} (family {model["cpu family"]}, model {model["model"]})'
    )
