# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Values of maps at points, whatever holds the map."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from numpy.typing import ArrayLike, NDArray
from rasterio.errors import RasterioError
from torch import Tensor, nn

from ..embed.points import embed_points
from ..io.geotiff import Band, read_bands
from ..layers import LAYERS, FileLayer, Layer, get_layer
from ..layers.grounding import read_groundings
from ..layers.rules import Condition, Grounding
from .bands import ConceptScores

type Map = nn.Module | Layer | Path | str | Callable[[Tensor], Any] | ArrayLike
type Truth = Layer | Grounding | Path | str | ArrayLike | None

SUFFIXES = ('.tif', '.tiff')


@dataclass(frozen=True, eq=False)
class MapValues:
    """What a map says of points.

    Attributes:
        name: What the map is called.
        values: Values of shape ``(N,)``, NaN where unknown.
        unit: Their unit, empty for plain numbers and probabilities, None if unknown.
        is_log: Whether they are ``log10(1 + value)``.
        title: What the map is called in a figure, the name if empty.
        concept_id: Identifier of the concept that an encoder said, or empty.
    """

    name: str
    values: NDArray[np.float64]
    unit: str | None = None
    is_log: bool = False
    title: str = ''
    concept_id: str = ''

    @property
    def is_class(self) -> bool:
        """Whether all that is known is 0 or 1."""
        known = self.values[~np.isnan(self.values)]
        return bool(np.isin(known, (0, 1)).all())


def predicted_values(
    predicted: Map,
    points: Tensor,
    concept: str | None = None,
    band: int = 1,
    calibrated: bool = True,
) -> MapValues:
    """Read a map that is to be scored.

    Args:
        predicted: An encoder with concept scores, a GeoTIFF file, a layer, a function of
            points, or values at the points.
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
        concept: The concept, of an encoder.
        band: Number of the band, from 1, of a file.
        calibrated: Probabilities and units rather than standardised scores.

    Returns:
        The values.

    Raises:
        ValueError: If the concept or the band does not exist, or there is not one value
            for each point.
    """
    if isinstance(predicted, nn.Module):
        if concept is None:
            raise ValueError('An encoder has many maps; say which with concept=.')
        scores = ConceptScores(predicted, [concept], calibrated)
        said = embed_points(scores, points, device='cpu', progress=False)
        [about] = scores.bands
        unit = about.unit if calibrated else None
        return replace(_one_each(about.name, said, points, unit), concept_id=about.id)
    if concept is not None:
        raise ValueError('Only an encoder takes concept=; the map is none.')
    if isinstance(predicted, str | Path):
        predicted = _file_layer(Path(predicted), band)
    if isinstance(predicted, Layer):
        return _of_layer(predicted, points)
    if callable(predicted):
        with torch.no_grad():
            return _one_each('prediction', predicted(points), points)
    return _one_each('prediction', predicted, points)


def true_values(
    truth: Truth, points: Tensor, rule: str = '', concept_id: str = ''
) -> MapValues:
    """Read a map that is taken for the truth.

    Args:
        truth: A layer or its name, a GeoTIFF file, what grounds a concept, or values at
            the points. None for what grounds the concept.
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
        rule: Turns values of a layer into labels, such as ``'is forest'``.
        concept_id: Identifier of the concept, if truth is None.

    Returns:
        The values: 1 where a class holds and 0 where not, or a quantity.

    Raises:
        ValueError: If there is no such layer, file or rule, or not one value for each
            point.
    """
    if truth is None:
        truth = _grounding_of(concept_id)
    if isinstance(truth, str | Path):
        is_file = Path(truth).suffix.lower() in SUFFIXES
        truth = _file_layer(Path(truth), 1) if is_file else get_layer(str(truth))
    if isinstance(truth, Layer):
        if rule:
            condition = Condition.parse(truth, rule)
            unit = truth.unit if condition.measures else ''
            by_name = {truth.name: truth}
            truth = Grounding(truth.name, (condition,), by_name, unit)
        elif truth.classes is not None:
            raise ValueError(
                f'Layer {truth.name!r} has classes; say which with rule=, such as '
                f"rule='is {list(truth.classes.values())[-1]}'."
            )
        else:
            return _of_layer(truth, points)
    elif rule:
        raise ValueError('rule= is for layers and files.')
    if isinstance(truth, Grounding):
        labels = truth(points)
        unit = truth.unit.removeprefix('1')
        title = ' and '.join(truth.layers[name].title for name in truth.layer_names)
        values = labels.astype(np.float64)
        return MapValues(truth.rule, values, unit, truth.is_log, title)
    return _one_each('truth', truth, points)


def _grounding_of(concept_id: str) -> Grounding:
    if not concept_id:
        raise ValueError('Say what is true with truth=: a layer, a file or values.')
    for grounding in read_groundings({name: get_layer(name) for name in LAYERS}):
        if grounding.concept == concept_id:
            return grounding
    raise ValueError(
        f'No layer grounds the concept {concept_id!r}. Say what is true with truth=.'
    )


def _file_layer(path: Path, band: int) -> FileLayer:
    try:
        with rasterio.open(path) as file:
            bands = read_bands(file)
    except RasterioError as error:
        raise ValueError(f'{path} cannot be read as a raster: {error}') from error
    # FileLayer says which bands there are.
    about = bands[band - 1] if 1 <= band <= len(bands) else Band(path.stem)
    classes = dict(enumerate(about.classes)) or None
    unit = '' if classes else about.unit or '1'
    return FileLayer(path, about.name, unit=unit, classes=classes, band=band)


def _of_layer(layer: Layer, points: Tensor) -> MapValues:
    if layer.classes is not None:
        raise ValueError(
            f'Layer {layer.name!r} has classes and cannot be scored as a quantity.'
        )
    return _one_each(layer.title, layer(points), points, layer.unit.removeprefix('1'))


def _one_each(
    name: str, values: Any, points: Tensor, unit: str | None = None
) -> MapValues:
    array = torch.as_tensor(values).detach().cpu().double().numpy()
    if array.shape == (len(points), 1):
        array = array[:, 0]
    if array.shape != (len(points),):
        raise ValueError(
            f'{len(points)} points need {len(points)} values, not an array of shape '
            f'{array.shape}.'
        )
    if np.isinf(array).any():
        row = int(np.flatnonzero(np.isinf(array))[0])
        raise ValueError(f'Row {row}, counted from 0, of the {name} is infinite.')
    return MapValues(name, array, unit)
