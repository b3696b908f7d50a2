# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Cache the image features of a frozen backbone."""

import copy
import hashlib
import itertools
import json
import re
from collections.abc import Callable, Iterator, Sized
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset
from torchgeo.datasets.utils import Sample
from tqdm import tqdm

from ..io.images import UnreadableImageError
from ..models.image_towers import ImageTower
from ..utils.hashing import hash_state
from ..utils.modes import evaluating
from ..utils.version import VERSION
from ._parts import check_origin, save_array, start_folder, write_json
from ._samples import OnError
from .cached_features import INFO_FILE, CachedFeatures, hash_backbone


def cache_features(
    dataset: Dataset[Sample],
    tower: ImageTower,
    root: Path | str,
    *,
    prepare: Callable[[Sample], Sample] | None = None,
    batch_size: int = 64,
    num_workers: int = 0,
    part_size: int = 16_384,
    on_error: OnError = 'raise',
    progress: bool | None = None,
) -> CachedFeatures:
    """Compute the features of all images once.

    Features are written in float16, in parts. If the run is interrupted, the same call
    resumes with the first missing part.

    Args:
        dataset: Images and points. Its transforms must not be random.
        tower: A tower with a frozen backbone, on the device to compute on.
        root: Folder to write to.
        prepare: Transform of each batch on that device, such as
            :class:`~torchgeo_concepts.models.image_transforms.Normalize`.
        batch_size: Number of images to encode at a time.
        num_workers: Number of processes that read images.
        part_size: Number of images in a file.
        on_error: ``'skip'`` leaves out unreadable images; the progress bar and
            ``features.json`` show their number.
        progress: Show a progress bar. By default, on a terminal only.

    Returns:
        The features.

    Raises:
        ValueError: If the backbone is not frozen, or the folder has features of another
            backbone, other transforms or other images.
        UnreadableImageError: If an image cannot be read and *on_error* is ``'raise'``.
    """
    if not tower.frozen:
        raise ValueError(
            'Only the features of a frozen backbone can be cached. Freeze the backbone, '
            'since training would change its features.'
        )
    root = Path(root)
    # The origin of the features, which must be the same to resume.
    made = {
        'model': hash_backbone(tower),
        'transforms': _describe(getattr(dataset, 'transforms', None))
        + _describe(prepare),
        'dataset': _dataset_hash(dataset),
        'part_size': part_size,
    }
    info: dict[str, Any] = {'version': VERSION, 'complete': False, 'made': made}
    before = start_folder(root / INFO_FILE, info)
    check_origin(root / INFO_FILE, before['made'], made, _NAMES)
    first, length = len(_images_of_parts(root)), len(cast(Sized, dataset))
    done = min(first * part_size, length)
    loader: DataLoader[Any] = DataLoader(
        _Readable(dataset, on_error),
        sampler=range(done, length),
        batch_size=batch_size,
        num_workers=num_workers,
        collate_fn=list,
    )
    disable = None if progress is None else not progress
    bar = tqdm(total=length, initial=done, unit='image', disable=disable)
    rows = _encode(loader, tower, prepare, bar)
    for part in itertools.count(first):
        block = list(itertools.islice(rows, part_size))
        if not block:
            break
        _write_part(root, part, block)
    kept = _images_of_parts(root)
    if not sum(kept):
        raise ValueError(f'No image could be read, so {root} holds no features.')
    info |= {'complete': True, 'parts': len(kept), 'images': sum(kept)}
    write_json(root / INFO_FILE, info | {'unreadable': length - sum(kept)})
    return CachedFeatures(root)


class _Readable(Dataset[Sample | None]):
    """Samples, and None for images that cannot be read."""

    def __init__(self, dataset: Any, on_error: OnError) -> None:
        # ImagePoints would replace an unreadable image.
        self.dataset = copy.copy(dataset)
        self.dataset.on_error = 'raise'
        self.on_error = on_error

    def __getitem__(self, index: int) -> Sample | None:
        try:
            return cast(Sample, self.dataset[index])
        except UnreadableImageError:
            if self.on_error == 'raise':
                raise
            return None


@torch.no_grad()
def _encode(
    loader: DataLoader[Any],
    tower: ImageTower,
    prepare: Callable[[Sample], Sample] | None,
    bar: 'tqdm[Any]',
) -> Iterator[tuple[NDArray[np.float16], Tensor] | None]:
    """Yield the features and the point of each row, None for unreadable images."""
    device = next(tower.parameters()).device
    unreadable = 0
    with evaluating(tower), bar:
        for samples in loader:
            read = [sample for sample in samples if sample is not None]
            vectors = iter(())
            if read:
                batch = {'image': torch.stack([s['image'] for s in read]).to(device)}
                batch = batch if prepare is None else prepare(batch)
                features = tower.features(batch['image']).flatten(1).cpu().half()
                if not features.isfinite().all():
                    raise ValueError(
                        'Features of the backbone are too large for float16.'
                    )
                vectors = iter(features.numpy())
            for sample in samples:
                yield None if sample is None else (next(vectors), sample['point'])
            unreadable += len(samples) - len(read)
            if unreadable:
                bar.set_postfix(unreadable=unreadable)
            bar.update(len(samples))


_NAMES = {
    'model': 'another backbone or other weights',
    'transforms': 'other transforms',
    'dataset': 'other images',
}


def _write_part(
    root: Path, part: int, block: list[tuple[NDArray[np.float16], Tensor] | None]
) -> None:
    kept = [row for row in block if row is not None]
    features = np.stack([row[0] for row in kept]) if kept else np.empty((0, 0))
    points = np.array([row[1] for row in kept], np.float32).reshape(-1, 2)
    save_array(root / f'{part:05}.features.npy', features)
    save_array(root / f'{part:05}.points.npy', points)
    # This file is written last: it marks the part as complete.
    write_json(root / f'{part:05}.json', {'rows': len(block), 'kept': len(kept)})


def _images_of_parts(root: Path) -> list[int]:
    """Return the number of images in each finished part."""
    numbers: list[int] = []
    while (file := root / f'{len(numbers):05}.json').is_file():
        numbers.append(json.loads(file.read_text())['kept'])
    return numbers


def _describe(transforms: object) -> str:
    """Describe transforms without memory addresses."""
    name = getattr(transforms, '__qualname__', None)
    if name is None:
        return re.sub(r' at 0x[0-9a-f]+', '', repr(transforms))
    if '<' in name:
        raise ValueError(
            f'Transforms must be a module or a function that can be imported, not {name}.'
        )
    return f'{getattr(transforms, "__module__", "")}.{name}'


def _dataset_hash(dataset: Any) -> str:
    """Return a hash of the class, size, points and fingerprint of a dataset."""
    about = [
        type(dataset).__qualname__,
        str(len(dataset)),
        str(getattr(dataset, 'fingerprint', None)),
    ]
    points = getattr(dataset, 'points', None)
    if isinstance(points, Tensor):
        about.append(hash_state({'points': points}))
    if isinstance(dataset, Subset):
        about += [_dataset_hash(dataset.dataset), str(list(dataset.indices))]
    return hashlib.sha256(' '.join(about).encode()).hexdigest()
