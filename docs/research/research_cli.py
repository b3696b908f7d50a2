# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Run a study with the options that the signature of its function names."""

import sys
from collections.abc import Callable, Sequence
from inspect import signature
from pathlib import Path
from typing import Any

from docstring_parser import parse
from jsonargparse import ActionYesNo, ArgumentParser


def run(
    function: Callable[..., object], arguments: Sequence[str] | None = None
) -> object:
    """Run a function with the options of a command line, and print its result.

    Args:
        function: Function whose docstring describes all of its arguments. Tuples take
            several values, and ``output`` has the short option ``-o``.
        arguments: Words of the command line, by default those of this process.

    Returns:
        The result of the function.
    """
    # The module of a command is called __main__, but its spec has the name.
    spec = sys.modules[function.__module__].__spec__
    package = function.__module__ if spec is None else spec.name
    program = f'python -m {package.partition(".")[0]}'
    described = parse(function.__doc__ or '')
    parser = ArgumentParser(prog=program, description=described.short_description)
    help_of = {each.arg_name: each.description for each in described.params}
    added = set()
    for name, parameter in signature(function).parameters.items():
        default = parameter.default
        settings: dict[str, Any] = {'help': help_of[name]}
        if isinstance(default, tuple):
            settings |= {'nargs': '+', 'type': type(default[0])}
            default = list(default)
        elif isinstance(default, bool):
            settings |= {'action': ActionYesNo}
        elif name == 'output':
            settings |= {'type': Path}
        else:
            continue
        short = ['-o'] if name == 'output' else []
        parser.add_argument(*short, f'--{name}', default=default, **settings)
        added.add(name)
    parser.add_function_arguments(function, as_positional=False, skip=added)
    words = sys.argv[1:] if arguments is None else arguments
    try:
        options = parser.parse_args([_with_underscores(word) for word in words])
        result = function(**options.as_dict())
    except (ImportError, OSError, ValueError) as error:
        parser.exit(1, f'{program}: {error}\n')
    print(result)
    return result


def _with_underscores(word: str) -> str:
    """Accept ``--choice-seeds`` for the parameter ``choice_seeds``."""
    name, equals, value = word.partition('=')
    if not name.startswith('--'):
        return word
    return f'--{name[2:].replace("-", "_")}{equals}{value}'
