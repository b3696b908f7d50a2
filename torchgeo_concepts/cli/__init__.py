# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""The `torchgeo-concepts` command."""

import os
import re
import signal
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from inspect import signature
from pathlib import Path

from jsonargparse import ActionConfigFile, ActionYesNo, ArgumentParser

from ..concepts.building import build_bank
from ..concepts.page import check_bank, show_bank
from ..concepts.seeds import SEEDS
from ..datasets.image_features import ImageSet, cache_image_features
from ..embed.points import embed_file
from ..embed.text_directions import write_text_directions
from ..evaluate.benchmark import benchmark
from ..maps.encoder_maps import map_encoder
from ..utils.version import VERSION
from .quickstart import CITIES, quickstart

__all__ = ('main',)

# Errors whose message says all that a user needs. Others keep their traceback.
USER_ERRORS = (ValueError, OSError, ImportError)

COMMANDS: dict[str, Callable[..., object]] = {
    'quickstart': quickstart,
    'embed': embed_file,
    'map': map_encoder,
    'benchmark': benchmark,
    'text-directions': write_text_directions,
    'cache-features': cache_image_features,
    'bank build': build_bank,
    'bank show': show_bank,
    'bank check': check_bank,
}


def _function_parser(
    function: Callable[..., object], description: str, skip: set[str] | None = None
) -> ArgumentParser:
    parser = ArgumentParser(description=description)
    parser.add_argument(
        '--config', action=ActionConfigFile, help='YAML file of options.'
    )
    parser.add_function_arguments(function, as_positional=True, skip=skip or set())
    return parser


def _add_download(parser: ArgumentParser) -> None:
    parser.add_argument(
        '--download',
        action='store_true',
        help='Download the weights if they are not on this machine.',
    )


def _quickstart_parser() -> ArgumentParser:
    parser = _function_parser(
        quickstart,
        'Predict temperature and population of world cities, and explain predictions.',
        {'cities', 'output'},
    )
    parser.add_argument(
        '-o',
        '--output',
        type=Path,
        default=Path('quickstart'),
        help='Folder to write the picture report.png and its maps maps.tif to.',
    )
    parser.add_argument(
        '--cities',
        nargs='+',
        default=list(CITIES),
        help='Names of one to four cities whose temperatures are explained.',
    )
    return parser


def _embed_parser() -> ArgumentParser:
    parser = _function_parser(
        embed_file,
        'Embed the points of a file of any size; write GeoParquet.',
        {'download', 'output'},
    )
    parser.add_argument(
        '-o',
        '--output',
        type=Path,
        required=True,
        help='GeoParquet file to write, ending in .parquet or .geoparquet.',
    )
    _add_download(parser)
    return parser


def _map_parser() -> ArgumentParser:
    parser = _function_parser(
        map_encoder,
        'Map what an encoder says, or a task predicts; write GeoTIFF and PNG.',
        {'bounds', 'calibrated', 'concept', 'download', 'land_only', 'output', 'png'},
    )
    parser.add_argument(
        '-o',
        '--output',
        type=Path,
        required=True,
        help='GeoTIFF file to write, ending in .tif or .tiff.',
    )
    parser.add_argument(
        '--concept',
        nargs='*',
        action='extend',
        default=[],
        help='Names or ids of concepts, one for each band, instead of the embedding.',
    )
    parser.add_argument(
        '--calibrated',
        action='store_true',
        default=True,
        help='Probabilities of concepts, or values in their units, as is the default.',
    )
    parser.add_argument(
        '--standardised',
        dest='calibrated',
        action='store_false',
        help='Standardised scores of concepts instead.',
    )
    parser.add_argument(
        '--bounds',
        nargs=4,
        type=float,
        metavar=('WEST', 'SOUTH', 'EAST', 'NORTH'),
        help='The area in degrees; it crosses the antimeridian if WEST > EAST.',
    )
    parser.add_argument('--land_only', action='store_true', help='Leave out the sea.')
    parser.add_argument(
        '--png', action=ActionYesNo, default=True, help='Write a figure beside the map.'
    )
    _add_download(parser)
    return parser


def _benchmark_parser() -> ArgumentParser:
    lists = {
        'datasets': ('Datasets to predict besides; none if no name follows.', str),
        'targets': ('Names of the targets or tables to predict. By default, all.', str),
        'groups': ('Kinds of quantities, as name=group or name=group:source.', str),
        'origins': ('Where tables come from, as name=text; the page says so.', str),
        'encoders': ('Registered models, files or classes; released for all.', str),
        'splits': ('random for rows at random, blocks for whole blocks.', str),
        'seeds': ('Seeds of the splits. More of them average over more folds.', int),
        'truncate_dims': (
            'Also try so many principal components of ConceptEarth.',
            int,
        ),
    }
    parser = _function_parser(
        benchmark,
        'Score encoders on tables of points; write CSV, Markdown and PNG.',
        {*lists, 'layers', 'output'},
    )
    parser.add_argument(
        '-o',
        '--output',
        type=Path,
        required=True,
        help='Folder of the results, and of scores that another run need not compute.',
    )
    defaults = signature(benchmark).parameters
    for name, (help, kind) in lists.items():
        default = list(defaults[name].default)
        option = f'--{name.replace("_", "-")}'
        parser.add_argument(option, nargs='*', type=kind, default=default, help=help)
    parser.add_argument(
        '--layers',
        action=ActionYesNo,
        default=True,
        help='Predict also from maps, which the extra layers installs.',
    )
    return parser


