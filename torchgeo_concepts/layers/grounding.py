# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Which layer grounds which concept, and how: concepts that maps can tell."""

import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from importlib import resources
from itertools import compress
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from ..concepts.bank import Concept, ConceptBank, ConceptKind
from ..geo.points import PointsLike
from ..io.csv_rows import read_csv_rows
from ..utils.names import near_matches, slug
from . import GROUPS, LAYERS, Layer, get_layer
from .base import coordinates
from .files import FileLayer, PolygonLayer, check_layer_name
from .rules import Condition, Grounding, Layers

# Points, spread evenly over the Earth, on which a concept must vary.
PROBES = 100_000

# Points on a layer of one's own, which may be of a city.
LOCAL_PROBES = 4096

# A class must hold at, and fail at, this many of them: on some 10,000 km² of the Earth.
MIN_PROBES = 2


class Groundings:
    """Concepts that layers ground, and what grounds each.

    Attributes:
        bank: The concepts, in order.
        groundings: What grounds each of them, in the same order.
        report: A table of all candidates with the share of the Earth where each holds,
            the range of each quantity, and the reason if it was dropped.
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
            groundings: What grounds each of them.
            report: A table of how they were chosen.

        Raises:
            ValueError: If *groundings* are not those of *bank*, in its order.
        """
        self.bank = bank
        self.groundings = tuple(groundings)
        self.report = pd.DataFrame() if report is None else report
        if tuple(grounding.concept for grounding in self.groundings) != bank.ids:
            raise ValueError('There must be a grounding for each concept, in order.')

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
        """Which labels are ``log10(1 + value)`` of a value in the concept's unit."""
        return tuple(grounding.is_log for grounding in self.groundings)

    @property
    def groups(self) -> tuple[frozenset[str], ...]:
        """Groups of the layers that ground each concept."""
        return tuple(grounding.groups for grounding in self.groundings)

    @cached_property
    def layers(self) -> dict[str, Layer]:
        """The layers that are needed, by name."""
        return {
            name: grounding.layers[name]
            for grounding in self.groundings
            for name in grounding.layer_names
        }

    @property
    def versions(self) -> dict[str, str]:
        """Version of the data of each layer, by name."""
        return {name: layer.version for name, layer in self.layers.items()}

    def labels(self, points: PointsLike) -> NDArray[np.float32]:
        """Label points with all concepts.

        Args:
            points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.

        Returns:
            Labels of shape ``(N, k)``, NaN where unknown; see :class:`Grounding`.
        """
        lon, lat = coordinates(points)
        values = {name: layer.at(lon, lat) for name, layer in self.layers.items()}
        result = np.empty((len(lon), len(self.groundings)), dtype=np.float32)
        for column, grounding in enumerate(self.groundings):
            result[:, column] = grounding.label(values)
        return result

    def natural(self, labels: NDArray[Any]) -> NDArray[Any]:
        """Bring labels, or estimates of them, into the units of the concepts.

        Args:
            labels: Labels of shape ``(N, k)``.

        Returns:
            The same with logarithms undone.
        """
        result = labels.copy()
        is_log = np.array(self.is_log, dtype=bool)
        result[:, is_log] = 10.0 ** labels[:, is_log] - 1
        return result

    def without(self, groups: Collection[str]) -> 'Groundings':
        """Leave out groups of layers, and the concepts that they ground.

        Args:
            groups: Some of :data:`~torchgeo_concepts.layers.GROUPS`.

        Returns:
            The other concepts.

        Raises:
            ValueError: If a group does not exist.
        """
        _check_groups(groups)
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
    """Read the table of what grounds which concept.

    Args:
        layers: Layers by name; all of them by default.

    Returns:
        The groundings whose layers are all among *layers*.

    Raises:
        ValueError: If a row of the table is wrong.
    """
    known = layers or {name: get_layer(name) for name in LAYERS}
    file = resources.files('torchgeo_concepts.layers') / 'data/grounding.csv'
    with resources.as_file(file) as path:
        _, rows = read_csv_rows(path)
        return tuple(
            _from_row(row, known)
            for row in rows
            if all(name in known for name in row['layer'].split(' & '))
        )


def _from_row(row: Mapping[str, str], layers: Layers) -> Grounding:
    grounding = Grounding.parse(
        row['concept'], row['layer'], row['rule'], layers, row['note']
    )
    if grounding.unit != row['unit']:
        raise ValueError(
            f'Concept {grounding.concept!r} has unit {row["unit"]!r} in the table, but '
            f'layer {grounding.layer_names[0]!r} measures in {grounding.unit!r}.'
        )
    return grounding


