# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Inputs of the benchmark: coordinates, neighbours, maps and encoders."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import torch
from torch import Tensor
from torchgeo.models import list_models
from torchgeo.models.satclip import SphericalHarmonics

from ...embed.points import embed_points
from ...geo.sphere import unit_vectors
from ...layers import LAYERS, get_layer
from ...layers.grounding import Groundings, load_groundings
from ...models import ConceptEarth
from ...models.features import FeatureKind, coordinate_features
from ...models.protocols import GroundedEncoder
from ...utils.devices import Device
from .encoders import RELEASED, RELEASED_NAMES, NamedEncoder, TrainingMaps, load_named
from .scores import Predictor

# Released weights were not trained on this group, whose package has a copyleft licence.
EXCLUDED = ('imagery',)


@dataclass(frozen=True, eq=False)
class Input:
    """Features, and the model that predicts from them.

    Attributes:
        name: Name in tables and figures.
        identity: Text that changes whenever the features may change.
        features: Function of points of shape ``(N, 2)`` that returns ``(N, d)``.
        predictor: The model.
        layers: Maps that the features come from or were trained on, None if unknown.
        megabytes: Size of the weights on disk, None if there are none.
        is_computed: True if the speed of computing the features is reported.
    """

    name: str
    identity: str
    features: Callable[[Tensor], Tensor]
    predictor: Predictor = 'ridge'
    layers: TrainingMaps | None = None
    megabytes: float | None = None
    is_computed: bool = True


def make_inputs(
    encoders: Sequence[str],
    layers: bool = True,
    degree: int = 20,
    truncate_dims: Sequence[int] = (),
    device: Device = 'auto',
) -> tuple[list[Input], list[str]]:
    """Make all inputs.

    Args:
        encoders: Names of encoders, as :func:`load_named` takes them, or
            ``'released'``.
        layers: Add inputs from maps.
        degree: Highest degree of the spherical harmonics.
        truncate_dims: Numbers of principal components of the embedding to try as well,
            for encoders that have them.
        device: Device of the encoders.

    Returns:
        The inputs, and a line for each omission, with its reason.

    Raises:
        ValueError: If there is no such encoder, or it cannot embed points.
        FileNotFoundError: If weights that were named are missing.
    """
    if degree < 1:
        raise ValueError(f'degree must be at least 1, got {degree}.')
    inputs, left_out = _baselines(degree), []
    if layers:
        found, missing = _map_inputs()
        inputs += found
        left_out += [missing] if missing else []
    expanded = [RELEASED_NAMES if name == RELEASED else (name,) for name in encoders]
    for name in dict.fromkeys(name for names in expanded for name in names):
        try:
            encoder = load_named(name)
        except FileNotFoundError as error:
            if name.partition(':')[0] not in list_models():
                raise
            missing = f'the weights of {name} are not on this machine.'
            if name in encoders:
                raise FileNotFoundError(
                    f'T{missing[1:]} The benchmark downloads nothing: fetch them once '
                    'with the option --download of `torchgeo-concepts embed`.'
                ) from error
            left_out.append(missing)
            continue
        known = {source.identity for source in inputs}
        made = _encoder_inputs(encoder, truncate_dims, device)
        inputs += [source for source in made if source.identity not in known]
    names = [source.name for source in inputs]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(
            f'Several encoders have the name {repeated[0]!r}. Rename one file.'
        )
    return inputs, left_out


# Without an encoder --------------------------------------------------------------------


def _baselines(degree: int) -> list[Input]:
    baseline = partial(Input, layers={})
    neighbours = partial(baseline, features=unit_sphere, is_computed=False)
    return [
        baseline('sin/cos of coordinates', 'coordinates', coordinate_features),
        baseline(
            f'spherical harmonics, degree {degree}',
            f'harmonics {degree}',
            partial(spherical_harmonics, degree=degree),
        ),
        neighbours('nearest neighbour', 'nearest', predictor='nearest'),
        neighbours('inverse distance, 10', 'weighted', predictor='weighted'),
    ]


def unit_sphere(points: Tensor) -> Tensor:
    """Return points as unit vectors of shape ``(N, 3)``."""
    lon, lat = points.double().numpy().T
    return torch.from_numpy(unit_vectors(lon, lat))


def spherical_harmonics(points: Tensor, degree: int) -> Tensor:
    """Compute real spherical harmonics with TorchGeo, except the constant one.

    Args:
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
        degree: Highest degree.

    Returns:
        Values of shape ``(N, (degree + 1)² - 1)``, each up to a constant factor.
        Standardising the features removes this factor.
    """
    values: Tensor = SphericalHarmonics(degree + 1)(points.double())
    return values[:, 1:].float()


# Maps ----------------------------------------------------------------------------------


def _map_inputs() -> tuple[list[Input], str]:
    """Return the inputs of installed maps, and a line that names the missing maps."""
    layers = [layer for layer in map(get_layer, LAYERS) if layer.group not in EXCLUDED]
    # Layers with their own install command are not in the extra.
    absent = {
        layer.source.distribution
        for layer in layers
        if not layer.is_installed and not layer.source.install
    }
    names = ', '.join(sorted(absent))
    line = f'maps of {names}: run `pip install torchgeo-concepts[layers]`.'
    versions = {layer.name: layer.version for layer in layers if layer.is_installed}
    inputs = []
    if any(versions.values()):
        maps, name = f'maps {sorted(versions.items())}', 'maps looked up'
        make = partial(Input, layers=versions)
        inputs = [
            make(f'{name}, ridge', f'labels of {maps}', map_labels),
            make(f'{name}, boosting', f'values of {maps}', map_values, 'boosting'),
        ]
    return inputs, line if absent else ''


@cache
def _groundings() -> Groundings:
    return load_groundings(exclude_groups=EXCLUDED)


def map_labels(points: Tensor) -> Tensor:
    """Return the labels of all concepts from maps, and indicators of unknown labels."""
    labels = torch.from_numpy(_groundings().labels(points)).double()
    unknown = labels.isnan()
    # A concept that is unknown at all points becomes a constant.
    filled = torch.where(unknown, labels.nanmean(dim=0).nan_to_num(), labels)
    return torch.cat((filled, unknown[:, unknown.any(dim=0)].double()), dim=1)


def map_values(points: Tensor) -> Tensor:
    """Return the values of maps, NaN where unknown."""
    layers = _groundings().layers.values()
    return torch.from_numpy(np.stack([layer(points) for layer in layers], axis=1))


# Encoders ------------------------------------------------------------------------------


def _encoder_inputs(
    named: NamedEncoder, truncate_dims: Sequence[int], device: Device
) -> list[Input]:
    """Return an input for each kind of features of an encoder."""
    embed = partial(embed_points, device=device, progress=False)
    encoder = named.encoder
    kinds: tuple[FeatureKind, ...] = ('x',)
    if isinstance(encoder, GroundedEncoder) and len(encoder.bank):
        kinds = ('x', 'z', 'xz')
    features = {str(kind): partial(embed, encoder, features=kind) for kind in kinds}
    if isinstance(encoder, ConceptEarth):
        for dim in truncate_dims:
            truncated = copy.deepcopy(encoder).truncate(dim)
            features[f'x of {dim}'] = partial(embed, truncated)
    return [
        Input(
            f'{named.name} {suffix}',
            f'{named.identity} {suffix}',
            function,
            layers=named.layers,
            megabytes=named.megabytes,
        )
        for suffix, function in features.items()
    ]
