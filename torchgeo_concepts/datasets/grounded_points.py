# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Points with labels of concepts and embeddings of a teacher."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchgeo.datasets import NonGeoDataset
from torchgeo.datasets.utils import Sample
from tqdm import tqdm

from ..concepts.bank import ConceptBank
from ..embed.points import embed_points
from ..layers import Layer
from ..layers.grounding import Groundings, installed_layers, load_groundings
from ..models.concept_earth import ConceptScale
from ..models.loading import find_encoder, load_encoder
from ..utils.hashing import hash_state
from ..utils.names import check_choice
from ._label_scale import label_scale
from ._parts import check_origin, save_array, start_folder
from ._point_plot import plot_points
from .point_sampling import sample_points

if TYPE_CHECKING:
    from matplotlib.figure import Figure


Blocks = Literal['all', 'train', 'test']

# Side of the held-out blocks, in degrees, and their fraction of all blocks.
BLOCK_DEGREES = 8
HELD_OUT = 0.1

_INFO = 'points.json'
_ARRAYS = ('points', 'concepts', 'embeddings')


class GroundedPoints(NonGeoDataset):
    """Points with labels of concepts and the embeddings of a teacher.

    Samples have a ``'point'`` ``(longitude, latitude)`` in degrees, ``'concepts'`` of
    shape ``(k,)``, NaN where no layer has a value, and the teacher's ``'embedding'``.
    Labels and embeddings are computed once, in parts, and stored in memory-mapped float16
    files. An interrupted computation resumes with the first missing part.
    """

    def __init__(
        self,
        root: Path | str = 'data/grounded-points',
        number: int = 1_000_000,
        seed: int = 0,
        *,
        blocks: Blocks = 'all',
        exclude_groups: Sequence[str] = (),
        layers: Sequence[Layer] = (),
        teacher: str = 'geoclip_location',
        teacher_weights: str | None = 'GeoCLIPLocation_Weights.MP16',
        part_size: int = 50_000,
        progress: bool | None = None,
        download: bool = False,
    ) -> None:
        """Initialize a new GroundedPoints instance.

        Args:
            root: Folder of the files, created if missing.
            number: Number of points.
            seed: Seed of the points.
            blocks: ``'train'`` leaves out the points in a tenth of all blocks of 8
                degrees, ``'test'`` has only those.
            exclude_groups: Groups of layers to leave out, such as ``climate`` or
                ``people``, and with them the concepts that they ground.
            layers: Additional layers, whose concepts are added.
            teacher: Name of the teacher in TorchGeo's registry.
            teacher_weights: Name of its weights, or a safetensors file of this package.
            part_size: Number of points in a file.
            progress: Show a progress bar. By default, on a terminal only.
            download: Download the weights of the teacher if they are not on this machine.

        Raises:
            ValueError: If the folder has points of another origin or damaged files, or
                a label is too large for float16.
        """
        for name, count in (('number', number), ('part_size', part_size)):
            if count < 1:
                raise ValueError(f'{name} must be at least 1, not {count}.')
        check_choice('blocks', blocks, Blocks)
        self.root = Path(root)
        found = find_encoder(teacher, teacher_weights)
        self.teacher = found.weights_name
        encoder = load_encoder(found, download=download)
        everything = load_groundings(layers=(*installed_layers(), *layers))
        self.groundings = everything.without(exclude_groups)
        # The origin of the files, which must be the same to resume.
        made = {
            'number': number,
            'seed': seed,
            'part_size': part_size,
            'bank': everything.bank.to_json(),
            'layers': everything.versions,
            'teacher': hash_state(encoder.state_dict(), teacher),
        }
        _make(self.root, made, everything, encoder, progress)
        parts = range(-(-number // part_size))
        self._arrays = {
            name: [_load(self.root, part, name) for part in parts] for name in _ARRAYS
        }
        self.points = torch.from_numpy(np.concatenate(self._arrays['points']))
        self.part_size = part_size
        # Columns of the requested concepts in the files.
        where = {concept: column for column, concept in enumerate(everything.bank.ids)}
        self._columns = [where[concept] for concept in self.groundings.bank.ids]
        self._rows = np.flatnonzero(in_blocks(self.points, blocks))

    @property
    def bank(self) -> ConceptBank:
        """The concepts, in the order of the labels."""
        return self.groundings.bank

    def __len__(self) -> int:
        """Return the number of points."""
        return len(self._rows)

    def __getitem__(self, index: int | Sequence[int]) -> Sample:
        """Return a sample, or a batch of samples at once.

        Args:
            index: Index of a point, or several.

        Returns:
            Its ``'point'``, ``'concepts'`` and ``'embedding'``, in float32.
        """
        rows = self._rows[np.asarray(index)]
        several = np.atleast_1d(rows)
        sample: Sample = {
            'point': self.points[torch.from_numpy(several)],
            'concepts': self._gather('concepts', several)[:, self._columns],
            'embedding': self._gather('embeddings', several),
        }
        if np.ndim(rows) == 0:
            sample = {name: value[0] for name, value in sample.items()}
        return sample

    def _gather(self, name: str, rows: NDArray[Any]) -> Tensor:
        arrays = self._arrays[name]
        values = np.empty((len(rows), arrays[0].shape[1]), arrays[0].dtype)
        part = rows // self.part_size
        for number in np.unique(part):
            here = part == number
            values[here] = arrays[number][rows[here] - number * self.part_size]
        return torch.from_numpy(values).float()

    def plot(
        self,
        concept: str = 'elevation',
        num_samples: int = 20_000,
        show_titles: bool = True,
        suptitle: str | None = None,
    ) -> 'Figure':
        """Plot the labels of a concept on a map.

        Args:
            concept: Name or identifier of the concept.
            num_samples: Number of points to plot.
            show_titles: Show the name of the concept above the map.
            suptitle: Title of the figure.

        Returns:
            The figure, in which points without a label are grey.
        """
        known = self.bank[concept]
        batch = self[range(min(num_samples, len(self)))]
        labels = self.groundings.natural(batch['concepts'].numpy())
        return plot_points(
            batch['point'],
            labels[:, self.bank.ids.index(known.id)],
            known.unit or 'holds',
            title=known.name if show_titles else '',
            suptitle=suptitle,
        )

    def scale(self, num_samples: int = 200_000) -> ConceptScale:
        """Compute mean and standard deviation of each label.

        Args:
            num_samples: Number of points to use.

        Returns:
            The statistics over the points where the label is known.
        """
        labels = self[range(min(num_samples, len(self)))]['concepts']
        return label_scale(labels, self.groundings)

    def embedding_scale(
        self, num_samples: int = 200_000
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Compute mean, standard deviation and principal components of the embeddings.

        Args:
            num_samples: Number of points to use.

        Returns:
            Mean of shape ``(d,)``, one standard deviation of all features, and the
            principal components as columns of a ``(d, d)`` matrix, largest variance
            first.
        """
        embeddings = self[range(min(num_samples, len(self)))]['embedding']
        mean = embeddings.mean(dim=0)
        centred = (embeddings - mean).double()
        _, components = torch.linalg.eigh(centred.T @ centred)
        std = centred.square().mean().sqrt()
        return mean, std.float(), components.flip(1).float()


def held_out_blocks(points: Tensor) -> NDArray[np.bool_]:
    """Return a mask of the points in the held-out blocks, which never change.

    Args:
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.

    Returns:
        Mask of shape ``(N,)``.
    """
    columns, rows = 360 // BLOCK_DEGREES, -(-180 // BLOCK_DEGREES)
    held_out = np.random.default_rng(8).random((rows, columns)) < HELD_OUT
    lon, lat = points.double().numpy().T
    column = np.clip((lon + 180) // BLOCK_DEGREES, 0, columns - 1).astype(int)
    row = np.clip((lat + 90) // BLOCK_DEGREES, 0, rows - 1).astype(int)
    chosen: NDArray[np.bool_] = held_out[row, column]
    return chosen


def in_blocks(points: Tensor, blocks: Blocks) -> Tensor:
    """Return a mask of the points in the blocks, of shape ``(N,)``."""
    if blocks == 'all':
        return torch.ones(len(points), dtype=torch.bool)
    return torch.from_numpy(held_out_blocks(points) == (blocks == 'test'))


def _make(
    root: Path,
    made: dict[str, Any],
    groundings: Groundings,
    teacher: nn.Module,
    progress: bool | None,
) -> None:
    _start(root, made)
    points = sample_points(made['number'], made['seed'])
    disable = None if progress is None else not progress
    with tqdm(
        total=made['number'], unit='point', unit_scale=True, disable=disable
    ) as bar:
        for part, block in enumerate(points.split(made['part_size'])):
            # The points are written last: they mark the part as complete.
            if not (root / f'{part:04}.points.npy').is_file():
                embeddings = embed_points(teacher, block, progress=False).half()
                labels = _half(groundings.labels(block), groundings.bank)
                save_array(root / f'{part:04}.embeddings.npy', embeddings.numpy())
                save_array(root / f'{part:04}.concepts.npy', labels)
                save_array(root / f'{part:04}.points.npy', block.numpy())
            bar.update(len(block))


def _start(root: Path, made: dict[str, Any]) -> None:
    info = root / _INFO
    check_origin(info, start_folder(info, made), made, {'layers': 'other layers'})


def _half(labels: NDArray[np.float32], bank: ConceptBank) -> NDArray[np.float16]:
    """Convert labels to float16, and raise an error if one becomes infinite."""
    with np.errstate(over='ignore'):
        half = labels.astype(np.float16)
    infinite = np.isinf(half).any(axis=0)
    if infinite.any():
        column = int(np.flatnonzero(infinite)[0])
        concept = bank[column]
        largest = np.nanmax(np.abs(labels[:, column]))
        raise ValueError(
            f'Concept {concept.name!r} has labels up to {largest:,.0f} {concept.unit}, '
            'but float16 ends at 65,504. Use a larger unit or a logarithm for its layer, '
            'and another folder.'
        )
    return half


def _load(root: Path, part: int, name: str) -> NDArray[Any]:
    path = root / f'{part:04}.{name}.npy'
    try:
        array: NDArray[Any] = np.load(path, mmap_mode='r')
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(
            f'{path} is missing or damaged. Remove {part:04}.points.npy beside it to '
            'compute this part again.'
        ) from error
    return array
