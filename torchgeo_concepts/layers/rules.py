# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Rules that convert values of layers into labels of concepts."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..concepts.concept import ConceptKind
from ..geo.points import PointsLike
from ..utils.names import check_known, near_matches, normalise
from .base import Layer, coordinates

type Layers = Mapping[str, Layer]
type Labels = NDArray[np.float32]

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
    """Rule for the values of one layer: a condition, or a measured quantity.

    Attributes:
        layer: Name of the layer.
        verb: ``'is'``, ``'above'`` or ``'below'`` (both exclude the number),
            ``'between'`` (includes both numbers), ``'value'`` or ``'log'``.
        operands: Codes or numbers.
    """

    layer: str
    verb: str
    operands: tuple[float, ...] = ()

    @classmethod
    def parse(cls, layer: Layer, rule: str) -> 'Condition':
        """Parse a rule.

        Args:
            layer: The layer.
            rule: The rule, such as ``'is BWh, BWk'``, ``'above 2500'``, ``'below 10'``,
                ``'between 0 and 10'``, ``'value'`` or ``'log'``.

        Returns:
            The condition.

        Raises:
            ValueError: If there is no such rule, or it does not fit the layer.
        """
        verb = rule.strip().partition(' ')[0]
        match = _RULES[verb].fullmatch(rule.strip()) if verb in _RULES else None
        if match is None:
            raise ValueError(
                f'{rule!r} is not a rule for layer {layer.name!r}. Rules are: is CODE, '
                'CODE; above X; below X; between A and B; value; log.'
            )
        if (verb == 'is') != (layer.kind == 'class'):
            is_class = layer.kind == 'class'
            fitting = 'is' if is_class else 'above, below, between, value or log'
            raise ValueError(
                f'{rule!r} does not fit layer {layer.name!r} of kind {layer.kind}; '
                f'use {fitting}.'
            )
        if verb == 'is':
            return cls(layer.name, verb, _codes(layer, match[1]))
        return cls(layer.name, verb, tuple(map(float, match.groups())))

    @property
    def measures(self) -> bool:
        """True if the result is a quantity rather than a class."""
        return self.verb in ('value', 'log')

    def __call__(self, values: Labels) -> Labels:
        """Apply the rule to values of the layer.

        Args:
            values: Values of shape ``(N,)``, NaN where unknown.

        Returns:
            1 where the condition is met and 0 elsewhere, or the quantity; NaN where
            unknown.
        """
        if self.verb == 'value':
            return values
        if self.verb == 'log':
            return np.log10(1 + np.maximum(values, 0)).astype(np.float32)
        if self.verb == 'is':
            is_met = np.isin(values, self.operands)
        elif self.verb == 'above':
            is_met = values > self.operands[0]
        elif self.verb == 'below':
            is_met = values < self.operands[0]
        else:
            is_met = (values >= self.operands[0]) & (values <= self.operands[1])
        return np.where(np.isnan(values), np.nan, is_met).astype(np.float32)

    def describe(self, layer: Layer) -> str:
        """Return the rule in words, in Markdown.

        Args:
            layer: The layer.
        """
        if self.measures:
            return f'`{layer.name}`' + (' (log)' if self.verb == 'log' else '')
        if layer.classes is not None:
            names = ', '.join(layer.classes[int(code)] for code in self.operands)
            return f'`{layer.name}` is {names}'
        numbers = ' and '.join(f'{number:,.10g}' for number in self.operands)
        unit = '' if layer.unit == '1' else f' {layer.unit}'
        return f'`{layer.name}` {self.verb} {numbers}{unit}'


def _codes(layer: Layer, text: str) -> tuple[float, ...]:
    """Parse codes of classes, or their names."""
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
    """Rules that label points with one concept.

    A class is present where all conditions are met. If the first rule measures a
    quantity, its value is known only where the other rules hold.

    Attributes:
        concept: Identifier of the concept.
        conditions: The rules, one for each layer.
        layers: Layers by name, including those of the conditions.
        unit: Unit of the values, empty for a class.
        note: Limits of the rules.
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
        """Parse the rules of a concept.

        Args:
            concept: Identifier of the concept.
            layer: Names of layers, separated by ``' & '``.
            rule: A rule for each layer, separated by ``' & '``.
            layers: Layers by name.
            note: Limits of the rules.

        Returns:
            The grounding.

        Raises:
            ValueError: If a layer or a rule does not exist, or the numbers of layers
                and rules differ.
        """
        names, rules = layer.split(' & '), rule.split(' & ')
        if len(names) != len(rules):
            raise ValueError(
                f'Concept {concept!r} needs a rule for each layer: expected '
                f'{len(names)}, got {len(rules)}.'
            )
        for name in names:
            check_known(f'Concept {concept!r}: no layer', name, layers)
        conditions = tuple(
            Condition.parse(layers[name], part)
            for name, part in zip(names, rules, strict=True)
        )
        if any(condition.measures for condition in conditions[1:]):
            raise ValueError(
                f'Concept {concept!r}: only the first rule may be value or log.'
            )
        unit = layers[names[0]].unit if conditions[0].measures else ''
        return cls(concept, conditions, layers, unit, note)

    @property
    def kind(self) -> ConceptKind:
        """Kind of the concept, ``'quantity'`` or ``'class'``."""
        return 'quantity' if self.conditions[0].measures else 'class'

    @property
    def is_log(self) -> bool:
        """True if labels are ``log10(1 + value)``."""
        return self.conditions[0].verb == 'log'

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Names of the layers of the rules."""
        return tuple(condition.layer for condition in self.conditions)

    @property
    def groups(self) -> frozenset[str]:
        """Groups of the layers of the rules."""
        return frozenset(self.layers[name].group for name in self.layer_names)

    @property
    def rule(self) -> str:
        """Rules in words, in Markdown."""
        return ' and '.join(c.describe(self.layers[c.layer]) for c in self.conditions)

    def __call__(self, points: PointsLike) -> Labels:
        """Label points.

        Args:
            points: Points of shape ``(N, 2)`` as ``(longitude, latitude)`` in degrees.

        Returns:
            Labels of shape ``(N,)``: 1 where the concept is present and 0 elsewhere, or
            the quantity in :attr:`unit` (its ``log10(1 + value)`` if :attr:`is_log`);
            NaN where unknown.
        """
        lon, lat = coordinates(points)
        names = set(self.layer_names)
        return self.label({name: self.layers[name].at(lon, lat) for name in names})

    def label(self, values: Mapping[str, Labels]) -> Labels:
        """Label points from values of the layers.

        Args:
            values: Values of shape ``(N,)`` by name of layer.

        Returns:
            Labels as :meth:`__call__` returns them.
        """
        results = [condition(values[condition.layer]) for condition in self.conditions]
        if self.kind == 'class':
            return _all_met(results)
        if len(results) == 1:
            return results[0]
        return np.where(_all_met(results[1:]) == 1, results[0], np.float32(np.nan))


def _all_met(results: Sequence[Labels]) -> Labels:
    """Return 0 where any condition is 0, 1 where all are 1, NaN elsewhere."""
    stacked = np.stack(results)
    # The sum is NaN where any value is.
    ones = np.where(np.isnan(stacked.sum(axis=0)), np.nan, 1.0)
    return np.where((stacked == 0).any(axis=0), 0.0, ones).astype(np.float32)
