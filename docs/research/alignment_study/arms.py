# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Arms of the study: configurations that differ in how images and places are aligned."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import yaml

from torchgeo_concepts.utils.names import near_matches

# Pictures that arms are chosen by, and those that they are tested by.
VALIDATION, TEST = ('july',), ('may', 'three-globe', 'january')

BASE = 'base'

# How the remark on an arm begins that shall not be chosen.
CONTROL = 'Control: '

# Arguments of the model that are files or banks.
FILES = ('bank', 'text_embeddings')

# Arguments of the model that say what encoders begin with, and what stays.
BEGINNINGS = ('image_tower', 'image_weights', 'location_weights')

# Files, banks and weights that not every machine has.
NEEDS = (*FILES, 'image_weights', 'location_weights')


@dataclass(frozen=True)
class Arm:
    """A configuration.

    Attributes:
        name: Name of its file.
        remark: What it is, in a sentence.
        config: What :command:`torchgeo fit` takes, the base and the arm as one.
    """

    name: str
    remark: str
    config: Mapping[str, Any]

    def arguments(self, part: str) -> dict[str, Any]:
        """Return arguments of the model or of the data.

        Args:
            part: ``'model'`` or ``'data'``.
        """
        return dict(self.config[part]['init_args'])

    @property
    def is_control(self) -> bool:
        """Whether it shows what others owe to something, and is not for use."""
        return self.remark.startswith(CONTROL)

    @property
    def compares_concepts(self) -> bool:
        """Whether places are searched by concepts, so that concepts explain why."""
        return bool(self.arguments('model')['align'] != 'x')

    @property
    def can_be_chosen(self) -> bool:
        """Whether the alignment uses concepts, and it is not there as a control."""
        own = self.arguments('model')
        taught = own.get('supervision') in ('projections', 'both')
        used = own['loss']['divergence_weight'] or taught or self.compares_concepts
        return bool(used) and not self.is_control

    @property
    def is_plain(self) -> bool:
        """Whether embeddings alone are compared, and concepts play no part."""
        own = self.arguments('model')
        alone = own['align'] == 'x' and own.get('supervision') is None
        return bool(alone and not own['loss']['divergence_weight'])

    @property
    def has_heads(self) -> bool:
        """Whether maps teach it beside the comparison."""
        return self.arguments('model').get('supervision') == 'heads'

    @property
    def label_weights(self) -> tuple[float, ...]:
        """Weight of what maps teach, none if they teach nothing.

        Of an arm that is taught in two ways, that of one and that of both.
        """
        own = self.arguments('model')
        supervision = own.get('supervision')
        if supervision is None:
            return ()
        weight = float(own['loss']['label_weight'])
        return (weight, 2 * weight) if supervision == 'both' else (weight,)

    @property
    def beginning(self) -> tuple[Any, ...]:
        """What its encoders begin with, and what of them stays."""
        own = self.arguments('model')
        encoders = ('backbone', 'location_encoder')
        frozen = [part for part in own['freeze'] if part in encoders]
        return *(own.get(name) for name in BEGINNINGS), *frozen

    def is_taught_as_much_as(self, other: 'Arm') -> bool:
        """Tell whether maps teach as much, or one share of it, at the same points.

        Args:
            other: An arm that maps may teach in two ways. For one that no map teaches,
                a weight of 1 is as much.
        """
        weights = [(weight,) for weight in other.label_weights or (1.0,)]
        same_points = self.arguments('data') == other.arguments('data')
        return same_points and self.label_weights in weights

    @property
    def needs(self) -> set[str]:
        """Files of the study and weights that it begins with."""
        arguments = self.arguments('model')
        return {arguments[name] for name in NEEDS if arguments.get(name)}


def _texts() -> dict[str, str]:
    folder = resources.files('alignment_study') / 'configs'
    return {
        file.name.removesuffix('.yaml'): file.read_text(encoding='utf-8')
        for file in sorted(folder.iterdir(), key=lambda file: file.name)
        if file.name.endswith('.yaml')
    }


ARMS = tuple(name for name in _texts() if name != BASE)


def load_arm(name: str) -> Arm:
    """Read the configuration of an arm.

    Args:
        name: One of :data:`ARMS`.

    Returns:
        The arm.

    Raises:
        ValueError: If there is no such arm.
    """
    texts = _texts()
    if name not in ARMS:
        raise ValueError(f'No arm {name!r}. {near_matches(name, ARMS)}')
    first = texts[name].splitlines()[0]
    config = _merged(yaml.safe_load(texts[BASE]), yaml.safe_load(texts[name]))
    return Arm(name, first.removeprefix('# '), config)


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one tree of settings over another."""
    result = dict(base)
    for key, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = _merged(result[key], value) if both else value
    return result
