# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Measure the released weights of ConceptEarth, and write the page of their numbers.

Run as ``python docs/benchmarks/concept_earth.py --data FOLDER`` with tables as
``torchgeo-concepts benchmark`` takes them; ``--output docs/concept_earth_numbers.md``
writes the page. It needs the extras geoclip, layers and tests, and about half an hour on
two cores; ``--scores FOLDER`` keeps the scores of the tables for another run.
"""

import argparse
import itertools
import statistics
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from geoclip_speed import paired_rates, world
from numpy.typing import NDArray
from torch import Tensor, nn
from torchgeo.models import get_model_weights
from torchmetrics.functional import r2_score

from torchgeo_concepts.concepts import ConceptBank
from torchgeo_concepts.datasets.grounded_points import held_out_blocks
from torchgeo_concepts.datasets.point_sampling import land_points, sample_points
from torchgeo_concepts.embed.points import embed_points
from torchgeo_concepts.evaluate.benchmark import benchmark
from torchgeo_concepts.evaluate.benchmark.inputs import unit_sphere
from torchgeo_concepts.evaluate.benchmark.report import PROTOCOL_IN_WORDS, target_lines
from torchgeo_concepts.geo.points import wrap_longitude
from torchgeo_concepts.geo.sphere import RADIUS_KM
from torchgeo_concepts.io.pages import today_with, wrapped, write_lines
from torchgeo_concepts.layers import get_layer
from torchgeo_concepts.layers.grounding import Groundings, load_groundings
from torchgeo_concepts.models import (
    ConceptEarth,
    ConceptEarth_Weights,
    GeoCLIPLocation,
    geoclip_location,
)
from torchgeo_concepts.models.features import features
from torchgeo_concepts.models.geoclip import equal_earth
from torchgeo_concepts.tasks.concept_distillation import concept_quality

# No point of these was drawn for training, which used seed 0.
FRESH = 20_000_001

READ_OUTS = ('head', 'projection')

# Sizes that embeddings are truncated to.
TRUNCATED = (32, 64, 128)

# Distances at which places are told apart, in km.
APART = (2, 5, 10, 20, 50, 100, 200, 500)

# Models stay where they are, beside points on the CPU.
embed = partial(embed_points, device='cpu', progress=False)

# Quantities that say how fine the encoder sees.
FINE = ('elevation', 'annual-mean-temperature', 'population-density', 'annual-rain')


@torch.no_grad()
def outputs(model: ConceptEarth, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Compute embeddings, estimates in the scale of labels, and projections."""
    parts = []
    for some in points.split(8192):
        hidden = model.hidden(some)
        x = model.whole(hidden)
        scores = model.scores(hidden) * model.std + model.mean
        parts.append((x, scores, model.basis(x)))
    x, scores, projections = map(torch.cat, zip(*parts, strict=True))
    return x, scores, projections


def labels_of(model: ConceptEarth, points: Tensor) -> Tensor:
    """Look up what the maps say of the concepts of a model."""
    groundings = load_groundings()
    column = {concept: i for i, concept in enumerate(groundings.bank.ids)}
    missing = [concept for concept in model.bank.ids if concept not in column]
    if missing:
        raise SystemExit(f'The maps on this machine do not tell {missing}.')
    labels = groundings.labels(points)
    return torch.from_numpy(labels[:, [column[c] for c in model.bank.ids]])


def fidelity(loaded: dict[str, ConceptEarth], teacher: nn.Module) -> Iterator[str]:
    """Compare embeddings with those of the teacher, on land."""
    points = land_points(20_000, FRESH)
    target = embed(teacher, points)
    shuffled = target[torch.randperm(len(target), generator=torch.Generator())]
    random = F.cosine_similarity(target, shuffled).mean()
    gallery = land_points(20_000, 0)
    queries = F.normalize(embed(teacher, gallery), dim=1)
    yield (
        'Cosines with the teacher are means over 20,000 fresh points on land, spread '
        'evenly; two of them, drawn at random, have '
        f'{random:.2f}. Centred means without the mean embedding. The gallery has '
        '20,000 other points on land, encoded by the student; queries are what the '
        'teacher makes of the same points.'
    )
    yield ''
    yield '| weights | cosine | centred | top-1 within 25 km | exact |'
    yield '| --- | ---: | ---: | ---: | ---: |'
    for name, model in loaded.items():
        x = embed(model, points)
        cosine = F.cosine_similarity(x, target).mean()
        mean = model.embedding_mean
        centred = F.cosine_similarity(x - mean, target - mean).mean()
        encoded = F.normalize(embed(model, gallery), dim=1)
        best = torch.cat([(some @ encoded.T).argmax(1) for some in queries.split(2000)])
        km = distance_km(gallery[best], gallery)
        exact = (best == torch.arange(len(best))).float().mean()
        yield (
            f'| {name} | {cosine:.3f} | {centred:.3f} | {(km <= 25).float().mean():.1%} '
            f'| {exact:.1%} |'
        )
    yield ''


