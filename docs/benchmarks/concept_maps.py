# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Score the map of every grounded concept, and write the page of the numbers.

Run as ``python docs/benchmarks/concept_maps.py --output docs/concept_maps_numbers.md``.
It needs the extras cities, explain, geoclip and layers, and some minutes on two cores.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import shapely
import torch
from concept_earth import outputs
from numpy.typing import NDArray
from second_sources import sources
from sklearn.linear_model import Ridge
from torch import Tensor, nn

from torchgeo_concepts.datasets.grounded_points import held_out_blocks
from torchgeo_concepts.datasets.point_sampling import sample_points
from torchgeo_concepts.embed.points import embed_points
from torchgeo_concepts.evaluate.autocorrelation import morans_i
from torchgeo_concepts.evaluate.linear_heads import (
    fit_regression,
    held_out_predictions,
    mean_r2,
    scale_of,
)
from torchgeo_concepts.geo.splits import block_folds
from torchgeo_concepts.io.pages import today_with, write_lines
from torchgeo_concepts.layers import get_layer
from torchgeo_concepts.layers.grounding import load_groundings
from torchgeo_concepts.layers.regions import Regions, sample_area, us_states
from torchgeo_concepts.maps import MapScore, score_map
from torchgeo_concepts.models import ConceptEarth, concept_earth, geoclip_location

# No training has used these.
FRESH = 20_000_002

# One point at sea stands for so many, since most concepts are told of land.
SEA = 8

# Fewest points at which a class must hold, and fail, to be scored.
RARE = 20

# Penalties of ridge regressions that are tried, and points that they are tried on.
ALPHAS, TRIED_ON = tuple(10.0**power for power in range(6)), 6000

DRAWS = 200
MORAN_POINTS = 2000

embed = partial(embed_points, device='cpu', progress=False)
quick = partial(score_map, num_samples=DRAWS, moran=False)


# Forest --------------------------------------------------------------------------------


class Learned:
    """Linear directions in embeddings that are learned from a map."""

    def __init__(
        self, encoder: nn.Module, points: Tensor, y: Tensor, tried: Tensor
    ) -> None:
        """Embed the points, and choose the penalty by blocks of 10 degrees of some."""
        self.encoder = encoder
        self.x, self.y = embed(encoder, points), y
        rows = torch.nonzero(tried).flatten()[:TRIED_ON]
        folds = block_folds(points[rows])
        x, some = self.x[rows], y[rows].double()

        def score(alpha: float) -> float:
            predicted = held_out_predictions(x, some, folds, Ridge(alpha))
            return mean_r2(some, predicted, folds)

        self.alpha = max(ALPHAS, key=score)

    def direction(self, rows: Tensor) -> Callable[[Tensor], NDArray[np.float64]]:
        """Learn a direction from some of the points; it maps embeddings."""
        mean, std = scale_of(self.x[rows])
        head = fit_regression(
            Ridge(self.alpha), (self.x[rows] - mean) / std, self.y[rows]
        )

        def project(x: Tensor) -> NDArray[np.float64]:
            said: NDArray[np.float64] = (
                ((x - mean) / std).double() @ head.weight[0]
            ).numpy()
            return said

        return project


def forest_of(model: ConceptEarth, points: Tensor, projected: bool) -> Tensor:
    """Return how much forest a model says there is, or its projection."""
    column = model.bank.index('forest')
    _, scores, projections = outputs(model, points.float())
    return (projections if projected else scores)[:, column]


