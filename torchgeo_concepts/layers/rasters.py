# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Whole rasters and arrays out of the files of installed distributions."""

import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning, RasterioError

# What to do about a file that is not as it should be.
REINSTALL = 'The file is damaged or of another version: reinstall its distribution.'


def read_raster(
    path: Path, shape: tuple[int, ...] | None = None, remedy: str = REINSTALL
) -> NDArray[Any]:
    """Read all bands of an image or raster by way of GDAL.

    Args:
        path: The file.
        shape: The shape that it must have.
        remedy: What to do about a file that is not as it should be.

    Returns:
        Values of shape ``(bands, H, W)``.

    Raises:
        ValueError: If it cannot be read, or has another shape.
    """
    try:
        with warnings.catch_warnings():
            # Images have no coordinates; what they span is known.
            warnings.simplefilter('ignore', NotGeoreferencedWarning)
            # Else the missing part of a picture is grey.
            with (
                rasterio.Env(GDAL_ERROR_ON_LIBJPEG_WARNING=True),
                rasterio.open(path) as file,
            ):
                array: NDArray[Any] = file.read()
    except RasterioError as error:
        raise ValueError(f'{path} cannot be read: {error}. {remedy}') from error
    if shape is not None and array.shape != shape:
        raise ValueError(f'{path} must have shape {shape}, not {array.shape}. {remedy}')
    return array


def read_npz(path: Path, shape: tuple[int, ...] | None = None) -> NDArray[Any]:
    """Read the one array of an ``.npz`` file.

    Args:
        path: The file.
        shape: The shape that it must have.

    Returns:
        The array.

    Raises:
        ValueError: If it cannot be read, or has another shape.
    """
    try:
        # numpy leaves the file open if it is damaged.
        with path.open('rb') as stream, np.load(stream) as arrays:
            array: NDArray[Any] = arrays[arrays.files[0]]
    except (OSError, ValueError, IndexError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f'{path} cannot be read: {error}. {REINSTALL}') from error
    if shape is not None and array.shape != shape:
        raise ValueError(
            f'{path} must have shape {shape}, not {array.shape}. {REINSTALL}'
        )
    return array
