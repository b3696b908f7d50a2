# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Candidate points that images are matched against."""

import json
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

import torchgeo_concepts

from ._files import atomic_path
from ._modes import evaluating
from .points import PointsLike, as_points, check_points

__all__ = ('Gallery', 'Space')

Space = Literal['x', 'z']


class Gallery:
    """Candidate points, encoded once.

    A gallery in a folder is mapped into memory, so that it may be larger than that, and
    opens at once.
    """

    def __init__(
        self,
        points: NDArray[Any],
        vectors: NDArray[Any],
        space: Space = 'x',
        candidates: NDArray[np.bool_] | None = None,
    ) -> None:
        """Initialize a new Gallery instance; :meth:`build` and :meth:`load` do it.

        Args:
            points: Points of shape ``(M, 2)`` as ``(longitude, latitude)`` in degrees.
            vectors: Unit vectors of shape ``(M, d)``.
            space: Where the vectors are: embeddings ``'x'`` or projections ``'z'``.
            candidates: Which of the points may be found. By default, all.

        Raises:
            ValueError: If there is not one vector for each point, or no point at all.
        """
        if len(points) != len(vectors) or not len(points):
            raise ValueError(
                f'A gallery needs points with a vector each, not {len(points)} points '
                f'and {len(vectors)} vectors.'
            )
        self.points = points
        self.vectors = vectors
        self.space = space
        everything = np.ones(len(points), dtype=bool)
        self.candidates = everything if candidates is None else candidates

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
        dtype: Literal['float32', 'float16'] = 'float16',
        batch_size: int = 8192,
        progress: bool | None = None,
    ) -> 'Gallery':
        """Encode points.

        Args:
            encoder: A location encoder, on the device where to compute.
            points: Points in any form that :func:`~torchgeo_concepts.points.as_points`
                takes.
            folder: Where to write the gallery. In memory if not given.
            space: ``'x'`` for embeddings, ``'z'`` for projections onto concepts, of
                encoders that have ``project``.
            dtype: Type in which vectors are kept.
            batch_size: Number of points to encode at a time.
            progress: Show a progress bar. By default, on a terminal only.

        Returns:
            The gallery.

        Raises:
            ValueError: If the encoder has no projections, or there are no points.
        """
        if space not in get_args(Space):
            raise ValueError(f'space must be one of {get_args(Space)}, not {space!r}.')
        tensor = as_points(points, dtype=torch.float32)
        if not len(tensor):
            raise ValueError('A gallery needs at least one point.')
        first = _encode(encoder, tensor[:1], space)
        shape = (len(tensor), first.shape[1])
        if folder is None:
            vectors = np.empty(shape, dtype)
            _fill(vectors, encoder, tensor, space, batch_size, progress)
            return cls(tensor.numpy(), vectors, space)
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        # Without it the folder holds no gallery until all parts of the new one are there.
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
        info = {'space': space, 'version': torchgeo_concepts.__version__}
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
            FileNotFoundError: If the folder holds no gallery.
        """
        folder = Path(folder)
        if not (folder / 'gallery.json').is_file():
            raise FileNotFoundError(f'{folder} holds no gallery.')
        info = json.loads((folder / 'gallery.json').read_text())
        points, vectors = (
            np.load(folder / f'{name}.npy', mmap_mode='r', allow_pickle=False)
            for name in ('points', 'vectors')
        )
        return cls(points, vectors, info['space'])

    def without(self, points: Tensor) -> 'Gallery':
        """Leave out candidates that equal other points, such as those of a test set.

        Args:
            points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.

        Returns:
            A gallery of the other candidates, which shares the vectors of this one.
        """
        others = check_points(points).float().numpy()
        candidates = self.candidates & ~np.isin(_bits(self.points), _bits(others))
        return Gallery(self.points, self.vectors, self.space, candidates)

    @torch.no_grad()
    def search(
        self, queries: Tensor, top_k: int = 1, block: int = 65_536
    ) -> tuple[Tensor, Tensor]:
        """Find the candidates that are most similar to each query.

        Args:
            queries: Vectors of shape ``(N, d)`` in the space of the gallery.
            top_k: Number of candidates for each query; all, if there are fewer.
            block: Number of candidates to compare at a time.

        Returns:
            Points of shape ``(N, top_k, 2)`` and cosines of shape ``(N, top_k)``, the
            most similar first.

        Raises:
            ValueError: If the queries have another number of features, or *top_k* is
                less than 1.
        """
        dim = self.vectors.shape[1]
        if queries.ndim != 2 or queries.shape[1] != dim:
            raise ValueError(
                f'The gallery has vectors of {dim} features, the queries have shape '
                f'{tuple(queries.shape)}.'
            )
        if top_k < 1:
            raise ValueError(f'top_k must be at least 1, not {top_k}.')
        queries = F.normalize(queries.float(), dim=1)
        best = queries.new_empty(len(queries), 0)
        index = torch.empty(len(queries), 0, dtype=torch.long, device=queries.device)
        for start in range(0, len(self.points), block):
            chosen = np.flatnonzero(self.candidates[start : start + block])
            vectors = self.vectors[start : start + block][chosen].astype(np.float32)
            part = torch.from_numpy(vectors)
            cosine = queries @ part.to(queries.device).T
            number = torch.from_numpy(start + chosen).to(queries.device)
            best = torch.cat((best, cosine), dim=1)
            index = torch.cat((index, number.expand(len(queries), -1)), dim=1)
            best, order = best.topk(min(top_k, best.shape[1]), dim=1)
            index = index.gather(1, order)
        points = torch.from_numpy(self.points[index.cpu().numpy()])
        return points, best.cpu()


def _bits(points: NDArray[Any]) -> NDArray[np.uint64]:
    """Return a number for each point, the same if and only if the point is."""
    # Adding 0 makes one of the two zeros.
    pairs = np.ascontiguousarray(points, dtype=np.float32) + np.float32(0)
    return pairs.view(np.uint64).ravel()


def _encode(encoder: nn.Module, points: Tensor, space: Space) -> Tensor:
    encode: Any = encoder if space == 'x' else getattr(encoder, 'project', None)
    if encode is None:
        raise ValueError(
            f"{type(encoder).__name__} has no projections onto concepts; use space='x'."
        )
    parameter = next(encoder.parameters(), None)
    device = points.device if parameter is None else parameter.device
    with torch.no_grad(), evaluating(encoder):
        return F.normalize(encode(points.to(device)).float(), dim=1).cpu()


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
