# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Land and sea, the distance to the coast, and the area of landmasses."""

import zipfile
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from ..geo.sphere import KM_PER_DEGREE, arc_km, query_workers, unit_vectors
from ..io.cache import cached_array
from .base import Layer, RasterLayer, Source, raster
from .grid import Floats, bilinear, cell_centres, pixel_of
from .rasters import REINSTALL

GLOBE = Source(
    distribution='global-land-mask',
    files=('global_land_mask/globe_combined_mask_compressed.npz',),
    terms='The package is under the MIT licence; NOAA is known to share GLOBE freely '
    'with credit, but terms of its national sources could not be verified offline.',
    citation='GLOBE Task Team (1999), NOAA National Geophysical Data Center',
)

ROWS, COLUMNS = 21600, 43200

# Pixels of the mask on each side of a cell of 3 arc minutes.
BLOCK = 6
CELL_ROWS, CELL_COLUMNS = ROWS // BLOCK, COLUMNS // BLOCK

# Cells on each side of a coarse cell.
COARSE = 3

# Distance to the coast in km below which every cell is computed exactly.
NEAR_KM = 80.0


class LandMask(Layer):
    """Layer of land and sea on pixels of 30 arc seconds.

    Lakes and the Caspian Sea are land.
    """

    def __init__(self, name: str = 'land') -> None:
        """Initialize a new LandMask instance.

        Args:
            name: Identifier of lower-case words joined by hyphens.
        """
        super().__init__(
            name,
            title='land or sea',
            group='water',
            resolution_km=0.9,
            classes={0: 'sea', 1: 'land'},
            source=GLOBE,
        )
        self._bits: NDArray[np.uint8] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the mask, which is read again after unpickling."""
        return self.__dict__ | {'_bits': None}

    @property
    def bits(self) -> NDArray[np.uint8]:
        """Mask of shape ``(21600, 5400)``, eight pixels to a byte."""
        if self._bits is None:
            self._bits = cached_array(self.name, GLOBE.key(), _packed_mask)
        return self._bits

    def values(self, lon: Floats, lat: Floats) -> NDArray[Any]:
        """Compute the values at valid coordinates."""
        row, column = pixel_of(lon, lat, (ROWS, COLUMNS))
        bytes_: NDArray[Any] = self.bits[row, column >> 3]
        is_land: NDArray[Any] = (bytes_ >> (7 - (column & 7))) & 1
        return is_land

    def blocks(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return masks of the cells of 3 arc minutes with only land, and with any land."""
        whole = np.empty((CELL_ROWS, CELL_COLUMNS), dtype=bool)
        part = np.empty_like(whole)
        for row in range(CELL_ROWS):
            rows = np.asarray(self.bits[row * BLOCK : (row + 1) * BLOCK])
            for target, together in ((whole, np.bitwise_and), (part, np.bitwise_or)):
                pixels = np.unpackbits(together.reduce(rows, axis=0))
                target[row] = together.reduce(pixels.reshape(-1, BLOCK), axis=1)
        return whole, part


