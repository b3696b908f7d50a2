# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Command-line options from the signature and the docstring of a function."""

import typing
from collections.abc import Callable, Sequence
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

from docstring_parser import parse
from jsonargparse import ActionConfigFile, ActionYesNo, ArgumentParser

# Parameters that cannot be options.
SKIPPED = {'encoder'}


def function_parser(function: Callable[..., object]) -> ArgumentParser:
    """Build a parser whose options are the parameters of a function.

    Parameters without a default are positional, except ``output``, which is ``-o``.
    Flags also have a form with ``--no``, and sequences take several values.

    Args:
        function: Function with type hints and a docstring.

    Returns:
        The parser, with help texts from the docstring.
    """
    docstring = parse(function.__doc__ or '')
    parser = ArgumentParser(description=docstring.short_description)
    parser.add_argument(
        '--config', action=ActionConfigFile, help='YAML file of options.'
    )
    helps = {
        parameter.arg_name: parameter.description for parameter in docstring.params
    }
    types = typing.get_type_hints(function)
    own = {
        name: options
        for name, parameter in signature(function).parameters.items()
        if name not in SKIPPED and (options := _options(types[name], parameter))
    }
    for name, options in own.items():
        names = ['-o', '--output'] if name == 'output' else [f'--{name}']
        parser.add_argument(*names, help=helps.get(name), **options)
    parser.add_function_arguments(function, as_positional=True, skip={*own, *SKIPPED})
    return parser


def _options(kind: Any, parameter: Parameter) -> dict[str, Any] | None:
    """Return settings that jsonargparse does not derive from a type, or None."""
    is_required = parameter.default is Parameter.empty
    default = None if is_required else parameter.default
    if parameter.name == 'output':
        return {'type': Path, 'required': is_required, 'default': default}
    if kind is bool:
        return {'action': ActionYesNo, 'default': default}
    # The sequence may be optional.
    kinds = [kind, *typing.get_args(kind)]
    found = [k for k in kinds if typing.get_origin(k) is Sequence]
    if not found:
        return None
    default = None if default is None else list(default)
    return {'type': typing.get_args(found[0])[0], 'nargs': '*', 'default': default}
