# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Photos and points in tar shards, for sets of millions."""

import glob
import io
import itertools
import json
import random
import tarfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self

import torch
from torch import Tensor
from torch.utils.data import IterableDataset
from torchgeo.datasets.utils import Path, Sample

from ..geo.points import as_points, find_coordinate_columns
from ..io.images import SUFFIXES, UnreadableImageError, read_image
from ..utils.names import check_choice
from ._samples import OnError

# Errors of a broken shard. tarfile raises TypeError for a truncated gzip header.
BROKEN = (tarfile.TarError, OSError, EOFError, ValueError, TypeError)


class UnreadableShardError(OSError):
    """Error of a shard that cannot be read to its end."""


class ImagePointShards(IterableDataset[Sample]):
    """Tar shards in the format of the ``webdataset`` package.

    Consecutive files of a shard with the same name up to the first dot are a sample: an
    image, and a ``.json`` file with its longitude and latitude under their usual names.
    Samples have an ``'image'`` and a ``'point'`` as in :class:`ImagePoints`. Shards may
    be compressed by gzip, bzip2 or xz.

    Each rank and each data loader worker reads its own shards, so use many more shards
    than workers.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from webdataset import ShardWriter
        >>> with TemporaryDirectory() as folder:
        ...     with ShardWriter(f'{folder}/%04d.tar', maxcount=1, verbose=0) as writer:
        ...         for lon in (2.0, 13.0):
        ...             image, point = torch.zeros(4, 4, 3), {'lon': lon, 'lat': 48.0}
        ...             writer.write(
        ...                 {
        ...                     '__key__': f'{lon:.0f}',
        ...                     'png': image.numpy(),
        ...                     'json': point,
        ...                 }
        ...             )
        ...     dataset = ImagePointShards(f'{folder}/{{0000..0001}}.tar')
        ...     [sample['point'].tolist() for sample in dataset]
        [[2.0, 48.0], [13.0, 48.0]]
    """

    def __init__(
        self,
        shards: str | Iterable[Path],
        *,
        seed: int = 0,
        shuffle: int = 0,
        samples_per_epoch: int | None = None,
        transforms: Callable[[Sample], Sample] | None = None,
        on_error: OnError = 'raise',
    ) -> None:
        """Initialize a new ImagePointShards instance.

        Args:
            shards: Files or URLs that ``webdataset`` opens: a list, or a string with
                ranges in braces or with wildcards.
            seed: Seed of the order, which changes with each epoch.
            shuffle: Size of the shuffle buffer. Shards are shuffled, too. 0 disables
                both.
            samples_per_epoch: Number of samples in an epoch over all ranks; samples are
                repeated if there are fewer. Needed for training on several ranks, since
                shards have different sizes. By default, each sample is read once.
            transforms: Function that takes a sample and returns a changed one.
            on_error: ``'raise'`` for an error if a sample has no image or no point, or
                if a shard ends too early. ``'skip'`` leaves it out with a warning.

        Raises:
            ImportError: If ``webdataset`` is not installed.
            FileNotFoundError: If there are no such shards.
        """
        check_choice('on_error', on_error, OnError)
        self.shards = _expand(shards)
        self.seed = seed
        self.shuffle = shuffle
        self.samples_per_epoch = samples_per_epoch
        self.transforms = transforms
        self.on_error = on_error
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, on which the order depends.

        The dataset counts epochs itself, except in data loader workers that restart in
        each epoch.

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
        """Read the shards of a worker once, in the order that *name* seeds."""
        shards = list(self.shards)
        if self.shuffle:
            # The order is the same in all processes, so that no shard is read twice.
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
            else:
                yield self.transforms(decoded) if self.transforms else decoded

    def _members(self, shards: list[str]) -> Iterator[dict[str, Any]]:
        """Read samples, not yet decoded."""
        group = _webdataset().tariterators.group_by_keys
        for shard in shards:
            try:
                yield from group(_files(shard))
            except BROKEN as error:
                self._skip(UnreadableShardError(f'Cannot read {shard}: {error}.'))

    def _skip(self, error: Exception) -> None:
        if self.on_error == 'raise':
            raise error
        warnings.warn(f'{str(error).rstrip(".")}. It is left out.', stacklevel=3)

    def _decode(self, sample: dict[str, Any]) -> Sample:
        name = f'{sample["__key__"]} of {sample["__url__"]}'
        image = next((sample[s[1:]] for s in SUFFIXES if s[1:] in sample), None)
        if image is None:
            raise ValueError(f'{name} has no image.')
        try:
            point = _read_point(sample)
        except ValueError as error:
            raise ValueError(f'{name} has no point: {error}') from error
        return {'image': read_image(io.BytesIO(image), name), 'point': point}


def _read_point(sample: dict[str, Any]) -> Tensor:
    if 'json' not in sample:
        raise ValueError('there is no json file beside the image.')
    values = json.loads(sample['json'])
    if not isinstance(values, dict):
        raise ValueError('its json file is not an object.')
    lon, lat = find_coordinate_columns(values)
    return as_points([[values[lon], values[lat]]], dtype=torch.float32)[0]


class _Member(tarfile.TarInfo):
    """Header of a file, which must be complete.

    tarfile considers an archive without an end marker complete.
    """

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        if len(buf) < tarfile.BLOCKSIZE:
            raise tarfile.ReadError('it ends without an end-of-archive marker')
        return super().frombuf(buf, encoding, errors)


def _files(shard: str) -> Iterator[dict[str, Any]]:
    with (
        _webdataset().gopen(shard) as stream,
        tarfile.open(fileobj=stream, mode='r|*', tarinfo=_Member) as archive,
    ):
        for member in archive:
            file = archive.extractfile(member)
            if file is not None:
                yield {'fname': member.name, 'data': file.read(), '__url__': shard}


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
