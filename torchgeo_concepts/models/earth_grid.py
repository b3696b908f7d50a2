# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Trained features on grids over the sphere, from coarse to fine."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ._frequencies import Frequencies

# Primes that hash rows and columns into a table: https://doi.org/10.1145/3528223.3530127.
ROW_PRIME, COLUMN_PRIME = 73_856_093, 19_349_663


class EarthGrid(nn.Module):
    """Features at the nodes of several grids, interpolated between nodes.

    A grid has rows of latitude from pole to pole. The distance between nodes is about
    the same in all rows, with a single node at each pole. The grid has no seam: rows
    are periodic, and all meridians meet in the node at a pole. If a level has more
    nodes than table entries, several of its nodes share an entry.
    """

    steps: Tensor
    firsts: Tensor
    bases: Tensor
    hashed: Tensor
    widths: Tensor
    starts: Tensor

    def __init__(
        self,
        rows: Sequence[int] = (6, 12, 24, 48, 96, 192, 384, 768, 1440, 2880),
        num_features: int = 4,
        table_size: int = 2**18,
    ) -> None:
        """Initialize a new EarthGrid instance.

        Args:
            rows: Number of steps from pole to pole of each level. 180 steps are 111 km
                wide each.
            num_features: Number of features at a node. More features store more detail.
            table_size: Maximum number of entries of a level. A larger table shares fewer
                entries between distant places, and takes more memory.
        """
        super().__init__()
        self.rows = tuple(rows)
        self.num_features = num_features
        self.table_size = table_size
        widths = [_row_widths(steps) for steps in self.rows]
        numbers = [int(width.sum()) for width in widths]
        kept = [min(number, table_size) for number in numbers]
        firsts = [sum(map(len, widths[:level])) for level in range(len(rows))]
        starts = [F.pad(width.cumsum(0)[:-1], (1, 0)) for width in widths]
        tables = {
            'steps': torch.tensor(self.rows),
            # First row of each level, and its first entry.
            'firsts': torch.tensor(firsts),
            'bases': torch.tensor([sum(kept[:level]) for level in range(len(rows))]),
            'hashed': torch.tensor([n > table_size for n in numbers]),
            # For each row of each level: the number of its nodes, and the number of
            # nodes in the rows before it.
            'widths': torch.cat(widths),
            'starts': torch.cat(starts),
        }
        for name, table in tables.items():
            # The arguments determine these tables, so checkpoints do not store them.
            table = table if name == 'hashed' else table.int()
            self.register_buffer(name, table, persistent=False)
        self.table = nn.Parameter(torch.empty(sum(kept), num_features))
        nn.init.uniform_(self.table, -1e-2, 1e-2)

    @property
    def output_dim(self) -> int:
        """Number of features of a point."""
        return len(self.rows) * self.num_features

    def forward(self, points: Tensor) -> Tensor:
        """Forward pass.

        Args:
            points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees,
                longitudes in [-180, 180].

        Returns:
            Features of shape ``(N, output_dim)``.
        """
        turn = (points[:, :1] / 360 + 0.5).clamp(0, 1)
        down = (0.5 - points[:, 1:] / 180).clamp(0, 1)
        # The row above and the row below in each level, (N, levels, 2).
        place = down * self.steps
        upper = place.floor().minimum(self.steps - 1)
        below = place - upper
        rows = torch.stack((upper, upper + 1), dim=2).int()
        row_shares = torch.stack((1 - below, below), dim=2)
        # In each of these rows, the nodes to the west and to the east.
        widths = self.widths[rows + self.firsts[:, None]]
        column = turn[..., None] * widths
        west = column.floor().minimum(widths - 1)
        east_share = column - west
        columns = torch.stack((west, west + 1), dim=3).int()
        columns -= widths[..., None] * (columns >= widths[..., None])
        shares = (
            torch.stack((1 - east_share, east_share), dim=3) * row_shares[..., None]
        )
        values = F.embedding(self._entries(rows[..., None], columns), self.table)
        mixed = (values * shares.to(values.dtype)[..., None]).sum(dim=(2, 3))
        return mixed.flatten(1)

    def _entries(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Return table entries of nodes, from their rows and columns in each level."""
        level = slice(None), None, None
        plain = self.starts[rows + self.firsts[level]] + columns
        mixed = (rows * ROW_PRIME) ^ (columns * COLUMN_PRIME)
        entries = torch.where(self.hashed[level], mixed % self.table_size, plain)
        return entries + self.bases[level]


def _row_widths(steps: int) -> Tensor:
    """Count the nodes of each row of a grid."""
    lat = torch.linspace(-math.pi / 2, math.pi / 2, steps + 1, dtype=torch.float64)
    return (2 * steps * lat.cos()).round().clamp(min=1).long()


def unit_vectors(points: Tensor) -> Tensor:
    """Return unit vectors from the centre of the Earth to points.

    Args:
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.

    Returns:
        Vectors of shape ``(N, 3)``.
    """
    lon, lat = torch.deg2rad(points).unbind(dim=1)
    return torch.stack((lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()), dim=1)


class SphericalWaves(Frequencies):
    """Waves over the sphere with random directions and a range of wavelengths."""

    def __init__(
        self,
        number: int = 128,
        shortest_km: float = 300.0,
        longest_km: float = 40_000.0,
        seed: int = 0,
    ) -> None:
        """Initialize a new SphericalWaves instance.

        Args:
            number: Number of waves, each a sine and a cosine.
            shortest_km: Shortest wavelength. Grids resolve finer detail.
            longest_km: Longest wavelength.
            seed: Seed of the waves.
        """
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        directions = F.normalize(torch.randn(number, 3, generator=generator), dim=1)
        spread = torch.linspace(0, 1, number)[:, None]
        lengths = longest_km * (shortest_km / longest_km) ** spread
        circumference = 40_030.0
        self.register_buffer('frequencies', (circumference / lengths * directions).T)

    @property
    def output_dim(self) -> int:
        """Number of features of a point."""
        return 2 * self.frequencies.shape[1]

    def forward(self, points: Tensor) -> Tensor:
        """Forward pass.

        Args:
            points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.

        Returns:
            Features of shape ``(N, output_dim)``, in [-1, 1].
        """
        vectors = unit_vectors(points)
        with torch.autocast(points.device.type, enabled=False):
            phase = vectors @ self.frequencies
        return torch.cat((phase.sin(), phase.cos()), dim=1)