def _packed_mask() -> NDArray[np.uint8]:
    """Pack the mask row by row, because the whole mask would take 0.9 GB."""
    path = GLOBE.paths()[0]
    packed = np.empty((ROWS, COLUMNS // 8), dtype=np.uint8)
    try:
        with zipfile.ZipFile(path) as archive, archive.open('mask.npy') as stream:
            if np.lib.format.read_magic(stream) != (1, 0):
                raise ValueError('unknown format of the mask')
            shape, by_column, dtype = np.lib.format.read_array_header_1_0(stream)
            if shape != (ROWS, COLUMNS) or by_column or dtype != np.bool_:
                raise ValueError(f'mask of shape {shape} and type {dtype}')
            for row in range(ROWS):
                pixels = np.frombuffer(stream.read(COLUMNS), dtype=np.uint8)
                # In the file, True is ocean.
                packed[row] = np.packbits(pixels == 0)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f'{path} cannot be read: {error}. {REINSTALL}') from error
    return packed


def _coast(bits: NDArray[np.uint8]) -> tuple[Floats, Floats]:
    """Return lon and lat of the midpoints of pixel edges between land and sea."""
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
    """Compute the distance to the coast for every cell of 3 arc minutes.

    It is exact close to the coast. Elsewhere, it is interpolated between cells of 9 arc
    minutes, which makes distances midway between two coasts up to about 8 km too small.
    """
    land = LandMask()
    # Far from the coast, searching a balanced tree is much slower.
    points = unit_vectors(*_coast(land.bits))
    tree = cKDTree(points, compact_nodes=False, balanced_tree=False)
    lon, lat = cell_centres(CELL_ROWS // COARSE, CELL_COLUMNS // COARSE)
    coarse = np.stack([nearest_km(tree, lon, np.full_like(lon, y))[0] for y in lat])
    lon, lat = cell_centres(CELL_ROWS, CELL_COLUMNS)
    result = np.empty((CELL_ROWS, CELL_COLUMNS), dtype=np.float16)
    for row, y in enumerate(lat):
        here = np.full_like(lon, y)
        away = bilinear(coarse, lon, here).astype(np.float64)
        near = away < NEAR_KM
        away[near] = nearest_km(tree, lon[near], here[near])[0]
        result[row] = np.where(land.values(lon, here) == 1, away, -away)
    return result


def nearest_km(tree: Any, lon: Floats, lat: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Find the point of a tree that is nearest to each coordinate.

    Args:
        tree: A tree of unit vectors.
        lon: Longitudes of shape ``(N,)``.
        lat: Latitudes of shape ``(N,)``.

    Returns:
        Distances in km and indices, each of shape ``(N,)``.
    """
    chords, number = tree.query(unit_vectors(lon, lat), workers=query_workers())
    return arc_km(chords), number


class LandmassLayer(RasterLayer):
    """Layer of the area of the island or continent around a point, 0 at sea.

    A landmass is a set of connected cells of 3 arc minutes with only land. Straits
    narrower than a cell still separate islands, and isthmuses narrower than a cell do not
    join land. Values are not interpolated.
    """

    def __init__(self, name: str) -> None:
        """Initialize a new LandmassLayer instance.

        Args:
            name: Identifier of lower-case words joined by hyphens.
        """
        title = 'area of the island or continent'
        super().__init__(name, _areas, title=title, unit='km²', **_layer.keywords)

    def values(self, lon: Floats, lat: Floats) -> NDArray[Any]:
        """Compute the values at valid coordinates."""
        row, column = pixel_of(lon, lat, self.grid.shape)
        return np.where(LandMask().values(lon, lat) == 1, self.grid[row, column], 0)


def _areas() -> NDArray[np.float32]:
    whole, part = LandMask().blocks()
    labels, count = _joined(whole)
    # Cells that are partly land belong to a landmass close by, or to a small island.
    close = ndimage.binary_dilation(labels > 0, np.ones((3, 3)), iterations=2)
    islands, more = ndimage.label(part & ~close, np.ones((3, 3)))
    labels = np.where(islands > 0, islands + count, labels)
    edge = part & (labels == 0)
    index = ndimage.distance_transform_edt(
        labels == 0, return_distances=False, return_indices=True
    )
    labels[edge] = labels[tuple(index)][edge]
    _, lat = cell_centres(CELL_ROWS, CELL_COLUMNS)
    cell = (KM_PER_DEGREE * 180 / CELL_ROWS) ** 2 * np.cos(np.deg2rad(lat))
    # A cell that is partly land counts half.
    weights = cell[:, None] * np.where(whole, 1.0, np.where(part, 0.5, 0.0))
    areas = np.bincount(labels.ravel(), weights.ravel(), minlength=count + more + 1)
    areas[0] = 0
    return areas[labels].astype(np.float32)


def _joined(land: NDArray[np.bool_]) -> tuple[NDArray[np.int32], int]:
    """Label connected cells, also across the dateline and around the poles."""
    labels, count = ndimage.label(land)
    sides = [(labels[:, 0], labels[:, -1])]
    sides += [(row, np.roll(row, CELL_COLUMNS // 2)) for row in (labels[0], labels[-1])]
    edges = np.concatenate([np.stack(side) for side in sides], axis=1)
    edges = edges[:, (edges > 0).all(axis=0)]
    graph = coo_array((np.ones(edges.shape[1]), edges), (count + 1, count + 1))
    number, group = connected_components(graph, directed=False)
    return group[labels].astype(np.int32), number


_layer = partial(raster, group='water', resolution_km=5.6, source=GLOBE)
_distance = partial(_layer, _signed_distance, unit='km', stored_as='inland-distance')

LAYERS = {
    'land': LandMask,
    # Distance to the seashore, for points on land and at sea.
    'distance-to-coast': _distance('distance to the coast', decode=np.abs),
    'inland-distance': _distance('distance inland, negative at sea'),
    'landmass-area': LandmassLayer,
}
