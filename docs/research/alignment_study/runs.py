# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""One run of the study: train an arm with a seed, and measure it."""

import gc
import hashlib
import json
import logging
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from torchgeo_concepts.datamodules import BlueMarbleDataModule
from torchgeo_concepts.layers.grounding import Groundings, load_groundings
from torchgeo_concepts.tasks import ConceptAlignment
from torchgeo_concepts.utils.files import atomic_path

from .arms import FILES, Arm
from .measures import EvaluationData, measure

# Increased whenever the same settings could give other measurements.
PROTOCOL = 3

# Steps between two points of a training curve.
CURVE = 10


@dataclass(frozen=True)
class Settings:
    """Settings of all runs of a study.

    Attributes:
        root: Folder of the pictures.
        truth: Hash of tables and maps, by
            :func:`~alignment_study.evaluation.truth_digest`.
        steps: Number of steps of training.
        number: Number of points to train on.
        batch_size: Number of samples in a step.
        patches: Number of patches of each picture to locate.
        mislocated: Share of the training points with the image of another place.
    """

    root: Path
    truth: str
    steps: int = 400
    number: int = 60_000
    batch_size: int = 512
    patches: int = 4_000
    mislocated: float = 0.0

    def data(self, arm: Arm, seed: int) -> BlueMarbleDataModule:
        """Return the training data of an arm.

        Args:
            arm: The arm.
            seed: Seed of the points, and of their order.
        """
        own = {
            'root': self.root,
            'number': self.number,
            'batch_size': self.batch_size,
            'mislocated': self.mislocated,
            # Runs are evaluated elsewhere.
            'val_number': 1,
        }
        data = BlueMarbleDataModule(**arm.data | own, seed=seed)
        data.options['groundings'] = all_groundings()
        return data

    def digest(self, arm: Arm) -> str:
        """Hash everything that a run depends on.

        Args:
            arm: The arm.
        """
        known = {'arm': arm.config, 'protocol': PROTOCOL, **asdict(self)}
        known.pop('root')
        text = json.dumps(known, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Run:
    """Measurements of an arm with a seed.

    Attributes:
        arm: Name of the arm.
        seed: Its seed.
        settings: Hash of all settings that it depends on.
        training_minutes: Time of training.
        measuring_minutes: Time of measuring.
        metrics: Measurements by name.
        curve: Steps and losses of training.
    """

    arm: str
    seed: int
    settings: str
    training_minutes: float
    measuring_minutes: float
    metrics: Mapping[str, float]
    curve: Sequence[Mapping[str, float]]


@cache
def all_groundings() -> Groundings:
    """Return the concepts of all installed maps, which takes seconds to look up."""
    return load_groundings()


class _Curve(Callback):
    """Record the loss during training."""

    def __init__(self) -> None:
        self.points: list[dict[str, float]] = []
        self._since: list[Tensor] = []

    def on_train_batch_end(
        self, trainer: Trainer, task: LightningModule, *args: Any
    ) -> None:
        self._since.append(trainer.callback_metrics['train_contrast'].detach())
        if trainer.global_step % CURVE == 0 or trainer.global_step == trainer.max_steps:
            loss = float(torch.stack(self._since).mean())
            self.points.append({'step': trainer.global_step, 'contrast': loss})
            self._since.clear()


def run_path(folder: Path, arm: str, seed: int) -> Path:
    """Return the file of the measurements of a run.

    Args:
        folder: Folder of the study.
        arm: Name of the arm.
        seed: Its seed.
    """
    return folder / 'runs' / f'{arm}-{seed}.json'


def checkpoint_path(folder: Path, arm: str, seed: int) -> Path:
    """Return the file of the model of a run.

    Args:
        folder: Folder of the study.
        arm: Name of the arm.
        seed: Its seed.
    """
    return run_path(folder, arm, seed).with_suffix('.ckpt')


def read_run(
    folder: Path, arm: Arm, seed: int, settings: Settings, keep: bool = False
) -> Run | None:
    """Read the measurements of a run, if they were made with these settings.

    Args:
        folder: Folder of the study.
        arm: The arm.
        seed: Its seed.
        settings: Settings of all runs.
        keep: Require the checkpoint of its model as well.

    Returns:
        The run, or None.
    """
    path = run_path(folder, arm.name, seed)
    if not path.exists():
        return None
    known = json.loads(path.read_text(encoding='utf-8'))
    if keep and not checkpoint_path(folder, arm.name, seed).exists():
        return None
    return Run(**known) if known['settings'] == settings.digest(arm) else None


def run_arm(
    arm: Arm,
    seed: int,
    settings: Settings,
    data: EvaluationData,
    folder: Path,
    keep: bool = False,
) -> Run:
    """Train an arm, and measure it.

    Args:
        arm: The arm.
        seed: Seed of weights, points and order.
        settings: Settings of all runs.
        data: Data to evaluate on.
        folder: Folder of the study, which gets the measurements.
        keep: Also keep the model, as a checkpoint of Lightning.

    Returns:
        The measurements.
    """
    # Trainer, task and data refer to each other, so earlier runs stay in memory until
    # they are collected.
    gc.collect()
    start = time.perf_counter()
    task, curve = train(arm, seed, settings, folder, keep=keep)
    trained = time.perf_counter()
    metrics = measure(task.model.cpu(), task.cpu().supervision, data)
    run = Run(
        arm.name,
        seed,
        settings.digest(arm),
        training_minutes=(trained - start) / 60,
        measuring_minutes=(time.perf_counter() - trained) / 60,
        metrics=metrics,
        curve=curve,
    )
    path = run_path(folder, arm.name, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(asdict(run), indent=1), encoding='utf-8')
    return run


def train(
    arm: Arm, seed: int, settings: Settings, folder: Path, *, keep: bool = False
) -> tuple[ConceptAlignment, list[dict[str, float]]]:
    """Train an arm.

    Args:
        arm: The arm.
        seed: Seed of weights, points and order.
        settings: Settings of all runs.
        folder: Folder of the study with banks and texts.
        keep: Also keep the model, as a checkpoint of Lightning.

    Returns:
        The task, and the points of its training curve.
    """
    lightning.seed_everything(seed, verbose=False)
    curve = _Curve()
    options = dict(arm.config['trainer']) | {'max_steps': settings.steps}
    with _quiet():
        task = ConceptAlignment(**_with_paths(arm.model, folder))
        trainer = Trainer(
            **options,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            limit_val_batches=0,
            num_sanity_val_steps=0,
            callbacks=[curve],
        )
        data = settings.data(arm, seed)
        trainer.fit(task, datamodule=data)
        if keep:
            path = checkpoint_path(folder, arm.name, seed)
            path.parent.mkdir(parents=True, exist_ok=True)
            trainer.save_checkpoint(path, weights_only=True)
    return task, curve.points


def _with_paths(arguments: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Replace names of files of the study by their paths."""
    files = {name: folder / arguments[name] for name in FILES if name in arguments}
    found = {name: str(file) for name, file in files.items() if file.is_file()}
    return arguments | found


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress advice of Lightning that does not apply here."""
    logger = logging.getLogger('lightning.pytorch')
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', '.*does not have many workers')
        warnings.filterwarnings('ignore', '.*`isinstance.treespec')
        warnings.filterwarnings('ignore', '.*concept basis is random')
        warnings.filterwarnings('ignore', '.*lr_scheduler.step')
        warnings.filterwarnings('ignore', '.*module.s. in eval mode')
        try:
            yield
        finally:
            logger.setLevel(level)
