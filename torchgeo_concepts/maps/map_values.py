# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Values of encoders, files, layers, functions and arrays at points."""

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
    """Values of a map at points.

    Attributes:
        name: Name of the map.
        values: Values of shape ``(N,)``, NaN where unknown.
        unit: Unit of the values, empty for plain numbers and probabilities, None if
            unknown.
        is_log: True if the values are ``log10(1 + value)``.
        title: Title in a figure. If empty, the name is used.
        concept_id: Id of the concept of an encoder.
    """

    name: str
    values: NDArray[np.float64]
    unit: str | None = None
    is_log: bool = False
    title: str = ''
    concept_id: str = ''

    @property
    def is_class(self) -> bool:
        """Return True if all known values are 0 or 1."""
        known = self.values[~np.isnan(self.values)]
        return bool(np.isin(known, (0, 1)).all())


def predicted_values(
    predicted: Map,
    points: Tensor,
    concept: str | None = None,
    band: int = 1,
    calibrated: bool = True,
) -> MapValues:
    """Return the values of a map to score.

    Args:
        predicted: An encoder with concept scores, a GeoTIFF file, a layer, a function of
            points, or values at the points.
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
        concept: Concept of an encoder.
        band: Band of a file, counted from 1.
        calibrated: Return probabilities of classes and quantities in their units, instead
            of standardised scores.

    Returns:
        The values.

    Raises:
        ValueError: If the concept or the band does not exist, or there is not one value
            for each point.
    """
    if isinstance(predicted, nn.Module):
        if concept is None:
            raise ValueError('An encoder has many concepts; choose one with concept=.')
        scores = ConceptScores(predicted, [concept], calibrated)
        found = embed_points(scores, points, device='cpu', progress=False)
        [about] = scores.bands
        unit = about.unit if calibrated else None
        return replace(_one_each(about.name, found, points, unit), concept_id=about.id)
    if concept is not None:
        raise ValueError('concept= needs an encoder; leave it out for any other map.')
    if isinstance(predicted, str | Path):
        predicted = _file_layer(Path(predicted), band)
    if isinstance(predicted, Layer):
        return _layer_values(predicted, points)
    if callable(predicted):
        with torch.no_grad():
            return _one_each('prediction', predicted(points), points)
    return _one_each('prediction', predicted, points)


def true_values(
    truth: Truth, points: Tensor, rule: str = '', concept_id: str = ''
) -> MapValues:
    """Return the values of the truth.

    Args:
        truth: A layer or its name, a GeoTIFF file, a grounding, or values at the points.
            By default, the grounding of the concept.
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
        rule: Rule that turns values of a layer into labels, such as ``'is forest'``.
        concept_id: Id of the concept, for its grounding.

    Returns:
        The values: 1 or 0 for a class, or a quantity.

    Raises:
        ValueError: If a layer or file is unknown, the rule is invalid, or the number of
            values differs from that of points.
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
                f'Layer {truth.name!r} has classes; choose classes with rule=, such as '
                f"rule='is {list(truth.classes.values())[-1]}'."
            )
        else:
            return _layer_values(truth, points)
    elif rule:
        raise ValueError('rule= needs a layer or a file as truth.')
    if isinstance(truth, Grounding):
        labels = truth(points)
        unit = truth.unit.removeprefix('1')
        title = ' and '.join(truth.layers[name].title for name in truth.layer_names)
        values = labels.astype(np.float64)
        return MapValues(truth.rule, values, unit, truth.is_log, title)
    return _one_each('truth', truth, points)


def _grounding_of(concept_id: str) -> Grounding:
    if not concept_id:
        raise ValueError('Pass truth=: a layer, a file or values.')
    for grounding in read_groundings({name: get_layer(name) for name in LAYERS}):
        if grounding.concept == concept_id:
            return grounding
    raise ValueError(f'No layer grounds the concept {concept_id!r}. Pass truth=.')


def _file_layer(path: Path, band: int) -> FileLayer:
    try:
        with rasterio.open(path) as file:
            bands = read_bands(file)
    except RasterioError as error:
        raise ValueError(f'{path} cannot be read as a raster: {error}') from error
    # FileLayer raises if there is no such band.
    about = bands[band - 1] if 1 <= band <= len(bands) else Band(path.stem)
    classes = dict(enumerate(about.classes)) or None
    unit = '' if classes else about.unit or '1'
    return FileLayer(path, about.name, unit=unit, classes=classes, band=band)


def _layer_values(layer: Layer, points: Tensor) -> MapValues:
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
            f'Expected {len(points)} values, one for each point, got an array of shape '
            f'{array.shape}.'
        )
    if np.isinf(array).any():
        row = int(np.flatnonzero(np.isinf(array))[0])
        raise ValueError(f'Row {row} of the {name}, counted from 0, is infinite.')
    return MapValues(name, array, unit)
