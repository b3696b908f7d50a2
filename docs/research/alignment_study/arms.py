# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Arms of the study: configurations of ``torchgeo fit`` that align in different ways."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from torchgeo_concepts.utils.names import near_matches

# Pictures that arms are chosen on, and those that they are tested on.
VALIDATION, TEST = ('july',), ('may', 'three-globe', 'january')

CONFIGS = Path(__file__).parent / 'configs'
BASE = 'base'
ARMS = tuple(file.stem for file in sorted(CONFIGS.glob('*.yaml')) if file.stem != BASE)

# The remark on a control, which cannot be chosen, begins with this.
CONTROL = 'Control: '

# Arguments of the model that name files or banks.
FILES = ('bank', 'text_embeddings')

# Arguments of the model that set the weights that training starts from.
INITIAL_WEIGHTS = ('image_tower', 'image_weights', 'location_weights')


@dataclass(frozen=True)
class Arm:
    """Configuration that the study compares with others.

    Attributes:
        name: Name of its file.
        remark: Description in one sentence.
        config: Configuration of :command:`torchgeo fit`, merged with the base.
    """

    name: str
    remark: str
    config: Mapping[str, Any]

    @cached_property
    def model(self) -> dict[str, Any]:
        """Arguments of the task."""
        return dict(self.config['model']['init_args'])

    @cached_property
    def data(self) -> dict[str, Any]:
        """Arguments of the data module."""
        return dict(self.config['data']['init_args'])

    @property
    def is_control(self) -> bool:
        """True for an arm that explains the results of others and is not for use."""
        return self.remark.startswith(CONTROL)

    @property
    def compares_concepts(self) -> bool:
        """True if places are searched by concepts."""
        return bool(self.model['align'] != 'x')

    @property
    def can_be_chosen(self) -> bool:
        """True if the alignment uses concepts and the arm is no control."""
        is_labelled = self.model.get('supervision') in ('projections', 'both')
        is_used = self.model['loss']['divergence_weight'] or is_labelled
        return bool(is_used or self.compares_concepts) and not self.is_control

    @property
    def is_plain(self) -> bool:
        """True if only embeddings are compared, and concepts are not used."""
        has_labels = self.model.get('supervision') is not None
        return not (
            self.compares_concepts
            or has_labels
            or self.model['loss']['divergence_weight']
        )

    @property
    def has_heads(self) -> bool:
        """True if linear heads are trained on maps beside the comparison."""
        return self.model.get('supervision') == 'heads'

    @property
    def label_weights(self) -> tuple[float, ...]:
        """Weights of labels of maps, empty without labels.

        An arm with heads and labelled projections has that of one and that of both.
        """
        supervision = self.model.get('supervision')
        if supervision is None:
            return ()
        weight = float(self.model['loss']['label_weight'])
        return (weight, 2 * weight) if supervision == 'both' else (weight,)

    @property
    def initial_weights(self) -> tuple[Any, ...]:
        """Arguments that set the weights training starts from, and which are frozen."""
        encoders = ('backbone', 'location_encoder')
        frozen = [part for part in self.model['freeze'] if part in encoders]
        return *(self.model.get(name) for name in INITIAL_WEIGHTS), *frozen

    def is_trained_as_much_as(self, other: 'Arm') -> bool:
        """Return True for labels of a weight of the other arm, at the same points.

        Args:
            other: An arm that may have several weights. One without labels counts as
                one with weight 1.
        """
        weights = [(weight,) for weight in other.label_weights or (1.0,)]
        return self.data == other.data and self.label_weights in weights

    @property
    def needs(self) -> set[str]:
        """Files of the study and weights that not every machine has."""
        names = (*FILES, 'image_weights', 'location_weights')
        return {self.model[name] for name in names if self.model.get(name)}


def load_arm(name: str) -> Arm:
    """Read the configuration of an arm.

    Args:
        name: One of :data:`ARMS`.

    Returns:
        The arm.

    Raises:
        ValueError: If there is no such arm.
    """
    if name not in ARMS:
        raise ValueError(f'No arm {name!r}. {near_matches(name, ARMS)}')
    base, own = (
        (CONFIGS / f'{part}.yaml').read_text(encoding='utf-8') for part in (BASE, name)
    )
    remark = own.splitlines()[0].removeprefix('# ')
    return Arm(name, remark, _merge(yaml.safe_load(base), yaml.safe_load(own)))


def _merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two trees of settings; the second wins."""
    result = dict(base)
    for key, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = _merge(result[key], value) if both else value
    return result
