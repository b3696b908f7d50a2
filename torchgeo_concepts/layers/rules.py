# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Rules that turn values of layers into labels of concepts."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..concepts.bank import ConceptKind
from ..geo.points import PointsLike
from ..utils.names import near_matches, normalise
from .base import Layer, coordinates

type Layers = Mapping[str, Layer]

_NUMBER = r'[-+]?\d+(?:\.\d+)?'
_RULES = {
    'is': re.compile(r'is (.+)'),
    'above': re.compile(rf'above ({_NUMBER})'),
    'below': re.compile(rf'below ({_NUMBER})'),
    'between': re.compile(rf'between ({_NUMBER}) and ({_NUMBER})'),
    'value': re.compile(r'value'),
    'log': re.compile(r'log'),
}


@dataclass(frozen=True)
class Condition:
    """What a layer must say for a concept to hold, or how it measures one.

    Attributes:
        layer: Name of the layer.
        verb: ``'is'``, ``'above'``, ``'below'`` (both without the number itself),
            ``'between'`` (with both numbers), ``'value'`` or ``'log'``.
        operands: Codes or numbers.
    """

    layer: str
    verb: str
    operands: tuple[float, ...] = ()

    @classmethod
    def parse(cls, layer: Layer, rule: str) -> 'Condition':
        """Read a rule.

        Args:
            layer: The layer.
            rule: Such as ``'is BWh, BWk'``, ``'above 2500'``, ``'below 10'``,
                ``'between 0 and 10'``, ``'value'`` or ``'log'``.

        Returns:
            The condition.

        Raises:
            ValueError: If there is no such rule, or it does not fit the layer.
        """
        verb = rule.strip().partition(' ')[0]
        pattern = _RULES.get(verb)
        match = pattern.fullmatch(rule.strip()) if pattern else None
        if match is None:
            raise ValueError(
                f'{rule!r} is no rule for layer {layer.name!r}. Rules are: is CODE, CODE; '
                'above X; below X; between A and B; value; log.'
            )
        if (verb == 'is') != (layer.kind == 'class'):
            fitting = 'is' if layer.kind == 'class' else 'above, below, value or log'
            raise ValueError(
                f'{rule!r} does not fit layer {layer.name!r} of kind {layer.kind}; '
                f'use {fitting}.'
            )
        if verb == 'is':
            return cls(layer.name, verb, _codes(layer, match[1]))
        return cls(layer.name, verb, tuple(float(number) for number in match.groups()))

    @property
    def measures(self) -> bool:
        """Whether it gives a quantity rather than yes or no."""
        return self.verb in ('value', 'log')

    def __call__(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Judge values of the layer.

        Args:
            values: Values of shape ``(N,)``, NaN where unknown.

        Returns:
            1 where it holds, 0 where not, or the quantity; NaN where unknown.
        """
        if self.verb == 'value':
            return values
        if self.verb == 'log':
            return np.log10(1 + np.maximum(values, 0)).astype(np.float32)
        if self.verb == 'is':
            holds = np.isin(values, self.operands)
        elif self.verb == 'above':
            holds = values > self.operands[0]
        elif self.verb == 'below':
            holds = values < self.operands[0]
        else:
            holds = (values >= self.operands[0]) & (values <= self.operands[1])
        return np.where(np.isnan(values), np.nan, holds).astype(np.float32)


def _codes(layer: Layer, text: str) -> tuple[float, ...]:
    """Read codes of classes, or their names."""
    classes = layer.classes or {}
    by_name = {normalise(name): code for code, name in classes.items()}
    codes = []
    for item in map(str.strip, text.split(',')):
        code = by_name.get(normalise(item))
        if code is None and item.isdecimal() and int(item) in classes:
            code = int(item)
        if code is None:
            hint = near_matches(item, classes.values())
            raise ValueError(f'Layer {layer.name!r} has no class {item!r}. {hint}')
        codes.append(float(code))
    return tuple(codes)


@dataclass(frozen=True)
class Grounding:
    """How layers ground a concept: all conditions must hold.

    If the first condition measures, the others say where; elsewhere it is unknown.

    Attributes:
        concept: Identifier of the concept.
        conditions: The conditions.
        layers: Layers by name, at least those of the conditions.
        unit: Unit of the values, empty for a class.
        note: What the rule leaves out.
    """

    concept: str
    conditions: tuple[Condition, ...]
    layers: Layers
    unit: str = ''
    note: str = ''

    @classmethod
    def parse(
        cls, concept: str, layer: str, rule: str, layers: Layers, note: str = ''
    ) -> 'Grounding':
        """Read a grounding.

        Args:
            concept: Identifier of the concept.
            layer: Names of layers, ``' & '`` between them.
            rule: A rule for each, ``' & '`` between them.
            layers: Layers by name.
            note: What the rule leaves out.

        Returns:
            The grounding.

        Raises:
            ValueError: If a layer or a rule does not exist, or their numbers differ.
        """
        names, rules = layer.split(' & '), rule.split(' & ')
        if len(names) != len(rules):
            raise ValueError(
                f'Concept {concept!r} has {len(names)} layers and {len(rules)} rules: '
                'there must be a rule for each layer.'
            )
        for name in names:
            if name not in layers:
                raise ValueError(
                    f'Concept {concept!r}: no layer {name!r}. '
                    f'{near_matches(name, layers)}'
                )
        conditions = tuple(
            Condition.parse(layers[name], part)
            for name, part in zip(names, rules, strict=True)
        )
        if any(condition.measures for condition in conditions[1:]):
            raise ValueError(
                f'Concept {concept!r}: only the first rule may be value or log.'
            )
        first = conditions[0]
        unit = layers[first.layer].unit if first.measures else ''
        return cls(concept, conditions, layers, unit, note)

    @property
    def kind(self) -> ConceptKind:
        """Whether it tells a class or measures a quantity."""
        return 'quantity' if self.conditions[0].measures else 'class'

    @property
    def is_log(self) -> bool:
        """Whether labels are ``log10(1 + value)``."""
        return self.conditions[0].verb == 'log'

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Names of the layers it needs."""
        return tuple(condition.layer for condition in self.conditions)

    @property
    def groups(self) -> frozenset[str]:
        """Groups of the layers it needs."""
        return frozenset(self.layers[name].group for name in self.layer_names)

    @property
    def rule(self) -> str:
        """The rule in words, for tables."""
        return ' and '.join(_words(c, self.layers[c.layer]) for c in self.conditions)

    def __call__(self, points: PointsLike) -> NDArray[np.float32]:
        """Label points.

        Args:
            points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.

        Returns:
            Labels of shape ``(N,)``: 1 where the concept holds and 0 where not, or the
            quantity in :attr:`unit` (its ``log10(1 + value)`` if :attr:`is_log`); NaN
            where unknown.
        """
        lon, lat = coordinates(points)
        names = set(self.layer_names)
        return self.label({name: self.layers[name].at(lon, lat) for name in names})

    def label(self, values: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """Label points whose values are known.

        Args:
            values: Values of shape ``(N,)`` by name of layer.

        Returns:
            Labels as :meth:`__call__` gives them.
        """
        judged = [condition(values[condition.layer]) for condition in self.conditions]
        if self.kind == 'class':
            return _all_hold(judged)
        if len(judged) == 1:
            return judged[0]
        where = _all_hold(judged[1:]) == 1
        return np.where(where, judged[0], np.float32(np.nan))


def _all_hold(judged: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Join answers: one no makes a no, whatever is unknown beside it."""
    stacked = np.stack(judged)
    no = (stacked == 0).any(axis=0)
    # The sum is NaN where any is.
    yes = np.where(np.isnan(stacked.sum(axis=0)), np.nan, 1.0)
    return np.where(no, 0.0, yes).astype(np.float32)


def _words(condition: Condition, layer: Layer) -> str:
    if condition.verb == 'is':
        names = [str((layer.classes or {})[int(code)]) for code in condition.operands]
        return f'`{layer.name}` is {", ".join(names)}'
    if condition.measures:
        return f'`{layer.name}`' + (' (log)' if condition.verb == 'log' else '')
    numbers = ' and '.join(f'{number:,.10g}' for number in condition.operands)
    unit = '' if layer.unit == '1' else f' {layer.unit}'
    return f'`{layer.name}` {condition.verb} {numbers}{unit}'