def load_groundings(
    bank: ConceptBank | None = None,
    layers: Iterable[str | Layer] | None = None,
    exclude_groups: Collection[str] = (),
    *,
    probes: int = PROBES,
    added: bool = True,
) -> Groundings:
    """Ground the concepts of a bank, and those that layers add.

    Concepts that never vary over the Earth, or whose layers are left out or missing on
    this machine, are dropped with a reason in the report. If a layer of one's own loses
    a concept so, a warning says it.

    Args:
        bank: The bank, by default the curated one.
        layers: Names of layers to use, or layers of one's own, which add the concepts
            that they measure. By default all whose data are installed.
        exclude_groups: Groups of layers to leave out, of
            :data:`~torchgeo_concepts.layers.GROUPS`.
        probes: How many points, spread evenly over the Earth, tell whether a concept
            varies.
        added: Whether to add concepts that the bank does not have.

    Returns:
        The concepts and what grounds them.

    Raises:
        ImportError: If no layer is left because none is installed.
        ValueError: If a layer or group does not exist.
    """
    _check_groups(exclude_groups)
    made = (
        installed_layers()
        if layers is None
        else [get_layer(x) if isinstance(x, str) else x for x in layers]
    )
    chosen = {layer.name: layer for layer in made}
    curated = ConceptBank.default() if bank is None else bank
    own = [_own(layer) for name, layer in chosen.items() if name not in LAYERS]
    concepts = list(curated)
    if added:
        known = set(curated.ids)
        concepts += [concept for concept in added_concepts() if concept.id not in known]
    everything = {name: get_layer(name) for name in LAYERS} | chosen
    candidates = {g.concept: g for g in read_groundings(everything)}
    for own_concepts, own_groundings in own:
        concepts += own_concepts
        candidates |= {grounding.concept: grounding for grounding in own_groundings}
    rows = [
        (concept, candidates[concept.id])
        for concept in concepts
        if concept.id in candidates
    ]
    report = _report(rows, chosen, exclude_groups, probes)
    _warn_of_dropped(own, report, exclude_groups)
    kept = [
        row for row, reason in zip(rows, report['dropped'], strict=True) if not reason
    ]
    return Groundings(
        ConceptBank(_measured(*row) for row in kept),
        [grounding for _, grounding in kept],
        report,
    )


def installed_layers() -> tuple[Layer, ...]:
    """Return the layers whose maps are on this machine.

    Returns:
        The layers, in the order of :data:`~torchgeo_concepts.layers.LAYERS`.

    Raises:
        ImportError: If there are none but those that need no map.
    """
    made = [get_layer(name) for name in LAYERS]
    installed = tuple(layer for layer in made if layer.is_installed)
    if all(not layer.source.distribution for layer in installed):
        # The first that is missing says what to install.
        made[0].source.paths()
    return installed


def _check_groups(groups: Iterable[str]) -> None:
    for group in groups:
        if group not in GROUPS:
            raise ValueError(f'No group {group!r}. {near_matches(group, GROUPS)}')


def _warn_of_dropped(
    own: Iterable[tuple[list[Concept], list[Grounding]]],
    report: pd.DataFrame,
    exclude_groups: Collection[str],
) -> None:
    reasons = dict(zip(report['concept'], report['dropped'], strict=True))
    for _, groundings in own:
        for grounding in groundings:
            reason = reasons[grounding.concept]
            # Whoever leaves out a group knows.
            if reason and not grounding.groups & set(exclude_groups):
                warnings.warn(
                    f'Layer {grounding.layer_names[0]!r} does not ground the concept '
                    f'{grounding.concept!r}: {reason}.',
                    stacklevel=3,
                )


def _own(layer: Layer) -> tuple[list[Concept], list[Grounding]]:
    """Return the concepts that a layer of one's own adds, and their groundings."""
    check_layer_name(layer.name)
    info: dict[str, Any] = {
        'category': layer.group,
        'source': layer.version,
        'layer': layer.name,
    }
    by_name = {layer.name: layer}
    if layer.classes is None:
        concept = Concept(
            layer.name, layer.title, kind='quantity', unit=layer.unit, **info
        )
        condition = Condition(layer.name, 'value')
        return [concept], [Grounding(concept.id, (condition,), by_name, layer.unit)]
    inside = {code: name for code, name in layer.classes.items() if name != 'outside'}
    concepts, groundings = [], []
    for code, name in inside.items():
        is_plain = set(layer.classes.values()) == {'outside', 'inside'}
        title = layer.title if is_plain else f'{layer.title}: {name}'
        concept = Concept(slug(title), title, **info)
        condition = Condition(layer.name, 'is', (float(code),))
        concepts.append(concept)
        groundings.append(Grounding(concept.id, (condition,), by_name))
    return concepts, groundings


