# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Page of the agreement of encoders with other seeds."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from faithfulness.rankings import ranking_stability
from lightning.pytorch import Trainer, seed_everything
from torch.utils.data import Dataset
from torchgeo.datasets.utils import Sample

from seed_stability.stability import ModelStability, stability_over_models
from torchgeo_concepts.datamodules import GroundedPointsDataModule
from torchgeo_concepts.datamodules._epochs import ResumingSampler
from torchgeo_concepts.datasets import CityClimate, GroundedPoints
from torchgeo_concepts.embed.points import embed_points
from torchgeo_concepts.io.pages import today_with, wrapped, write_lines
from torchgeo_concepts.layers.regions import sample_area
from torchgeo_concepts.models import ConceptEarth, concept_earth
from torchgeo_concepts.tasks import ConceptDistillation

RECIPE = Path(__file__).parents[2] / 'configs' / 'concept_earth.yaml'

RELEASED = ('GROUNDED', 'FAST', 'HELD_OUT')

TARGETS = {'annual_c': 'Annual mean temperature', 'annual_mm': 'Annual precipitation'}

# Without Antarctica, which has no cities.
AREA = (-180, -60, 180, 85)

# Number of concepts of the lowest agreement to list.
WORST = 10

# A correlation that counts as high.
HIGH = 0.9

HEADER = (
    '| pair | scores | 10 highest | highest | predictions | contributions | 10 largest '
    '| largest | ranking |'
)


class Reordered(GroundedPointsDataModule):
    """Training points that are read once, in another order for each seed."""

    order = 0

    @cached_property
    def read(self) -> tuple[GroundedPoints, GroundedPoints]:
        """Points of training and validation."""
        return super()._load()

    def _load(self) -> tuple[GroundedPoints, GroundedPoints]:
        return self.read

    def _order(self, dataset: Dataset[Sample], seed: int) -> ResumingSampler:
        return super()._order(dataset, self.order)


def make_data(recipe: dict[str, Any], root: Path | None) -> Reordered:
    """Return the points of a recipe, in its folder or another one."""
    options = recipe['data']['init_args']
    return Reordered(**options | ({} if root is None else {'root': root}))


def train(
    seed: int, recipe: dict[str, Any], data: Reordered, steps: int, folder: Path
) -> ConceptEarth:
    """Train by a recipe with fewer steps, or read the encoder that is kept."""
    file = folder / f'seed-{seed}-of-{steps}-steps.safetensors'
    if file.is_file():
        return ConceptEarth.load(file)
    data.order = seed
    seed_everything(seed)
    task = ConceptDistillation(**recipe['model']['init_args'])
    trainer = Trainer(
        accelerator='cpu',
        precision=recipe['trainer']['precision'],
        max_steps=steps,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
    )
    trainer.fit(task, data)
    if task.model is None or trainer.global_step < steps:
        raise RuntimeError(
            f'Training of seed {seed} stopped after {trainer.global_step} of {steps} steps.'
        )
    [metrics] = trainer.validate(task, data, verbose=False)
    task.model.provenance |= {
        'seed': seed,
        'steps': steps,
        'metrics': {name: round(value, 4) for name, value in metrics.items()},
    }
    folder.mkdir(parents=True, exist_ok=True)
    task.model.save(file)
    return ConceptEarth.load(file)


def compare_encoders(
    models: Mapping[str, ConceptEarth], number: int
) -> Iterator[tuple[str, ModelStability]]:
    """Compare encoders by heads of each target; yield its title and the result."""
    points = sample_area(AREA, number, land_only=True)
    for target, title in TARGETS.items():
        cities = CityClimate(target)
        values = cities.values[:, 0]
        yield title, stability_over_models(models, points, cities.points, values)


def pair_table(stability: ModelStability) -> Iterator[str]:
    """Yield a table of pairs, with a row of chance."""
    yield HEADER
    yield f'| --- |{" ---: |" * 8}'
    for row in stability.to_frame().to_dict('records'):
        first, second, *values = row.values()
        cells = ' | '.join(f'{value:.3f}' for value in values)
        yield f'| {first}, {second} | {cells} |'
    chance = f'{stability.chance:.3f}'
    yield f'| chance | 0 | {chance} | | | 0 | {chance} | | 0 |'
    yield ''


def encoder_table(models: Mapping[str, ConceptEarth]) -> Iterator[str]:
    """Yield a table of the validation scores of encoders."""
    yield '| encoder | seed | steps | AUC of classes | R² of quantities | centred cosine |'
    yield f'| --- |{" ---: |" * 5}'
    for name, model in models.items():
        made = model.provenance
        scores = ' | '.join(
            f'{made["metrics"][metric]:.3f}'
            for metric in ('val_auc', 'val_r2', 'val_centred_cosine')
        )
        yield f'| {name} | {made["seed"]} | {made["steps"]:,} | {scores} |'
    yield ''


