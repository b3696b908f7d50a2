# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""What the benchmark predicts from: coordinates, neighbours, maps and encoders."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torchgeo.models import list_models

from ...embed.points import embed_points
from ...models import ConceptEarth, coordinate_features
from ...models.features import FeatureKind
from ...utils.devices import Device
from .encoders import RELEASED, RELEASED_NAMES, Layers, Named, load_named
from .scores import Predictor

if TYPE_CHECKING:
    from ...layers.grounding import Groundings

# Its package is under a copyleft licence, so released weights have not seen it.
EXCLUDED = ('imagery',)


@dataclass(frozen=True, eq=False)
class Input:
    """Features, and what predicts from them.

    Attributes:
        name: What tables and figures call it.
        identity: A text that changes whenever the features may change.
        features: Function of points of shape ``(N, 2)`` that returns ``(N, d)``.
        predictor: What learns.
        layers: Maps that taught it, None if that is not known.
        megabytes: Size of the weights on disk, None if there are none.
        is_computed: Whether features take a time that is worth telling.
    """

    name: str
    identity: str
    features: Callable[[Tensor], Tensor]
    predictor: Predictor = 'ridge'
    layers: Layers | None = None
    megabytes: float | None = None
    is_computed: bool = True


def make_inputs(
    encoders: Sequence[str],
    layers: bool = True,
    degree: int = 20,
    truncate: Sequence[int] = (),
    device: Device = 'auto',
) -> tuple[list[Input], list[str]]:
    """Make all inputs.

    Args:
        encoders: Names of encoders, as :func:`load_named` takes them, or
            ``'released'``.
        layers: Whether maps are looked up.
        degree: Highest degree of the spherical harmonics.
        truncate: Numbers of principal components of embeddings to try, of encoders
            that have them.
        device: Where encoders compute.

    Returns:
        The inputs, and lines that say what was left out and why.

    Raises:
        ValueError: If there is no such encoder, or it is none.
        FileNotFoundError: If weights that were asked for by name are missing.
    """
    if degree < 1:
        raise ValueError(f'degree must be at least 1, not {degree}.')
    inputs, left_out = _plain_inputs(degree), []
    if layers:
        found, missing = _map_inputs()
        inputs += found
        left_out += [missing] if missing else []
    for name in _without_repeats(encoders):
        try:
            encoder = load_named(name)
        except FileNotFoundError as error:
            if name in encoders:
                raise FileNotFoundError(_missing(name, error)) from error
            left_out.append(f'{name}: {str(error).partition(". ")[0]}.')
            continue
        known = {made.identity for made in inputs}
        made = _encoder_inputs(encoder, truncate, device)
        inputs += [one for one in made if one.identity not in known]
    names = [made.name for made in inputs]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(
            f'Several encoders would be called {repeated[0]!r}. Rename the file of one.'
        )
    return inputs, left_out


def _without_repeats(names: Sequence[str]) -> list[str]:
    every = [
        n for name in names for n in (RELEASED_NAMES if name == RELEASED else [name])
    ]
    return list(dict.fromkeys(every))


def _missing(name: str, error: FileNotFoundError) -> str:
    if name.partition(':')[0] not in list_models():
        return str(error)
    return (
        f'{str(error).partition(". ")[0]}. Nothing is downloaded here: fetch it once '
        'with the option --download of `torchgeo-concepts embed`.'
    )


# Without an encoder --------------------------------------------------------------------


def _plain_inputs(degree: int) -> list[Input]:
    plain = partial(Input, layers={})
    spheres = partial(plain, features=unit_sphere, is_computed=False)
    return [
        plain('sin/cos of coordinates', 'coordinates', coordinate_features),
        plain(
            f'spherical harmonics, degree {degree}',
            f'harmonics {degree}',
            partial(spherical_harmonics, degree=degree),
        ),
        spheres('nearest neighbour', 'nearest', predictor='nearest'),
        spheres('inverse distance, 10', 'weighted', predictor='weighted'),
    ]


def unit_sphere(points: Tensor) -> Tensor:
    """Return points as vectors of length 1, of shape ``(N, 3)``."""
    from ...geo.sphere import unit_vectors

    lon, lat = points.double().numpy().T
    return torch.from_numpy(unit_vectors(lon, lat))