def distance_km(a: Tensor, b: Tensor) -> Tensor:
    """Compute distances between points along a sphere."""
    chord = (unit_sphere(a) - unit_sphere(b)).norm(dim=1)
    km: Tensor = 2 * RADIUS_KM * (chord / 2).clamp(max=1).asin()
    return km


@torch.no_grad()
def scales(teacher: GeoCLIPLocation) -> Iterator[str]:
    """Tell over which distances the parts of the teacher change."""
    start = land_points(4000, FRESH)
    places = {0: start} | {km: moved(start, km) for km in APART}
    parts = {
        km: [capsule(equal_earth(points)) for capsule in teacher.capsules]
        for km, points in places.items()
    }
    total = sum(parts[0])
    variance = (total - total.mean(dim=0)).square().sum(dim=1).mean()
    yield (
        'The teacher adds up three networks, of waves from long to short. Share of the '
        'variance of its embeddings on land that each makes up, and half the mean '
        'squared difference between places some km apart, as a share of that variance: '
        'where the two are equal, places have nothing in common.'
    )
    yield ''
    yield f'| network | variance | {" | ".join(f"{km} km" for km in APART)} |'
    yield f'| --- | ---: |{" ---: |" * len(APART)}'
    for number, here in enumerate(parts[0]):
        spread = (here - here.mean(dim=0)).square().sum(dim=1).mean() / variance
        apart = [
            (here - parts[km][number]).square().sum(dim=1).mean() / 2 / variance
            for km in APART
        ]
        cells = ' | '.join(f'{value:.3f}' for value in (spread, *apart))
        yield f'| {number + 1} | {cells} |'
    yield ''


