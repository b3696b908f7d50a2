# Copyright (c) torchgeo-concepts Contributors. All rights reserved.
# Licensed under the MIT License.

"""Page of the documentation: all layers, their terms, and the concepts they ground."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

from ..concepts.bank import ConceptBank
from ..utils.markdown import markdown_table
from .base import Layer, Source
from .grounding import added_concepts, read_groundings
from .registry import LAYERS, get_layer
from .rules import Grounding


def layers_page() -> str:
    """Write all layers, and all concepts that they ground, as Markdown.

    No data are read, so the page does not depend on what is installed.

    Returns:
        The sections of the page.
    """
    layers = [get_layer(name) for name in LAYERS]
    curated, added = ConceptBank.default(), added_concepts()
    groundings = read_groundings()
    grounded = sum(grounding.concept in curated for grounding in groundings)
    return (
        f'## The layers ({len(layers)})\n\n{_layer_table(layers)}\n'
        f'## Their terms\n\n{_terms(layers)}\n'
        f'## The concepts ({len(groundings)})\n\n'
        f'Layers ground {grounded} of the {len(curated)} curated concepts and add '
        f'{len(added)} of their own; {len(curated) - grounded} curated concepts have no '
        'layer. A + marks a concept that layers add. Labels of rules marked (log) are '
        f'log10(1 + value).\n\n{_concept_table(groundings, curated, added)}'
    )


def _layer_table(layers: Iterable[Layer]) -> str:
    columns = ('layer', 'what', 'group', 'kind', 'unit', 'km', 'package')
    rows = (
        (
            f'`{layer.name}`',
            layer.title,
            layer.group,
            f'{len(layer.classes)} classes' if layer.classes else 'quantity',
            layer.unit,
            f'{layer.resolution_km:g}' if layer.resolution_km else 'exact',
            layer.source.distribution or 'none',
        )
        for layer in layers
    )
    return markdown_table(columns, rows, right=['km'])


def _terms(layers: Iterable[Layer]) -> str:
    by_source: dict[Source, list[str]] = defaultdict(list)
    for layer in layers:
        # Sources of the same data may read different files.
        by_source[replace(layer.source, files=(), install='')].append(f'`{layer.name}`')
    rows = []
    for source, names in by_source.items():
        # The names of all months would hide the rest.
        listed = ', '.join(names[:6])
        listed += f' and {len(names) - 6} more' if names[6:] else ''
        package = source.distribution or 'no package'
        rows.append((package, source.citation, source.terms, listed))
    return markdown_table(('package', 'data', 'upstream terms', 'layers'), rows)


def _concept_table(
    groundings: Iterable[Grounding], curated: ConceptBank, added: ConceptBank
) -> str:
    by_id = {grounding.concept: grounding for grounding in groundings}
    concepts = [concept for concept in (*curated, *added) if concept.id in by_id]
    categories = list((curated + added).categories)
    rows = []
    for concept in sorted(concepts, key=lambda c: categories.index(c.category)):
        name = concept.name if concept.id in curated.ids else f'{concept.name} +'
        grounding = by_id[concept.id]
        rows.append(
            (name, concept.category, grounding.rule, grounding.unit, grounding.note)
        )
    columns = (
        'concept',
        'category',
        'holds where, or measures',
        'unit',
        'what to know',
    )
    return markdown_table(columns, rows)
