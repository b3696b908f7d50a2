# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Cloud-optimised GeoTIFF files of maps."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import rasterio
import rasterio.io
import rasterio.shutil
from rasterio.enums import ColorInterp

from ..geo.raster_grid import RasterGrid

BandKind = Literal['quantity', 'probability', 'score', 'class', 'colour']

# Pixels on a side of a block, the part of a file that is written and read at once.
BLOCK = 512

# Size of GDAL's block cache in megabytes.
CACHE_MB = 256


@dataclass(frozen=True)
class Band:
    """Description of a band of a map.

    Attributes:
        name: Readable name.
        unit: Unit of a quantity, empty for anything else.
        kind: ``'quantity'`` in a unit; ``'probability'`` from 0 to 1; ``'score'``, a
            number without a unit; ``'class'``, a code of one of *classes*; or
            ``'colour'``, red, green or blue from 0 to 1 in a map of three bands.
        classes: Names of classes, by code from 0.
        id: Identifier, such as that of a concept.
    """

    name: str
    unit: str = ''
    kind: BandKind = 'quantity'
    classes: tuple[str, ...] = ()
    id: str = ''


@contextmanager
def open_geotiff(
    path: Path, grid: RasterGrid, bands: Sequence[Band], tags: Mapping[str, str]
) -> Iterator[rasterio.io.DatasetWriter]:
    """Open a file to write. It appears when the ``with`` block ends without an error.

    A cloud-optimised file begins with its overviews, which are computed last. So blocks
    are first written to a temporary file in the same folder. This file is then copied.

    Args:
        path: The file.
        grid: Grid of the pixels.
        bands: The bands.
        tags: Metadata, such as the origin of the map.

    Yields:
        The dataset; write its windows with values of shape ``(bands, height, width)``,
        NaN where missing.
    """
    path = path.resolve()
    is_class = any(band.kind == 'class' for band in bands)
    with (
        # By default, the cache takes a share of all memory.
        rasterio.Env(GDAL_CACHEMAX=CACHE_MB),
        TemporaryDirectory(prefix=f'.{path.name}.', dir=path.parent) as folder,
    ):
        blocks, whole = Path(folder, 'blocks.tif'), Path(folder, 'whole.tif')
        with rasterio.open(blocks, 'w', **_profile(grid, len(bands))) as dataset:
            _describe(dataset, bands, tags)
            yield dataset
        rasterio.shutil.copy(
            blocks,
            whole,
            driver='COG',
            compress='DEFLATE',
            predictor='YES',
            blocksize=BLOCK,
            overview_resampling='MODE' if is_class else 'AVERAGE',
            bigtiff='IF_SAFER',
        )
        os.replace(whole, path)


def _profile(grid: RasterGrid, count: int) -> dict[str, Any]:
    return {
        'driver': 'GTiff',
        'dtype': 'float32',
        'nodata': np.nan,
        'count': count,
        'width': grid.width,
        'height': grid.height,
        'crs': rasterio.CRS.from_user_input(grid.crs),
        'transform': grid.transform,
        'tiled': True,
        'blockxsize': BLOCK,
        'blockysize': BLOCK,
        'interleave': 'pixel',
        'compress': 'DEFLATE',
        'zlevel': 1,
        'predictor': 3,
        'bigtiff': 'IF_SAFER',
    }


def _describe(dataset: Any, bands: Sequence[Band], tags: Mapping[str, str]) -> None:
    dataset.update_tags(**tags)
    dataset.descriptions = [band.name for band in bands]
    dataset.units = [band.unit for band in bands]
    for number, band in enumerate(bands, start=1):
        texts = {'kind': band.kind, 'id': band.id}
        if band.classes:
            texts['classes'] = json.dumps(band.classes, ensure_ascii=False)
        dataset.update_tags(
            number, **{key: text for key, text in texts.items() if text}
        )
    if [band.kind for band in bands] == ['colour'] * 3:
        dataset.colorinterp = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)


def read_bands(dataset: Any) -> list[Band]:
    """Read the descriptions of the bands of a map.

    Args:
        dataset: An open rasterio dataset, written by this package or not.

    Returns:
        The bands. Bands of files that other programs wrote are quantities.
    """
    bands = []
    for number in dataset.indexes:
        tags = dataset.tags(number)
        bands.append(
            Band(
                name=dataset.descriptions[number - 1] or f'band {number}',
                unit=dataset.units[number - 1] or '',
                kind=tags.get('kind', 'quantity'),
                classes=tuple(json.loads(tags.get('classes', '[]'))),
                id=tags.get('id', ''),
            )
        )
    return bands
