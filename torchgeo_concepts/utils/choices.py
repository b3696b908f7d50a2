# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Arguments with a fixed set of values."""

from typing import Any, get_args


def check_choice(name: str, value: object, choices: Any) -> None:
    """Check that an argument has one of its values.

    Args:
        name: Name of the argument, for the message.
        value: Its value.
        choices: A ``Literal`` of all values.

    Raises:
        ValueError: If the value is not among them; the message lists them.
    """
    if value not in get_args(choices):
        raise ValueError(f'{name} must be one of {get_args(choices)}, not {value!r}.')
