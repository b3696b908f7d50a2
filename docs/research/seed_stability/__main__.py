# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Compare the explanations of encoders that were trained alike from other seeds.

Run as ``python docs/benchmarks/seed_stability.py --output docs/seed_stability_numbers.md``.
It needs the extras cities, geoclip and layers, some minutes on two cores for each seed,
and the points of ``torchgeo fit --config docs/configs/concept_earth.yaml``, which it makes
if there are none. A seed that is trained is kept, so that a run that was stopped goes on
with the next.
"""

import argparse
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

# Land but Antarctica, of which no city tells.
AREA = (-180, -60, 180, 85)

# Concepts that are listed, of those that agree least.
WORST = 10

# A correlation that counts as high.
HIGH = 0.9

HEADER = (
    '| pair | scores | 10 highest | highest | predictions | contributions | 10 largest '
    '| largest | ranking |'
)


class Reordered(GroundedPointsDataModule):
    """The same points, read once, in an order of their own for each seed."""

    order = 0

    @cached_property
    def read(self) -> tuple[GroundedPoints, GroundedPoints]:
        """Points to train and to validate on."""
        return super()._train(), super()._val()

    def _train(self) -> GroundedPoints:
        return self.read[0]

    def _val(self) -> GroundedPoints:
        return self.read[1]

    def _order(self, dataset: Dataset[Sample], seed: int) -> ResumingSampler:
        return super()._order(dataset, self.order)


def points_of(recipe: dict[str, Any], root: Path | None) -> Reordered:
    """Return the points of the recipe, or the same in another folder."""
    options = recipe['data']['init_args']
    return Reordered(**options | ({} if root is None else {'root': root}))


def trained(
    seed: int, recipe: dict[str, Any], data: Reordered, steps: int, folder: Path
) -> ConceptEarth:
    """Train by a recipe with fewer steps, or read what is kept."""
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
        raise SystemExit(f'Seed {seed} was stopped after {trainer.global_step} steps.')
    [metrics] = trainer.validate(task, data, verbose=False)
    task.model.provenance |= {
        'seed': seed,
        'steps': steps,
        'metrics': {name: round(value, 4) for name, value in metrics.items()},
    }
    folder.mkdir(parents=True, exist_ok=True)
    task.model.save(file)
    return ConceptEarth.load(file)


def compared(
    models: Mapping[str, ConceptEarth], number: int
) -> Iterator[tuple[str, ModelStability]]:
    """Compare encoders by heads of each target."""
    points = sample_area(AREA, number, land_only=True)
    for target, title in TARGETS.items():
        cities = CityClimate(target)
        values = cities.values[:, 0]
        yield title, stability_over_models(models, points, cities.points, values)


def table(stability: ModelStability) -> Iterator[str]:
    """Return a row for each pair, and one of chance."""
    yield HEADER
    yield f'| --- |{" ---: |" * 8}'
    for row in stability.to_frame().to_dict('records'):
        first, second, *values = row.values()
        cells = ' | '.join(f'{value:.3f}' for value in values)
        yield f'| {first}, {second} | {cells} |'
    chance = f'{stability.chance:.3f}'
    yield f'| chance | 0 | {chance} | | | 0 | {chance} | | 0 |'
    yield ''


def encoders(models: Mapping[str, ConceptEarth]) -> Iterator[str]:
    """Tell how well encoders were trained."""
    yield '| encoder | seed | steps | AUC of classes | R² of quantities | centred cosine |'
    yield f'| --- |{" ---: |" * 5}'
    for name, model in models.items():
        told = model.provenance
        scores = ' | '.join(
            f'{told["metrics"][metric]:.3f}'
            for metric in ('val_auc', 'val_r2', 'val_centred_cosine')
        )
        yield f'| {name} | {told["seed"]} | {told["steps"]:,} | {scores} |'
    yield ''


def draws(models: Mapping[str, ConceptEarth]) -> Iterator[str]:
    """Tell how far rankings of one encoder depend on the cities."""
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


def least_alike(stability: ModelStability) -> Iterator[str]:
    """Tell how many concepts agree, and name those that do least."""
    scores = np.stack([pair.scores for pair in stability.pairs])
    share = (scores > HIGH).mean()
    mean = scores.mean(axis=0)
    names = ', '.join(
        f'{stability.concepts[column]} {mean[column]:.2f}'
        for column in np.argsort(mean)[:WORST]
    )
    yield from wrapped(
        f'Scores correlate above {HIGH} for {share:.0%} of concepts and pairs. The '
        f'concepts that agree least, with the mean over pairs: {names}.'
    )


def report(seeds: Mapping[str, ConceptEarth], number: int) -> Iterator[str]:
    """Yield the lines of the page."""
    released = {name: concept_earth(name) for name in RELEASED}
    yield '# Explanations over seeds: measurements'
    yield ''
    yield from wrapped(
        f'Written by `python docs/benchmarks/seed_stability.py` on '
        f'{today_with()}, 2 threads. '
        '[Audit](audit.md#would-another-encoder-explain-alike) says what it is about.'
    )
    yield '## Encoders'
    yield ''
    steps = next(iter(seeds.values())).provenance['steps']
    yield from wrapped(
        f'{len(seeds)} encoders were trained as GROUNDED was, by '
        f'`docs/configs/concept_earth.yaml`, but for {steps:,} steps only. Each has a '
        'seed of its own, which decides where its network starts and which points of the '
        'same six million it sees, and when. Directions of concepts start alike. Scores '
        'are those on points to validate on, HELD_OUT in its held-out blocks.'
    )
    yield from encoders({**seeds, **released})
    yield '## Trained alike from other seeds'
    yield ''
    places = len(sample_area(AREA, number, land_only=True))
    yield from wrapped(
        f'At {places:,} points spread evenly over land north of 60° S. A ridge regression '
        'on the scores of each encoder predicts a target of the same 270 cities. '
        '`scores` is the median over concepts of the correlation of their scores; '
        '`10 highest` the share of the ten highest scores of a point that both name, '
        '`highest` how often the first is the same; `10 largest` and `largest` the same '
        'for contributions, of either sign; `contributions` the correlation of all of '
        "them, `predictions` that of their sums; `ranking` Spearman's of the mean sizes "
        'of contributions.'
    )
    for title, stability in compared(seeds, number):
        yield f'### {title}'
        yield ''
        yield from table(stability)
    yield from least_alike(stability)
    yield '## Released weights'
    yield ''
    yield from wrapped(
        'These differ in their recipe: FAST is smaller and was trained for half as long, '
        'HELD_OUT has not seen a tenth of all blocks of 8 degrees. All three were trained '
        'from seed 0, so they tell what else changes than the seed.'
    )
    for title, stability in compared(released, number):
        yield f'### {title}, released weights'
        yield ''
        yield from table(stability)
    yield from least_alike(stability)
    yield '## Other draws of the cities'
    yield ''
    yield from wrapped(
        'To compare with: the ranking of contributions of one encoder among heads that '
        'were fitted to other draws of whole blocks of 10 degrees, at the cities. In '
        'brackets what holds 95% of the pairs of draws.'
    )
    name = next(iter(seeds))
    yield from draws({name: seeds[name], 'GROUNDED': released['GROUNDED']})


def main() -> None:
    """Print the page, and write it if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--output', type=Path)
    parser.add_argument('--points', type=Path, help='folder of the training points')
    parser.add_argument(
        '--folder',
        type=Path,
        default=Path('data/seed-stability'),
        help='where trained encoders are kept',
    )
    parser.add_argument('--seeds', type=int, default=3, help='number of seeds')
    parser.add_argument('--steps', type=int, default=200, help='steps of training')
    parser.add_argument('--number', type=int, default=4000, help='points to compare at')
    options = parser.parse_args()
    torch.set_num_threads(2)
    recipe = yaml.safe_load(RECIPE.read_text(encoding='utf-8'))
    data = points_of(recipe, options.points)
    seeds = {
        f'seed {seed}': trained(seed, recipe, data, options.steps, options.folder)
        for seed in range(options.seeds)
    }
    lines = []
    for line in report(seeds, options.number):
        print(line, flush=True)
        lines.append(line)
    if options.output is not None:
        write_lines(options.output, lines)


if __name__ == '__main__':
    main()