def forest(number: int, learned_on: int) -> Iterator[str]:
    """Score maps of forest by US state and by country."""
    truth = next(
        g for g in load_groundings(probes=100).groundings if g.concept == 'forest'
    )
    states = us_states()
    usa = shapely.union_all(list(states.values()))
    here = sample_area(usa, 3 * number)
    there = sample_area(number=10 * number, land_only=True)
    there = there[torch.from_numpy(held_out_blocks(there))]
    drawn = sample_points(learned_on, FRESH)
    where = truth(drawn)
    known = ~np.isnan(where)
    near = shapely.intersects_xy(usa.buffer(0.5), *drawn.double().numpy().T)
    held_out = held_out_blocks(drawn)
    names = ('GROUNDED', 'HELD_OUT', 'DISTILLED')
    models = {name: concept_earth(name) for name in names}
    outside = torch.from_numpy(known & ~near & ~held_out)
    learned = {
        name: Learned(encoder, drawn, torch.from_numpy(where), outside)
        for name, encoder in (
            ('GeoCLIP x, ridge', geoclip_location('MP16')),
            ('DISTILLED x, ridge', models['DISTILLED']),
        )
    }
    yield (
        'Truth is the share of the five forest classes of MODIS land cover of 2019. '
        '`concepts` is the supervised estimate, `project` the projection on the direction '
        'of the concept. Ridge directions are learned on '
        f'{learned_on:,} points drawn as training points are, and where the second column '
        'says so without those of the area they are scored in; the penalty is the best by '
        'blocks of 10 degrees outside both areas. Correlations of means by '
        'state or country, in brackets 95% intervals from drawing them again.'
    )
    yield ''
    for title, points, regions, inside, model in (
        ('48 US states', here, states, near, 'GROUNDED'),
        (
            'Countries, held-out blocks of 8°',
            there,
            get_layer('country'),
            held_out,
            'HELD_OUT',
        ),
    ):
        rows: dict[tuple[str, str], Tensor | NDArray[np.float64]] = {}
        for name in dict.fromkeys(('GROUNDED', model)):
            seen = 'no' if name == 'HELD_OUT' else 'yes'
            for projected, what in ((False, 'concepts'), (True, 'project')):
                rows[f'{name} {what}', seen] = forest_of(
                    models[name], points, projected
                )
        for name, encoder in learned.items():
            x = embed(encoder.encoder, points)
            for seen, chosen in (('yes', known), ('no', known & ~inside)):
                rows[name, seen] = encoder.direction(torch.from_numpy(chosen))(x)
        yield f'### {title}'
        yield ''
        yield '| map | saw forest here | regions | Spearman, regions | Pearson, regions | AUC, points |'
        yield '| --- | --- | ---: | ---: | ---: | ---: |'
        values = truth(points)
        for (name, seen), said in rows.items():
            score = quick(
                said, values, points=points, regions=regions, num_samples=1000
            )
            yield f'| {name} | {seen} | {len(score.regions)} | {_forest_cells(score)} |'
        yield ''
        yield from greenness(
            points, regions, values, model, forest_of(models[model], points, False)
        )


def _forest_cells(score: MapScore) -> str:
    return ' | '.join(
        str(estimate)
        for estimate in (
            score.by_region['spearman'],
            score.by_region['pearson'],
            score.by_point['auc'],
        )
    )


def greenness(
    points: Tensor,
    regions: Regions,
    modis: NDArray[np.float32],
    model: str,
    said: Tensor,
) -> Iterator[str]:
    """Compare with a source that no weights have seen, though it tells of green alone."""
    layer = get_layer('blue-marble-greenness')
    cells = []
    for name, values in (('MODIS forest', modis), (model, said)):
        score = quick(values, layer, points=points, regions=regions, num_samples=1000)
        cells.append(f'{name} {score.by_region["spearman"]}')
    yield (
        'Against the greenness of Blue Marble, an image that no weights have seen, which '
        f'shows more than forest, the Spearman correlation by region is: {cells[0]}; '
        f'{cells[1]}.'
    )
    yield ''


# Every concept -------------------------------------------------------------------------


def scored(
    ids: Sequence[str],
    said: NDArray[np.float64],
    labels: NDArray[np.float64],
    is_class: Sequence[bool],
    points: Tensor,
    weights: NDArray[np.float64] | None = None,
) -> pd.DataFrame:
    """Score many maps at the same points."""
    rows = []
    moran = autocorrelation(said, labels, points)
    for column, concept in enumerate(ids):
        y, x = said[:, column], labels[:, column]
        known = ~np.isnan(x)
        row: dict[str, object] = {'concept': concept, 'points': int(known.sum())}
        holds = int((x[known] == 1).sum())
        row['holds'] = holds if is_class[column] else None
        fewest = min(holds, int(known.sum()) - holds) if is_class[column] else RARE
        if fewest < RARE or known.sum() < RARE or np.ptp(x[known]) == 0:
            rows.append(row)
            continue
        score = quick(y, x, points=points, weights=weights)
        row |= {**score.by_point, **moran.get(column, {})}
        rows.append(row)
    return pd.DataFrame(rows)


