# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Files inside installed distributions, found without importing them."""

from importlib import metadata
from pathlib import Path


def installed_file(distribution: str, file: str) -> Path | None:
    """Find a file of an installed distribution.

    Args:
        distribution: Name of the distribution, as pip knows it.
        file: Path of the file inside it.

    Returns:
        The path, or None if the distribution is not installed or has no such file.
    """
    try:
        path = Path(str(metadata.distribution(distribution).locate_file(file)))
    except metadata.PackageNotFoundError:
        return None
    return path if path.is_file() else None


def required_file(distribution: str, file: str, extra: str) -> Path:
    """Find a file of a distribution that an extra of this package installs.

    Args:
        distribution: Name of the distribution, as pip knows it.
        file: Path of the file inside it.
        extra: The extra that installs the distribution.

    Returns:
        The path.

    Raises:
        ImportError: If there is no such file; the message names the extra.
    """
    path = installed_file(distribution, file)
    if path is None:
        raise ImportError(
            f'{file} of {distribution} is needed. Install it with '
            f"'pip install torchgeo-concepts[{extra}]'."
        )
    return path
