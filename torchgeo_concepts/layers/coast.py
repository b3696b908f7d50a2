# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Land and sea, the way to the coast, and the size of landmasses."""

import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from ..geo.sphere import KM_PER_DEGREE, arc_km, query_workers, unit_vectors
from ..io.cache import cached_array
from .base import Layer, RasterLayer, Source
from .grid import bilinear, pixel_of
from .rasters import REINSTALL

GLOBE = Source(
    distribution='global-land-mask',
    files=('global_land_mask/globe_combined_mask_compressed.npz',),
    terms='The package is under the MIT licence; NOAA is known to share GLOBE freely '
    'with credit, but terms of its national sources could not be verified offline.',
    citation='GLOBE Task Team (1999), NOAA National Geophysical Data Center',
)

ROWS, COLUMNS = 21600, 43200

# Pixels of the mask on each side of a cell of 3 minutes.
BLOCK = 6
CELL_ROWS, CELL_COLUMNS = ROWS // BLOCK, COLUMNS // BLOCK

# Cells on each side of a coarse one; nearer to the coast than this, every cell counts.
COARSE = 3
NEAR_KM = 80.0


class LandMask(Layer):
    """Land or sea on pixels of half a minute; lakes and the Caspian Sea are land."""

    def __init__(self) -> None:
        """Initialize a new LandMask instance."""
        super().__init__(
            'land',
            title='land or sea',
            group='water',
            resolution_km=0.9,
            classes={0: 'sea', 1: 'land'},
            source=GLOBE,
        )
        self._bits: NDArray[np.uint8] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave the mask to whoever is sent the layer, to map it into memory anew."""
        return self.__dict__ | {'_bits': None}

    @property
    def bits(self) -> NDArray[np.uint8]:
        """The mask of shape ``(21600, 5400)``, eight pixels to a byte."""
        if self._bits is None:
            self._bits = cached_array(self.name, GLOBE.key(), _packed_mask)
        return self._bits

    def values(
        self, lon: NDArray[np.float64], lat: NDArray[np.float64]
    ) -> NDArray[Any]:
        """Read the layer at coordinates that are known to be valid."""
        row, column = pixel_of(lon, lat, (ROWS, COLUMNS))
        bytes_: NDArray[Any] = self.bits[row, column >> 3]
        is_land: NDArray[Any] = (bytes_ >> (7 - (column & 7))) & 1
        return is_land

    def blocks(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return which cells of 3 minutes are land all over, and which in any part."""
        whole = np.empty((CELL_ROWS, CELL_COLUMNS), dtype=bool)
        part = np.empty_like(whole)
        for row in range(CELL_ROWS):
            rows = np.asarray(self.bits[row * BLOCK : (row + 1) * BLOCK])
            for target, together in ((whole, np.bitwise_and), (part, np.bitwise_or)):
                pixels = np.unpackbits(together.reduce(rows, axis=0))
                target[row] = together.reduce(pixels.reshape(-1, BLOCK), axis=1)
        return whole, part


