# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Concepts that layers ground, and the rules that label points with them."""

import warnings
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from importlib import resources
from itertools import compress
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from ..concepts.bank import ConceptBank
from ..concepts.concept import Concept, ConceptKind
from ..geo.points import PointsLike
from ..geo.sphere import golden_fractions
from ..io.csv_files import read_csv_rows
from ..utils.names import slug
from .base import Layer, check_groups, check_layer_name, coordinates
from .files import FileLayer, PolygonLayer
from .registry import LAYERS, get_layer
from .rules import Condition, Grounding, Labels, Layers

# Number of points over the whole Earth. The labels of a concept must vary over them.
PROBES = 100_000

# Number of points inside a layer of your own, which may cover only a city.
LOCAL_PROBES = 4096

# Minimum number of points with each label of a class, about 10,000 km² of the Earth.
MIN_PROBES = 2


class Groundings:
    """A bank of concepts, and the rules that label points with each of them.

    Attributes:
        bank: The concepts, in order.
        groundings: The rules of each concept, in the same order.
        report: A table of all candidates: the share of the Earth where each class is
            present, the range of each quantity, and the reason if it was dropped.
    """

    def __init__(
        self,
        bank: ConceptBank,
        groundings: Iterable[Grounding],
        report: pd.DataFrame | None = None,
    ) -> None:
        """Initialize a new Groundings instance.

        Args:
            bank: The concepts.
            groundings: The rules of each concept.
            report: A table of all candidates.

        Raises:
            ValueError: If *groundings* and *bank* differ in their concepts or in the
                order.
        """
        self.bank = bank
        self.groundings = tuple(groundings)
        self.report = pd.DataFrame() if report is None else report
        if tuple(grounding.concept for grounding in self.groundings) != bank.ids:
            raise ValueError(
                'Expected a grounding for each concept of the bank, in the same order.'
            )

    @property
    def kinds(self) -> tuple[ConceptKind, ...]:
        """Kind of each concept."""
        return tuple(grounding.kind for grounding in self.groundings)

    @property
    def units(self) -> tuple[str, ...]:
        """Unit of each concept, empty for classes."""
        return tuple(grounding.unit for grounding in self.groundings)

    @property
    def is_log(self) -> tuple[bool, ...]:
        """True for each concept whose labels are ``log10(1 + value)``."""
        return tuple(grounding.is_log for grounding in self.groundings)

    @property
    def groups(self) -> tuple[frozenset[str], ...]:
        """Groups of the layers of each concept."""
        return tuple(grounding.groups for grounding in self.groundings)

    @cached_property
    def layers(self) -> dict[str, Layer]:
        """Layers of all concepts, by name."""
        return {
            name: grounding.layers[name]
            for grounding in self.groundings
            for name in grounding.layer_names
        }

    @property
    def versions(self) -> dict[str, str]:
        """Version of the data of each layer, by name."""
        return {name: layer.version for name, layer in self.layers.items()}

    def labels(self, points: PointsLike) -> Labels:
        """Label points with all concepts.

        Args:
            points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.

        Returns:
            Labels of shape ``(N, k)``, NaN where unknown; see
            :class:`~.rules.Grounding`.
        """
        lon, lat = coordinates(points)
        values = {name: layer.at(lon, lat) for name, layer in self.layers.items()}
        result = np.empty((len(lon), len(self.groundings)), dtype=np.float32)
        for column, grounding in enumerate(self.groundings):
            result[:, column] = grounding.label(values)
        return result

    def natural(self, labels: NDArray[Any]) -> NDArray[Any]:
        """Convert labels, or estimates of them, into the units of the concepts.

        Args:
            labels: Labels of shape ``(N, k)``.

        Returns:
            The labels without logarithms, of the same shape.
        """
        result = labels.copy()
        is_log = np.array(self.is_log, dtype=bool)
        result[:, is_log] = 10.0 ** labels[:, is_log] - 1
        return result

    def without(self, groups: Collection[str]) -> 'Groundings':
        """Drop all concepts that need layers of the given groups.

        Args:
            groups: Names from :data:`~torchgeo_concepts.layers.GROUPS`.

        Returns:
            The other concepts.

        Raises:
            ValueError: If a group does not exist.
        """
        check_groups(groups)
        kept = [not group & set(groups) for group in self.groups]
        report = self.report.copy()
        for concept in compress(self.bank.ids, np.logical_not(kept)):
            report.loc[report['concept'] == concept, 'dropped'] = (
                f'it needs layers of {" or ".join(groups)}, which are left out'
            )
        return Groundings(
            ConceptBank(compress(self.bank, kept)),
            compress(self.groundings, kept),
            report,
        )

    def __len__(self) -> int:
        """Return the number of concepts."""
        return len(self.groundings)

    def __repr__(self) -> str:
        """Return a summary."""
        return f'Groundings({self.bank!r}, {len(self.layers)} layers)'