def spherical_harmonics(points: Tensor, degree: int) -> Tensor:
    """Compute real spherical harmonics, all but the constant one.

    Args:
        points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.
        degree: Highest degree.

    Returns:
        Values of shape ``(N, (degree + 1)² - 1)``, orthonormal on the sphere.
    """
    lon, lat = torch.deg2rad(points.double()).unbind(dim=1)
    height, radius = lat.sin(), lat.cos()
    columns = []
    sectoral = torch.full_like(height, math.sqrt(1 / (4 * math.pi)))
    for m in range(degree + 1):
        if m:
            sectoral = sectoral * radius * math.sqrt((2 * m + 1) / (2 * m))
        waves = [(m * lon).cos(), (m * lon).sin()] if m else [None]
        before, value = torch.zeros_like(sectoral), sectoral
        for n in range(m, degree + 1):
            if n > m:
                # https://dlmf.nist.gov/14.10.E3, for functions of norm 1.
                ratio = math.sqrt((4 * n**2 - 1) / (n**2 - m**2))
                back = math.sqrt(((n - 1) ** 2 - m**2) / (4 * (n - 1) ** 2 - 1))
                before, value = value, ratio * (height * value - back * before)
            columns += [value if w is None else math.sqrt(2) * value * w for w in waves]
    return torch.stack(columns[1:], dim=1).float()


# Maps ----------------------------------------------------------------------------------


def _map_inputs() -> tuple[list[Input], str]:
    """Make the inputs of maps that are here, and say which are not."""
    from ...layers import LAYERS, get_layer

    layers = [layer for layer in map(get_layer, LAYERS) if layer.group not in EXCLUDED]
    # Those with a command of their own are in no extra, and nobody misses them.
    absent = sorted(
        {
            layer.source.distribution
            for layer in layers
            if not layer.is_installed and not layer.source.install
        }
    )
    line = (
        f'maps of {", ".join(absent)}: `pip install torchgeo-concepts[layers]` adds them.'
        if absent
        else ''
    )
    versions = {layer.name: layer.version for layer in layers if layer.is_installed}
    if not any(versions.values()):
        return [], line
    identity = f'maps {sorted(versions.items())}'
    make = partial(Input, layers=versions)
    inputs = [
        make('maps looked up, ridge', f'labels of {identity}', map_labels),
        make(
            'maps looked up, boosting', f'values of {identity}', map_values, 'boosting'
        ),
    ]
    return inputs, line


@cache
def _groundings() -> 'Groundings':
    from ...layers.grounding import load_groundings

    return load_groundings(exclude_groups=EXCLUDED)


def map_labels(points: Tensor) -> Tensor:
    """Look up what maps say of all concepts, and where they say nothing."""
    labels = torch.from_numpy(_groundings().labels(points)).double()
    unknown = labels.isnan()
    # Of concepts that no map tells at any of the points there is nothing to know.
    filled = torch.where(unknown, labels.nanmean(dim=0).nan_to_num(), labels)
    return torch.cat((filled, unknown[:, unknown.any(dim=0)].double()), dim=1)


def map_values(points: Tensor) -> Tensor:
    """Look up the values of maps, NaN where unknown."""
    layers = _groundings().layers.values()
    return torch.from_numpy(np.stack([layer(points) for layer in layers], axis=1))


# Encoders ------------------------------------------------------------------------------


def _encoder_inputs(
    named: Named, truncate: Sequence[int], device: Device
) -> list[Input]:
    """Make an input of each kind of features that an encoder has."""

    def make(suffix: str, features: Callable[[Tensor], Tensor]) -> Input:
        return Input(
            f'{named.name} {suffix}',
            f'{named.identity} {suffix}',
            features,
            layers=named.layers,
            megabytes=named.megabytes,
        )

    def embed(kind: FeatureKind, points: Tensor) -> Tensor:
        return embed_points(
            named.encoder, points, features=kind, device=device, progress=False
        )

    def embed_truncated(dim: int, points: Tensor) -> Tensor:
        encoder.truncate(dim)
        try:
            return embed('x', points)
        finally:
            encoder.truncate(None)

    encoder: Any = named.encoder
    bank = getattr(encoder, 'bank', None)
    has_concepts = callable(getattr(encoder, 'concepts', None)) and (
        bank is None or len(bank) > 0
    )
    kinds: tuple[FeatureKind, ...] = ('x', 'z', 'xz') if has_concepts else ('x',)
    made = [make(kind, partial(embed, kind)) for kind in kinds]
    if isinstance(encoder, ConceptEarth):
        made += [make(f'x of {dim}', partial(embed_truncated, dim)) for dim in truncate]
    return made
