# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Heads of fitted pipelines, trained tasks and probes, read for explanations."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..concepts.bank import ConceptBank
from ..evaluate.probes import LinearFit
from ..geo.points import PointsLike
from ..models.location_model import LocationModel
from ..utils.modes import evaluating
from .heads import (
    ConceptHead,
    HeadFeatures,
    LinearHead,
    Outputs,
    Source,
    bank_of,
    device_of,
)
from .networks import STEPS, NetworkHead

# Random rows of each scale at which a pipeline must be as linear as it is at others; how
# far out that is, and along each axis too; and how much, in parts of what the weights
# could add up to there, rounding may change.
PROBES, SCALES, ROUNDING = 8, (1.0, 10.0, 100.0), 1e-6

# Steps of integrated gradients where predictions have kinks: quantiles, which cross.
KINKED_STEPS = 64


def concept_head(
    model: Any,
    outputs: Sequence[str] | str | None = None,
    units: Sequence[str] | str | None = None,
    *,
    encoder: nn.Module | None = None,
    features: HeadFeatures = 'z',
    mean: Tensor | None = None,
    std: Tensor | None = None,
    bank: ConceptBank | None = None,
    reference: PointsLike | None = None,
    is_class: bool = False,
) -> ConceptHead:
    """Read what predicts from concept scores.

    Scaling is folded in exactly, so that contributions have the unit of the target.

    Args:
        model: A fitted pipeline of scikit-learn that begins with
            :class:`~torchgeo_concepts.embed.location_features.LocationFeatures` and is linear
            in the features, or a search over such pipelines; a trained
            LocationRegression or LocationClassification; a
            :class:`~torchgeo_concepts.evaluate.probes.LinearFit`; or a network that takes
            features and returns outputs of shape ``(N, t)``.
        outputs: Names of targets or classes. By default those that the model knows.
        units: Unit of each target. By default those that the model knows.
        encoder: Encoder whose features a fit or a network takes.
        features: Kind of these features.
        mean: What these features lose before the fit or the network takes them.
        std: What they are divided by then.
        bank: Names of the concepts of an encoder that has no bank.
        reference: Points whose average features contributions are relative to. By
            default these are the averages that the head standardises by, and 0 if it
            does not.
        is_class: The outputs of a fit or a network are log-odds of classes.

    Returns:
        A linear head, whose contributions are exact, or one of a network.

    Raises:
        ValueError: If there is no such model, it takes other features than concept
            scores, or it is neither linear nor a network of torch.
    """
    names = [outputs] if isinstance(outputs, str) else outputs
    units = [units] if isinstance(units, str) else units
    best = getattr(model, 'best_estimator_', model)
    head: ConceptHead
    if isinstance(model, ConceptHead):
        bank_of(model.source.encoder, bank)
        head = model
    elif hasattr(best, 'named_steps'):
        head = _read_pipeline(best, names, units, bank)
    elif _is_task(model):
        head = _read_task(model, names, units, bank)
    elif isinstance(model, LinearFit | nn.Module):
        if encoder is None:
            raise ValueError(
                f'A {type(model).__name__} does not say whose features it takes. Pass '
                'encoder= and features=.'
            )
        source = Source.of(encoder, bank, features)
        scaling = _Scaling.of(mean, std, _width(model, source))
        known = _numbered(_count(model, source))
        named = Outputs.of(names, units, known, is_class)
        head = _read_plain(model, source, named, scaling)
    else:
        raise ValueError(
            f'No head can be read from a {type(model).__name__}. Pass a fitted pipeline '
            'that begins with LocationFeatures, a trained task, a LinearFit or a '
            'network.'
        )
    return head if reference is None else head.relative_to(reference)


def is_head(model: object) -> bool:
    """Tell whether a model predicts, rather than compares.

    Args:
        model: Any model.
    """
    best = getattr(model, 'best_estimator_', model)
    return (
        isinstance(model, ConceptHead)
        or hasattr(best, 'named_steps')
        or _is_task(model)
    )


def _is_task(model: object) -> bool:
    # Importing tasks to ask them takes seconds.
    return hasattr(model, 'label_names') and hasattr(model, 'target_state')


# Pipelines of scikit-learn --------------------------------------------------------------


