# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Pages of measurements that commands write."""

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

# Letters in a line of text.
LINE = 120


def command_line(
    program: str, function: Callable[..., object], arguments: Mapping[str, Any]
) -> str:
    """Return the command that calls a function, without what is as by default.

    Args:
        program: Program and name of the command, such as ``torchgeo-concepts embed``.
        function: What it calls.
        arguments: Arguments of the call by name.
    """
    words = program.split()
    for argument, parameter in signature(function).parameters.items():
        value, option = arguments[argument], argument.replace('_', '-')
        many = isinstance(value, Sequence) and not isinstance(value, str)
        is_default = (tuple(value) if many else value) == parameter.default
        # Bars change nothing that is written.
        if is_default or argument == 'progress':
            continue
        if isinstance(value, bool):
            words.append(f'--{option}' if value else f'--no-{option}')
        else:
            words += [f'--{option}', *map(str, value if many else [value])]
    return shlex.join(words)


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


def write_section(path: Path, lines: Iterable[str]) -> None:
    """Write a section of a page, and keep what other commands have written there.

    Args:
        path: The page. It is made if there is none.
        lines: Lines of the section, the first of which is a heading of the first level;
            the section of that heading is replaced, or a new one is added at the end.
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
    """Number the headings of the first level, which comments in code are not."""
    in_code = False
    for number, line in enumerate(lines):
        if line.startswith('```'):
            in_code = not in_code
        elif line.startswith('# ') and not in_code:
            yield number


def write_rows(path: Path, rows: Iterable[Any], kind: type[Any]) -> None:
    """Write a CSV file with a line for each row, empty where there is no value.

    Args:
        path: The file.
        rows: Instances of a dataclass; their floats get six digits.
        kind: The dataclass, whose fields are the columns.
    """
    with (
        atomic_path(path) as temporary,
        temporary.open('w', encoding='utf-8', newline='') as stream,
    ):
        names = [field.name for field in fields(kind)]
        writer = csv.DictWriter(stream, names, lineterminator='\n')
        writer.writeheader()
        for row in rows:
            writer.writerow(
                {
                    name: f'{value:.6g}' if isinstance(value, float) else value
                    for name, value in asdict(row).items()
                }
            )


def today_with() -> str:
    """Return the date, and what numbers that are measured now depend on."""
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
    """Yield how a report begins: what follows from it, and how it was made.

    Args:
        verdicts: What follows from it.
        remark: When and with what it was made.
        command: The command that made it.
        setting: What it measured, in general.
        left_out: What was left out, and why.
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
