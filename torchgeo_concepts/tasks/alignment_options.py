# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Options of ConceptAlignment, grouped by subject."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, cast

from ..utils.names import check_choice, check_known
from .losses import DivergenceKind

Schedule = Literal['epochs', 'cosine']
Contrasted = Literal['each', 'mean']
FrozenPart = Literal['backbone', 'head', 'location_encoder', 'basis', 'logit_scale']


@dataclass(frozen=True)
class LossOptions:
    """Parts of the loss and their weights.

    Args:
        divergence: Divergence between the concept projections of images and locations.
        divergence_weight: Weight of the divergence. It is lambda in the paper, which
            uses 1. A weight of 0 omits the divergence.
        sigma: Width of the kernel of the divergence.
        drift_weight: Weight of the penalty on the drift of concept directions from their
            initial values, and so from the meaning of their names.
        label_weight: Weight of the error of each kind of supervision.
        symmetric: Contrast locations with images as well as images with locations.
        contrasted: With ``align='both'``, contrast embeddings and concepts separately
            (``'each'``), or contrast the mean of their similarities (``'mean'``). This
            mean also ranks the gallery.
        logit_scale: Natural logarithm of the initial inverse temperature, or weights
            that contain it, ``GeoCLIPLogitScale_Weights.MP16``.
        queue_size: Number of points of earlier batches to use as additional negatives.
        queue_noise_km: Standard deviation of the noise that displaces these points, in
            kilometres.
    """

    divergence: DivergenceKind = 'paper'
    divergence_weight: float = 0.0
    sigma: float = 1.0
    drift_weight: float = 0.0
    label_weight: float = 1.0
    symmetric: bool = False
    contrasted: Contrasted = 'each'
    logit_scale: float | str = 2.6593
    queue_size: int = 4096
    queue_noise_km: float = 1.0

    def __post_init__(self) -> None:
        """Validate options with a fixed set of choices."""
        check_choice('contrasted', self.contrasted, Contrasted)
        check_choice('divergence', self.divergence, DivergenceKind)


@dataclass(frozen=True)
class OptimizerOptions:
    """AdamW and its learning rate. The defaults are those of GeoCLIP.

    Args:
        lr: Learning rate.
        weight_decay: Weight decay.
        schedule: ``'epochs'`` multiplies the learning rate by *gamma* after each epoch,
            ``'cosine'`` decreases it along a cosine over all steps.
        gamma: Factor of the learning rate after each epoch.
        warmup_steps: Number of warmup steps of ``'cosine'``.
    """

    lr: float = 3e-5
    weight_decay: float = 1e-6
    schedule: Schedule = 'epochs'
    gamma: float = 0.87
    warmup_steps: int = 0

    def __post_init__(self) -> None:
        """Validate options with a fixed set of choices."""
        check_choice('schedule', self.schedule, Schedule)


DEFAULT_LOSS, DEFAULT_OPTIMIZER = LossOptions(), OptimizerOptions()


def as_options[Options: (LossOptions, OptimizerOptions)](
    kind: type[Options], values: Options | Mapping[str, Any]
) -> Options:
    """Build options from a mapping, or return the given options unchanged.

    Args:
        kind: Class of the options.
        values: Options, or values by name.

    Returns:
        The options.

    Raises:
        ValueError: If a name is not an option.
    """
    if isinstance(values, kind):
        return values
    given = cast(Mapping[str, Any], values)
    known = [field.name for field in fields(kind)]
    for name in given:
        check_known(f'{kind.__name__} has no option', name, known)
    return kind(**given)