def _read_pipeline(
    pipeline: Any,
    names: Sequence[str] | None,
    units: Sequence[str] | None,
    bank: ConceptBank | None,
) -> LinearHead:
    from sklearn.base import is_classifier
    from sklearn.utils.validation import check_is_fitted

    from ..embed.location_features import LocationFeatures

    located, rest = pipeline[0], pipeline[1:]
    if not isinstance(located, LocationFeatures) or not len(rest):
        raise ValueError(
            'The first step of a pipeline must be LocationFeatures, and a linear model '
            f'must follow, but the steps are {list(pipeline.named_steps)}.'
        )
    check_is_fitted(located)
    source = Source.of(located.encoder_, bank, located.features)
    is_class = is_classifier(rest)
    weight, bias = _linear_parts(_outputs_of(rest, is_class), source.width)
    known: Sequence[str] = _numbered(len(bias))
    if is_class:
        known = [str(name) for name in rest.classes_]
        if len(known) == 2:
            # Half of the log-odds speak for one class, and half against the other.
            weight = torch.cat((-weight, weight)) / 2
            bias = torch.cat((-bias, bias)) / 2
    first = _first_step(rest)
    mean = first.mean_ if _standardises(first) else None
    return LinearHead(
        source,
        Outputs.of(names, units, known, is_class),
        torch.from_numpy(np.zeros(source.width) if mean is None else mean).double(),
        'intercept' if mean is None else 'average point',
        weight,
        bias,
    )


def _first_step(pipeline: Any) -> Any:
    """Return the first step, also of a pipeline within the pipeline."""
    step = pipeline[0]
    return _first_step(step) if hasattr(step, 'named_steps') else step


def _standardises(step: Any) -> bool:
    from sklearn.preprocessing import StandardScaler

    return isinstance(step, StandardScaler)


def _outputs_of(
    rest: Any, is_class: bool
) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Make the function from features to outputs of shape ``(N, t)``."""
    if is_class and not hasattr(rest, 'decision_function'):
        raise ValueError(
            f'{type(rest[-1]).__name__} has no decision_function, so it has no linear '
            'scores of classes. Take LogisticRegression, or a network of torch.'
        )
    method = rest.decision_function if is_class else rest.predict
    names = getattr(rest[0], 'feature_names_in_', None)

    def outputs(values: NDArray[np.float64]) -> NDArray[np.float64]:
        frame = values if names is None else pd.DataFrame(values, columns=names)
        return np.asarray(method(frame), dtype=np.float64).reshape(len(values), -1)

    return outputs


def _linear_parts(
    outputs: Callable[[NDArray[np.float64]], NDArray[np.float64]], width: int
) -> tuple[Tensor, Tensor]:
    """Find the weights of a function that should be linear, and check that it is."""
    bias = outputs(np.zeros((1, width)))[0]
    weight = (outputs(np.eye(width)) - bias).T
    probes = _probes(width)
    # What is not linear may overflow there.
    with np.errstate(over='ignore', invalid='ignore'):
        expected = outputs(probes)
    # Along an axis without weight, rounding is that of the others.
    farthest = np.abs(probes).max(axis=1, keepdims=True)
    size = farthest * np.abs(weight).sum(axis=1) + np.abs(bias)
    error = np.abs(probes @ weight.T + bias - expected)
    if not (error <= ROUNDING * size).all():
        raise ValueError(
            'The pipeline is not linear in the features, so what it predicts is no sum '
            'over concepts. Take a linear model, or a network of torch.'
        )
    return torch.from_numpy(weight), torch.from_numpy(bias)


def _probes(width: int) -> NDArray[np.float64]:
    """Return random rows and rows along each axis, both ways, near and far out."""
    random = np.random.default_rng(0).normal(size=(PROBES, width))
    rows = np.concatenate((random, np.eye(width), -np.eye(width)))
    return np.concatenate([scale * rows for scale in SCALES])


# Tasks ----------------------------------------------------------------------------------


def _read_task(
    task: Any,
    names: Sequence[str] | None,
    units: Sequence[str] | None,
    bank: ConceptBank | None,
) -> ConceptHead:
    name = type(task).__name__
    model: LocationModel | None = task.model
    if model is None:
        raise ValueError(f'This {name} has not been trained.')
    if model.tower is not None or model.num_extra:
        what = 'images' if model.tower is not None else f'columns {task.extra_names}'
        raise ValueError(
            f'The {name} needs {what} besides points, which cannot be explained.'
        )
    source = Source.of(model.encoder, bank, model.kind)
    is_class, head = hasattr(task, 'classes'), model.head
    known = task.classes if is_class else task.target_names
    own_units = ('',) * len(known) if is_class else task.units
    reference = model.mean.cpu().double(), 'average point'
    quantiles = getattr(task, 'quantiles', None)
    if not isinstance(head, nn.Linear) or quantiles:
        outputs = Outputs.of(names, units or own_units, known, is_class)
        steps = KINKED_STEPS if quantiles else STEPS
        predict = _task_outputs(task, model)
        return NetworkHead(source, outputs, *reference, head, predict, steps)
    scaling = _Scaling.of(model.mean, model.std, source.width)
    weight, bias = scaling.fold(head.weight, head.bias)
    if not is_class:
        weight, bias = _in_units(task, weight, bias)
        own_units = _logarithms(units or own_units, task.target_transform.is_log)
        units = None
    outputs = Outputs.of(names, units or own_units, known, is_class)
    return LinearHead(source, outputs, *reference, weight, bias)


def _task_outputs(task: Any, model: LocationModel) -> Callable[[Tensor], Tensor]:
    def outputs(inputs: Tensor) -> Tensor:
        found: Tensor = model.head(model.standardise(inputs))
        return found if hasattr(task, 'classes') else task.values(found)['prediction']

    return outputs


def _in_units(task: Any, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Undo that labels were standardised, by the task and before by the dataset."""
    std = task.label_std.cpu().double()
    mean = task.label_mean.cpu().double()
    scale = torch.tensor(task.target_transform.std).double()
    shift = torch.tensor(task.target_transform.mean).double()
    weight = weight * (std * scale)[:, None]
    return weight, (bias * std + mean) * scale + shift