def autocorrelation(
    said: NDArray[np.float64], labels: NDArray[np.float64], points: Tensor
) -> dict[int, dict[str, float]]:
    """Compute Moran's I of maps and of errors, where labels are known alike at once."""
    rng = np.random.default_rng(0)
    chosen = np.sort(rng.permutation(len(points))[:MORAN_POINTS])
    said, labels, points = (
        said[chosen],
        labels[chosen],
        points[torch.from_numpy(chosen)],
    )
    alike: dict[bytes, list[int]] = {}
    for column in range(labels.shape[1]):
        alike.setdefault(np.isnan(labels[:, column]).tobytes(), []).append(column)
    result = {}
    for columns in alike.values():
        known = ~np.isnan(labels[:, columns[0]])
        if known.sum() < 100:
            continue
        y, x = said[known][:, columns].T, labels[known][:, columns].T
        dy, dx = y - y.mean(1, keepdims=True), x - x.mean(1, keepdims=True)
        spread = np.maximum((dy**2).sum(1, keepdims=True), 1e-12)
        error = dx - dy * (dy * dx).sum(1, keepdims=True) / spread
        values = morans_i(points[torch.from_numpy(known)], np.concatenate((y, error)))
        for place, column in enumerate(columns):
            of_map, of_error = values[place], values[len(columns) + place]
            result[column] = {'map': of_map, 'error': of_error}
    return result


def said_by(model: ConceptEarth, points: Tensor) -> NDArray[np.float64]:
    """Return estimates in the scale of labels."""
    return outputs(model, points.float())[1].double().numpy()


def second(model: ConceptEarth, number: int) -> pd.DataFrame:
    """Score concepts against second sources."""
    column = {concept: i for i, concept in enumerate(model.bank.ids)}
    tables = []
    for source in sources(number):
        groundings = [g for g in source.groundings if g.concept in column]
        ids = [g.concept for g in groundings]
        labels = np.stack([g(source.points) for g in groundings], 1).astype(float)
        said = said_by(model, source.points)[:, [column[concept] for concept in ids]]
        is_class = [g.kind == 'class' for g in groundings]
        table = scored(ids, said, labels, is_class, source.points)
        tables.append(table.assign(source=source.name))
    return pd.concat(tables, ignore_index=True)


def held_out(model: ConceptEarth, number: int) -> pd.DataFrame:
    """Score all concepts in blocks that the model has not seen."""
    points = sample_area(number=number)
    points = points[torch.from_numpy(held_out_blocks(points))]
    land = get_layer('land')(points) == 1
    chosen = land | (np.arange(len(points)) % SEA == 0)
    points = points[torch.from_numpy(chosen)]
    weights = np.where(land[chosen], 1.0, SEA)
    groundings = load_groundings()
    column = {concept: i for i, concept in enumerate(groundings.bank.ids)}
    order = [column[concept] for concept in model.bank.ids]
    labels = groundings.labels(points)[:, order].astype(float)
    is_class = model.is_class.tolist()
    said = said_by(model, points)
    return scored(model.bank.ids, said, labels, is_class, points, weights)


def summary(name: str, table: pd.DataFrame) -> str:
    """Return a row of medians."""
    known = table.dropna(subset='spearman')
    classes = known[known['holds'].notna()]

    def median(rows: pd.DataFrame, score: str) -> str:
        return f'{np.median([e.value for e in rows[score]]):.3f}' if len(rows) else ''

    quantities = known[known['holds'].isna()]
    return (
        f'| {name} | {len(classes)} | {median(classes, "auc") if len(classes) else ""} '
        f'| {len(quantities)} | {median(quantities, "pearson")} '
        f'| {median(quantities, "spearman")} | {known["map"].median():.2f} '
        f'| {known["error"].median():.2f} |'
    )


def worst(table: pd.DataFrame) -> Iterator[str]:
    """Name the concepts whose maps agree least."""
    known = table.dropna(subset='spearman')
    for score, rows in (
        ('auc', known[known['holds'].notna()]),
        ('spearman', known[known['holds'].isna()]),
    ):
        values = rows.assign(value=[e.value for e in rows[score]])
        said = ', '.join(
            f'{row.concept} {row.value:.2f}'
            for row in values.nsmallest(10, 'value').itertuples()
        )
        if said:
            title = {'auc': 'AUC of classes', 'spearman': 'Spearman of quantities'}[
                score
            ]
            yield f'Worst by {title}: {said}.'
            yield ''
    rare = table[table['spearman'].isna()]['concept'].tolist()
    if rare:
        yield (
            f'{len(rare)} concepts hold, or fail, at fewer than {RARE} of the points, and '
            f'are not scored: {", ".join(rare)}.'
        )
        yield ''


