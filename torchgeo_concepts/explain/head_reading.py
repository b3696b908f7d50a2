# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Conversion of pipelines, trained tasks, probes and networks to heads."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.base import is_classifier
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from ..embed.location_features import LocationFeatures
from ..evaluate.probes import LinearFit
from ..models.location_model import LocationModel
from ..tasks import LocationClassification, LocationRegression
from ..utils.modes import evaluating
from .heads import (
    STEPS,
    ConceptHead,
    HeadFeatures,
    LinearHead,
    NetworkHead,
    ScoreSource,
    device_of,
)

# A pipeline is tested for linearity at random rows and along each axis, at several
# scales. The tolerance is relative to the largest possible sum of contributions.
PROBES, SCALES, ROUNDING = 8, (1.0, 10.0, 100.0), 1e-6

# Steps of integrated gradients for quantiles. Crossing quantiles cause kinks.
KINKED_STEPS = 64

type Task = LocationRegression | LocationClassification
type OutputFunction = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def concept_head(
    model: Any,
    outputs: Sequence[str] | str | None = None,
    units: Sequence[str] | str | None = None,
    *,
    encoder: nn.Module | None = None,
    features: HeadFeatures = 'z',
    mean: Tensor | None = None,
    std: Tensor | None = None,
    is_class: bool = False,
) -> ConceptHead:
    """Convert a model that predicts from concept scores to a head.

    Scaling is part of the head, so contributions have the unit of the target. They are
    relative to the means of the standardisation, or to 0 without standardisation.

    Args:
        model: A fitted pipeline of scikit-learn that begins with
            :class:`~torchgeo_concepts.embed.location_features.LocationFeatures` and is
            linear in the features, or a search over such pipelines; a trained
            LocationRegression or LocationClassification; a
            :class:`~torchgeo_concepts.evaluate.probes.LinearFit`; or a network that takes
            features and returns outputs of shape ``(N, t)``.
        outputs: Names of targets or classes. By default, those of the model.
        units: Unit of each target. By default, those of the model.
        encoder: Encoder of the features of a LinearFit or network.
        features: Kind of these features.
        mean: Means that standardise the features of a LinearFit or network.
        std: Standard deviations that standardise them.
        is_class: True if the outputs of a LinearFit or network are log-odds of classes.

    Returns:
        A linear head, whose contributions are exact, or a head of a network.

    Raises:
        ValueError: If the model has another type, takes other features, or is neither
            linear nor a PyTorch network.
    """
    names = [outputs] if isinstance(outputs, str) else outputs
    units = [units] if isinstance(units, str) else units
    found = _best_of(model)
    if isinstance(found, ConceptHead):
        head: ConceptHead = found
    elif isinstance(found, Pipeline):
        head = _read_pipeline(found)
    elif isinstance(found, LocationRegression | LocationClassification):
        head = _read_task(found)
    elif isinstance(found, LinearFit | nn.Module):
        if encoder is None:
            raise ValueError(
                f'A {type(found).__name__} does not name its encoder; pass encoder= and '
                'features=.'
            )
        head = _read_plain(found, ScoreSource(encoder, features), mean, std, is_class)
    else:
        raise ValueError(
            f'Cannot read a head from a {type(found).__name__}. Pass a fitted pipeline '
            'that begins with LocationFeatures, a trained task, a LinearFit or a network.'
        )
    if isinstance(found, LocationRegression) and isinstance(head, LinearHead):
        units = _exact_units(found, units or found.units)
    return head.renamed(names, units)


def is_head(model: object) -> bool:
    """Return true for models that predict, false for models that compare.

    Args:
        model: Any model.
    """
    known = ConceptHead | Pipeline | LocationRegression | LocationClassification
    return isinstance(_best_of(model), known)


def _named_source(encoder: nn.Module | None, kind: str) -> ScoreSource:
    # Without an encoder, the kind is not 'z' or 'xz', and ScoreSource raises.
    return ScoreSource(cast(nn.Module, encoder), cast(HeadFeatures, kind))


def _best_of(model: Any) -> Any:
    return model.best_estimator_ if isinstance(model, BaseSearchCV) else model


# Pipelines of scikit-learn --------------------------------------------------------------