def _packed_mask() -> NDArray[np.uint8]:
    """Pack the mask row by row, since whole it would take 0.9 GB."""
    path = GLOBE.paths()[0]
    packed = np.empty((ROWS, COLUMNS // 8), dtype=np.uint8)
    try:
        with zipfile.ZipFile(path) as archive, archive.open('mask.npy') as stream:
            version = np.lib.format.read_magic(stream)
            if version != (1, 0):
                raise ValueError(f'format {version} is not known')
            shape, by_column, dtype = np.lib.format.read_array_header_1_0(stream)
            if shape != (ROWS, COLUMNS) or by_column or dtype != np.bool_:
                raise ValueError(f'mask of shape {shape} and type {dtype}')
            for row in range(ROWS):
                pixels = np.frombuffer(stream.read(COLUMNS), dtype=np.uint8)
                # The mask is that of the ocean.
                packed[row] = np.packbits(pixels == 0)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f'{path} cannot be read: {error}. {REINSTALL}') from error
    return packed


def distance_to_coast() -> Layer:
    """Return the distance to the shore of the sea, from land and from sea alike."""
    return _distance('distance-to-coast', 'distance to the coast', np.abs)


def inland_distance() -> Layer:
    """Return the distance to the shore of the sea, negative at sea."""
    return _distance('inland-distance', 'distance inland, negative at sea')


def landmass_area() -> Layer:
    """Return the area of the island or continent around a point, 0 at sea."""
    return LandmassLayer()


def _distance(
    name: str,
    title: str,
    decode: Callable[[NDArray[np.float32]], NDArray[Any]] | None = None,
) -> Layer:
    return RasterLayer(
        name,
        _signed_distance,
        decode=decode,
        stored_as='inland-distance',
        title=title,
        group='water',
        unit='km',
        resolution_km=5.6,
        source=GLOBE,
    )


def _centres(rows: int, columns: int) -> tuple[NDArray[Any], NDArray[Any]]:
    lon = -180 + (np.arange(columns) + 0.5) * (360 / columns)
    lat = 90 - (np.arange(rows) + 0.5) * (180 / rows)
    return lon, lat


def _coast(bits: NDArray[np.uint8]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the middles of pixel edges between land and sea, as lon and lat."""
    lons, lats = [], []
    step = 360 / COLUMNS
    above: NDArray[np.uint8] | None = None
    for row in range(ROWS):
        pixels = np.unpackbits(bits[row])
        lat = 90 - row * step
        across = np.flatnonzero(pixels != np.roll(pixels, 1))
        lons.append(-180 + across * step)
        lats.append(np.full(len(across), lat - step / 2))
        if above is not None:
            between = np.flatnonzero(pixels != above)
            lons.append(-180 + (between + 0.5) * step)
            lats.append(np.full(len(between), lat))
        above = pixels
    return np.concatenate(lons), np.concatenate(lats)


def _signed_distance() -> NDArray[np.float16]:
    """Measure from every cell of 3 minutes, exactly where the coast is near.

    Farther off, cells of 9 minutes are measured and interpolated between, which flattens
    the ridges midway between two coasts by up to about 8 km.
    """
    land = LandMask()
    tree = cKDTree(unit_vectors(*_coast(land.bits)))
    lon, lat = _centres(CELL_ROWS // COARSE, CELL_COLUMNS // COARSE)
    coarse = np.stack([_distances(tree, lon, np.full_like(lon, y)) for y in lat])
    lon, lat = _centres(CELL_ROWS, CELL_COLUMNS)
    result = np.empty((CELL_ROWS, CELL_COLUMNS), dtype=np.float16)
    for row, y in enumerate(lat):
        here = np.full_like(lon, y)
        away = bilinear(coarse, lon, here).astype(np.float64)
        near = away < NEAR_KM
        away[near] = _distances(tree, lon[near], here[near])
        result[row] = np.where(land.values(lon, here) == 1, away, -away)
    return result


def _distances(
    tree: Any, lon: NDArray[np.float64], lat: NDArray[np.float64]
) -> NDArray[np.float64]:
    chords, _ = tree.query(unit_vectors(lon, lat), workers=query_workers())
    return arc_km(chords)


class LandmassLayer(RasterLayer):
    """Area of the island or continent around a point, never interpolated.

    Land is joined where whole cells of 3 minutes touch, so that straits narrower than
    that still part islands; an isthmus as narrow parts as well.
    """

    def __init__(self) -> None:
        """Initialize a new LandmassLayer instance."""
        super().__init__(
            'landmass-area',
            _areas,
            title='area of the island or continent',
            group='water',
            unit='km²',
            resolution_km=5.6,
            source=GLOBE,
        )
        self._land = LandMask()

    def values(
        self, lon: NDArray[np.float64], lat: NDArray[np.float64]
    ) -> NDArray[Any]:
        """Read the layer at coordinates that are known to be valid."""
        row, column = pixel_of(lon, lat, self.grid.shape)
        return np.where(self._land.values(lon, lat) == 1, self.grid[row, column], 0)


def _areas() -> NDArray[np.float32]:
    whole, part = LandMask().blocks()
    labels, count = _joined(whole)
    # Cells that are land in part belong to the nearest landmass, or to a small island.
    rest, more = ndimage.label(part & ~_touching(labels, part), np.ones((3, 3)))
    labels = np.where(rest > 0, rest + count, labels)
    edge = part & (labels == 0)
    index = ndimage.distance_transform_edt(
        labels == 0, return_distances=False, return_indices=True
    )
    labels[edge] = labels[tuple(index)][edge]
    _, lat = _centres(CELL_ROWS, CELL_COLUMNS)
    cell = (KM_PER_DEGREE * 180 / CELL_ROWS) ** 2 * np.cos(np.deg2rad(lat))
    # A cell that is land in part counts for a half.
    weights = cell[:, None] * np.where(whole, 1.0, np.where(part, 0.5, 0.0))
    areas = np.bincount(labels.ravel(), weights.ravel(), minlength=count + more + 1)
    areas[0] = 0
    return areas[labels].astype(np.float32)


def _joined(land: NDArray[np.bool_]) -> tuple[NDArray[np.int32], int]:
    """Label connected cells, also across the dateline and all around a pole."""
    labels, count = ndimage.label(land)
    parent = np.arange(count + 1)
    pairs = [(labels[:, 0], labels[:, -1])]
    pairs += [(labels[row, :-1], labels[row, 1:]) for row in (0, -1)]
    pairs += [(labels[row], np.roll(labels[row], CELL_COLUMNS // 2)) for row in (0, -1)]
    for first, second in pairs:
        both = (first > 0) & (second > 0)
        for a, b in np.unique(np.stack((first[both], second[both]), 1), axis=0):
            low, high = sorted((parent[a], parent[b]))
            parent[parent == high] = low
    return parent[labels].astype(np.int32), count


def _touching(labels: NDArray[np.int32], part: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Tell which cells of land in part hang together with a whole one near by."""
    near = ndimage.binary_dilation(labels > 0, np.ones((3, 3)), iterations=2)
    reached: NDArray[np.bool_] = near & part
    return reached