def _logarithms(units: Sequence[str], is_log: Sequence[bool]) -> tuple[str, ...]:
    """Name the units of what was learned as a logarithm, where sums are exact."""
    pairs = zip(units, is_log, strict=True)
    return tuple(f'ln(1 + {unit or "value"})' if log else unit for unit, log in pairs)


# Fits and networks ----------------------------------------------------------------------


@dataclass(frozen=True)
class _Scaling:
    """What happens to features before a head takes them."""

    mean: Tensor
    std: Tensor
    base_name: str

    @classmethod
    def of(cls, mean: Tensor | None, std: Tensor | None, width: int) -> Self:
        """Return the scaling of so many features."""
        base_name = 'intercept' if mean is None else 'average point'
        mean = torch.zeros(width) if mean is None else mean.detach()
        std = torch.ones(width) if std is None else std.detach()
        if not len(mean) == len(std) == width:
            raise ValueError(
                f'The head takes {width} features, but mean has {len(mean)} and std '
                f'{len(std)}.'
            )
        return cls(mean.cpu().double(), std.cpu().double(), base_name)

    def fold(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Make a linear model of scaled features one of features as they are."""
        weight = weight.detach().cpu().double() / self.std
        return weight, bias.detach().cpu().double() - weight @ self.mean

    def before(self, network: nn.Module) -> Callable[[Tensor], Tensor]:
        """Make a network of scaled features a function of features as they are."""

        def outputs(inputs: Tensor) -> Tensor:
            scaled = (inputs - self.mean.to(inputs)) / self.std.to(inputs)
            found: Tensor = network(scaled)
            return found[:, None] if found.ndim == 1 else found

        return outputs


def _width(model: LinearFit | nn.Module, source: Source) -> int:
    if isinstance(model, LinearFit | nn.Linear):
        return model.weight.shape[1]
    return source.width


def _count(model: LinearFit | nn.Module, source: Source) -> int:
    """Return the number of outputs."""
    if isinstance(model, LinearFit | nn.Linear):
        return len(model.weight)
    # Of one row, it could not be told whether outputs belong to rows.
    rows = torch.zeros(2, source.width, device=device_of(model))
    with torch.no_grad(), evaluating(model):
        try:
            output: Tensor = model(rows)
        except RuntimeError as error:
            raise ValueError(_refused(model, source)) from error
    if output.ndim not in (1, 2) or len(output) != len(rows):
        raise ValueError(
            'The network must give outputs of shape (N, t) or (N,), not '
            f'{tuple(output.shape)} for {tuple(rows.shape)}.'
        )
    return 1 if output.ndim == 1 else output.shape[1]


def _refused(network: nn.Module, source: Source) -> str:
    """Say why a network cannot take features."""
    has = (
        f'{type(source.encoder).__name__} has {source.width} of {source.features!r}, as '
        'float32.'
    )
    layers = (part for part in network.modules() if isinstance(part, nn.Linear))
    first = next(layers, None)
    if first is None or first.in_features == source.width:
        return f'The network cannot take features of shape (N, {source.width}): {has}'
    return f'The network takes {first.in_features} features, {has}'


def _read_plain(
    model: LinearFit | nn.Module, source: Source, outputs: Outputs, scaling: _Scaling
) -> ConceptHead:
    shared = source, outputs, scaling.mean, scaling.base_name
    if not isinstance(model, LinearFit | nn.Linear):
        return NetworkHead(*shared, model, scaling.before(model))
    bias: Tensor | None = model.bias
    bias = torch.zeros(len(model.weight)) if bias is None else bias
    return LinearHead(*shared, *scaling.fold(model.weight, bias))


def _numbered(number: int) -> tuple[str, ...]:
    return (
        ('prediction',) if number == 1 else tuple(f'output {n}' for n in range(number))
    )
