# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Run a subcommand; each subcommand is a module of this folder."""

import importlib
import os
import re
import signal
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from types import ModuleType

from jsonargparse import ArgumentParser

from ..utils.version import VERSION
from .options import function_parser

# Errors with a message for users, which are printed without a traceback.
USER_ERRORS = (ValueError, OSError, ImportError)

# Subcommands and their help. Only the module of the requested one is imported.
COMMANDS = {
    'quickstart': 'Predict and explain the temperature of world cities.',
    'embed': 'Embed the points of a file.',
    'map': 'Map an embedding, concepts or predictions.',
    'benchmark': 'Score encoders on tables of points.',
    'text-directions': 'Encode the texts of a concept bank with CLIP.',
    'cache-features': 'Compute the features of images once.',
    'bank': 'Build, show or check a concept bank.',
}


def build_parser(
    command: str | None,
) -> tuple[ArgumentParser, dict[str, Callable[..., object]]]:
    """Build the parser of the command.

    Args:
        command: The subcommand whose options are needed.

    Returns:
        The parser, and the functions to call, by command.
    """
    parser = ArgumentParser(
        prog='torchgeo-concepts',
        description='Location encoders with named concepts.',
        version=VERSION,
    )
    commands = parser.add_subcommands(dest='command')
    functions: dict[str, Callable[..., object]] = {}
    for name, text in COMMANDS.items():
        if name != command:
            commands.add_subcommand(name, ArgumentParser(), help=text)
            continue
        module = importlib.import_module(f'..{name.replace("-", "_")}', __name__)
        if hasattr(module, 'run'):
            functions[name] = module.run
            commands.add_subcommand(name, function_parser(module.run), help=text)
        else:
            # A parser must be added before it gets its own subcommands.
            group = ArgumentParser(description=text)
            commands.add_subcommand(name, group, help=text)
            functions |= _add_group(group, name, module)
    return parser, functions


def _add_group(
    parser: ArgumentParser, command: str, module: ModuleType
) -> dict[str, Callable[..., object]]:
    commands = parser.add_subcommands(dest='subcommand')
    functions = {name: getattr(module, name) for name in module.__all__}
    for name, function in functions.items():
        own = function_parser(function)
        commands.add_subcommand(name, own, help=own.description)
    return {f'{command} {name}': function for name, function in functions.items()}


def _with_underscores(argument: str) -> str:
    """Replace hyphens in the name of an option such as `--on-error` by underscores."""
    name, equals, value = argument.partition('=')
    return name.replace('-', '_').replace('__', '--', 1) + equals + value


def _with_option_names(message: str, keywords: Iterable[str]) -> str:
    """Replace Python arguments in a message, such as `on_error='skip'`, by options."""
    message = message.replace('download=True', '--download')
    for keyword in keywords:
        option = f'--{keyword.replace("_", "-")}'
        message = re.sub(rf"\b{keyword}='([^']*)'", rf'{option} \1', message)
        message = re.sub(rf'\b{keyword}=(?=[\s.,)]|$)', option, message)
    return message


def _show_message(message: Warning | str, *_: object, **__: object) -> None:
    """Print a warning without the line of code that it came from."""
    print(f'torchgeo-concepts: {message}', file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: Command-line arguments. By default, those of the process.

    Returns:
        Exit status: 0 for success, 1 for an error with a message, 130 for an interrupt.
    """
    # A terminated job removes its partial files, like an interrupted job.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    words = list(sys.argv[1:] if arguments is None else arguments)
    words = [_with_underscores(w) if w.startswith('--') else w for w in words]
    parser, functions = build_parser(next((w for w in words if w in COMMANDS), None))
    options = parser.parse_args(words)
    command = options.command
    options = options[command]
    if 'subcommand' in options:
        command = f'{command} {options.subcommand}'
        options = options[options.subcommand]
    keywords = options.as_dict()
    keywords.pop('config', None)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_message
            print(functions[command](**keywords), flush=True)
    except BrokenPipeError:
        # The reader, such as `head`, has closed the pipe. Avoid an error at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except USER_ERRORS as error:
        message = _with_option_names(str(error), keywords)
        print(f'torchgeo-concepts {command}: {message}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f'torchgeo-concepts {command}: interrupted.', file=sys.stderr)
        return 130
    return 0