def _directions_parser() -> ArgumentParser:
    parser = _function_parser(
        write_text_directions,
        'Encode the texts of a bank with CLIP; write what alignment begins with.',
        {'download', 'output'},
    )
    parser.add_argument(
        '-o',
        '--output',
        type=Path,
        required=True,
        help='File to write, ending in .safetensors.',
    )
    _add_download(parser)
    return parser


def _features_parser() -> ArgumentParser:
    parser = _function_parser(
        cache_image_features,
        'Compute once what a frozen backbone makes of all images of a set.',
        {'dataset', 'download', 'output', 'root'},
    )
    parser.add_argument(
        '--dataset',
        type=ImageSet,
        required=True,
        help='A published set, or ImagePoints for a folder of photos.',
    )
    parser.add_argument(
        '--root',
        type=Path,
        required=True,
        help='Folder of the set, in the layout that its class states.',
    )
    parser.add_argument(
        '-o',
        '--output',
        type=Path,
        required=True,
        help='Folder to write to. A run that was interrupted goes on in it.',
    )
    _add_download(parser)
    return parser


def _add_bank_commands(parser: ArgumentParser) -> None:
    commands = parser.add_subcommands(dest='bank_command')
    build = _function_parser(
        build_bank,
        'Build a concept bank in a folder.',
        {'answers', 'download', 'encoder', 'seeds', 'tables'},
    )
    build.add_argument(
        '--seeds',
        nargs='*',
        action='extend',
        choices=sorted(SEEDS),
        default=[],
        help='Maps whose classes are concepts; need the extra layers.',
    )
    build.add_argument(
        '--tables',
        nargs='*',
        action='extend',
        type=Path,
        default=[],
        help='CSV files with names, such as Wikidata exports or banks.',
    )
    build.add_argument(
        '--answers',
        nargs='*',
        action='extend',
        type=Path,
        default=[],
        help='Files of JSON lines with the answers of a language model.',
    )
    _add_download(build)
    show = _function_parser(show_bank, 'Show a concept bank, or a part of it.')
    check = _function_parser(check_bank, 'Check that a file is a valid concept bank.')
    commands.add_subcommand('build', build, help='Build a concept bank in a folder.')
    commands.add_subcommand('show', show, help='Show a concept bank.')
    commands.add_subcommand('check', check, help='Check a file.')


def build_parser() -> ArgumentParser:
    """Build the parser of the command and its subcommands.

    Returns:
        The parser.
    """
    parser = ArgumentParser(
        prog='torchgeo-concepts',
        description='Location encoders that name what they know about a place.',
        version=VERSION,
    )
    commands = parser.add_subcommands(dest='command')
    commands.add_subcommand(
        'quickstart', _quickstart_parser(), help='Try it on cities of the world.'
    )
    commands.add_subcommand('embed', _embed_parser(), help='Embed a file of points.')
    commands.add_subcommand('map', _map_parser(), help='Map embeddings or predictions.')
    commands.add_subcommand(
        'benchmark', _benchmark_parser(), help='Score encoders on tables of points.'
    )
    commands.add_subcommand(
        'text-directions',
        _directions_parser(),
        help='Encode the texts of a bank with CLIP.',
    )
    commands.add_subcommand(
        'cache-features', _features_parser(), help='Compute features of images once.'
    )
    # A parser must be in its place before it gets subcommands of its own.
    bank = ArgumentParser(description='Build, show and check concept banks.')
    commands.add_subcommand('bank', bank, help='Build, show and check concept banks.')
    _add_bank_commands(bank)
    return parser


def _with_underscores(argument: str) -> str:
    """Let `--on-error` stand for `--on_error`, the name of the parameter."""
    name, equals, value = argument.partition('=')
    return name.replace('-', '_').replace('__', '--', 1) + equals + value


def _in_words_of_the_command(message: str, keywords: Iterable[str]) -> str:
    """Turn arguments of Python, such as `on_error='skip'`, into options."""
    message = message.replace('download=True', '--download')
    for keyword in keywords:
        option = f'--{keyword.replace("_", "-")}'
        message = re.sub(rf"\b{keyword}='([^']*)'", rf'{option} \1', message)
        message = re.sub(rf'\b{keyword}=(?=[\s.,)]|$)', option, message)
    return message


def _show_message(message: Warning | str, *_: object, **__: object) -> None:
    """Show what a warning says, without the line of code that it came from."""
    print(f'torchgeo-concepts: {message}', file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: Words of the command line, those of the process by default.

    Returns:
        Exit status: 0, 1 for an error that the message explains, 130 for an interrupt.
    """
    # A job that is ended removes what it has half written, as one that is interrupted.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    words = list(sys.argv[1:] if arguments is None else arguments)
    words = [_with_underscores(w) if w.startswith('--') else w for w in words]
    options = build_parser().parse_args(words)
    command = options.command
    options = options[command]
    if command == 'bank':
        command = f'bank {options.bank_command}'
        options = options[options.bank_command]
    keywords = options.as_dict()
    keywords.pop('config', None)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_message
            print(COMMANDS[command](**keywords), flush=True)
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough. Python would complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except USER_ERRORS as error:
        message = _in_words_of_the_command(str(error), keywords)
        print(f'torchgeo-concepts {command}: {message}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f'torchgeo-concepts {command}: interrupted.', file=sys.stderr)
        return 130
    return 0