def every(table: pd.DataFrame, with_source: bool) -> Iterator[str]:
    """List all concepts that were scored."""
    first = '| concept | source |' if with_source else '| concept |'
    yield f"{first} points | holds | Pearson | Spearman | AUC | Moran's I, map | error |"
    yield f'| --- |{" --- |" if with_source else ""}{" ---: |" * 7}'
    for row in table.dropna(subset='spearman').to_dict('records'):
        holds = '' if pd.isna(row['holds']) else f'{int(row["holds"]):,}'
        auc = '' if pd.isna(row['holds']) else str(row['auc'])
        moran = ' | '.join(
            '' if pd.isna(row[name]) else f'{row[name]:.2f}'
            for name in ('map', 'error')
        )
        source = f'| {row["source"]} ' if with_source else ''
        yield (
            f'| {row["concept"]} {source}| {row["points"]:,} | {holds} '
            f'| {row["pearson"]} | {row["spearman"]} | {auc} | {moran} |'
        )
    yield ''


def report(number: int) -> Iterator[str]:
    """Yield the lines of the page."""
    yield '# Concept maps: measurements'
    yield ''
    yield (
        f'Written by `python docs/benchmarks/concept_maps.py` on '
        f'{today_with()}, 2 threads. '
        '[Concept maps](concept-maps.md) says what the scores are.'
    )
    yield ''
    yield '## Forest by region'
    yield ''
    yield from forest(number, 2 * number)
    others = second(concept_earth('GROUNDED'), number)
    blocks = held_out(concept_earth('HELD_OUT'), 30 * number)
    yield '## All concepts'
    yield ''
    yield (
        'Medians over concepts. Estimates are compared in the scale of labels, which for '
        f'some quantities is logarithmic; a class is scored if it holds and fails at {RARE} '
        'points or more. Points are spread evenly over the sphere, but for the cities. '
        f"Intervals of 95% come from {DRAWS} draws of whole blocks of 8°, Moran's I from "
        f'up to {MORAN_POINTS:,} points with 8 neighbours each.'
    )
    yield ''
    yield "| scored against | classes | AUC | quantities | Pearson | Spearman | Moran's I, map | error |"
    yield f'| --- |{" ---: |" * 7}'
    for source, table in others.groupby('source', sort=False):
        yield summary(f'{source}, GROUNDED', table)
    yield summary('maps of training, HELD_OUT in its held-out blocks', blocks)
    yield ''
    yield '## Against second sources'
    yield ''
    yield (
        'GROUNDED against sources that its labels of these concepts were not made of, by '
        'the same rules. Mapzen heights are in steps of 28 m and reach below 0 at coasts, '
        'so concepts of flat or low land are left out. The shore of GSHHS is on cells of '
        '2.5 minutes, without smaller islands. Zones are told by the rules of Köppen from the ITU-R maps of temperature '
        'and rain, which GROUNDED has seen for other concepts, on coarser grids: part of '
        'the disagreement is that of the two maps. They hardly count snow, so cold climates '
        'are not told apart by their dry season. CHELSA normals are known at 270 cities.'
    )
    yield ''
    yield from worst(others)
    yield from every(others, with_source=True)
    told = set(others.dropna(subset='spearman')['concept'])
    yield '## In blocks without training'
    yield ''
    yield (
        'No extra has a second source of the other concepts. HELD_OUT, in the blocks of 8° '
        'in which it has not seen a point, against the maps that taught it elsewhere. '
        f'One point at sea counts for {SEA}.'
    )
    yield ''
    yield from worst(blocks)
    yield from every(blocks[~blocks['concept'].isin(told)], with_source=False)


def main() -> None:
    """Print the page, and write it if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--output', type=Path)
    parser.add_argument('--points', type=int, default=6000)
    options = parser.parse_args()
    torch.set_num_threads(2)
    start, lines = time.perf_counter(), []
    for line in report(options.points):
        print(line, flush=True)
        lines.append(line)
    if options.output is not None:
        write_lines(options.output, lines)
    seconds = time.perf_counter() - start
    print(f'{seconds:.0f} s, {time.process_time():.0f} s of one core')


if __name__ == '__main__':
    main()