def added_concepts() -> ConceptBank:
    """Return the concepts that layers add to the curated bank."""
    file = resources.files('torchgeo_concepts.layers') / 'data/layer_concepts.csv'
    with resources.as_file(file) as path:
        return ConceptBank.load(path)


def read_groundings(layers: Layers | None = None) -> tuple[Grounding, ...]:
    """Read the table of the rules of concepts.

    Args:
        layers: Layers by name. By default, all published ones.

    Returns:
        The rules of each concept whose layers are all among *layers*.

    Raises:
        ValueError: If a row of the table is not valid.
    """
    known = layers or {name: get_layer(name) for name in LAYERS}
    file = resources.files('torchgeo_concepts.layers') / 'data/grounding.csv'
    with resources.as_file(file) as path:
        _, rows = read_csv_rows(path)
    return tuple(
        Grounding.parse(row['concept'], row['layer'], row['rule'], known, row['note'])
        for row in rows
        if all(name in known for name in row['layer'].split(' & '))
    )


def load_groundings(
    bank: ConceptBank | None = None,
    layers: Iterable[str | Layer] | None = None,
    exclude_groups: Collection[str] = (),
    *,
    probes: int = PROBES,
) -> Groundings:
    """Ground the concepts of a bank, and the concepts that layers add.

    A concept is dropped, with a reason in the report, if its labels do not vary over the
    Earth, or if one of its layers is excluded or not installed. A warning names concepts
    of your own layers that are dropped.

    Args:
        bank: The bank. By default, the curated one.
        layers: Names of layers to use, or layers of your own, which add the concepts that
            they measure. By default, all layers whose data are installed.
        exclude_groups: Groups of layers to exclude, from
            :data:`~torchgeo_concepts.layers.GROUPS`.
        probes: Number of points, spread evenly over the Earth, on which labels must vary.

    Returns:
        The concepts and their rules.

    Raises:
        ImportError: If *layers* is None and no layer is installed.
        ValueError: If a layer or group does not exist.
    """
    check_groups(exclude_groups)
    used = installed_layers() if layers is None else layers
    chosen = {
        x.name: x for x in (get_layer(x) if isinstance(x, str) else x for x in used)
    }
    concepts = list(ConceptBank.default() if bank is None else bank)
    known = {concept.id for concept in concepts}
    concepts += [concept for concept in added_concepts() if concept.id not in known]
    published = {name: get_layer(name) for name in LAYERS}
    groundings = {g.concept: g for g in read_groundings(published | chosen)}
    own = [layer for name, layer in chosen.items() if name not in LAYERS]
    for concept, grounding in (pair for layer in own for pair in _own_concepts(layer)):
        concepts.append(concept)
        groundings[concept.id] = grounding
    concepts = [concept for concept in concepts if concept.id in groundings]
    candidates = [groundings[concept.id] for concept in concepts]
    report = _report(concepts, candidates, chosen, exclude_groups, probes)
    reasons = report['dropped'].tolist()
    for grounding, reason in zip(candidates, reasons, strict=True):
        layer = grounding.layers[grounding.layer_names[0]]
        # A group that was excluded on purpose needs no warning.
        if reason and layer in own and layer.group not in exclude_groups:
            warnings.warn(
                f'Layer {layer.name!r} does not ground the concept '
                f'{grounding.concept!r}: {reason}.',
                stacklevel=2,
            )
    kept = [not reason for reason in reasons]
    measured = [
        replace(concept, kind=g.kind, unit=g.unit, layer=' & '.join(g.layer_names))
        for concept, g in zip(concepts, candidates, strict=True)
    ]
    return Groundings(
        ConceptBank(compress(measured, kept)), compress(candidates, kept), report
    )


def installed_layers() -> tuple[Layer, ...]:
    """Return the layers whose data are on this machine.

    Returns:
        The layers, in the order of :data:`~torchgeo_concepts.layers.LAYERS`.

    Raises:
        ImportError: If there are only layers that need no data.
    """
    layers = [get_layer(name) for name in LAYERS]
    installed = tuple(layer for layer in layers if layer.is_installed)
    if not any(layer.source.distribution for layer in installed):
        # This call raises an error that names the package to install.
        layers[0].source.paths()
    return installed