def ranking_table(models: Mapping[str, ConceptEarth]) -> Iterator[str]:
    """Yield a table of the agreement of rankings over resampled cities."""
    yield '| encoder | target | ranking |'
    yield '| --- | --- | ---: |'
    for name, model in models.items():
        for target, title in TARGETS.items():
            cities = CityClimate(target)
            z = embed_points(
                model, cities.points, features='z', device='cpu', progress=False
            )
            mean, low, high = ranking_stability(z, cities.values[:, 0], cities.points)
            yield f'| {name} | {title} | {mean:.3f} ({low:.3f} to {high:.3f}) |'
    yield ''


def lowest_agreement(stability: ModelStability) -> Iterator[str]:
    """Yield a paragraph on the concepts with the lowest agreement."""
    scores = np.stack([pair.scores for pair in stability.pairs])
    share = (scores > HIGH).mean()
    mean = scores.mean(axis=0)
    names = ', '.join(
        f'{stability.concepts[column]} {mean[column]:.2f}'
        for column in np.argsort(mean)[:WORST]
    )
    yield from wrapped(
        f'Scores correlate above {HIGH} for {share:.0%} of concepts and pairs. Lowest '
        f'agreement, averaged over pairs: {names}.'
    )


def report(seeds: Mapping[str, ConceptEarth], number: int) -> Iterator[str]:
    """Yield the lines of the page.

    Args:
        seeds: Encoders of the same training with other seeds, by name.
        number: Number of points to compare at.
    """
    released = {name: concept_earth(name) for name in RELEASED}
    yield '# Explanations over seeds: measurements'
    yield ''
    yield from wrapped(
        'Written by `PYTHONPATH=docs/research python -m seed_stability` on '
        f'{today_with()}, 2 threads. '
        '[Do encoders with other seeds give the same explanations?](stability.md) '
        'describes the method.'
    )
    yield from _encoder_section(seeds, released)
    places = len(sample_area(AREA, number, land_only=True))
    yield from _pair_section(
        'Other seeds',
        seeds,
        number,
        f'At {places:,} points spread evenly over land north of 60° S. A ridge regression '
        'from the scores of each encoder predicts a target of the same 270 cities. '
        '`scores` is the median over concepts of the correlation of their scores. '
        '`10 highest` is the share of the ten highest scores of a point that both have in '
        'common, and `highest` the share of points with the same highest score. '
        '`10 largest` and `largest` are the same for contributions of either sign. '
        '`contributions` is the correlation of all contributions, `predictions` that of '
        "their sums, and `ranking` Spearman's of the mean absolute contributions.",
    )
    yield from _pair_section(
        'Released weights',
        released,
        number,
        'These differ in their recipe. FAST is smaller and was trained half as long. '
        'HELD_OUT was trained without a tenth of all blocks of 8 degrees. All three were '
        'trained with seed 0.',
    )
    yield '## Resampled cities'
    yield ''
    yield from wrapped(
        'For comparison: the agreement of rankings of one encoder between heads that were '
        'trained on resampled blocks of 10 degrees of the cities. In brackets the interval '
        'with 95% of the pairs of resamples.'
    )
    name = next(iter(seeds))
    yield from ranking_table({name: seeds[name], 'GROUNDED': released['GROUNDED']})


def _encoder_section(
    seeds: Mapping[str, ConceptEarth], released: Mapping[str, ConceptEarth]
) -> Iterator[str]:
    yield '## Encoders'
    yield ''
    steps = next(iter(seeds.values())).provenance['steps']
    yield from wrapped(
        f'{len(seeds)} encoders were trained as GROUNDED, by '
        f'`docs/configs/concept_earth.yaml`, but for {steps:,} steps only. The seed sets '
        'the initial weights of the network and the order of the same six million points. '
        'Directions of concepts start from the same values. Scores are those of '
        'validation, for HELD_OUT in its held-out blocks.'
    )
    yield from encoder_table({**seeds, **released})


def _pair_section(
    title: str, models: Mapping[str, ConceptEarth], number: int, text: str
) -> Iterator[str]:
    yield f'## {title}'
    yield ''
    yield from wrapped(text)
    for target, stability in compare_encoders(models, number):
        yield f'### {title}: {target}'
        yield ''
        yield from pair_table(stability)
    yield from lowest_agreement(stability)


def seed_stability(
    output: Path | None = None,
    points: Path | None = None,
    folder: Path = Path('data/seed-stability'),
    seeds: int = 3,
    steps: int = 200,
    number: int = 4_000,
) -> str:
    """Compare the explanations of encoders that differ in their seed.

    It needs the extras cities, geoclip and layers, some minutes on two cores for each
    seed, and the points of ``torchgeo fit --config docs/configs/concept_earth.yaml``,
    which it makes if there are none. Encoders are kept, so a stopped run can go on.

    Args:
        output: Markdown file to write.
        points: Folder of the training points, by default that of the configuration.
        folder: Folder of the trained encoders.
        seeds: Number of seeds.
        steps: Number of training steps.
        number: Number of points to compare at.

    Returns:
        The page.
    """
    torch.set_num_threads(2)
    recipe = yaml.safe_load(RECIPE.read_text(encoding='utf-8'))
    data = make_data(recipe, points)
    models = {
        f'seed {seed}': train(seed, recipe, data, steps, folder)
        for seed in range(seeds)
    }
    lines = list(report(models, number))
    if output is not None:
        write_lines(output, lines)
    return '\n'.join(lines)
