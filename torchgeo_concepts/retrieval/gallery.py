# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Galleries of encoded candidate points, which images are compared with."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.spatial import KDTree
from torch import Tensor, nn
from tqdm import tqdm

from ..geo.points import PointsLike, as_points, check_points
from ..geo.sphere import chord, unit_vectors
from ..models.image_location import ImageLocationModel
from ..utils.files import atomic_path
from ..utils.hashing import hash_state
from ..utils.modes import evaluating
from ..utils.names import check_choice

Space = Literal['x', 'z', 'both']

# Number of queries, and of candidates, to compare at a time.
QUERIES, BLOCK = 1024, 65_536

# Number of candidates to look up in a tree at a time.
TREE_BLOCK = 1_000_000


@dataclass(frozen=True)
class Locations:
    """Best candidate locations of queries, such as images, the most similar first.

    Attributes:
        points: Points of shape ``(N, top_k, 2)`` as ``(longitude, latitude)``.
        similarity: Similarity of the query to each point, of shape ``(N, top_k)``.
        probability: Softmax of the similarities over the whole gallery, of shape
            ``(N, top_k)``.
    """

    points: Tensor
    similarity: Tensor
    probability: Tensor

    @classmethod
    def joined(cls, parts: Sequence['Locations']) -> 'Locations':
        """Join the locations of several batches of queries.

        Args:
            parts: Locations of each batch.
        """
        points, similarity, probability = (
            torch.cat([getattr(part, field.name) for part in parts])
            for field in fields(cls)
        )
        return cls(points, similarity, probability)

    def to_frame(self) -> pd.DataFrame:
        """Return a table with one row for each image and candidate."""
        number, top_k = self.similarity.shape
        lon, lat = self.points.reshape(-1, 2).T.numpy()
        return pd.DataFrame(
            {
                'image': np.repeat(np.arange(number), top_k),
                'rank': np.tile(np.arange(1, top_k + 1), number),
                'lon': lon,
                'lat': lat,
                'similarity': self.similarity.flatten().numpy(),
                'probability': self.probability.flatten().numpy(),
            }
        )


