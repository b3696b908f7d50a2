# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Photos and points in tar shards, for sets of millions."""

import bz2
import glob
import gzip
import hashlib
import io
import itertools
import json
import lzma
import pathlib
import random
import re
import tarfile
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset
from torchgeo.datasets.utils import Path, Sample

from ..geo.points import as_points, find_coordinate_columns
from ..io.image_tables import read_image_table
from ..io.images import ENDING, SUFFIXES, UnreadableImageError, read_image
from ..utils.names import check_choice
from ._samples import OnError

# First bytes of compressed files, and functions to open them.
COMPRESSED: dict[bytes, Callable[[BinaryIO], Any]] = {
    b'\x1f\x8b': gzip.open,
    b'BZh': bz2.open,
    b'\xfd7zXZ': lzma.open,
}

# Errors of reading a broken shard.
BROKEN = (tarfile.TarError, OSError, EOFError, ValueError, zlib.error, lzma.LZMAError)


class UnreadableShardError(OSError):
    """A shard that cannot be read to its end."""


class ImagePointShards(IterableDataset[Sample]):
    """Tar shards in the format of the ``webdataset`` package.

    Consecutive files of a shard with the same name up to the first dot are a sample: an
    image, and a ``.json`` file with its longitude and latitude unless a table has them.
    Samples have an ``'image'`` and a ``'point'`` as in :class:`ImagePoints`.

    Each rank and each data loader worker reads its own shards, so use many more shards
    than workers.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from webdataset import ShardWriter
        >>> with TemporaryDirectory() as folder:
        ...     with ShardWriter(f'{folder}/%04d.tar', maxcount=1, verbose=0) as writer:
        ...         for lon in (2.0, 13.0):
        ...             image, point = np.zeros((4, 4, 3)), {'lon': lon, 'lat': 48.0}
        ...             writer.write(
        ...                 {'__key__': f'{lon:.0f}', 'png': image, 'json': point}
        ...             )
        ...     dataset = ImagePointShards(f'{folder}/{{0000..0001}}.tar')
        ...     [sample['point'].tolist() for sample in dataset]
        [[2.0, 48.0], [13.0, 48.0]]
    """

    def __init__(
        self,
        shards: str | Iterable[Path],
        table: Path | None = None,
        *,
        image_column: str | None = None,
        lon: str | None = None,
        lat: str | None = None,
        seed: int = 0,
        shuffle: int = 0,
        samples_per_epoch: int | None = None,
        transforms: Callable[[Sample], Sample] | None = None,
        on_error: OnError = 'raise',
    ) -> None:
        """Initialize a new ImagePointShards instance.

        Args:
            shards: Files or URLs that ``webdataset`` opens: a list, or a text with
                ranges in braces or with wildcards.
            table: Names of images and their coordinates, in the formats of
                :class:`ImagePoints`. The name of an image without its extension is the
                name of its sample.
            image_column: Name of the column of names in *table*. By default, it is
                found by its usual names.
            lon: Name of the column of longitudes in *table*, or of their key in
                ``.json`` files. By default, it is found by its usual names.
            lat: Name of the column or key of latitudes, found likewise.
            seed: Seed of the order, which changes with each epoch.
            shuffle: Size of the shuffle buffer. Shards are shuffled, too. 0 shuffles
                neither.
            samples_per_epoch: Number of samples in an epoch over all ranks; samples are
                repeated if there are fewer. Needed for training on several ranks, since
                shards have different sizes. By default, each sample comes once.
            transforms: Function that takes a sample and returns a changed one.
            on_error: ``'raise'`` for an error if a sample has no image or no point, or
                if a shard ends too early. ``'skip'`` leaves it out with a warning.

        Raises:
            ImportError: If ``webdataset`` is not installed.
            FileNotFoundError: If there are no such shards.
        """
        check_choice('on_error', on_error, OnError)
        self.shards = _expand(shards)
        self.lon = lon
        self.lat = lat
        self.seed = seed
        self.shuffle = shuffle
        self.samples_per_epoch = samples_per_epoch
        self.transforms = transforms
        self.on_error = on_error
        self.epoch = 0
        self.num_unreadable = 0
        self.num_unreadable_shards = 0
        self._table: _Lookup | None = None
        if table is not None:
            self._table = _Lookup(pathlib.Path(table), image_column, lon, lat)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, on which the order depends.

        The dataset counts epochs itself, except in data loader workers that start anew
        in each epoch.

        Args:
            epoch: The epoch, the same on all ranks.
        """
        self.epoch = epoch

    def __iter__(self) -> Iterator[Sample]:
        """Read the shards of this rank and this worker.

        Yields:
            Samples of an ``'image'`` and a ``'point'``, after the transforms.

        Raises:
            UnreadableShardError: If a shard ends too early and *on_error* is
                ``'raise'``.
            UnreadableImageError: If an image cannot be read and *on_error* is
                ``'raise'``.
            ValueError: If there are fewer shards than ranks, or a sample has no image or
                no point and *on_error* is ``'raise'``.
        """
        rank, ranks, worker, workers = _webdataset().utils.pytorch_worker_info()
        if len(self.shards) < ranks:
            raise ValueError(
                f'{len(self.shards)} shards cannot be split among {ranks} ranks. Write '
                'more and smaller ones.'
            )
        epoch, self.epoch = self.epoch, self.epoch + 1
        missing = None
        if self.samples_per_epoch is not None:
            share, rest = divmod(self.samples_per_epoch // ranks, workers)
            missing = share + (worker < rest)
        for number in itertools.count():
            name = f'{epoch}.{number}' if number else f'{epoch}'
            count = 0
            samples = self._pass(name, rank, ranks, worker, workers)
            for sample in itertools.islice(samples, missing):
                count += 1
                yield sample
            if missing is None or count == missing:
                return
            missing -= count
            if not count:
                raise ValueError(
                    f'Worker {worker} of rank {rank} has no sample in its shards. Write '
                    'more and smaller ones, or use fewer workers.'
                )

    def _pass(
        self, name: str, rank: int, ranks: int, worker: int, workers: int
    ) -> Iterator[Sample]:
        """Read the shards of a rank and a worker once, in the order of that name."""
        shards = list(self.shards)
        if self.shuffle:
            # The same order everywhere, so that no shard is read twice.
            random.Random(f'{self.seed} {name}').shuffle(shards)
        members = self._members(shards[rank::ranks][worker::workers])
        if self.shuffle:
            rng = random.Random(f'{self.seed} {name} {rank} {worker}')
            members = _webdataset().shuffle(self.shuffle, rng=rng)(members)
        for sample in members:
            try:
                decoded = self._decode(sample)
            except (UnreadableImageError, ValueError) as error:
                self._skip(error)
                self.num_unreadable += 1
            else:
                yield self.transforms(decoded) if self.transforms else decoded

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the names and sizes of the shards, the order and the table."""
        digest = hashlib.sha256(f'{self.seed} {self.shuffle}'.encode())
        for shard in self.shards:
            path = pathlib.Path(shard)
            size = path.stat().st_size if path.is_file() else -1
            digest.update(f'{path.name} {size}\0'.encode())
        if self._table is not None:
            digest.update(self._table.points.numpy().tobytes())
        return digest.hexdigest()

    def _members(self, shards: list[str]) -> Iterator[dict[str, Any]]:
        """Read samples, not yet decoded."""
        group = _webdataset().tariterators.group_by_keys
        for shard in shards:
            try:
                yield from group(_files(shard))
            except BROKEN as error:
                self._skip(UnreadableShardError(f'Cannot read {shard}: {error}.'))
                self.num_unreadable_shards += 1

    def _skip(self, error: Exception) -> None:
        if self.on_error == 'raise':
            raise error
        warnings.warn(f'{error} It is left out.', stacklevel=3)

    def _decode(self, sample: dict[str, Any]) -> Sample:
        name = f'{sample["__key__"]} of {sample["__url__"]}'
        image = next((sample[s[1:]] for s in SUFFIXES if s[1:] in sample), None)
        if image is None:
            raise ValueError(f'{name} has no image.')
        try:
            point = self._point(sample)
        except ValueError as error:
            raise ValueError(f'{name} has no point: {error}') from error
        return {'image': read_image(io.BytesIO(image), name), 'point': point}

    def _point(self, sample: dict[str, Any]) -> Tensor:
        if self._table is not None:
            return self._table[sample['__key__']]
        if 'json' not in sample:
            raise ValueError('there is no json file beside the image, and no table.')
        values = json.loads(sample['json'])
        if not isinstance(values, dict):
            raise ValueError('its json file is not an object.')
        columns = find_coordinate_columns(values, self.lon, self.lat)
        return as_points([[values[name] for name in columns]], dtype=torch.float32)[0]