def _measured(concept: Concept, grounding: Grounding) -> Concept:
    """Return the concept with the layers and the unit that measure it."""
    return replace(
        concept,
        kind=grounding.kind,
        unit=grounding.unit,
        layer=' & '.join(grounding.layer_names),
    )


def _report(
    rows: Sequence[tuple[Concept, Grounding]],
    chosen: Layers,
    exclude_groups: Collection[str],
    probes: int,
) -> pd.DataFrame:
    lon, lat = coordinates(probe_points(probes))
    values: dict[str, NDArray[np.float32]] = {}
    lines = []
    for concept, grounding in rows:
        line: dict[str, Any] = {'concept': concept.id, 'category': concept.category}
        line |= {'kind': grounding.kind, 'rule': grounding.rule}
        reason = _left_out(grounding, chosen, exclude_groups)
        if not reason:
            for name in grounding.layer_names:
                if name not in values:
                    values[name] = chosen[name].at(lon, lat)
            labels = grounding.label(values)
            statistics, reason = _variation(grounding, labels)
            if reason:
                limits, reason = _local_variation(grounding, labels, reason)
                statistics = limits | statistics
            line |= statistics
        lines.append(line | {'dropped': reason})
    columns = ['concept', 'category', 'kind', 'rule', 'share', 'low', 'high', 'known']
    return pd.DataFrame(lines, columns=[*columns, 'dropped'])


def probe_points(number: int) -> torch.Tensor:
    """Return points spread evenly over the Earth, always the same.

    Args:
        number: How many.

    Returns:
        Points of shape ``(number, 2)`` as ``(longitude, latitude)`` in degrees.
    """
    # A spiral of golden angles leaves no gaps as random points would.
    index = np.arange(number) + 0.5
    lat = np.rad2deg(np.arcsin(1 - 2 * index / number))
    lon = (index * 180 * (3 - np.sqrt(5))) % 360 - 180
    return torch.from_numpy(np.stack((lon, lat), axis=1))


def _left_out(
    grounding: Grounding, chosen: Layers, exclude_groups: Collection[str]
) -> str:
    for name in grounding.layer_names:
        layer = grounding.layers[name]
        if layer.group in exclude_groups:
            return f'layer {name} is of group {layer.group}, which is left out'
        if name not in chosen and not layer.is_installed:
            return f'layer {name} needs {layer.source.distribution}, not installed'
        if name not in chosen:
            return f'layer {name} is not among those chosen'
    return ''


def _local_variation(
    grounding: Grounding, labels: NDArray[np.float32], reason: str
) -> tuple[dict[str, float], str]:
    """Look where a layer of one's own is: its limits, and if it varies not even there."""
    layer = grounding.layers[grounding.layer_names[0]]
    if not isinstance(layer, FileLayer | PolygonLayer):
        return {}, reason
    local = grounding(layer.local_probes(LOCAL_PROBES))
    statistics, reason = _variation(grounding, np.concatenate((labels, local)))
    limits = {name: x for name, x in statistics.items() if name in ('low', 'high')}
    return limits, reason.replace('over the Earth', 'over the Earth and the layer')


def _variation(
    grounding: Grounding, labels: NDArray[np.float32]
) -> tuple[dict[str, float], str]:
    """Describe how labels vary over the Earth, and say if they do not."""
    known = labels[~np.isnan(labels)]
    statistics = {'known': len(known) / len(labels)}
    if not len(known):
        return statistics, 'it is unknown everywhere'
    if grounding.kind == 'class':
        holds = int(known.sum())
        statistics['share'] = holds / len(known)
        if not MIN_PROBES <= holds <= len(known) - MIN_PROBES:
            return statistics, (
                f'it holds at {holds:,} of {len(known):,} points spread over the Earth'
            )
        return statistics, ''
    low, high = (float(x) for x in np.quantile(known, (0.01, 0.99)))
    statistics |= {'low': low, 'high': high}
    if float(np.ptp(known)) <= 1e-6 * max(1.0, abs(high)):
        return statistics, f'it is {low:.6g} everywhere'
    return statistics, ''