@dataclass(frozen=True, eq=False)
class Gallery:
    """Candidate points, encoded once.

    A gallery in a folder is memory-mapped: it opens at once, and may be larger than
    memory. Create one with :meth:`build` or :meth:`load`.

    Attributes:
        points: Points of shape ``(M, 2)`` as ``(longitude, latitude)`` in degrees.
        vectors: Vectors of shape ``(M, d)``.
        candidates: True for points that may be found, of shape ``(M,)``.
        space: Kind of the vectors: embeddings (``'x'``), projections (``'z'``), or both
            side by side (``'both'``).
        area_km2: Area that each point represents, if it is the same for all.
        unit: Compare by cosine. If false, compare by dot product, for vectors that are
            not of unit length.
        made_by: Hash of the encoder, from :func:`encoder_hash`, if known.
    """

    points: NDArray[Any]
    vectors: NDArray[Any]
    candidates: NDArray[np.bool_]
    space: Space = 'x'
    area_km2: float | None = None
    unit: bool = True
    made_by: str | None = None

    def __len__(self) -> int:
        """Return the number of points that may be found."""
        return int(self.candidates.sum())

    @classmethod
    def build(
        cls,
        encoder: nn.Module,
        points: PointsLike,
        folder: Path | str | None = None,
        *,
        space: Space = 'x',
        area_km2: float | None = None,
        dtype: Literal['float32', 'float16'] = 'float16',
        batch_size: int = 8192,
        progress: bool | None = None,
    ) -> 'Gallery':
        """Encode points.

        Args:
            encoder: A location encoder, or a model of images and locations, on the
                device to compute on.
            points: Points in any form that :func:`~torchgeo_concepts.geo.points.as_points`
                takes.
            folder: Folder to write the gallery to. By default, it stays in memory.
            space: ``'x'`` for embeddings, ``'z'`` for projections onto concepts if the
                encoder has them, ``'both'`` for the two side by side.
            area_km2: Area that each point represents, if it is the same for all, as in
                :func:`~torchgeo_concepts.retrieval.candidates.land_lattice`.
            dtype: Data type of the stored vectors.
            batch_size: Number of points to encode at a time.
            progress: Show a progress bar. By default, on a terminal only.

        Returns:
            The gallery.

        Raises:
            ValueError: If the encoder has no projections, or there are no points.
        """
        check_choice('space', space, Space)
        tensor = as_points(points, dtype=torch.float32)
        if not len(tensor):
            raise ValueError('A gallery needs at least one point.')
        shape = len(tensor), _encode(encoder, tensor[:1], space).shape[1]
        info: dict[str, Any] = {
            'space': space,
            'area_km2': area_km2,
            'unit': space == 'x' or _is_unit(encoder),
            'made_by': encoder_hash(encoder),
        }
        if folder is None:
            vectors = np.empty(shape, dtype)
            _fill(vectors, encoder, tensor, space, batch_size, progress)
            return cls(tensor.numpy(), vectors, np.ones(len(tensor), bool), **info)
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        # This file is written last, so an incomplete gallery cannot be loaded.
        (folder / 'gallery.json').unlink(missing_ok=True)
        with atomic_path(folder / 'vectors.npy') as temporary:
            vectors = np.lib.format.open_memmap(temporary, 'w+', dtype, shape)
            _fill(vectors, encoder, tensor, space, batch_size, progress)
            vectors.flush()
        with (
            atomic_path(folder / 'points.npy') as temporary,
            temporary.open('wb') as file,
        ):
            np.save(file, tensor.numpy())
        with atomic_path(folder / 'gallery.json') as temporary:
            temporary.write_text(json.dumps(info))
        return cls.load(folder)

    @classmethod
    def load(cls, folder: Path | str) -> 'Gallery':
        """Open a gallery that :meth:`build` wrote.

        Args:
            folder: The folder.

        Returns:
            The gallery, mapped into memory.

        Raises:
            FileNotFoundError: If the folder contains no gallery.
        """
        folder = Path(folder)
        if not (folder / 'gallery.json').is_file():
            raise FileNotFoundError(
                f'{folder} contains no gallery. Write one with Gallery.build.'
            )
        info = json.loads((folder / 'gallery.json').read_text())
        points, vectors = (
            np.load(folder / f'{name}.npy', mmap_mode='r', allow_pickle=False)
            for name in ('points', 'vectors')
        )
        return cls(points, vectors, np.ones(len(points), bool), **info)

    def without(self, points: Tensor, within_km: float = 0.002) -> 'Gallery':
        """Remove the candidates near other points, such as those of a test set.

        Args:
            points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
            within_km: Distance up to which candidates are removed. The default
                compensates for rounding to 32 bits.

        Returns:
            A gallery of the remaining candidates, which shares the vectors of this one.
        """
        others = KDTree(_on_sphere(check_points(points).cpu().numpy()))
        limit = chord(within_km)
        candidates = self.candidates.copy()
        for start in range(0, len(candidates), TREE_BLOCK):
            block = slice(start, start + TREE_BLOCK)
            near, _ = others.query(
                _on_sphere(self.points[block]), distance_upper_bound=limit
            )
            candidates[block] &= np.isinf(near)
        return replace(self, candidates=candidates)

    @torch.no_grad()
    def search(self, queries: Tensor, top_k: int = 1, scale: float = 1.0) -> Locations:
        """Find the most similar candidates and their probabilities.

        Args:
            queries: Vectors of shape ``(N, d)`` in the space of the gallery.
            top_k: Number of candidates for each query; all if there are fewer.
            scale: Factor of the similarities in the softmax, the inverse of a
                temperature.

        Returns:
            The candidates.

        Raises:
            ValueError: If the queries have another number of features, or *top_k* is
                less than 1.
        """
        if top_k < 1:
            raise ValueError(f'top_k must be at least 1, not {top_k}.')
        # Without queries, there is one empty part.
        parts = [self._best(some, top_k, scale) for some in queries.split(QUERIES)]
        return Locations.joined(parts)

    def _best(self, queries: Tensor, top_k: int, scale: float) -> Locations:
        best = queries.new_empty(len(queries), 0, dtype=torch.float32)
        index = torch.empty(len(queries), 0, dtype=torch.long, device=queries.device)
        total = torch.full_like(best.sum(dim=1), -torch.inf)
        for cosine, number in self._compare(queries):
            total = torch.logaddexp(total, (scale * cosine).logsumexp(dim=1))
            cosine, order = cosine.topk(min(top_k, cosine.shape[1]), dim=1)
            best = torch.cat((best, cosine), dim=1)
            index = torch.cat((index, number[order]), dim=1)
            best, order = best.topk(min(top_k, best.shape[1]), dim=1)
            index = index.gather(1, order)
        points = torch.from_numpy(self.points[index.cpu().numpy()])
        probability = (scale * best - total[:, None]).exp()
        return Locations(points, best.cpu(), probability.cpu())

    @torch.no_grad()
    def ranks(self, queries: Tensor, points: Tensor) -> Tensor:
        """Compute the rank of the candidate that is nearest to each true point.

        Args:
            queries: Vectors of shape ``(N, d)`` in the space of the gallery.
            points: True points of shape ``(N, 2)`` as ``(longitude, latitude)``.

        Returns:
            Ranks of shape ``(N,)``: the number of candidates at least as similar to the
            query as the candidate nearest to the true point; 1 is the best.
        """
        which = np.flatnonzero(self.candidates)
        tree = KDTree(_on_sphere(self.points[which]))
        nearest = which[tree.query(_on_sphere(check_points(points).cpu().numpy()))[1]]
        target = torch.from_numpy(nearest).to(queries.device)[:, None]
        parts = zip(queries.split(QUERIES), target.split(QUERIES), strict=True)
        return torch.cat([self._ranks(part, nodes) for part, nodes in parts])

    def _ranks(self, queries: Tensor, target: Tensor) -> Tensor:
        # The similarity of the nearest candidate comes from the same products as all
        # others.
        own = torch.zeros(len(queries), 1, device=queries.device)
        for cosine, number in self._compare(queries):
            own += (cosine * (number == target)).sum(dim=1, keepdim=True)
        rank = torch.zeros(len(queries), dtype=torch.long, device=queries.device)
        for cosine, _ in self._compare(queries):
            rank += (cosine >= own).sum(dim=1)
        return rank.cpu()

    def _compare(self, queries: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield similarities to a block of candidates at a time, and their rows."""
        dim = self.vectors.shape[1]
        if queries.ndim != 2 or queries.shape[1] != dim:
            raise ValueError(
                f'Expected queries of shape (N, {dim}), like the gallery vectors, got '
                f'{tuple(queries.shape)}.'
            )
        if not len(self):
            raise ValueError('The gallery has no candidate left.')
        if not queries.isfinite().all():
            bad = int((~queries.isfinite().all(dim=1)).nonzero()[0])
            raise ValueError(f'Query {bad}, counted from 0, is not finite.')
        queries = F.normalize(queries.float(), dim=1) if self.unit else queries.float()
        for start in range(0, len(self.points), BLOCK):
            chosen = np.flatnonzero(self.candidates[start : start + BLOCK])
            if len(chosen):
                vectors = self.vectors[start : start + BLOCK][chosen]
                part = torch.from_numpy(vectors.astype(np.float32)).to(queries.device)
                number = torch.from_numpy(start + chosen).to(queries.device)
                yield queries @ part.T, number


def _on_sphere(points: NDArray[Any]) -> NDArray[np.float64]:
    lon, lat = points.astype(np.float64).T
    return unit_vectors(lon, lat)


def encoder_hash(encoder: nn.Module) -> str:
    """Compute a hash of the weights that encode points.

    Args:
        encoder: A location encoder, or a model of images and locations.

    Returns:
        SHA-256 in hexadecimal.
    """
    if isinstance(encoder, ImageLocationModel):
        state = encoder.encoder.state_dict()
        basis = encoder.alignment.basis.state_dict()
        return hash_state(state | {f'basis.{name}': v for name, v in basis.items()})
    return hash_state(encoder.state_dict())


def _is_unit(encoder: nn.Module) -> bool:
    return not isinstance(encoder, ImageLocationModel) or encoder.alignment.basis.unit


def _encode(encoder: nn.Module, points: Tensor, space: Space) -> Tensor:
    parameter = next(encoder.parameters(), None)
    points = points if parameter is None else points.to(parameter.device)
    with torch.no_grad(), evaluating(encoder):
        if isinstance(encoder, ImageLocationModel):
            return encoder.embed_points(points, space).float().cpu()
        encode: Any = encoder if space == 'x' else getattr(encoder, 'project', None)
        if encode is None or space == 'both':
            raise ValueError(
                f'{type(encoder).__name__} has no projections onto concepts; use '
                "space='x'."
            )
        return F.normalize(encode(points).float(), dim=1).cpu()


def _fill(
    vectors: NDArray[Any],
    encoder: nn.Module,
    points: Tensor,
    space: Space,
    batch_size: int,
    progress: bool | None,
) -> None:
    disable = None if progress is None else not progress
    with tqdm(total=len(points), unit='point', unit_scale=True, disable=disable) as bar:
        for start in range(0, len(points), batch_size):
            batch = points[start : start + batch_size]
            vectors[start : start + batch_size] = _encode(encoder, batch, space).numpy()
            bar.update(len(batch))