class _Stream(io.RawIOBase):
    """Wrapper that a buffered reader can read from."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class _Tape:
    """Decompressed tar archive that detects truncation."""

    def __init__(self, stream: Any) -> None:
        # tarfile does not detect that a compressed file is truncated.
        packed = io.BufferedReader(_Stream(stream))
        start = packed.peek(max(map(len, COMPRESSED)))
        openers = (COMPRESSED[magic] for magic in COMPRESSED if start.startswith(magic))
        opener = next(openers, None)
        self.stream = packed if opener is None else opener(packed)
        self.end = b''

    def read(self, size: int) -> bytes:
        data: bytes = self.stream.read(size)
        self.end = (self.end + data)[-tarfile.BLOCKSIZE :]
        return data

    def check(self) -> None:
        """Raise if the archive has no end marker, which tarfile ignores."""
        if self.end.strip(b'\0'):
            raise tarfile.ReadError('it ends too early, without end-of-archive marker')


def _files(shard: str) -> Iterator[dict[str, Any]]:
    wds = _webdataset()
    with wds.gopen(shard) as stream:
        tape = _Tape(stream)
        for file in wds.tariterators.tar_file_iterator(tape):
            yield {**file, '__url__': shard}
        tape.check()


class _Lookup:
    """Points by name, in memory that workers share."""

    def __init__(
        self,
        table: pathlib.Path,
        image_column: str | None,
        lon: str | None,
        lat: str | None,
    ) -> None:
        rows = read_image_table(table, image_column, lon, lat)
        names = pc.replace_substring_regex(rows.names.fill_null(''), ENDING, '')
        hashes = _hashes(names.to_numpy(zero_copy_only=False))
        order = np.argsort(hashes, kind='stable')
        self.source = rows.source
        self.names = rows.names
        self.hashes = hashes[order]
        self.order = order
        self.points = torch.from_numpy(rows.points)

    def __getitem__(self, key: str) -> Tensor:
        [wanted] = _hashes(np.array([key], object))
        first, end = (
            np.searchsorted(self.hashes, wanted, s) for s in ('left', 'right')
        )
        # Different names may have the same hash.
        for row in self.order[first:end].tolist():
            name = self.names[row].as_py()
            if name is not None and key in (name, re.sub(ENDING, '', name)):
                if self.points[row].isfinite().all():
                    return self.points[row].clone()
                raise ValueError(f'{self.source}: row {row}, counted from 0, has none.')
        raise ValueError(f'{self.source} has no row of that name.')


def _hashes(names: NDArray[Any]) -> NDArray[np.uint64]:
    return pd.util.hash_array(names, categorize=False)


def _webdataset() -> Any:
    try:
        import webdataset
    except ImportError as error:
        raise ImportError(
            'Shards need webdataset: pip install torchgeo-concepts[webdataset]'
        ) from error
    return webdataset


def _expand(shards: str | Iterable[Path]) -> list[str]:
    """Expand braces and wildcards."""
    wds = _webdataset()
    listed = wds.shardlists.expand_urls(shards) if isinstance(shards, str) else shards
    expanded: list[str] = []
    for name in map(str, listed):
        has_wildcard = '://' not in name and glob.has_magic(name)
        expanded += sorted(glob.glob(name)) if has_wildcard else [name]
    if not expanded:
        raise FileNotFoundError(f'No shards match {shards}.')
    return expanded