def speed(loaded: dict[str, ConceptEarth], repeats: int) -> Iterator[str]:
    """Time embedding, against the geoclip package and this package's GeoCLIP."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        from geoclip import LocationEncoder
    torch.set_num_threads(2)
    package = LocationEncoder().eval()
    ours = geoclip_location('MP16')
    points = world(8192)
    swapped = points.flip(1)
    functions = {
        'geoclip package, as shipped': lambda: package(swapped),
        'geoclip_location': lambda: ours(points),
    }
    for name, model in loaded.items():
        functions[f'{name}, x'] = partial(model, points)
        functions[f'{name}, xz'] = partial(features, model, points, 'xz')
        functions[f'{name}, x, products in bfloat16'] = partial(in_half, model, points)
    with torch.inference_mode():
        rates = {
            name: statistics.median(values)
            for name, values in paired_rates(functions, len(points), repeats).items()
        }
    yield f'Points/s in float32, 2 threads, batches of 8192, median of {repeats}.'
    yield ''
    yield '| encoder | points/s | of the package | of geoclip_location |'
    yield '| --- | ---: | ---: | ---: |'
    first, second = list(rates.values())[:2]
    for name, rate in rates.items():
        yield f'| {name} | {rate:,.0f} | {rate / first:.1f} | {rate / second:.1f} |'
    yield ''


def in_half(model: ConceptEarth, points: Tensor) -> Tensor:
    """Embed with matrix products in bfloat16."""
    with torch.autocast('cpu', torch.bfloat16):
        x: Tensor = model(points)
    return x


def quality(model: ConceptEarth, points: Tensor) -> pd.DataFrame:
    """Score both read-outs of each concept against maps."""
    labels = labels_of(model, points)
    _, scores, projections = outputs(model, points)
    return pd.DataFrame(
        {
            'concept': model.bank.ids,
            'category': [concept.category for concept in model.bank],
            'is_class': model.is_class.numpy(),
            'head': concept_quality(scores, labels, model.is_class).numpy(),
            'projection': concept_quality(
                scaled(projections, labels), labels, model.is_class
            ).numpy(),
            'holds': [_holding(column) for column in labels.T],
        }
    )


def _holding(label: Tensor) -> int:
    return int((label == 1).sum())


def scaled(projections: Tensor, labels: Tensor) -> Tensor:
    """Bring projections to the scale of labels, one line for each concept."""
    columns = []
    for projection, label in zip(projections.T, labels.T, strict=True):
        known = ~label.isnan()
        p, y = projection[known].double(), label[known].double()
        slope = ((p - p.mean()) * (y - y.mean())).mean() / p.var(correction=0)
        columns.append((projection - p.mean()) * slope + y.mean())
    return torch.stack(columns, dim=1).float()


def concepts(released: ConceptEarth, held_out: ConceptEarth) -> Iterator[str]:
    """Tell how well concepts are told, where training was and where it was not."""
    points = sample_points(150_000, FRESH)
    outside = points[held_out_blocks(points)]
    tables = {
        'GROUNDED, fresh points': quality(released, points[:40_000]),
        'HELD_OUT, blocks without training': quality(held_out, outside),
    }
    yield (
        'AUC of classes and R² of quantities (in the logarithm where labels are '
        f'logarithms): on 40,000 fresh points, and on {len(outside):,} points in blocks '
        'of 8° in which HELD_OUT, of the same configuration, has not seen one. The head '
        'is `concepts`, the projection `project` with a line through its values.'
    )
    yield ''
    yield (
        '| | classes | mean AUC, head | projection | quantities | median R², head '
        '| projection |'
    )
    yield '| --- | ---: | ---: | ---: | ---: | ---: | ---: |'
    for name, table in tables.items():
        known = table.dropna(subset='head')
        classes, quantities = known[known['is_class']], known[~known['is_class']]
        yield (
            f'| {name} | {len(classes)} | {classes["head"].mean():.3f} '
            f'| {classes["projection"].mean():.3f} | {len(quantities)} '
            f'| {quantities["head"].median():.3f} '
            f'| {quantities["projection"].median():.3f} |'
        )
    yield ''
    yield from reliability(released, points[:40_000])
    yield from worst(tables['HELD_OUT, blocks without training'])
    yield from every(*tables.values())


def worst(table: pd.DataFrame) -> Iterator[str]:
    """Name the concepts that are told worst in blocks without training."""
    # A class that hardly occurs there cannot be scored.
    known = table[~table['is_class'] | (table['holds'] >= 20)].dropna(subset='head')
    for kind, unit in ((True, 'AUC'), (False, 'R²')):
        rows = known[known['is_class'] == kind].nsmallest(10, 'head')
        said = ', '.join(
            f'{concept} {value:.2f}'
            for concept, value in zip(rows['concept'], rows['head'], strict=True)
        )
        yield f'Worst ten by {unit} in blocks without training: {said}.'
        yield ''


def every(fresh: pd.DataFrame, held_out: pd.DataFrame) -> Iterator[str]:
    """List all concepts."""
    yield '| concept | category | score | fresh: head | projection | blocks: head | projection |'
    yield '| --- | --- | --- | ---: | ---: | ---: | ---: |'
    columns = [table[kind] for table in (fresh, held_out) for kind in READ_OUTS]
    for i, concept in enumerate(fresh['concept']):
        cells = ' | '.join(
            '' if np.isnan(column.iloc[i]) else f'{column.iloc[i]:.3f}'
            for column in columns
        )
        score = 'AUC' if fresh['is_class'].iloc[i] else 'R²'
        yield f'| {concept} | {fresh["category"].iloc[i]} | {score} | {cells} |'
    yield ''


def regions(model: ConceptEarth, teacher: nn.Module) -> Iterator[str]:
    """Tell where on Earth the encoder is weak."""
    # Hardly any of the points that are drawn as for training lie at a pole.
    points = torch.cat((sample_points(200_000, FRESH), polar_points(3000)))
    lon, lat = points.double().numpy().T
    land = get_layer('land').at(lon, lat) == 1
    continent = get_layer('continent')
    code = continent.at(lon, lat)
    names = continent.classes or {}
    where: dict[str, NDArray[np.bool_]] = {
        names[number]: land & (code == number) & (lat > -60) for number in names
    }
    where['Antarctica, south of 60° S'] = land & (lat < -60) & (lat > -89)
    where['Arctic, land north of 66° N'] = land & (lat > 66)
    where['sea'] = ~land & (np.abs(lat) < 89)
    where['within 1° of the North Pole'] = lat > 89
    where['within 1° of the South Pole'] = lat < -89
    labels = labels_of(model, points)
    x, scores, _ = outputs(model, points)
    target = embed(teacher, points)
    mean = model.embedding_mean
    centred = F.cosine_similarity(x - mean, target - mean)
    column = {concept: i for i, concept in enumerate(model.bank.ids)}
    yield '| where | points | centred cosine | mean AUC | median R² | elevation, m | temperature, °C |'
    yield '| --- | ---: | ---: | ---: | ---: | ---: | ---: |'
    for name, mask in where.items():
        here = torch.from_numpy(mask)
        if here.sum() < 50:
            continue
        some = concept_quality(scores[here], labels[here], model.is_class)
        # At a pole hardly a map varies, and nothing is to be told apart.
        if 'Pole' in name:
            some = torch.full_like(some, torch.nan)
        errors = [
            (scores[here] - labels[here])[:, column[c]].abs().nanmean()
            for c in ('elevation', 'annual-mean-temperature')
        ]
        yield (
            f'| {name} | {int(here.sum()):,} | {centred[here].mean():.3f} '
            f'| {_shown(some[model.is_class].nanmean())} '
            f'| {_shown(some[~model.is_class].nanmedian())} '
            f'| {errors[0]:.0f} | {errors[1]:.1f} |'
        )
    yield ''


def _shown(value: Tensor) -> str:
    return '-' if value.isnan() else f'{value:.3f}'


def polar_points(number: int) -> Tensor:
    """Draw points within a degree of either pole, equally dense everywhere."""
    generator = torch.Generator().manual_seed(FRESH)
    draw = torch.rand(2, number, generator=generator, dtype=torch.float64)
    lat = 90 - draw[0].sqrt()
    side = torch.where(torch.arange(number) % 2 == 0, 1.0, -1.0)
    return torch.stack((draw[1] * 360 - 180, lat * side), dim=1).float()


def reliability(model: ConceptEarth, points: Tensor) -> Iterator[str]:
    """Compare probabilities that are said with how often classes hold."""
    labels = labels_of(model, points)[:, model.is_class]
    said = model.calibrate(outputs(model, points)[1])[:, model.is_class]
    known = ~labels.isnan()
    said, holds = said[known].double(), labels[known].double()
    yield (
        'Probabilities of all classes on 40,000 fresh points, by what is said. They are '
        'estimates of a linear output, cut off at 0 and 1, and not calibrated further.'
    )
    yield ''
    yield '| said | pairs of point and class | mean said | share that holds |'
    yield '| --- | ---: | ---: | ---: |'
    edges = (0.0, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9)
    for low, high in itertools.pairwise((*edges, 1.0)):
        some = (said >= low) & ((said < high) | (high == 1))
        yield (
            f'| {low:.1f} to {high:.1f} | {int(some.sum()):,} '
            f'| {said[some].mean():.3f} | {holds[some].mean():.3f} |'
        )
    yield ''


def resolution(loaded: dict[str, ConceptEarth]) -> Iterator[str]:
    """Tell how near places can be told apart."""
    start = land_points(20_000, FRESH)
    groundings = load_groundings()
    chosen = [groundings.bank.ids.index(concept) for concept in FINE]
    yield (
        'R² of differences between two places on land that are so many km apart, as the '
        'encoder and as the maps have them. The effective resolution is where it passes '
        '0.5.'
    )
    yield ''
    yield f'| weights | quantity | {" | ".join(f"{km} km" for km in APART)} | resolution |'
    yield f'| --- | --- |{" ---: |" * (len(APART) + 1)}'
    pairs = {km: moved(start, km) for km in APART}
    truth = {km: _difference(groundings, start, pairs[km])[:, chosen] for km in APART}
    for name, model in loaded.items():
        here = outputs(model, start)[1]
        there = {km: outputs(model, pairs[km])[1] for km in APART}
        for i, concept in enumerate(FINE):
            if concept not in model.bank.ids:
                continue
            column = model.bank.ids.index(concept)
            r2 = {}
            for km in APART:
                known = ~truth[km][:, i].isnan()
                said = (there[km] - here)[:, column][known]
                r2[km] = float(r2_score(said, truth[km][:, i][known]))
            cells = ' | '.join(f'{value:.2f}' for value in r2.values())
            yield f'| {name} | {concept} | {cells} | {_passes(r2)} |'
    yield ''


def _difference(groundings: Groundings, a: Tensor, b: Tensor) -> Tensor:
    return torch.from_numpy(groundings.labels(b) - groundings.labels(a))


def _passes(r2: dict[int, float]) -> str:
    """Interpolate, in the logarithm of distance, where R² passes a half."""
    distances = list(r2)
    if r2[distances[0]] >= 0.5:
        return f'below {distances[0]} km'
    for near, far in itertools.pairwise(distances):
        if r2[far] >= 0.5:
            share = (0.5 - r2[near]) / (r2[far] - r2[near])
            return f'{near * (far / near) ** share:.0f} km'
    return f'above {distances[-1]} km'


def moved(points: Tensor, km: float) -> Tensor:
    """Move points in directions drawn at random."""
    generator = torch.Generator().manual_seed(0)
    bearing = 2 * torch.pi * torch.rand(len(points), generator=generator).double()
    lon, lat = torch.deg2rad(points.double()).unbind(dim=1)
    arc = torch.tensor(km / RADIUS_KM, dtype=torch.float64)
    up = lat.sin() * arc.cos() + lat.cos() * arc.sin() * bearing.cos()
    turn = torch.atan2(
        bearing.sin() * arc.sin() * lat.cos(), arc.cos() - lat.sin() * up
    )
    away = wrap_longitude(torch.rad2deg(lon + turn))
    return torch.stack((away, torch.rad2deg(up.clamp(-1, 1).asin())), dim=1).float()


def banks(model: ConceptEarth) -> Iterator[str]:
    """Count concepts."""
    curated = ConceptBank.default()
    shared = set(curated.ids) & set(model.bank.ids)
    yield (
        f'Of the {len(model.bank)} concepts of GROUNDED, in '
        f'{len(model.bank.categories)} categories, {len(shared)} are of the curated '
        f'bank; layers add the others. {len(curated) - len(shared)} of the '
        f'{len(curated)} curated concepts are grounded by no layer.'
    )
    yield ''


def downstream(data: Path, scores: Path, names: Sequence[str]) -> Iterator[str]:
    """Score weights on tables of points, beside GeoCLIP."""
    done = benchmark(
        scores,
        data,
        datasets=(),
        encoders=['geoclip_location', *(f'concept_earth:{name}' for name in names)],
        truncate_dims=TRUNCATED,
        device='cpu',
    )
    yield from wrapped(
        f'{PROTOCOL_IN_WORDS} Where scores were kept from a run before, points/s are of '
        'that run; they depend on what else a machine does, and Speed below measures '
        'them side by side.'
    )
    yield from target_lines(done.rows, level=3)


def report(
    data: Path, scores: Path, names: Sequence[str], repeats: int
) -> Iterator[str]:
    """Yield the lines of the page."""
    members = [ConceptEarth_Weights.verify(name) for name in names]
    loaded = {member.name: ConceptEarth.load(member.path()) for member in members}
    released = {name: model for name, model in loaded.items() if name != 'HELD_OUT'}
    teacher = geoclip_location('MP16')
    yield '# ConceptEarth: measurements'
    yield ''
    yield (
        f'Written by `python docs/benchmarks/concept_earth.py --data {data}` on '
        f'{today_with()}, 2 threads.'
    )
    yield ''
    yield '## Size and training'
    yield ''
    yield '| weights | MB | parameters | concepts | points | steps |'
    yield '| --- | ---: | ---: | ---: | ---: | ---: |'
    for member, model in zip(members, loaded.values(), strict=True):
        number = sum(parameter.numel() for parameter in model.parameters())
        made = model.provenance
        yield (
            f'| {member.name} | {member.path().stat().st_size / 1e6:.2f} | {number:,} '
            f'| {len(model.bank)} | {made["points"]:,} | {made["steps"]:,} |'
        )
    yield ''
    yield from banks(loaded['GROUNDED'])
    yield '## Downstream'
    yield ''
    yield from downstream(data, scores, list(released))
    yield '## In the space of GeoCLIP'
    yield ''
    yield from fidelity(loaded, teacher)
    yield from scales(teacher)
    yield '## Speed'
    yield ''
    yield from speed({n: released[n] for n in ('GROUNDED', 'FAST')}, repeats)
    yield '## Where it is weak'
    yield ''
    yield from regions(loaded['GROUNDED'], teacher)
    yield '## Effective resolution'
    yield ''
    yield from resolution(released)
    yield '## Concepts'
    yield ''
    yield from concepts(loaded['GROUNDED'], loaded['HELD_OUT'])


def main() -> None:
    """Print the page, and write it if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--data', type=Path, required=True)
    parser.add_argument('--output', type=Path)
    parser.add_argument('--scores', type=Path)
    parser.add_argument('--repeats', type=int, default=5)
    known = [weights.name for weights in get_model_weights('concept_earth')]
    parser.add_argument('--weights', nargs='*', default=known)
    options = parser.parse_args()
    start, lines = time.perf_counter(), []
    with tempfile.TemporaryDirectory() as folder:
        scores = options.scores or Path(folder)
        for line in report(options.data, scores, options.weights, options.repeats):
            print(line, flush=True)
            lines.append(line)
    if options.output is not None:
        write_lines(options.output, lines)
    print(f'{time.perf_counter() - start:.0f} s')


if __name__ == '__main__':
    main()
