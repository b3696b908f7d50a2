# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Predictions of trained tasks as bands of a map."""

from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from ..io.geotiff import Band
from ..tasks import LocationClassification, LocationRegression
from ..utils.hashing import hash_state
from ..utils.modes import evaluating

# Keys and names of the outputs of a regression besides the prediction.
BOUNDS = {'lower': 'lower bound', 'upper': 'upper bound'}


class Predictions(nn.Module):
    """Predictions of a trained task as a function of points."""

    def __init__(self, task: Any) -> None:
        """Initialize a new Predictions instance.

        Args:
            task: A trained LocationRegression or LocationClassification.
        """
        super().__init__()
        self.task = task
        with torch.no_grad(), evaluating(task):
            found = task.predict_step({'point': torch.zeros(1, 2)}, 0)
        self.keys = [key for key in ('prediction', *BOUNDS) if key in found]

    @property
    def bands(self) -> list[Band]:
        """Name, unit and kind of each output."""
        if isinstance(self.task, LocationClassification):
            return [Band('class', kind='class', classes=self.task.classes)]
        return [
            Band(f'{name}, {BOUNDS[key]}' if key in BOUNDS else name, unit)
            for name, unit in zip(self.task.target_names, self.task.units, strict=True)
            for key in self.keys
        ]

    def forward(self, points: Tensor) -> Tensor:
        """Forward pass.

        Args:
            points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.

        Returns:
            Predictions of each target with the bounds of its interval, or class numbers,
            of shape ``(N, bands)``.
        """
        found = self.task.predict_step({'point': points}, 0)
        parts = [found[key].float() for key in self.keys]
        return torch.stack(parts, dim=-1).reshape(len(points), -1)


def load_predictions(path: Path) -> tuple[Predictions, dict[str, str]]:
    """Load the trained task of a checkpoint.

    Args:
        path: A checkpoint of LocationRegression or LocationClassification.

    Returns:
        Its predictions, and their metadata for a map.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is not such a checkpoint, or the task needs more than
            points.
    """
    saved = _read(path)
    location = saved.get('location')
    if location is None:
        raise ValueError(
            f'{path} is not a checkpoint of LocationRegression or LocationClassification.'
        )
    needed = ', '.join(map(repr, location['extra_names']))
    needed = f'the columns {needed}' if needed else ''
    if saved['hyper_parameters']['image_model'] is not None:
        needed = 'images'
    if needed:
        raise ValueError(
            f'The model of {path} needs {needed} besides points, which a map does not '
            'have.'
        )
    is_class = 'classes' in location['targets']
    kind = LocationClassification if is_class else LocationRegression
    task = kind.load_from_checkpoint(path, map_location='cpu', weights_only=True)
    return Predictions(task), {
        'task': kind.__name__,
        'checkpoint': path.name,
        'checkpoint_sha256': hash_state(saved['state_dict']),
        'feature': 'predictions',
    }


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f'No checkpoint {path}.')
    try:
        saved: Any = torch.load(path, map_location='cpu', weights_only=True)
    except (EOFError, RuntimeError, UnpicklingError) as error:
        raise ValueError(f'{path} cannot be read as a checkpoint.') from error
    return saved if isinstance(saved, dict) else {}