def _read_pipeline(pipeline: Pipeline) -> LinearHead:
    located, rest = pipeline[0], pipeline[1:]
    if not isinstance(located, LocationFeatures) or not len(rest):
        raise ValueError(
            'The first step of a pipeline must be LocationFeatures, and a linear model '
            f'must follow, but the steps are {list(pipeline.named_steps)}.'
        )
    check_is_fitted(located)
    source = _named_source(located.encoder_, located.features)
    is_class = is_classifier(rest)
    weight, bias = _linear_parts(_outputs_of(rest, is_class), source.width)
    names = _numbered(len(bias))
    if is_class:
        names = tuple(map(str, rest.classes_))
        if len(names) == 2:
            # Each class gets half of the log-odds.
            weight = torch.cat((-weight, weight)) / 2
            bias = torch.cat((-bias, bias)) / 2
    first = _first_step(rest)
    mean = first.mean_ if isinstance(first, StandardScaler) else None
    return LinearHead(
        source,
        names,
        ('',) * len(names),
        is_class,
        torch.from_numpy(np.zeros(source.width) if mean is None else mean).double(),
        'intercept' if mean is None else 'average point',
        weight,
        bias,
    )


def _first_step(pipeline: Pipeline) -> Any:
    """Return the first step, or that of a nested pipeline."""
    step = pipeline[0]
    return _first_step(step) if isinstance(step, Pipeline) else step


def _outputs_of(rest: Pipeline, is_class: bool) -> OutputFunction:
    """Make the function from features to outputs of shape ``(N, t)``."""
    if is_class and not hasattr(rest, 'decision_function'):
        raise ValueError(
            f'{type(rest[-1]).__name__} has no decision_function, so it has no linear '
            'scores of classes; use LogisticRegression, or a PyTorch network.'
        )
    method = rest.decision_function if is_class else rest.predict
    names = getattr(rest[0], 'feature_names_in_', None)

    def outputs(values: NDArray[np.float64]) -> NDArray[np.float64]:
        frame = values if names is None else pd.DataFrame(values, columns=names)
        return np.asarray(method(frame), dtype=np.float64).reshape(len(values), -1)

    return outputs


def _linear_parts(outputs: OutputFunction, width: int) -> tuple[Tensor, Tensor]:
    """Return the weights of a function, and check that it is linear."""
    bias = outputs(np.zeros((1, width)))[0]
    weight = (outputs(np.eye(width)) - bias).T
    # Random rows, and rows along each axis in both directions, at several scales.
    random = np.random.default_rng(0).normal(size=(PROBES, width))
    rows = np.concatenate((random, np.eye(width), -np.eye(width)))
    probes = np.concatenate([scale * rows for scale in SCALES])
    # A nonlinear function may overflow at large scales.
    with np.errstate(over='ignore', invalid='ignore'):
        expected = outputs(probes)
    # Along an axis with weight 0, rounding errors depend on the other weights.
    farthest = np.abs(probes).max(axis=1, keepdims=True)
    size = farthest * np.abs(weight).sum(axis=1) + np.abs(bias)
    error = np.abs(probes @ weight.T + bias - expected)
    if not (error <= ROUNDING * size).all():
        raise ValueError(
            'The pipeline is not linear in the features, so its predictions are not sums '
            'over concepts; use a linear model, or a PyTorch network.'
        )
    return torch.from_numpy(weight), torch.from_numpy(bias)


# Tasks ----------------------------------------------------------------------------------


def _read_task(task: Task) -> ConceptHead:
    name, model = type(task).__name__, task.model
    if model is None:
        raise ValueError(f'This {name} has not been trained.')
    if model.tower is not None or model.num_extra:
        what = 'images' if model.tower is not None else f'columns {task.extra_names}'
        raise ValueError(
            f'The {name} needs {what} besides points, so it cannot be explained.'
        )
    source = _named_source(model.encoder, model.kind)
    is_class, head = isinstance(task, LocationClassification), model.head
    names = task.classes if is_class else task.target_names
    units = ('',) * len(names) if is_class else task.units
    mean = model.mean.cpu().double()
    about = source, tuple(names), tuple(units), is_class, mean, 'average point'
    quantiles = None if is_class else task.quantiles
    if not isinstance(head, nn.Linear) or quantiles:
        steps = KINKED_STEPS if quantiles else STEPS
        return NetworkHead(*about, head, partial(_task_outputs, task, model), steps)
    weight, bias = _unscaled(head.weight, head.bias, mean, model.std)
    if not is_class:
        weight, bias = _in_units(task, weight, bias)
    return LinearHead(*about, weight, bias)


