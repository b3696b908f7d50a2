# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""The `torchgeo-concepts` command."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from jsonargparse import ActionConfigFile, ArgumentParser

from . import __version__
from .embedding import embed_file

__all__ = ('main',)

# What a user can mend. Anything else is a fault of the program and keeps its traceback.
USER_ERRORS = (ValueError, OSError, ImportError)

COMMANDS: dict[str, Callable[..., object]] = {'embed': embed_file}


def _embed_parser() -> ArgumentParser:
    parser = ArgumentParser(
        description='Embed the points of a file of any size; write GeoParquet.'
    )
    parser.add_argument(
        '--config', action=ActionConfigFile, help='YAML file of options.'
    )
    parser.add_function_arguments(
        embed_file, as_positional=True, skip={'download', 'output'}
    )
    parser.add_argument(
        '-o',
        '--output',
        type=Path,
        required=True,
        help='GeoParquet file to write, ending in .parquet or .geoparquet.',
    )
    parser.add_argument(
        '--download',
        action='store_true',
        help='Download the weights if they are not on this machine.',
    )
    return parser


def build_parser() -> ArgumentParser:
    """Build the parser of the command and its subcommands.

    Returns:
        The parser.
    """
    parser = ArgumentParser(
        prog='torchgeo-concepts',
        description='Location encoders that name what they know about a place.',
        version=__version__,
    )
    commands = parser.add_subcommands(dest='command')
    commands.add_subcommand('embed', _embed_parser(), help='Embed a file of points.')
    return parser


def _with_underscores(argument: str) -> str:
    """Let `--on-error` stand for `--on_error`, the name of the parameter."""
    name, equals, value = argument.partition('=')
    return name.replace('-', '_').replace('__', '--', 1) + equals + value


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: Words of the command line, those of the process by default.

    Returns:
        Exit status: 0, 1 for an error that the message explains, 130 for an interrupt.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    words = [_with_underscores(w) if w.startswith('--') else w for w in words]
    options = build_parser().parse_args(words)
    command = options.pop('command')
    arguments_of_command = options[command].as_dict()
    arguments_of_command.pop('config', None)
    try:
        print(COMMANDS[command](**arguments_of_command))
    except USER_ERRORS as error:
        print(f'torchgeo-concepts {command}: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f'torchgeo-concepts {command}: interrupted.', file=sys.stderr)
        return 130
    return 0
