# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Readers of rasters and arrays in the files of installed distributions."""

import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning, RasterioError

# Last sentence of an error about a file of a distribution.
REINSTALL = 'The file is damaged or of another version: reinstall its distribution.'


def read_raster(
    path: Path, shape: tuple[int, ...], remedy: str = REINSTALL
) -> NDArray[Any]:
    """Read all bands of an image or raster with GDAL.

    Args:
        path: The file.
        shape: The expected shape.
        remedy: Last sentence of an error, which says what to do.

    Returns:
        Values of shape ``(bands, H, W)``.

    Raises:
        ValueError: If it cannot be read, or has another shape.
    """
    try:
        with warnings.catch_warnings():
            # Images have no coordinates; they span the Earth.
            warnings.simplefilter('ignore', NotGeoreferencedWarning)
            # Without this option, GDAL fills the missing part of a damaged image with grey.
            with (
                rasterio.Env(GDAL_ERROR_ON_LIBJPEG_WARNING=True),
                rasterio.open(path) as file,
            ):
                array: NDArray[Any] = file.read()
    except RasterioError as error:
        raise ValueError(f'{path} cannot be read: {error}. {remedy}') from error
    return _checked(array, path, shape, remedy)


def read_npz(path: Path, shape: tuple[int, ...]) -> NDArray[Any]:
    """Read the only array of an ``.npz`` file.

    Args:
        path: The file.
        shape: The expected shape.

    Returns:
        The array.

    Raises:
        ValueError: If it cannot be read, or has another shape.
    """
    try:
        # NumPy would leave a damaged file open.
        with path.open('rb') as stream, np.load(stream) as arrays:
            array: NDArray[Any] = arrays[arrays.files[0]]
    except (OSError, ValueError, IndexError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f'{path} cannot be read: {error}. {REINSTALL}') from error
    return _checked(array, path, shape, REINSTALL)


def _checked(
    array: NDArray[Any], path: Path, shape: tuple[int, ...], remedy: str
) -> NDArray[Any]:
    if array.shape != shape:
        raise ValueError(f'{path} must have shape {shape}, not {array.shape}. {remedy}')
    return array
