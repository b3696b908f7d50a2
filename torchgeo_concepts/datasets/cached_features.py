# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Features of images that a frozen backbone computed once."""

import hashlib
import itertools
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset
from torchgeo.datasets import NonGeoDataset
from torchgeo.datasets.utils import Sample
from tqdm import tqdm

from ..io.images import UnreadableImageError
from ..models.image_towers import ImageTower
from ..utils.files import atomic_path
from ..utils.hashing import hash_state
from ..utils.modes import evaluating
from ..utils.version import VERSION

_INFO = 'features.json'


@dataclass(frozen=True)
class _Made:
    """What features were made of, all of which must stay for a pass to go on."""

    model: str
    transforms: str
    dataset: str
    part_size: int


class CachedFeatures(NonGeoDataset):
    """Features of images that a frozen backbone computed once, and their points.

    Samples have an ``'image'`` of shape ``(f,)``, the features, and a ``'point'``,
    ``(longitude, latitude)`` in degrees. The files are mapped into memory, so that they
    may be larger than that.
    """

    def __init__(
        self,
        root: Path | str,
        *,
        tower: ImageTower | None = None,
        transforms: Callable[[Sample], Sample] | None = None,
    ) -> None:
        """Initialize a new CachedFeatures instance; :func:`cache_features` makes one.

        Args:
            root: Folder that :func:`cache_features` filled.
            tower: The tower whose backbone must have made the features. Not checked if
                not given.
            transforms: Function that takes a sample and returns a changed one.

        Raises:
            FileNotFoundError: If the folder holds no features.
            ValueError: If they are not complete, or another backbone made them.
        """
        self.root = Path(root)
        self.transforms = transforms
        if not (self.root / _INFO).is_file():
            raise FileNotFoundError(f'{self.root} holds no cached features.')
        self.info: dict[str, Any] = json.loads((self.root / _INFO).read_text())
        if not self.info['complete']:
            raise ValueError(
                f'{self.root} is not complete. Run cache_features again, which goes on '
                'where it stopped.'
            )
        self._parts = [
            np.load(self.root / f'{part:05}.features.npy', mmap_mode='r')
            for part in range(self.info['parts'])
        ]
        self._starts = np.cumsum([0, *map(len, self._parts)])
        points = [
            np.load(self.root / f'{part:05}.points.npy')
            for part in range(self.info['parts'])
        ]
        self.points = torch.from_numpy(np.concatenate(points))
        if tower is not None:
            self.check_tower(tower)

    def check_tower(self, tower: ImageTower) -> None:
        """Check that a tower goes with the features.

        Args:
            tower: An image tower. One without a backbone goes with all features of the
                number that its head takes.

        Raises:
            ValueError: If another backbone made the features.
        """
        if isinstance(tower.backbone, nn.Identity):
            heads = (m for m in tower.head.modules() if isinstance(m, nn.Linear))
            taken = next((head.in_features for head in heads), self.num_features)
            if taken != self.num_features:
                raise ValueError(
                    f'{self.root} has {self.num_features} features of an image, the '
                    f'tower takes {taken}.'
                )
        elif _model_hash(tower) != self.made_by:
            raise ValueError(
                f'The features in {self.root} were made by another backbone, or one '
                'with other weights. Make them anew in another folder.'
            )

    @property
    def made_by(self) -> str:
        """Hash of the backbone that made the features."""
        return str(self.info['made']['model'])

    @property
    def num_features(self) -> int:
        """Number of features of an image."""
        return max(int(part.shape[1]) for part in self._parts)

    def __len__(self) -> int:
        """Return the number of images."""
        return int(self._starts[-1])

    def __getitem__(self, index: int) -> Sample:
        """Return a sample.

        Args:
            index: Number of the image; negative ones count from the end.

        Returns:
            Its ``'image'``, the features in float32, and its ``'point'``.

        Raises:
            IndexError: If there is no such image.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f'No image {index}: there are {len(self)}.')
        index %= len(self)
        part = int(np.searchsorted(self._starts, index, side='right')) - 1
        features = self._parts[part][index - self._starts[part]]
        sample: Sample = {
            'image': torch.from_numpy(features.astype(np.float32)),
            'point': self.points[index],
        }
        return sample if self.transforms is None else self.transforms(sample)


def cache_features(
    dataset: Dataset[Sample],
    tower: ImageTower,
    root: Path | str,
    *,
    prepare: Callable[[Sample], Sample] | None = None,
    batch_size: int = 64,
    num_workers: int = 0,
    part_size: int = 16_384,
    on_error: Literal['raise', 'skip'] = 'raise',
    progress: bool | None = None,
) -> CachedFeatures:
    """Compute the features of all images once.

    Features are written in float16, in parts. If the pass is interrupted, the same call
    goes on with the first part that is missing.

    Args:
        dataset: Images and points. Its transforms must not be random.
        tower: A tower with a frozen backbone, on the device where to compute.
        root: Folder to write to.
        prepare: Applied to each batch on that device, such as
            :class:`~torchgeo_concepts.models.image_transforms.Normalize`.
        batch_size: Number of images to encode at a time.
        num_workers: Number of processes that read images; at most one reads a stream.
        part_size: Number of images in a file.
        on_error: ``'skip'`` leaves out images that cannot be read, and the progress bar
            and ``features.json`` count them. Streams have an *on_error* of their own.
        progress: Show a progress bar. By default, on a terminal only.

    Returns:
        The features.

    Raises:
        ValueError: If the backbone is not frozen, or the folder has features of another
            backbone, of other transforms or of other images.
        UnreadableImageError: If an image cannot be read and *on_error* is ``'raise'``.
    """
    if not tower.frozen:
        raise ValueError(
            'Features are cached of frozen backbones: those of one that is trained '
            'would change.'
        )
    if isinstance(dataset, IterableDataset):
        _check_stream(dataset, num_workers)
    root = Path(root)
    made = _Made(
        _model_hash(tower),
        _describe(getattr(dataset, 'transforms', None)) + _describe(prepare),
        _dataset_hash(dataset),
        part_size,
    )
    _start(root, made)
    finished = _finished_parts(root)
    done = sum(part['rows'] for part in finished)
    loader = DataLoader(
        _rows_from(dataset, done, on_error),
        batch_size=batch_size,
        num_workers=num_workers,
        collate_fn=_collate,
    )
    rows = _encode(loader, tower, prepare, _known_length(dataset), done, progress)
    for part in itertools.count(len(finished)):
        block = list(itertools.islice(rows, part_size))
        if not block:
            break
        _write_part(root, part, block)
    return _finish(root, made)


def _check_stream(stream: IterableDataset[Sample], num_workers: int) -> None:
    if num_workers > 1:
        raise ValueError(
            f'{type(stream).__name__} is a stream, which only one process can go on '
            'with where a pass stopped. Use num_workers=1, or a folder for each shard.'
        )
    if getattr(stream, 'shuffle', 0):
        raise ValueError('A stream that is shuffled is another at each pass.')
    set_epoch = getattr(stream, 'set_epoch', None)
    if set_epoch is not None:
        set_epoch(0)


class _Rows(Dataset[Sample | None]):
    """Samples from some row on, and None for images that cannot be read."""

    def __init__(
        self, dataset: Any, start: int, on_error: Literal['raise', 'skip']
    ) -> None:
        self.dataset = dataset
        self.start = start
        self.on_error = on_error

    def __len__(self) -> int:
        return max(len(self.dataset) - self.start, 0)

    def __getitem__(self, index: int) -> Sample | None:
        index += self.start
        # Not by index if there is a way, which may put the next image in its place.
        load = getattr(self.dataset, 'load', None)
        try:
            if load is None:
                sample: Sample = self.dataset[index]
                return sample
            sample = load(index)
        except UnreadableImageError:
            if self.on_error == 'raise':
                raise
            return None
        transforms = self.dataset.transforms
        return sample if transforms is None else cast(Sample, transforms(sample))


class _Stream(IterableDataset[Sample]):
    """Samples of a dataset that has no length, from some row on."""

    def __init__(self, dataset: IterableDataset[Sample], start: int) -> None:
        self.dataset = dataset
        self.start = start

    def __iter__(self) -> Iterator[Sample]:
        return itertools.islice(iter(self.dataset), self.start, None)


def _rows_from(
    dataset: Dataset[Sample], start: int, on_error: Literal['raise', 'skip']
) -> Dataset[Any]:
    if isinstance(dataset, IterableDataset):
        return _Stream(dataset, start)
    return _Rows(dataset, start, on_error)


def _collate(samples: list[Sample | None]) -> list[Sample | None]:
    return samples


@torch.no_grad()
def _encode(
    loader: DataLoader[Any],
    tower: ImageTower,
    prepare: Callable[[Sample], Sample] | None,
    length: int | None,
    done: int,
    progress: bool | None,
) -> Iterator[tuple[NDArray[np.float16], Tensor] | None]:
    """Yield the features and the point of each row, None for unreadable images."""
    device = next(tower.parameters()).device
    disable = None if progress is None else not progress
    unreadable = 0
    with (
        evaluating(tower),
        tqdm(total=length, initial=done, unit='image', disable=disable) as bar,
    ):
        for samples in loader:
            read = [sample for sample in samples if sample is not None]
            vectors = iter(())
            if read:
                batch = {'image': torch.stack([s['image'] for s in read]).to(device)}
                batch = batch if prepare is None else prepare(batch)
                features = tower.features(batch['image']).flatten(1).cpu().half()
                if not features.isfinite().all():
                    raise ValueError('The backbone made features beyond float16.')
                vectors = iter(features.numpy())
            for sample in samples:
                yield None if sample is None else (next(vectors), sample['point'])
            unreadable += len(samples) - len(read)
            if unreadable:
                bar.set_postfix(unreadable=unreadable)
            bar.update(len(samples))


def _start(root: Path, made: _Made) -> None:
    """Begin a folder, or go on with one that was made of the same."""
    info = root / _INFO
    if not info.is_file():
        root.mkdir(parents=True, exist_ok=True)
        _write_info(root, made, complete=False)
        return
    before = json.loads(info.read_text())['made']
    for name, value in asdict(made).items():
        if before[name] != value:
            raise ValueError(
                f'{root} has features that were made with other {_NAMES[name]}. Choose '
                'another folder, or remove this one.'
            )


_NAMES = {
    'model': 'weights, or by another backbone',
    'transforms': 'transforms',
    'dataset': 'images',
    'part_size': 'part_size',
}


def _write_part(
    root: Path, part: int, block: list[tuple[NDArray[np.float16], Tensor] | None]
) -> None:
    kept = [row for row in block if row is not None]
    features = np.stack([row[0] for row in kept]) if kept else np.empty((0, 0))
    points = (
        torch.stack([row[1].float() for row in kept]) if kept else torch.empty(0, 2)
    )
    for name, array in (('features', features), ('points', points.numpy())):
        with (
            atomic_path(root / f'{part:05}.{name}.npy') as temporary,
            temporary.open('wb') as file,
        ):
            np.save(file, array)
    # Last: with it, the part is there.
    with atomic_path(root / f'{part:05}.json') as temporary:
        temporary.write_text(json.dumps({'rows': len(block), 'kept': len(kept)}))


def _finished_parts(root: Path) -> list[dict[str, int]]:
    parts: list[dict[str, int]] = []
    for part in itertools.count():
        file = root / f'{part:05}.json'
        if not file.is_file():
            return parts
        parts.append(json.loads(file.read_text()))
    return parts


def _finish(root: Path, made: _Made) -> CachedFeatures:
    parts = _finished_parts(root)
    if not any(part['kept'] for part in parts):
        raise ValueError(f'No image could be read, so {root} holds no features.')
    _write_info(root, made, complete=True)
    return CachedFeatures(root)


def _write_info(root: Path, made: _Made, complete: bool) -> None:
    parts = _finished_parts(root)
    rows, kept = (sum(part[name] for part in parts) for name in ('rows', 'kept'))
    info = {
        'version': VERSION,
        'complete': complete,
        'parts': len(parts),
        'images': kept,
        'unreadable': rows - kept,
        'made': asdict(made),
    }
    with atomic_path(root / _INFO) as temporary:
        temporary.write_text(json.dumps(info, indent=2))


def _model_hash(tower: ImageTower) -> str:
    # Activations are in no state dict, and some buffers are not either.
    state = {**tower.backbone.state_dict(), **dict(tower.backbone.named_buffers())}
    return hash_state(state, repr(tower.backbone))


def _describe(transforms: object) -> str:
    """Return a text that does not depend on where in memory things are."""
    name = getattr(transforms, '__qualname__', None)
    if name is None:
        return re.sub(r' at 0x[0-9a-f]+', '', repr(transforms))
    if '<' in name:
        raise ValueError(
            f'{name} could be anything: transforms must be a module, or a function that '
            'can be imported.'
        )
    return f'{getattr(transforms, "__module__", "")}.{name}'


def _dataset_hash(dataset: Any) -> str:
    """Compute what tells datasets apart, as far as they say."""
    about = [type(dataset).__qualname__, str(_known_length(dataset))]
    about.append(str(getattr(dataset, 'fingerprint', None)))
    points = getattr(dataset, 'points', None)
    if isinstance(points, Tensor):
        about.append(hash_state({'points': points}))
    if isinstance(dataset, Subset):
        about += [_dataset_hash(dataset.dataset), str(list(dataset.indices))]
    return hashlib.sha256(' '.join(about).encode()).hexdigest()


def _known_length(dataset: Any) -> int | None:
    return None if isinstance(dataset, IterableDataset) else len(dataset)
