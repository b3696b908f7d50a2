# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""How targets become what a model learns, and back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self, get_args

import torch
from torch import Tensor

from ..utils.names import near_matches

Transform = Literal['log1p', 'standardise', 'log1p-standardise']

# Least standard deviation that is divided by.
SMALLEST = torch.finfo(torch.float32).tiny


@dataclass(frozen=True)
class TargetTransform:
    """Logarithms and standardisation of some targets, with their inverse.

    Attributes:
        names: Names of the targets.
        is_log: Which of them become ``log(1 + value)``.
        is_standardised: Which of them lose their mean and get a standard deviation
            of 1, after the logarithm.
        mean: Mean of each, 0 where it is kept.
        std: Standard deviation of each, 1 where it is kept.
    """

    names: tuple[str, ...]
    is_log: tuple[bool, ...]
    is_standardised: tuple[bool, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(
        cls,
        names: Sequence[str],
        transform: Transform | Mapping[str, Transform | None] | None,
    ) -> Self:
        """Make the transform that names ask for, not fitted yet.

        Args:
            names: Names of the targets.
            transform: That of all targets, or of each by name.

        Returns:
            The transform.

        Raises:
            ValueError: If there is no such transform or no such target.
        """
        if isinstance(transform, Mapping):
            for name in transform:
                if name not in names:
                    raise ValueError(
                        f'transform names {name!r}, which is no target. '
                        f'{near_matches(name, names)}'
                    )
            kinds = [transform.get(name) for name in names]
        else:
            kinds = [transform] * len(names)
        for kind in kinds:
            if kind is not None and kind not in get_args(Transform):
                raise ValueError(
                    f'transform must be one of {get_args(Transform)} or None, not '
                    f'{kind!r}.'
                )
        return cls(
            tuple(names),
            tuple(kind is not None and 'log1p' in kind for kind in kinds),
            tuple(kind is not None and 'standardise' in kind for kind in kinds),
            (0.0,) * len(names),
            (1.0,) * len(names),
        )

    def fit(self, values: Tensor) -> Self:
        """Find means and standard deviations.

        Args:
            values: Values of shape ``(N, t)``, NaN where missing.

        Returns:
            The transform that standardises by what these rows have. A target with a
            single value keeps its scale.

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
                    'its mean is taken of.'
                )
            mean[column] = float(known.mean())
            # Differences that are rounding alone must not be blown up, nor may a
            # deviation be so small that single precision has no such number.
            spread = float(known.std(correction=0))
            varies = known.min() < known.max() and spread >= SMALLEST
            std[column] = spread if varies else 1.0
        return replace(self, mean=tuple(mean), std=tuple(std))

    def __call__(self, values: Tensor) -> Tensor:
        """Turn values into labels.

        Args:
            values: Values of shape ``(..., t)`` in the units of the targets.

        Returns:
            Labels of the same shape, NaN where values are.
        """
        return (self._log(values) - values.new_tensor(self.mean)) / values.new_tensor(
            self.std
        )

    def inverse(self, labels: Tensor) -> Tensor:
        """Turn labels, or what a model predicts in their place, into values.

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
