# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Transforms of targets to labels, and back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

import torch
from torch import Tensor

from ..utils.names import check_choice, check_known

TargetTransformName = Literal['log1p', 'standardise', 'log1p-standardise']

# One transform for all targets, or one for each target by name.
TargetTransformOption = (
    TargetTransformName | Mapping[str, TargetTransformName | None] | None
)

# Smallest standard deviation to divide by.
SMALLEST = torch.finfo(torch.float32).tiny


@dataclass(frozen=True)
class TargetTransform:
    """Logarithm and standardisation of targets, and their inverse.

    Attributes:
        names: Names of the targets.
        is_log: True for targets that become ``log(1 + value)``.
        is_standardised: True for targets that get mean 0 and standard deviation 1,
            after the logarithm.
        mean: Mean of each target, 0 if not standardised.
        std: Standard deviation of each target, 1 if not standardised.
    """

    names: tuple[str, ...]
    is_log: tuple[bool, ...]
    is_standardised: tuple[bool, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def from_option(
        cls, names: Sequence[str], target_transform: TargetTransformOption
    ) -> Self:
        """Create a transform that is not fitted yet.

        Args:
            names: Names of the targets.
            target_transform: Name of the transform of all targets, or of each target.

        Returns:
            The transform.

        Raises:
            ValueError: If a transform or a target is unknown.
        """
        if isinstance(target_transform, Mapping):
            for name in target_transform:
                check_known('target_transform names an unknown target', name, names)
            kinds = [target_transform.get(name) for name in names]
        else:
            kinds = [target_transform] * len(names)
        for kind in kinds:
            if kind is not None:
                check_choice('target_transform', kind, TargetTransformName)
        return cls(
            tuple(names),
            tuple(kind is not None and 'log1p' in kind for kind in kinds),
            tuple(kind is not None and 'standardise' in kind for kind in kinds),
            (0.0,) * len(names),
            (1.0,) * len(names),
        )

    def fit(self, values: Tensor) -> Self:
        """Compute means and standard deviations.

        Args:
            values: Values of shape ``(N, t)``, NaN where missing.

        Returns:
            The fitted transform. A target with a single value gets a standard deviation
            of 1.

        Raises:
            ValueError: If a target that is standardised is missing in all rows.
        """
        scaled = self._log(values.double())
        mean, std = list(self.mean), list(self.std)
        for column, is_standardised in enumerate(self.is_standardised):
            if not is_standardised:
                continue
            known = scaled[:, column][~scaled[:, column].isnan()]
            if not len(known):
                raise ValueError(
                    f'{self.names[column]!r} is missing in all {len(values)} rows that '
                    'its mean is computed over.'
                )
            mean[column] = float(known.mean())
            # Do not divide by rounding errors, or by a value too small for float32.
            spread = float(known.std(correction=0))
            varies = known.min() < known.max() and spread >= SMALLEST
            std[column] = spread if varies else 1.0
        return replace(self, mean=tuple(mean), std=tuple(std))

    def __call__(self, values: Tensor) -> Tensor:
        """Convert values to labels.

        Args:
            values: Values of shape ``(..., t)`` in the units of the targets.

        Returns:
            Labels of the same shape, NaN where values are.
        """
        mean, std = values.new_tensor(self.mean), values.new_tensor(self.std)
        return (self._log(values) - mean) / std

    def inverse(self, labels: Tensor) -> Tensor:
        """Convert labels, or predictions of labels, to values.

        Args:
            labels: Labels of shape ``(..., t)``.

        Returns:
            Values of the same shape in the units of the targets.
        """
        scaled = labels * labels.new_tensor(self.std) + labels.new_tensor(self.mean)
        is_log = torch.tensor(self.is_log, dtype=torch.bool, device=labels.device)
        return torch.where(is_log, torch.expm1(scaled), scaled)

    def _log(self, values: Tensor) -> Tensor:
        is_log = torch.tensor(self.is_log, dtype=torch.bool, device=values.device)
        return torch.where(is_log, torch.log1p(values), values)