def _own_concepts(layer: Layer) -> Iterator[tuple[Concept, Grounding]]:
    """Yield the concepts that a layer of your own adds, and their rules."""
    check_layer_name(layer.name)
    if layer.classes is None:
        rules = [(layer.title, Condition(layer.name, 'value'))]
    else:
        is_plain = set(layer.classes.values()) == {'outside', 'inside'}
        rules = [
            (
                layer.title if is_plain else f'{layer.title}: {name}',
                Condition(layer.name, 'is', (float(code),)),
            )
            for code, name in layer.classes.items()
            if name != 'outside'
        ]
    for title, rule in rules:
        concept = Concept(
            slug(title) if layer.classes else layer.name,
            title,
            layer.group,
            kind=layer.kind,
            unit=layer.unit,
            source=layer.version,
        )
        yield concept, Grounding(concept.id, (rule,), {layer.name: layer}, layer.unit)


def _report(
    concepts: Iterable[Concept],
    groundings: Iterable[Grounding],
    chosen: Layers,
    exclude_groups: Collection[str],
    probes: int,
) -> pd.DataFrame:
    lon, lat = coordinates(probe_points(probes))
    values: dict[str, Labels] = {}
    rows = []
    for concept, grounding in zip(concepts, groundings, strict=True):
        row: dict[str, Any] = {'concept': concept.id, 'category': concept.category}
        row |= {'kind': grounding.kind, 'rule': grounding.rule}
        reason = _missing_layer(grounding, chosen, exclude_groups)
        if not reason:
            for name in grounding.layer_names:
                if name not in values:
                    values[name] = chosen[name].at(lon, lat)
            labels = grounding.label(values)
            statistics, reason = _variation(grounding, labels)
            layer = grounding.layers[grounding.layer_names[0]]
            if reason and isinstance(layer, FileLayer | PolygonLayer):
                # The layer may be too small for points spread over the Earth.
                local = grounding(layer.local_probes(LOCAL_PROBES))
                both, reason = _variation(grounding, np.concatenate((labels, local)))
                reason = reason.replace(
                    'over the Earth', 'over the Earth and the layer'
                )
                limits = {name: both[name] for name in ('low', 'high') if name in both}
                statistics = limits | statistics
            row |= statistics
        rows.append(row | {'dropped': reason})
    columns = ['concept', 'category', 'kind', 'rule', 'share', 'low', 'high', 'known']
    return pd.DataFrame(rows, columns=[*columns, 'dropped'])


def probe_points(number: int) -> torch.Tensor:
    """Return points spread evenly over the Earth, the same in every call.

    Args:
        number: Number of points.

    Returns:
        Points of shape ``(number, 2)`` as ``(longitude, latitude)`` in degrees.
    """
    # Unlike random points, a spiral of golden angles leaves no gaps.
    index = np.arange(number) + 0.5
    lat = np.rad2deg(np.arcsin(1 - 2 * index / number))
    lon = 180 - (360 * golden_fractions(index) + 180) % 360
    return torch.from_numpy(np.stack((lon, lat), axis=1))


def _missing_layer(
    grounding: Grounding, chosen: Layers, exclude_groups: Collection[str]
) -> str:
    """Return the reason why a layer of a concept cannot be used, or an empty string."""
    for name in grounding.layer_names:
        layer = grounding.layers[name]
        if layer.group in exclude_groups:
            return f'layer {name} is of group {layer.group}, which is left out'
        if name not in chosen and not layer.is_installed:
            return f'layer {name} needs {layer.source.distribution} to be installed'
        if name not in chosen:
            return f'layer {name} is not among those chosen'
    return ''


def _variation(grounding: Grounding, labels: Labels) -> tuple[dict[str, float], str]:
    """Describe how labels vary, and return the reason if they do not."""
    known = labels[~np.isnan(labels)]
    statistics: dict[str, float] = {'known': len(known) / len(labels)}
    if not len(known):
        return statistics, 'it is unknown everywhere'
    if grounding.kind == 'class':
        present = int(known.sum())
        statistics['share'] = present / len(known)
        if MIN_PROBES <= present <= len(known) - MIN_PROBES:
            return statistics, ''
        return statistics, (
            f'it holds at {present:,} of {len(known):,} points spread over the Earth'
        )
    low, high = np.quantile(known, (0.01, 0.99)).tolist()
    statistics |= {'low': low, 'high': high}
    varies = float(np.ptp(known)) > 1e-6 * max(1.0, abs(high))
    return statistics, '' if varies else f'it is {low:.6g} everywhere'