def _task_outputs(task: Task, model: LocationModel, inputs: Tensor) -> Tensor:
    found: Tensor = model.head(model.standardise(inputs))
    if isinstance(task, LocationClassification):
        return found
    return task.values(found)['prediction']


def _in_units(
    task: LocationRegression, weight: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor]:
    """Undo the standardisation of labels by the task and by the dataset."""
    std = task.label_std.cpu().double()
    mean = task.label_mean.cpu().double()
    scale = torch.tensor(task.target_transform.std).double()
    shift = torch.tensor(task.target_transform.mean).double()
    weight = weight * (std * scale)[:, None]
    return weight, (bias * std + mean) * scale + shift


def _exact_units(task: LocationRegression, units: Sequence[str]) -> list[str]:
    """Return the units of a linear head: ln(1 + unit) for logarithmic targets."""
    pairs = zip(units, task.target_transform.is_log, strict=True)
    return [f'ln(1 + {unit or "value"})' if log else unit for unit, log in pairs]


# Fits and networks ----------------------------------------------------------------------


def _read_plain(
    model: LinearFit | nn.Module,
    source: ScoreSource,
    mean: Tensor | None,
    std: Tensor | None,
    is_class: bool,
) -> ConceptHead:
    if isinstance(model, LinearFit | nn.Linear):
        number, width = model.weight.shape
    else:
        number, width = _count_outputs(model, source), source.width
    base_name = 'intercept' if mean is None else 'average point'
    mean = torch.zeros(width) if mean is None else mean.detach()
    std = torch.ones(width) if std is None else std.detach()
    if not len(mean) == len(std) == width:
        raise ValueError(
            f'The head takes {width} features, but mean has {len(mean)} and std has '
            f'{len(std)}.'
        )
    mean, std = mean.cpu().double(), std.cpu().double()
    about = source, _numbered(number), ('',) * number, is_class, mean, base_name
    if not isinstance(model, LinearFit | nn.Linear):
        return NetworkHead(*about, model, partial(_network_outputs, model, mean, std))
    bias = torch.zeros(number) if model.bias is None else model.bias
    return LinearHead(*about, *_unscaled(model.weight, bias, mean, std))


def _unscaled(
    weight: Tensor, bias: Tensor, mean: Tensor, std: Tensor
) -> tuple[Tensor, Tensor]:
    """Convert a linear model of standardised features to one of unscaled features."""
    weight = weight.detach().cpu().double() / std.cpu().double()
    return weight, bias.detach().cpu().double() - weight @ mean


def _network_outputs(
    network: nn.Module, mean: Tensor, std: Tensor, inputs: Tensor
) -> Tensor:
    found: Tensor = network((inputs - mean.to(inputs)) / std.to(inputs))
    return found[:, None] if found.ndim == 1 else found


def _count_outputs(network: nn.Module, source: ScoreSource) -> int:
    # With two rows, rows can be distinguished from outputs.
    rows = torch.zeros(2, source.width, device=device_of(network))
    with torch.no_grad(), evaluating(network):
        try:
            output: Tensor = network(rows)
        except RuntimeError as error:
            raise ValueError(
                f'The network cannot take features of shape (N, {source.width}) in '
                f'float32, which {type(source.encoder).__name__} has for '
                f'features={source.features!r}: {error}'
            ) from error
    if output.ndim not in (1, 2) or len(output) != len(rows):
        raise ValueError(
            'The network must return outputs of shape (N, t) or (N,), not '
            f'{tuple(output.shape)} for {tuple(rows.shape)}.'
        )
    return 1 if output.ndim == 1 else output.shape[1]


def _numbered(number: int) -> tuple[str, ...]:
    return (
        ('prediction',) if number == 1 else tuple(f'output {n}' for n in range(number))
    )
